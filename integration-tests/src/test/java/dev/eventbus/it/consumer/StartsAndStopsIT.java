package dev.eventbus.it.consumer;

import static dev.eventbus.it.Events.ASSET_UPDATED;
import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.consumer.AfterRetries;
import dev.eventbus.consumer.ConsumerRunner;
import dev.eventbus.consumer.inbox.JdbcInbox;
import dev.eventbus.embedded.KafkaServer;
import dev.eventbus.embedded.PostgresServer;
import dev.eventbus.embedded.ServersExtension;
import dev.eventbus.it.Eventually;
import dev.eventbus.it.Scene;
import io.github.resilience4j.retry.RetryConfig;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.SQLException;
import java.time.Duration;
import java.util.HashSet;
import java.util.List;
import java.util.Queue;
import java.util.Set;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import javax.management.MalformedObjectNameException;
import javax.management.ObjectName;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.parallel.Isolated;
import org.postgresql.ds.PGSimpleDataSource;

/** Runners that are started and stopped at any moment, as often as one likes. */
@ExtendWith(ServersExtension.class)
@Isolated("looks at all threads, sockets and meters there are")
class StartsAndStopsIT {

    private static final int CYCLES = 100;
    private static final int AT_A_TIME = 4;
    private static final Duration CLOSES_WITHIN = Duration.ofSeconds(10);

    private final Scene scene;
    private final PGSimpleDataSource database = new PGSimpleDataSource();

    StartsAndStopsIT(KafkaServer kafka, PostgresServer postgres) throws SQLException {
        scene = Scene.create(kafka, postgres, "asset.events:2", "dlq.events:1");
        database.setUrl(scene.database().getJdbcUrl());
        database.setUser(postgres.user());
        database.setPassword(postgres.password());
    }

    @BeforeEach
    void createEffects() throws SQLException {
        scene.execute("CREATE TABLE effect (event varchar(128), ord bigint GENERATED ALWAYS AS IDENTITY)");
    }

    @AfterEach
    void close() throws Exception {
        scene.close();
    }

    /** How far a runner has come when it is closed. */
    private enum Phase {
        JUST_STARTED,
        READING,
        HANDLING,
        HANDLING_WITHOUT_END,
        WAITING_FOR_A_RETRY
    }

    @Test
    void K_26_starts_and_stops_at_any_moment_leave_no_thread_no_socket_and_no_meter_behind() throws Exception {
        send("slow", "slow-1");
        send("fails", "fails-1");
        send("user", "evt-1");
        for (Phase phase : Phase.values()) {
            cycle(phase, "first"); // what is made once is made
        }
        scene.database().getHikariPoolMXBean().softEvictConnections();
        Set<Thread> threads = Thread.getAllStackTraces().keySet();
        Set<ObjectName> beans = kafkasBeans();
        long sockets = sockets();
        CountDownLatch over = new CountDownLatch(AT_A_TIME);
        Queue<Throwable> failures = new ConcurrentLinkedQueue<>();
        for (int line = 1; line <= AT_A_TIME; line++) {
            int number = line;
            new Thread(
                            () -> {
                                try {
                                    for (int i = 0; i < CYCLES / AT_A_TIME; i++) {
                                        cycle(Phase.values()[i % Phase.values().length], number + "-" + i);
                                    }
                                } catch (Exception | AssertionError e) {
                                    failures.add(e);
                                }
                                over.countDown();
                            },
                            "line-" + line)
                    .start();
        }
        assertThat(over.await(5, TimeUnit.MINUTES)).isTrue();
        assertThat(failures).isEmpty();
        Eventually.holds(() -> newThreads(threads).isEmpty(), () -> newThreads(threads));
        Eventually.holds(() -> newBeans(beans).isEmpty(), () -> newBeans(beans));
        Eventually.holds(() -> sockets() <= sockets, () -> sockets() + " sockets, before: " + sockets);
    }

    /** One life of a runner, in a group of its own. */
    private void cycle(Phase phase, String name) throws Exception {
        CountDownLatch handling = new CountDownLatch(1);
        CountDownLatch mayEnd = new CountDownLatch(1);
        String group = scene.group("%s-%s".formatted(phase, name));
        try (ConsumerRunner runner = ConsumerRunner.builder(scene.kafka(), group)
                .inTransaction(JdbcInbox.postgres(database), ASSET_UPDATED, (event, tx) -> {
                    if (event.key().equals("fails")) {
                        throw new IllegalStateException();
                    }
                    if (event.key().equals("slow") && phase.name().startsWith("HANDLING")) {
                        handling.countDown();
                        assertThat(mayEnd.await(1, TimeUnit.MINUTES)).isTrue(); // or is interrupted
                        throw new IllegalStateException("so that there is something to do in the next life");
                    }
                })
                .retry(RetryConfig.custom()
                        .maxAttempts(100)
                        .intervalFunction(attempt -> 20_000L)
                        .build())
                .afterRetries(AfterRetries.deadLetter("dlq.events"))
                .build()) {
            runner.start();
            switch (phase) {
                case JUST_STARTED -> {}
                case READING ->
                    Eventually.holds(() -> runner.health().partitions().size() == 2, runner::health);
                case HANDLING -> {
                    assertThat(handling.await(1, TimeUnit.MINUTES)).isTrue();
                    mayEnd.countDown();
                }
                case HANDLING_WITHOUT_END ->
                    assertThat(handling.await(1, TimeUnit.MINUTES)).isTrue();
                case WAITING_FOR_A_RETRY ->
                    Eventually.holds(() -> runner.health().waitingKeys() > 0, runner::health);
            }
            runner.close(phase == Phase.HANDLING_WITHOUT_END ? Duration.ofSeconds(1) : CLOSES_WITHIN);
        }
    }

    private static List<String> newThreads(Set<Thread> before) {
        return Thread.getAllStackTraces().keySet().stream()
                .filter(thread -> !before.contains(thread))
                .map(Thread::getName)
                .filter(name -> !name.startsWith("HikariPool"))
                .toList();
    }

    private static Set<ObjectName> newBeans(Set<ObjectName> before) {
        Set<ObjectName> beans = new HashSet<>(kafkasBeans());
        beans.removeAll(before);
        return beans;
    }

    private static Set<ObjectName> kafkasBeans() {
        try {
            return ManagementFactory.getPlatformMBeanServer().queryNames(new ObjectName("kafka.*:*"), null);
        } catch (MalformedObjectNameException e) {
            throw new IllegalStateException(e);
        }
    }

    /** Open ones of this process. */
    private static long sockets() {
        try (Stream<Path> open = Files.list(Path.of("/proc/self/fd"))) {
            return open.filter(StartsAndStopsIT::isSocket).count();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static boolean isSocket(Path descriptor) {
        try {
            return Files.readSymbolicLink(descriptor).toString().startsWith("socket:");
        } catch (IOException e) {
            return false; // it is closed by now, such as that of the listing itself
        }
    }

    private void send(String user, String id) {
        scene.sendRaw("asset.events", user, """
                {"eventId":"%s","eventType":"ASSET_UPDATED","timestamp":"2030-01-01T00:00:00Z","userId":"%s"}""".formatted(id, user));
        scene.flush();
    }
}
