package dev.eventbus.it.outbox;

import static dev.eventbus.it.Events.ASSET_UPDATED;
import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.embedded.KafkaServer;
import dev.eventbus.embedded.PostgresServer;
import dev.eventbus.embedded.ServersExtension;
import dev.eventbus.it.Events.AssetUpdated;
import dev.eventbus.it.Eventually;
import dev.eventbus.it.Scene;
import dev.eventbus.outbox.OutboxRelay;
import dev.eventbus.outbox.sql.LeaseStore;
import dev.eventbus.outbox.sql.PostgresOutboxSql;
import dev.eventbus.outbox.sql.RelayConnection;
import dev.eventbus.outbox.sql.Shards;
import dev.eventbus.outbox.sql.TableNames;
import java.nio.charset.StandardCharsets;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.parallel.Execution;
import org.junit.jupiter.api.parallel.ExecutionMode;

/** A process that has locked one lease row and stands still: its shard waits, the relays go on with all others. */
@ExtendWith(ServersExtension.class)
@Execution(ExecutionMode.CONCURRENT)
class LeaseLocksIT {

    private static final Duration LEASE = Duration.ofSeconds(6);

    /** Of a busy machine, to start a relay. */
    private static final Duration SLACK = Duration.ofSeconds(10);

    private static final int LOCKED = 7;

    private static OutboxRelay start(Scene scene) {
        OutboxRelay relay = OutboxRelay.builder(scene.outbox(), scene.database(), scene.kafka())
                .lease(LEASE)
                .build();
        relay.start();
        return relay;
    }

    /** Enough users that every shard has some. */
    private static void publish(Scene scene) throws SQLException {
        scene.inTransaction(tx -> {
            for (int user = 0; user < 200; user++) {
                scene.outbox().within(tx).publish(ASSET_UPDATED, AssetUpdated.amount("user-" + user, 1));
            }
        });
    }

    private static long pending(Scene scene, String where) throws SQLException {
        return scene.count("SELECT count(*) FROM eventbus_outbox WHERE shard " + where + " " + LOCKED);
    }

    private static void lock(Connection connection) throws SQLException {
        connection.setAutoCommit(false);
        try (PreparedStatement lock =
                connection.prepareStatement("SELECT 1 FROM eventbus_relay_lease WHERE shard = ? FOR UPDATE")) {
            lock.setInt(1, LOCKED);
            lock.execute();
        }
    }

    private static boolean ownsAllOthers(OutboxRelay relay) {
        return relay.health().ownedShards().size() == Shards.COUNT - 1
                && !relay.health().ownedShards().contains(LOCKED);
    }

    private static boolean isTold(OutboxRelay relay) {
        return relay.health().problems().stream()
                .anyMatch(problem -> problem.contains("[" + LOCKED + "]")
                        && problem.contains("holds the lock of their rows in eventbus_relay_lease"));
    }

    @Test
    void a_locked_lease_is_not_taken_and_the_others_are(KafkaServer kafka, PostgresServer postgres) throws Exception {
        try (Scene scene = Scene.create(kafka, postgres, "asset.events:3");
                Connection frozen = scene.database().getConnection()) {
            lock(frozen);
            publish(scene);
            try (OutboxRelay relay = start(scene)) {
                Eventually.holds(() -> ownsAllOthers(relay), relay::health);
                Eventually.holds(() -> pending(scene, "<>") == 0, relay::health);
                Eventually.holds(() -> isTold(relay), relay::health);
                assertThat(relay.health().up()).isTrue();
                assertThat(pending(scene, "=")).isPositive();

                frozen.rollback();
                Eventually.holds(() -> pending(scene, "=") == 0, relay::health);
                Eventually.holds(() -> relay.health().problems().isEmpty(), relay::health);
            }
        }
    }

    @Test
    void a_lease_that_cannot_be_renewed_runs_out_alone(KafkaServer kafka, PostgresServer postgres) throws Exception {
        try (Scene scene = Scene.create(kafka, postgres, "asset.events:3");
                Connection frozen = scene.database().getConnection();
                OutboxRelay relay = start(scene)) {
            Eventually.holds(() -> relay.health().ownedShards().size() == Shards.COUNT, relay::health);
            lock(frozen);
            Eventually.holds(
                    () -> {
                        assertThat(relay.health().ownedShards()).hasSizeGreaterThanOrEqualTo(Shards.COUNT - 1);
                        return ownsAllOthers(relay);
                    },
                    relay::health);
            publish(scene);
            Eventually.holds(() -> pending(scene, "<>") == 0, relay::health);
            Eventually.holds(() -> isTold(relay), relay::health);
            assertThat(relay.health().up()).isTrue();

            frozen.rollback();
            Eventually.holds(() -> pending(scene, "=") == 0, relay::health);
        }
    }

    /** As by a person who deletes a user's events and has not committed yet. */
    @Test
    void a_locked_row_of_the_outbox_stops_and_repeats_nothing(KafkaServer kafka, PostgresServer postgres)
            throws Exception {
        try (Scene scene = Scene.create(kafka, postgres, "asset.events:3");
                Connection person = scene.database().getConnection()) {
            publish(scene);
            person.setAutoCommit(false);
            try (Statement delete = person.createStatement()) {
                delete.execute("DELETE FROM eventbus_outbox WHERE aggregateid = 'user-7'");
            }
            try (OutboxRelay relay = start(scene)) {
                long end = System.nanoTime() + LEASE.multipliedBy(2).toNanos();
                do {
                    Eventually.holds(() -> pendingInAll(scene) == 1, relay::health);
                    publish(scene, "user-8");
                } while (System.nanoTime() - end < 0);
                Eventually.holds(() -> pendingInAll(scene) == 1, relay::health);
                assertThat(relay.health().problems())
                        .anySatisfy(
                                problem -> assertThat(problem).startsWith("1 events that Kafka has cannot be deleted"));
                person.commit();
                Eventually.holds(() -> relay.health().problems().isEmpty(), relay::health);
            }
            assertThat(scene.records("asset.events").stream()
                            .map(record ->
                                    new String(record.headers().lastHeader("id").value(), StandardCharsets.UTF_8)))
                    .doesNotHaveDuplicates()
                    .hasSizeGreaterThan(200);
        }
    }

    private static long pendingInAll(Scene scene) throws SQLException {
        return scene.count("SELECT count(*) FROM eventbus_outbox");
    }

    private static void publish(Scene scene, String user) throws SQLException {
        scene.inTransaction(tx -> scene.outbox().within(tx).publish(ASSET_UPDATED, AssetUpdated.amount(user, 1)));
    }

    @Test
    void a_relay_that_stands_still_with_a_lock_is_succeeded_within_two_leases(
            KafkaServer kafka, PostgresServer postgres) throws Exception {
        try (Scene scene = Scene.create(kafka, postgres, "asset.events:3")) {
            PostgresOutboxSql sql = new PostgresOutboxSql(TableNames.defaults());
            RelayConnection connection = new RelayConnection(scene.database(), sql, LEASE);
            Connection frozen = connection.get();
            LeaseStore store = new LeaseStore(sql, "frozen", LEASE);
            store.renew(frozen);
            for (LeaseStore.Lease free : store.leases(frozen)) {
                assertThat(store.claim(frozen, free)).isTrue();
            }
            frozen.setAutoCommit(false);
            assertThat(store.lock(frozen, LOCKED, 1)).isTrue();
            publish(scene);
            try (OutboxRelay relay = start(scene)) {
                Eventually.holds(LEASE.multipliedBy(2).plus(SLACK), () -> pending(scene, "<>") == 0, relay::health);
                Eventually.holds(() -> pending(scene, "=") == 0, relay::health);
            }
            connection.close();
        }
    }
}
