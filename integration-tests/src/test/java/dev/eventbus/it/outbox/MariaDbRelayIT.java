package dev.eventbus.it.outbox;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.zaxxer.hikari.HikariConfig;
import dev.eventbus.StartRefusedException;
import dev.eventbus.embedded.EmbeddedMariaDb;
import dev.eventbus.embedded.KafkaServer;
import dev.eventbus.embedded.ServersExtension;
import dev.eventbus.it.Eventually;
import dev.eventbus.it.MariaDbExtension;
import dev.eventbus.it.Scene;
import dev.eventbus.outbox.JdbcOutbox;
import dev.eventbus.outbox.OutboxAdmin;
import dev.eventbus.outbox.OutboxRelay;
import dev.eventbus.outbox.OutboxStats;
import dev.eventbus.outbox.sql.Shards;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.parallel.Execution;
import org.junit.jupiter.api.parallel.ExecutionMode;

/** Order and no loss from MariaDB to Kafka. */
@Tag("mariadb")
@ExtendWith({ServersExtension.class, MariaDbExtension.class})
@Execution(ExecutionMode.CONCURRENT)
class MariaDbRelayIT {

    private static final String PENDING = "SELECT count(*) FROM eventbus_outbox";

    private static Scene scene(KafkaServer kafka, EmbeddedMariaDb mariaDb) throws SQLException {
        HikariConfig pool = new HikariConfig();
        pool.setJdbcUrl(mariaDb.createDatabase(mariaDb.uniqueName("it")));
        pool.setUsername(mariaDb.user());
        pool.setPassword(mariaDb.password());
        return Scene.create(kafka, pool, JdbcOutbox.mariaDb(), "asset.events:3");
    }

    @Test
    void writers_that_serialise_on_a_contended_key_are_never_reordered(KafkaServer kafka, EmbeddedMariaDb mariaDb)
            throws Exception {
        try (Scene scene = scene(kafka, mariaDb)) {
            SerialisedWriters writers = SerialisedWriters.on(scene.database(), scene.outbox());
            OutboxRelay relay = scene.startRelay();
            FetchIT.assertEachOnceInOrder(scene, relay, writers.write());
        }
    }

    /** The more transactions are under way, the longer MariaDB takes to collect them, while others end. */
    @Test
    void nor_are_they_while_a_hundred_transactions_are_open(KafkaServer kafka, EmbeddedMariaDb mariaDb)
            throws Exception {
        try (Scene scene = scene(kafka, mariaDb);
                OpenTransactions open = new OpenTransactions()) {
            SerialisedWriters writers = SerialisedWriters.on(scene.database(), scene.outbox());
            scene.execute("CREATE TABLE open_transaction (id int PRIMARY KEY)");
            for (int id = 0; id < 100; id++) {
                String url = scene.database().getJdbcUrl();
                open.begin(DriverManager.getConnection(url, mariaDb.user(), mariaDb.password()), id);
            }
            OutboxRelay relay = scene.startRelay();
            FetchIT.assertEachOnceInOrder(scene, relay, writers.write());
        }
    }

    private static final class OpenTransactions implements AutoCloseable {

        private final List<Connection> connections = new ArrayList<>();

        void begin(Connection connection, int id) throws SQLException {
            connections.add(connection);
            connection.setAutoCommit(false);
            try (Statement insert = connection.createStatement()) {
                insert.execute("INSERT INTO open_transaction VALUES (" + id + ")");
            }
        }

        @Override
        public void close() throws SQLException {
            for (Connection connection : connections) {
                connection.close();
            }
        }
    }

    @Test
    void a_writer_that_commits_after_all_others_is_found_without_the_full_read(
            KafkaServer kafka, EmbeddedMariaDb mariaDb) throws Exception {
        try (Scene scene = scene(kafka, mariaDb);
                Connection late = scene.database().getConnection()) {
            OutboxRelay relay = scene.startRelay();
            late.setAutoCommit(false);
            scene.outbox().within(late).publish(SerialisedWriters.event("late", 1));
            for (int n = 1; n <= 200; n++) {
                publish(scene, "bob", n, n);
            }
            Eventually.holds(() -> scene.count(PENDING) == 0, relay::health);
            late.commit();
            long committed = System.nanoTime();
            Eventually.holds(() -> scene.records("asset.events").size() == 201, relay::health);
            assertThat(Duration.ofNanos(System.nanoTime() - committed)).isLessThan(Duration.ofSeconds(15));
        }
    }

    @Test
    void connections_that_are_killed_are_replaced_and_nothing_is_lost_or_reordered(
            KafkaServer kafka, EmbeddedMariaDb mariaDb) throws Exception {
        try (Scene scene = scene(kafka, mariaDb)) {
            OutboxRelay relay = scene.startRelay();
            for (int round = 0; round < 10; round++) {
                publish(scene, "bob", round * 50 + 1, round * 50 + 50);
                for (String id : scene.strings(
                        "SELECT id FROM information_schema.PROCESSLIST WHERE db = DATABASE() AND id <> CONNECTION_ID()")) {
                    scene.execute("KILL CONNECTION " + id);
                }
                // those of the publisher too, which a pool hands out unseen for half a second
                scene.database().getHikariPoolMXBean().softEvictConnections();
            }
            assertAllInOrder(scene, relay, 500);
        }
    }

    @Test
    void a_server_that_is_killed_and_started_again_loses_nothing_if_its_binary_log_is_as_safe_as_a_relay_wants_it(
            KafkaServer kafka) throws Exception {
        try (EmbeddedMariaDb mariaDb = EmbeddedMariaDb.start("--log-bin", "--sync-binlog=1");
                Scene scene = scene(kafka, mariaDb);
                Connection connection = scene.database().getConnection()) {
            scene.execute("SET GLOBAL sync_binlog = 0");
            assertThatThrownBy(() -> scene.outbox().verify(connection))
                    .isInstanceOf(StartRefusedException.class)
                    .hasMessageContaining("sync_binlog is 0");
            scene.execute("SET GLOBAL sync_binlog = 1");
            scene.outbox().verify(connection);
            OutboxRelay relay = scene.startRelay();
            publish(scene, "bob", 1, 1_000);
            mariaDb.kill();
            Eventually.holds(() -> !relay.health().up(), relay::health);
            assertThat(relay.health().problems())
                    .anyMatch(problem -> problem.contains("Start the database, or correct host and port"));
            mariaDb.restart();
            publish(scene, "bob", 1_001, 1_100);
            assertAllInOrder(scene, relay, 1_100);
            Eventually.holds(() -> relay.health().up(), relay::health);
        }
    }

    @Test
    void blocked_keys_are_listed_and_go_on_or_are_handed_back(KafkaServer kafka, EmbeddedMariaDb mariaDb)
            throws Exception {
        try (Scene scene = scene(kafka, mariaDb)) {
            publish(scene, "bob", 1, 3);
            publish(scene, "Bob", 1, 3);
            publish(scene, "carol", 1, 3);
            scene.execute("""
                    INSERT INTO eventbus_blocked_key
                    SELECT aggregatetype, aggregateid, shard, seq, id, 'REFUSED', 'no', '["bob:9"]', UTC_TIMESTAMP(6)
                    FROM eventbus_outbox WHERE id IN ('bob:1', 'Bob:1')""");
            OutboxAdmin admin = OutboxAdmin.of(scene.outbox(), scene.database());
            OutboxStats stats = admin.stats();
            assertThat(stats.pending()).isEqualTo(9);
            assertThat(stats.blockedKeys()).isEqualTo(2);
            assertThat(stats.oldestAge().orElseThrow()).isLessThan(Duration.ofMinutes(1));
            assertThat(stats.shardsWithoutOwner()).isEqualTo(Shards.COUNT);
            assertThat(admin.blocked()).extracting(OutboxAdmin.BlockedKey::key).containsExactlyInAnyOrder("bob", "Bob");
            assertThat(admin.blocked()).allSatisfy(blocked -> {
                assertThat(blocked.since()).isBetween(Instant.now().minusSeconds(60), Instant.now());
                assertThat(blocked.sentLater()).containsExactly("bob:9");
            });

            OutboxRelay relay = scene.startRelay();
            Eventually.holds(() -> scene.count(PENDING) == 6, relay::health);
            assertThat(admin.stats().shardsWithoutOwner()).isZero();
            assertThat(admin.unblock("asset.events", "bob")).isTrue();
            assertThat(admin.discard("Bob:1", "test").id()).isEqualTo("Bob:1");
            Eventually.holds(() -> scene.count(PENDING) == 0, relay::health);
            assertThat(scene.records("asset.events").stream().map(SerialisedWriters::id))
                    .filteredOn(id -> id.startsWith("bob"))
                    .containsExactly("bob:1", "bob:2", "bob:3");
            assertThat(scene.records("asset.events"))
                    .extracting(SerialisedWriters::id)
                    .contains("Bob:2", "Bob:3", "carol:3")
                    .doesNotContain("Bob:1");
        }
    }

    @Test
    void a_locked_lease_is_neither_taken_nor_renewed_and_the_others_are(KafkaServer kafka, EmbeddedMariaDb mariaDb)
            throws Exception {
        try (Scene scene = scene(kafka, mariaDb);
                Connection frozen = scene.database().getConnection();
                PreparedStatement lock =
                        frozen.prepareStatement("SELECT 1 FROM eventbus_relay_lease WHERE shard = 7 FOR UPDATE");
                OutboxRelay relay = OutboxRelay.builder(scene.outbox(), scene.database(), scene.kafka())
                        .lease(Duration.ofSeconds(6))
                        .build()) {
            frozen.setAutoCommit(false);
            lock.execute();
            relay.start();
            Eventually.holds(() -> relay.health().ownedShards().size() == 15, relay::health);
            assertThat(relay.health().ownedShards()).doesNotContain(7);
            frozen.rollback();
            Eventually.holds(() -> relay.health().ownedShards().size() == 16, relay::health);

            lock.execute();
            Eventually.holds(
                    () -> {
                        assertThat(relay.health().ownedShards()).hasSizeGreaterThanOrEqualTo(15);
                        return !relay.health().ownedShards().contains(7);
                    },
                    relay::health);
            frozen.rollback();
            Eventually.holds(() -> relay.health().ownedShards().size() == 16, relay::health);
            assertThat(relay.health().problems()).isEmpty();
        }
    }

    private static void publish(Scene scene, String user, int from, int to) throws SQLException {
        scene.inTransaction(tx -> {
            for (int n = from; n <= to; n++) {
                scene.outbox().within(tx).publish(SerialisedWriters.event(user, n));
            }
        });
    }

    private static void assertAllInOrder(Scene scene, OutboxRelay relay, int count) throws Exception {
        Eventually.holds(() -> scene.count(PENDING) == 0, relay::health);
        List<ConsumerRecord<byte[], byte[]>> records = scene.records("asset.events");
        assertThat(records.stream().map(SerialisedWriters::id).distinct()).hasSize(count);
        assertThat(SerialisedWriters.reorderedRecords(records)).isEmpty();
    }
}
