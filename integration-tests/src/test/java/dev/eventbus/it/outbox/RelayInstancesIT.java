package dev.eventbus.it.outbox;

import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.Event;
import dev.eventbus.embedded.EmbeddedKafka;
import dev.eventbus.embedded.KafkaServer;
import dev.eventbus.embedded.PostgresServer;
import dev.eventbus.embedded.ServersExtension;
import dev.eventbus.faults.wire.LoopbackProxy;
import dev.eventbus.it.Events.AssetUpdated;
import dev.eventbus.it.Eventually;
import dev.eventbus.it.Scene;
import dev.eventbus.outbox.JdbcOutbox;
import dev.eventbus.outbox.OutboxRelay;
import dev.eventbus.outbox.RelayListener;
import dev.eventbus.outbox.sql.Shards;
import java.sql.SQLException;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.IntStream;
import javax.sql.DataSource;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.parallel.Execution;
import org.junit.jupiter.api.parallel.ExecutionMode;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Several relays share one outbox: who sends what, and what becomes of the events when relays come, go, die and freeze. */
@ExtendWith(ServersExtension.class)
@Execution(ExecutionMode.CONCURRENT)
class RelayInstancesIT {

    static final String PENDING = "SELECT count(*) FROM eventbus_outbox";
    static final String OWNED = "SELECT count(*) FROM eventbus_relay_lease WHERE lease_until >= clock_timestamp()";
    private static final String OWNERS =
            "SELECT count(DISTINCT owner) FROM eventbus_relay_lease WHERE lease_until >= clock_timestamp()";

    /** A statement may take no longer either, on a busy machine too. */
    static final Duration LEASE = Duration.ofSeconds(4);

    /** What a crash may repeat: all that one relay may have in flight. */
    static final int IN_FLIGHT = 4_000;

    /** So many that a relay which repeats all that it has read, or all that there is, is seen. */
    static final int MANY = 5_000;

    /** One way. An answer takes longer than the next owner takes to look again, so that a shard given back undrained would show. */
    private static final Duration ACK_LATENCY = Duration.ofMillis(150);

    static void awaitShards(RelayProcess relay, int count) {
        Eventually.holds(() -> relay.owned().size() == count, () -> relay);
    }

    /** Waits until all shards have an owner, and there are this many owners. */
    static void awaitOwners(Scene scene, int owners) {
        Eventually.holds(
                () -> scene.count(OWNERS) == owners && scene.count(OWNED) == Shards.COUNT, () -> shardsByOwner(scene));
    }

    private static List<String> shardsByOwner(Scene scene) {
        try {
            return scene.strings("SELECT owner || ' ' || count(*) FROM eventbus_relay_lease GROUP BY owner");
        } catch (SQLException e) {
            throw new IllegalStateException(e);
        }
    }

    /** Waits until the owners have renewed all shards for three leases from now. */
    private static void awaitThreeLeases(Scene scene, Duration lease) throws SQLException {
        String renewed = "SELECT count(*) FROM eventbus_relay_lease WHERE lease_until >= '%s'"
                .formatted(scene.strings("SELECT clock_timestamp() + interval '%d ms'"
                                .formatted(lease.multipliedBy(4).toMillis()))
                        .get(0));
        Eventually.holds(() -> scene.count(renewed) == Shards.COUNT, () -> shardsByOwner(scene));
    }

    private static long repeats(List<ConsumerRecord<byte[], byte[]>> records) {
        return records.size()
                - records.stream().map(SerialisedWriters::id).distinct().count();
    }

    /** What was committed, and nothing else, is in the topic, in order. Returns how many repeats there are. */
    static long complete(Scene scene, long committed) throws Exception {
        Eventually.holds(() -> scene.count(PENDING) == 0, () -> "rows left; " + shardsByOwner(scene));
        List<ConsumerRecord<byte[], byte[]>> records = scene.records("asset.events");
        assertThat(records.stream().map(SerialisedWriters::id).distinct()).hasSize((int) committed);
        assertThat(SerialisedWriters.reorderedRecords(records)).isEmpty();
        return repeats(records);
    }

    @Test
    void a_killed_owner_costs_repeats_only(KafkaServer kafka, PostgresServer postgres) throws Exception {
        try (Scene scene = Scene.create(kafka, postgres, "asset.events:3");
                Load load = new Load(scene);
                RelayProcess victim = RelayProcess.start(scene, LEASE);
                RelayProcess other = RelayProcess.start(scene, LEASE)) {
            awaitShards(victim, 8);
            awaitShards(other, 8);
            Future<Long> writing = load.begin(Duration.ofSeconds(4));
            publishMany(scene, "many");
            Eventually.holds(() -> victim.relayed() > 50, () -> victim);
            victim.kill();
            assertThat(complete(scene, writing.get() + MANY)).isLessThanOrEqualTo(IN_FLIGHT);
            awaitShards(other, Shards.COUNT);
        }
    }

    @Test
    void an_owner_that_was_frozen_for_three_leases_repeats_and_neither_loses_nor_reorders(
            KafkaServer kafka, PostgresServer postgres) throws Exception {
        Duration lease = Duration.ofSeconds(2);
        try (Scene scene = Scene.create(kafka, postgres, "asset.events:3");
                Load load = new Load(scene);
                RelayProcess zombie = RelayProcess.start(scene, lease);
                RelayProcess other = RelayProcess.start(scene, lease)) {
            awaitShards(zombie, 8);
            awaitShards(other, 8);
            int freezes = 2;
            Future<Long> writing = load.begin(lease.multipliedBy(5L * freezes));
            for (int i = 0; i < freezes; i++) {
                long before = zombie.relayed();
                publishMany(scene, "many-" + i);
                Eventually.holds(() -> zombie.relayed() > before + 50, () -> zombie);
                zombie.freeze();
                awaitShards(other, Shards.COUNT);
                awaitThreeLeases(scene, lease);
                zombie.thaw();
                awaitShards(other, 8);
            }
            long committed = writing.get() + freezes * MANY;
            assertThat(complete(scene, committed)).isLessThanOrEqualTo(freezes * IN_FLIGHT);
            awaitOwners(scene, 2);
        }
    }

    @Test
    void relays_that_come_and_go_under_load_repeat_and_reorder_nothing(PostgresServer postgres) throws Exception {
        try (LoopbackProxy network = LoopbackProxy.open();
                EmbeddedKafka kafka =
                        EmbeddedKafka.builder().advertisedPorts(network.port()).start();
                Scene scene = Scene.create(forwarded(network, kafka), postgres, "asset.events:3");
                Relays relays = new Relays(scene);
                Load load = new Load(scene)) {
            network.latency(ACK_LATENCY);
            Future<Long> writing = load.begin(Duration.ofSeconds(8));
            for (int count = 1; count <= 3; count++) {
                relays.start();
                awaitOwners(scene, count);
            }
            Eventually.holds(() -> relays.shards().equals(List.of(5, 5, 6)), relays::shards);
            for (int replaced = 0; replaced < 3; replaced++) {
                relays.start();
                awaitOwners(scene, 4);
                relays.stopOldest();
                awaitOwners(scene, 3);
            }
            for (int left = 2; left >= 1; left--) {
                relays.stopOldest();
                awaitOwners(scene, left);
            }
            long committed = writing.get();
            assertThat(complete(scene, committed)).as("repeats").isZero();
            assertThat(relays.deletedByOthers).hasValue(0);
            relays.stopOldest();
            assertThat(scene.count(OWNED)).isZero();
            assertThat(scene.count("SELECT count(*) FROM eventbus_relay_member"))
                    .isZero();
        }
    }

    private static EmbeddedKafka forwarded(LoopbackProxy network, EmbeddedKafka kafka) {
        network.forwardTo(kafka.address(1));
        return kafka;
    }

    /** Relays of this JVM, each with a JdbcOutbox of its own as in another process: no publish wakes it. */
    static final class Relays implements AutoCloseable {
        private final Scene scene;
        private final Deque<OutboxRelay> running = new ArrayDeque<>();
        private final AtomicInteger deletedByOthers = new AtomicInteger();

        Relays(Scene scene) {
            this.scene = scene;
        }

        OutboxRelay start() {
            return start(scene.database());
        }

        OutboxRelay start(DataSource database) {
            OutboxRelay relay = OutboxRelay.builder(JdbcOutbox.postgres(), database, scene.kafka())
                    .lease(LEASE)
                    .listener(new RelayListener() {
                        @Override
                        public void deletedByOthers(int rows) {
                            deletedByOthers.addAndGet(rows);
                        }
                    })
                    .build();
            relay.start();
            running.add(relay);
            return relay;
        }

        void stopOldest() {
            running.remove().close();
        }

        List<Integer> shards() {
            return running.stream()
                    .map(relay -> relay.health().ownedShards().size())
                    .sorted()
                    .toList();
        }

        @Override
        public void close() {
            running.forEach(OutboxRelay::close);
        }
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "LEASES_TAKEN",
                "BEFORE_SEND:200",
                "AFTER_SEND:200",
                "AFTER_ACK:200",
                "BEFORE_DELETE:2",
                "AFTER_DELETE:2"
            })
    void a_crash_at_any_step_costs_repeats_only(String crash, KafkaServer kafka, PostgresServer postgres)
            throws Exception {
        try (Scene scene = Scene.create(kafka, postgres, "asset.events:3")) {
            publishMany(scene, "user");
            try (RelayProcess relay = RelayProcess.startToCrash(scene, Duration.ofSeconds(1), crash)) {
                assertThat(relay.awaitEnd()).as(relay::toString).isEqualTo(137);
            }
            assertThat(scene.count(PENDING)).as("it has crashed before the end").isPositive();
            try (Relays successor = new Relays(scene)) {
                successor.start();
                assertThat(complete(scene, MANY)).isLessThanOrEqualTo(IN_FLIGHT);
                awaitOwners(scene, 1);
            }
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"AFTER_SEND:200:FREEZE", "BEFORE_DELETE:2:FREEZE"})
    void a_relay_that_freezes_with_events_in_its_hands_finds_that_others_have_sent_them(
            String freeze, KafkaServer kafka, PostgresServer postgres) throws Exception {
        try (Scene scene = Scene.create(kafka, postgres, "asset.events:3")) {
            publishMany(scene, "user");
            try (RelayProcess zombie = RelayProcess.startToCrash(scene, LEASE, freeze);
                    Relays successor = new Relays(scene)) {
                awaitShards(zombie, Shards.COUNT);
                successor.start();
                Eventually.holds(() -> scene.count(PENDING) == 0, () -> zombie);
                awaitThreeLeases(scene, LEASE);
                zombie.thaw();
                awaitShards(zombie, 8);
                awaitOwners(scene, 2);
                assertThat(complete(scene, MANY)).isLessThanOrEqualTo(IN_FLIGHT);
                if (freeze.startsWith("BEFORE_DELETE")) {
                    assertThat(zombie.deletedByOthers())
                            .as("the count of its delete was short: %s", zombie)
                            .isPositive();
                }
            }
        }
    }

    /** In one transaction, of twenty users whose names begin so. */
    static void publishMany(Scene scene, String users) throws SQLException {
        List<Event<AssetUpdated>> events = IntStream.range(0, MANY)
                .mapToObj(i -> SerialisedWriters.event("%s-%d".formatted(users, i % 20), i / 20 + 1))
                .toList();
        scene.inTransaction(tx -> scene.outbox().within(tx).publishAll(events));
    }

    /** Writers in the background. */
    static final class Load implements AutoCloseable {
        private final ExecutorService thread = Executors.newSingleThreadExecutor();
        private final SerialisedWriters writers;

        Load(Scene scene) throws SQLException {
            this.writers = SerialisedWriters.on(scene.database(), scene.outbox());
        }

        /** Writes for so long. The result is how many events were committed. */
        Future<Long> begin(Duration length) {
            return thread.submit(() -> writers.write(length));
        }

        @Override
        public void close() {
            thread.shutdownNow();
        }
    }
}
