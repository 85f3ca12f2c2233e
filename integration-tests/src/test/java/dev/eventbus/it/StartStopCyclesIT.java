package dev.eventbus.it;

import static dev.eventbus.it.Events.ASSET_UPDATED;
import static java.util.stream.Collectors.counting;
import static java.util.stream.Collectors.groupingBy;

import dev.eventbus.consumer.AfterRetries;
import dev.eventbus.consumer.ConsumerRunner;
import dev.eventbus.embedded.KafkaServer;
import dev.eventbus.embedded.PostgresServer;
import dev.eventbus.embedded.ServersExtension;
import dev.eventbus.it.Events.AssetUpdated;
import dev.eventbus.outbox.OutboxRelay;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.SQLException;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.parallel.Isolated;

/** Relay and runner are started and closed again and again in one process, as a framework that reloads does. */
@ExtendWith(ServersExtension.class)
@Isolated("counts what the whole process holds")
class StartStopCyclesIT {

    private static final int CYCLES = Integer.getInteger("eventbus.it.cycles", 8);
    private static final int WARM_UP = 4;

    /** What classes and caches of a test run may add; a client that is kept is a multiple of it in some cycles. */
    private static final long HEAP_NOISE = 6L * 1024 * 1024;

    /** What the rest of the process opens meanwhile, it opens once; what a cycle leaves behind is there once for each. */
    private static final int OPENED_MEANWHILE = CYCLES / 2;

    private final Set<String> handled = ConcurrentHashMap.newKeySet();

    /** What this process holds; descriptors by what they are: files are the class loader's, the library opens none. */
    private record Held(int threads, Map<String, Long> descriptors, long sessions, long heap) {

        static Held now(Scene scene) throws SQLException, IOException {
            ManagementFactory.getMemoryMXBean().gc();
            return new Held(
                    Thread.getAllStackTraces().size(),
                    openDescriptors(),
                    scene.count("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"),
                    ManagementFactory.getMemoryMXBean().getHeapMemoryUsage().getUsed());
        }

        /** How many of each kind, as in {@code socket:[4711]}. */
        private static Map<String, Long> openDescriptors() throws IOException {
            try (Stream<Path> all = Files.list(Path.of("/proc/self/fd"))) {
                return all.map(Held::target)
                        .filter(target -> !target.startsWith("/"))
                        .collect(groupingBy(target -> target.replaceAll("\\d+", "n"), TreeMap::new, counting()));
            }
        }

        private static String target(Path descriptor) {
            try {
                return Files.readSymbolicLink(descriptor).toString();
            } catch (IOException closedMeanwhile) {
                return "/";
            }
        }

        private boolean openedNoMoreOfAnyKindThan(Held before) {
            return descriptors.entrySet().stream()
                    .allMatch(kind ->
                            kind.getValue() <= before.descriptors.getOrDefault(kind.getKey(), 0L) + OPENED_MEANWHILE);
        }

        boolean isNoMoreThan(Held before) {
            return threads <= before.threads
                    && openedNoMoreOfAnyKindThan(before)
                    && sessions <= before.sessions
                    && heap <= before.heap + HEAP_NOISE;
        }
    }

    @Test
    void what_was_started_and_closed_many_times_leaves_no_thread_socket_session_or_heap_behind(
            KafkaServer server, PostgresServer postgres) throws Exception {
        try (Scene scene = Scene.create(server, postgres, "asset.events:1", "dlq.events:1")) {
            for (int i = 0; i < WARM_UP; i++) {
                cycle(scene);
            }
            scene.database().getHikariPoolMXBean().softEvictConnections(); // the pool's own ones come and go
            Held before = Held.now(scene);
            for (int i = 0; i < CYCLES; i++) {
                cycle(scene);
            }
            scene.database().getHikariPoolMXBean().softEvictConnections();
            Eventually.holds(
                    () -> Held.now(scene).isNoMoreThan(before),
                    () -> "before: " + before + ", " + CYCLES + " cycles later: " + held(scene));
        }
    }

    private void cycle(Scene scene) throws Exception {
        String id;
        try (var tx = scene.database().getConnection()) {
            tx.setAutoCommit(false);
            id = scene.outbox().within(tx).publish(ASSET_UPDATED, AssetUpdated.amount("alice", 1));
            tx.commit();
        }
        try (OutboxRelay relay = OutboxRelay.builder(scene.outbox(), scene.database(), scene.kafka())
                        .build();
                ConsumerRunner runner = ConsumerRunner.builder(scene.kafka(), scene.group("cycles"))
                        .inTransaction(scene.inbox(), ASSET_UPDATED, (event, delivery) -> handled.add(event.id()))
                        .afterRetries(AfterRetries.deadLetter("dlq.events"))
                        .build()) {
            relay.start();
            runner.start();
            Eventually.holds(() -> handled.contains(id), runner::health);
        }
    }

    private static String held(Scene scene) {
        try {
            return Held.now(scene).toString();
        } catch (SQLException | IOException e) {
            return e.toString();
        }
    }
}
