package dev.eventbus.it.outbox;

import static dev.eventbus.it.Events.ASSET_UPDATED;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.zaxxer.hikari.HikariDataSource;
import dev.eventbus.EncodedEvent;
import dev.eventbus.Event;
import dev.eventbus.StartRefusedException;
import dev.eventbus.embedded.KafkaServer;
import dev.eventbus.embedded.PostgresServer;
import dev.eventbus.embedded.ServersExtension;
import dev.eventbus.it.Events.AssetUpdated;
import dev.eventbus.it.Eventually;
import dev.eventbus.it.Scene;
import dev.eventbus.outbox.OutboxAdmin;
import dev.eventbus.outbox.OutboxRelay;
import dev.eventbus.outbox.OutboxStats;
import dev.eventbus.outbox.RelayListener;
import dev.eventbus.outbox.sql.AdminSql;
import dev.eventbus.outbox.sql.PostgresOutboxSql;
import dev.eventbus.outbox.sql.Shards;
import dev.eventbus.outbox.sql.StatsStore;
import dev.eventbus.outbox.sql.TableNames;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.parallel.Execution;
import org.junit.jupiter.api.parallel.ExecutionMode;
import org.postgresql.ds.PGSimpleDataSource;

/** What a person does with an outbox, and what a relay tells a person, on real servers. */
@ExtendWith(ServersExtension.class)
@Execution(ExecutionMode.CONCURRENT)
class OutboxAdminIT {

    private static final String PENDING = "SELECT count(*) FROM eventbus_outbox";

    private static Event<AssetUpdated> asset(String id, String user) {
        return Event.of(ASSET_UPDATED, id, Instant.EPOCH, AssetUpdated.amount(user, 1));
    }

    private static List<String> ids(Scene scene, String key) {
        return scene.records("asset.events").stream()
                .filter(record -> new String(record.key(), UTF_8).equals(key))
                .map(SerialisedWriters::id)
                .toList();
    }

    private static void publish(Scene scene, Event<?>... events) throws SQLException {
        scene.inTransaction(tx -> scene.outbox().within(tx).publishAll(List.of(events)));
    }

    private static OutboxRelay relay(Scene scene) {
        return OutboxRelay.builder(scene.outbox(), scene.database(), scene.kafka())
                .build();
    }

    private static OutboxAdmin admin(Scene scene) {
        return OutboxAdmin.of(scene.outbox(), scene.database());
    }

    @Test
    void a_key_that_the_broker_refused_goes_on_in_order_once_it_is_unblocked(KafkaServer kafka, PostgresServer postgres)
            throws Exception {
        try (Scene scene = Scene.create(kafka, postgres, "asset.events:1")) {
            RecordLimit.set(scene, "asset.events", 5_000);
            OutboxRelay relay = scene.startRelay();
            publish(
                    scene,
                    asset("evt-1", "bob"),
                    RecordLimit.large("too-large", "bob"),
                    asset("evt-3", "bob"),
                    asset("evt-4", "eve"));
            Eventually.holds(() -> scene.count(PENDING) == 2, relay::health);
            assertThat(admin(scene).blocked()).singleElement().satisfies(blocked -> {
                assertThat(blocked.key()).isEqualTo("bob");
                assertThat(blocked.eventId()).isEqualTo("too-large");
                assertThat(blocked.reason()).isEqualTo("REFUSED");
            });
            publish(scene, asset("evt-5", "bob"), asset("evt-6", "eve"));
            Eventually.holds(() -> scene.count(PENDING) == 3, relay::health);

            RecordLimit.set(scene, "asset.events", 100_000);
            assertThat(admin(scene).unblock("asset.events", "bob")).isTrue();
            Eventually.holds(() -> scene.count(PENDING) == 0, relay::health);
            assertThat(ids(scene, "bob")).containsExactly("evt-1", "too-large", "evt-3", "evt-5");
            assertThat(ids(scene, "eve")).containsExactly("evt-4", "evt-6");
            Eventually.holds(() -> relay.health().problems().isEmpty(), relay::health);
        }
    }

    @Test
    void a_discarded_event_is_handed_back_and_the_rest_of_its_key_flows(KafkaServer kafka, PostgresServer postgres)
            throws Exception {
        try (Scene scene = Scene.create(kafka, postgres, "asset.events:1")) {
            RecordLimit.set(scene, "asset.events", 5_000);
            OutboxRelay relay = scene.startRelay();
            List<String> heard = new CopyOnWriteArrayList<>();
            OutboxAdmin admin = admin(scene).listener(new RelayListener() {
                @Override
                public void eventDiscarded(String eventId, String topic, String reason) {
                    heard.add(eventId + " " + topic + " " + reason);
                }
            });
            publish(scene, RecordLimit.large("too-large", "bob"), asset("evt-2", "bob"));
            Eventually.holds(() -> admin.blocked().size() == 1, relay::health);
            assertThatThrownBy(() -> admin.discard("evt-2", "because"))
                    .isInstanceOf(IllegalStateException.class)
                    .hasMessageContaining("no key waits for it");
            EncodedEvent discarded = admin.discard("too-large", "sent by mail");
            assertThat(discarded.key()).isEqualTo("bob");
            assertThat(new String(discarded.value(), UTF_8))
                    .contains("\"eventId\":\"too-large\"")
                    .hasSizeGreaterThan(20_000);
            Eventually.holds(() -> scene.count(PENDING) == 0, relay::health);
            assertThat(ids(scene, "bob")).containsExactly("evt-2");
            assertThat(heard).containsExactly("too-large asset.events sent by mail");
        }
    }

    @Test
    void a_relay_that_was_off_for_longer_than_it_may_sends_nothing_old_unasked(
            KafkaServer kafka, PostgresServer postgres) throws Exception {
        try (Scene scene = Scene.create(kafka, postgres, "asset.events:1")) {
            publish(scene, asset("old-1", "bob"), asset("old-2", "bob"), asset("young-1", "eve"));
            scene.execute(
                    "UPDATE eventbus_outbox SET created_at = created_at - interval '8 days' WHERE id LIKE 'old%'");
            OutboxRelay relay = scene.startRelay();
            Eventually.holds(() -> relay.health().blockedKeys() == 1, relay::health);
            Eventually.holds(() -> scene.count(PENDING) == 2, relay::health);
            assertThat(relay.health().problems()).singleElement().asString().contains("maxRelayStop");
            OutboxAdmin admin = admin(scene);
            assertThat(admin.blocked())
                    .extracting(OutboxAdmin.BlockedKey::reason)
                    .containsExactly("STALE");
            assertThat(admin.unblockAll("STALE")).isEqualTo(1);
            publish(scene, asset("young-2", "bob"));
            Eventually.holds(() -> scene.count(PENDING) == 0, relay::health);
            assertThat(ids(scene, "bob")).containsExactly("old-1", "old-2", "young-2");
        }
    }

    @Test
    void stats_stay_cheap_and_use_the_index_whatever_the_statistics_say(KafkaServer kafka, PostgresServer postgres)
            throws Exception {
        try (Scene scene = Scene.create(kafka, postgres, "asset.events:1")) {
            scene.execute("ANALYZE eventbus_outbox");
            int rows = 200_000;
            scene.execute(
                    "INSERT INTO eventbus_outbox (shard, id, aggregatetype, aggregateid, type, payload, content_type, created_at) SELECT i %% 16, 'evt-' || i, 'asset.events', 'user-' || i, 'T', convert_to(repeat('x', 200), 'UTF8'), 'c', clock_timestamp() FROM generate_series(1, %d) AS i"
                            .formatted(rows));
            OutboxStats stats = admin(scene).stats();
            assertThat(stats.exact()).isFalse();
            assertThat(stats.pending()).isEqualTo(16L * (StatsStore.MOST_COUNTED + 1));
            assertThat(stats.oldestAge()).isPresent();
            assertThat(stats.shards()).hasSize(16);
            assertThat(stats.relays()).isEmpty();

            AdminSql sql = new PostgresOutboxSql(TableNames.defaults()).admin();
            scene.inTransaction(tx -> {
                try (PreparedStatement begin = tx.prepareStatement(sql.begin())) {
                    begin.execute();
                }
                for (String statement : List.of(
                        sql.pending().replace("?", "10001"),
                        sql.oldest(),
                        sql.newestOfKey().replaceFirst("\\?", "3").replaceAll("= \\?", "= 'x'"))) {
                    assertThat(plan(tx, statement))
                            .contains("Index Scan")
                            .doesNotContain("Seq Scan on eventbus_outbox");
                }
            });
            scene.execute("DELETE FROM eventbus_outbox WHERE seq % 100 <> 0");
            assertThat(admin(scene).stats().exact()).isTrue();
            assertThat(admin(scene).stats().pending()).isEqualTo(rows / 100);
        }
    }

    private static String plan(Connection connection, String statement) throws SQLException {
        try (PreparedStatement explain = connection.prepareStatement("EXPLAIN " + statement);
                ResultSet rows = explain.executeQuery()) {
            StringBuilder plan = new StringBuilder();
            while (rows.next()) {
                plan.append(rows.getString(1)).append('\n');
            }
            return plan.toString();
        }
    }

    @Test
    void a_transaction_that_writes_for_long_is_named_with_the_way_to_end_it(KafkaServer kafka, PostgresServer postgres)
            throws Exception {
        try (Scene scene = Scene.create(kafka, postgres, "asset.events:1");
                HikariDataSource other = new HikariDataSource()) {
            other.setJdbcUrl(scene.database().getJdbcUrl());
            other.setUsername(postgres.user());
            other.setPassword(postgres.password());
            other.addDataSourceProperty("ApplicationName", "nightly-report");
            OutboxRelay relay = scene.startRelay();
            try (Connection writer = other.getConnection()) {
                writer.setAutoCommit(false);
                writer.prepareStatement("SELECT pg_current_xact_id()").execute();
                Eventually.holds(
                        Duration.ofSeconds(40),
                        () -> {
                            publish(scene, asset("evt", "bob"));
                            return relay.health().problems().stream()
                                    .anyMatch(
                                            problem -> problem.contains("A transaction that writes has been open since")
                                                    && problem.contains("nightly-report")
                                                    && problem.contains("pg_terminate_backend("));
                        },
                        relay::health);
                assertThat(relay.health().up()).isTrue();
                writer.rollback();
            }
            Eventually.holds(
                    () -> {
                        publish(scene, asset("evt", "bob"));
                        return relay.health().problems().isEmpty();
                    },
                    relay::health);
        }
    }

    @Test
    void a_sequence_with_a_cache_is_refused_at_the_start(KafkaServer kafka, PostgresServer postgres) throws Exception {
        try (Scene scene = Scene.create(kafka, postgres, "asset.events:1")) {
            scene.execute("ALTER TABLE eventbus_outbox ALTER COLUMN seq SET CACHE 20");
            try (OutboxRelay relay = relay(scene)) {
                assertThatThrownBy(relay::runOnce)
                        .isInstanceOf(StartRefusedException.class)
                        .hasMessageContaining("20 numbers at a time")
                        .hasMessageContaining("SET CACHE 1");
            }
            try (Connection publisher = scene.database().getConnection()) {
                assertThatThrownBy(() -> scene.outbox().verify(publisher))
                        .isInstanceOf(StartRefusedException.class)
                        .hasMessageContaining("SET CACHE 1");
            }
            scene.execute("ALTER TABLE eventbus_outbox ALTER COLUMN seq SET CACHE 1");
            try (OutboxRelay relay = relay(scene)) {
                assertThat(relay.runOnce()).isZero();
            }
        }
    }

    @Test
    void an_owner_frozen_between_refused_and_block_does_not_block_what_its_successor_has_sent(
            KafkaServer kafka, PostgresServer postgres) throws Exception {
        Duration lease = Duration.ofSeconds(2);
        try (Scene scene = Scene.create(kafka, postgres, "asset.events:1")) {
            RecordLimit.set(scene, "asset.events", 5_000);
            try (RelayProcess zombie = RelayProcess.startToCrash(scene, lease, "BEFORE_BLOCK:1:LINGER");
                    OutboxRelay successor = OutboxRelay.builder(scene.outbox(), scene.database(), scene.kafka())
                            .lease(lease)
                            .build()) {
                Eventually.holds(() -> zombie.owned().size() == Shards.COUNT, () -> zombie);
                publish(scene, asset("evt-1", "bob"), RecordLimit.large("evt-2", "bob"), asset("evt-3", "bob"));
                Eventually.holds(zombie::lingers, () -> zombie);
                zombie.freeze();

                RecordLimit.set(scene, "asset.events", 100_000);
                successor.start();
                Eventually.holds(() -> scene.count(PENDING) == 0, successor::health);
                Set<Integer> before = zombie.owned();
                zombie.thaw();
                Eventually.holds(() -> !zombie.owned().equals(before), () -> zombie);
                assertThat(zombie.blocked()).as("it is not its shard any more").isZero();
                publish(scene, asset("evt-4", "bob"));
                Eventually.holds(() -> scene.count(PENDING) == 0, successor::health);
                assertThat(scene.count("SELECT count(*) FROM eventbus_blocked_key"))
                        .isZero();
                assertThat(ids(scene, "bob").stream().distinct()).containsExactly("evt-1", "evt-2", "evt-3", "evt-4");
            }
        }
    }

    @Test
    void a_user_who_may_only_publish_is_no_relays_user(KafkaServer kafka, PostgresServer postgres) throws Exception {
        try (Scene scene = Scene.create(kafka, postgres, "asset.events:1")) {
            String role = postgres.uniqueName("publisher");
            scene.execute("CREATE ROLE %s LOGIN PASSWORD 'secret'".formatted(role));
            scene.execute("GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA public TO %s".formatted(role));
            PGSimpleDataSource restricted = new PGSimpleDataSource();
            restricted.setUrl(scene.database().getJdbcUrl());
            restricted.setUser(role);
            restricted.setPassword("secret");
            try (Connection publisher = restricted.getConnection()) {
                scene.outbox().verify(publisher);
            }
            try (OutboxRelay relay = OutboxRelay.builder(scene.outbox(), restricted, scene.kafka())
                    .build()) {
                assertThatThrownBy(relay::runOnce)
                        .isInstanceOf(StartRefusedException.class)
                        .hasMessageContaining("DELETE on \"eventbus_outbox\"")
                        .hasMessageContaining("UPDATE on \"eventbus_relay_lease\"")
                        .hasMessageContaining("SELECT on sequence");
            }
            scene.execute("GRANT ALL ON ALL TABLES IN SCHEMA public TO %s".formatted(role));
            scene.execute("GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO %s".formatted(role));
            try (OutboxRelay relay = OutboxRelay.builder(scene.outbox(), restricted, scene.kafka())
                    .build()) {
                assertThat(relay.runOnce()).isZero();
            } finally {
                scene.execute("DROP OWNED BY %s".formatted(role));
                scene.execute("DROP ROLE %s".formatted(role));
            }
        }
    }

    @Test
    void unblocking_under_load_reorders_nothing(KafkaServer kafka, PostgresServer postgres) throws Exception {
        try (Scene scene = Scene.create(kafka, postgres, "asset.events:3")) {
            OutboxRelay relay = scene.startRelay();
            OutboxAdmin admin = admin(scene);
            RecordLimit.set(scene, "asset.events", 5_000);
            for (int round = 0; round < 30; round++) {
                int now = round;
                publish(
                        scene,
                        IntStream.range(0, 10)
                                .mapToObj(i -> now % 10 == 0 && i == 0
                                        ? RecordLimit.large("user-%d:%03d".formatted(i, now), "user-" + i)
                                        : asset("user-%d:%03d".formatted(i, now), "user-" + i))
                                .toArray(Event<?>[]::new));
                if (round == 15) {
                    RecordLimit.set(scene, "asset.events", 100_000);
                }
                admin.unblock("asset.events", "user-0");
            }
            Eventually.holds(
                    () -> {
                        admin.unblock("asset.events", "user-0");
                        return scene.count(PENDING) == 0;
                    },
                    relay::health);
            for (int user = 0; user < 10; user++) {
                assertThat(ids(scene, "user-" + user).stream().distinct())
                        .hasSize(30)
                        .isSorted();
            }
        }
    }
}
