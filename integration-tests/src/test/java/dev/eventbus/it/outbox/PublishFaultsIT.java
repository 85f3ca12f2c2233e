package dev.eventbus.it.outbox;

import static dev.eventbus.it.Events.ASSET_UPDATED;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.eventbus.Event;
import dev.eventbus.EventPublisher;
import dev.eventbus.PublishFailedException;
import dev.eventbus.PublishRefusedException;
import dev.eventbus.consumer.AfterRetries;
import dev.eventbus.consumer.ConsumerRunner;
import dev.eventbus.embedded.KafkaServer;
import dev.eventbus.embedded.PostgresServer;
import dev.eventbus.embedded.ServersExtension;
import dev.eventbus.it.Events.AssetUpdated;
import dev.eventbus.it.Eventually;
import dev.eventbus.it.Scene;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import java.sql.Savepoint;
import java.sql.Statement;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.parallel.Execution;
import org.junit.jupiter.api.parallel.ExecutionMode;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/** What may go wrong between a publisher and PostgreSQL: an event exists if and only if its transaction committed. */
@ExtendWith(ServersExtension.class)
@Execution(ExecutionMode.CONCURRENT)
class PublishFaultsIT {

    private static final String EVENTS = "SELECT id FROM eventbus_outbox ORDER BY seq";

    /** How often a publishing process is halted at each point. */
    private static final int HALTS = Integer.getInteger("eventbus.it.halts", 2);

    private static Event<AssetUpdated> asset(String id, long amount) {
        return Event.of(ASSET_UPDATED, id, Instant.EPOCH, AssetUpdated.amount("alice", amount));
    }

    @Test
    void of_a_savepoint_that_is_rolled_back_no_event_is_left(KafkaServer kafka, PostgresServer postgres)
            throws Exception {
        try (Scene scene = Scene.create(kafka, postgres)) {
            scene.inTransaction(tx -> {
                EventPublisher events = scene.outbox().within(tx);
                events.publish(asset("before", 1));
                Savepoint savepoint = tx.setSavepoint();
                events.publishAll(List.of(asset("inside-1", 2), asset("inside-2", 3)));
                tx.rollback(savepoint);
                events.publish(asset("after", 4));
            });
            assertThat(scene.strings(EVENTS)).containsExactly("before", "after");
        }
    }

    @ParameterizedTest
    @EnumSource(HaltingPublisher.Point.class)
    void a_process_that_is_halted_anywhere_leaves_an_event_for_each_change_and_no_other(
            HaltingPublisher.Point point, KafkaServer kafka, PostgresServer postgres) throws Exception {
        try (Scene scene = Scene.create(kafka, postgres)) {
            scene.execute(HaltingPublisher.CREATE_LEDGER);
            for (int seed = 0; seed < HALTS; seed++) {
                Process publisher = HaltingPublisher.start(scene.database(), point, seed);
                assertThat(publisher.waitFor(60, TimeUnit.SECONDS)).isTrue();
                assertThat(publisher.exitValue()).isEqualTo(HaltingPublisher.HALTED);
            }
            List<String> changes = scene.strings("SELECT event_id FROM ledger ORDER BY ord");
            assertThat(changes).hasSizeGreaterThanOrEqualTo(HALTS);
            assertThat(scene.strings(EVENTS)).isEqualTo(changes);
        }
    }

    @Test
    void an_sql_error_that_the_caller_swallows_takes_change_and_event_along(KafkaServer kafka, PostgresServer postgres)
            throws Exception {
        try (Scene scene = Scene.create(kafka, postgres);
                Connection tx = scene.database().getConnection();
                Statement statement = tx.createStatement()) {
            scene.execute(HaltingPublisher.CREATE_LEDGER);
            tx.setAutoCommit(false);
            EventPublisher events = scene.outbox().within(tx);
            statement.execute("INSERT INTO ledger (event_id) VALUES ('evt-1')");
            events.publish(asset("evt-1", 1));
            assertThatThrownBy(() -> statement.execute("INSERT INTO ledger (event_id) VALUES ('evt-1')"))
                    .hasMessageContaining("duplicate key");
            assertThatThrownBy(() -> events.publish(asset("evt-2", 2)))
                    .isInstanceOf(PublishFailedException.class)
                    .hasMessageContaining("SQLSTATE 25P02")
                    .hasMessageContaining("Roll the transaction back");
            tx.commit(); // PostgreSQL rolls back, and its driver says nothing
            assertThat(scene.strings("SELECT event_id FROM ledger")).isEmpty();
            assertThat(scene.strings(EVENTS)).isEmpty();
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"40P01", "40001", "55P03", "53100", "57014"})
    void what_the_database_says_passes_through_as_the_cause_and_another_try_works(
            String state, KafkaServer kafka, PostgresServer postgres) throws Exception {
        try (Scene scene = Scene.create(kafka, postgres)) {
            scene.execute("""
                    CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$
                    BEGIN RAISE 'not now' USING ERRCODE = '%s', DETAIL = 'row of alice'; END $$""".formatted(state));
            scene.execute(
                    "CREATE TRIGGER fail BEFORE INSERT ON eventbus_outbox FOR EACH ROW WHEN (NEW.id <> 'later') EXECUTE FUNCTION fail()");
            try (Connection tx = scene.database().getConnection()) {
                tx.setAutoCommit(false);
                assertFails(state, () -> scene.outbox().within(tx).publish(asset("evt-1", 1)));
                tx.rollback();
                assertFails(
                        state,
                        () -> scene.outbox().within(tx).publishAll(List.of(asset("evt-1", 1), asset("evt-2", 2))));
                tx.rollback();
                scene.outbox().within(tx).publish(asset("later", 3));
                tx.commit();
            }
            assertThat(scene.strings(EVENTS)).containsExactly("later");
        }
    }

    @Test
    void a_database_that_is_read_only_says_so(KafkaServer kafka, PostgresServer postgres) throws Exception {
        try (Scene scene = Scene.create(kafka, postgres)) {
            scene.execute("ALTER DATABASE %s SET default_transaction_read_only = on"
                    .formatted(scene.strings("SELECT current_database()").get(0)));
            scene.database().getHikariPoolMXBean().softEvictConnections();
            try (Connection tx = scene.database().getConnection()) {
                tx.setAutoCommit(false);
                assertFails("25006", () -> scene.outbox().within(tx).publish(asset("evt-1", 1)));
            }
            assertThat(scene.strings(EVENTS)).isEmpty();
        }
    }

    @Test
    void a_publisher_that_is_the_victim_of_a_deadlock_is_told_so(KafkaServer kafka, PostgresServer postgres)
            throws Exception {
        ExecutorService other = Executors.newSingleThreadExecutor();
        try (Scene scene = Scene.create(kafka, postgres);
                Connection publishing = scene.database().getConnection();
                Connection locking = scene.database().getConnection();
                Statement publishers = publishing.createStatement();
                Statement lockers = locking.createStatement()) {
            publishing.setAutoCommit(false);
            locking.setAutoCommit(false);
            publishers.execute("SET LOCAL deadlock_timeout = '10ms'");
            publishers.execute("SELECT 1 FROM eventbus_meta WHERE name = 'shards' FOR UPDATE");
            lockers.execute("LOCK TABLE eventbus_outbox IN SHARE MODE");
            Future<?> waiting =
                    other.submit(() -> lockers.execute("SELECT 1 FROM eventbus_meta WHERE name = 'shards' FOR UPDATE"));
            Eventually.holds(
                    () -> scene.count(
                                    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")
                            == 1,
                    () -> "nobody waits");
            assertFails("40P01", () -> scene.outbox().within(publishing).publish(asset("evt-1", 1)));
            publishing.rollback();
            waiting.get();
            locking.commit();
            assertThat(scene.strings(EVENTS)).isEmpty();
        } finally {
            other.shutdownNow();
        }
    }

    private static void assertFails(String state, Runnable publish) {
        assertThatThrownBy(publish::run)
                .isInstanceOf(PublishFailedException.class)
                .hasMessageContaining("SQLSTATE " + state)
                .hasStackTraceContaining("org.postgresql")
                .hasMessageNotContaining("alice")
                .cause()
                .hasMessageNotContaining("alice")
                .isInstanceOfSatisfying(
                        SQLException.class,
                        cause -> assertThat(cause.getSQLState()).isEqualTo(state));
    }

    @Test
    void what_is_refused_leaves_the_transaction_as_usable_as_before(KafkaServer kafka, PostgresServer postgres)
            throws Exception {
        try (Scene scene = Scene.create(kafka, postgres)) {
            scene.inTransaction(tx -> {
                EventPublisher events = scene.outbox().within(tx);
                events.publish(asset("before", 1));
                for (Event<AssetUpdated> bad : List.of(
                        asset("nul\0", 1),
                        asset("x".repeat(129), 1),
                        asset("evt", 1).withHeader("note", "x".repeat(20_000)),
                        new Event<>("evt", ASSET_UPDATED, "u".repeat(1_025), Instant.EPOCH, large(10), Map.of()),
                        Event.of(ASSET_UPDATED, "evt", Instant.EPOCH, large(1_000_001)))) {
                    assertThatThrownBy(() -> events.publish(bad)).isInstanceOf(PublishRefusedException.class);
                }
                events.publish(asset("after", 2));
            });
            assertThat(scene.strings(EVENTS)).containsExactly("before", "after");
        }
    }

    @Test
    void a_nul_in_a_payload_or_a_header_is_kept(KafkaServer kafka, PostgresServer postgres) throws Exception {
        try (Scene scene = Scene.create(kafka, postgres, "asset.events:1")) {
            scene.inTransaction(tx -> scene.outbox()
                    .within(tx)
                    .publish(Event.of(
                                    ASSET_UPDATED,
                                    "evt-1",
                                    Instant.EPOCH,
                                    new AssetUpdated("alice", "a\0b", null, null, null, null, null, null))
                            .withHeader("note", "c\0d")));
            scene.startRelay();
            Eventually.holds(() -> scene.strings(EVENTS).isEmpty(), () -> "rows left");
            assertThat(scene.records("asset.events")).singleElement().satisfies(record -> {
                assertThat(new String(record.value(), UTF_8)).contains("\"changeType\":\"a\\u0000b\"");
                assertThat(record.headers().lastHeader("note").value())
                        .asString(UTF_8)
                        .isEqualTo("c\0d");
            });
        }
    }

    private static AssetUpdated large(int characters) {
        return new AssetUpdated("alice", "x".repeat(characters), null, null, null, null, null, null);
    }

    @Test
    void one_id_published_twice_travels_twice_and_is_applied_once_and_another_payload_under_it_is_a_conflict(
            KafkaServer kafka, PostgresServer postgres) throws Exception {
        try (Scene scene = Scene.create(kafka, postgres, "asset.events:1", "dlq.events:1")) {
            scene.execute("CREATE TABLE effect (amount bigint)");
            String group = scene.group("ledger");
            scene.start(ConsumerRunner.builder(scene.kafka(), group)
                    .inTransaction(scene.inbox(), ASSET_UPDATED, (event, tx) -> {
                        try (PreparedStatement effect =
                                tx.connection().prepareStatement("INSERT INTO effect VALUES (?)")) {
                            effect.setObject(1, event.payload().newAmount());
                            effect.executeUpdate();
                        }
                    })
                    .afterRetries(AfterRetries.deadLetter("dlq.events"))
                    .build());
            scene.startRelay();
            for (long amount : List.of(1, 1, 2)) {
                scene.inTransaction(tx -> scene.outbox().within(tx).publish(asset("evt-1", amount)));
            }
            Eventually.holds(() -> scene.committed(group, "asset.events") == 3, () -> scene.records("asset.events"));
            assertThat(scene.records("asset.events")).hasSize(3);
            assertThat(scene.strings("SELECT amount FROM effect")).containsExactly("1");
            assertThat(scene.records("dlq.events"))
                    .singleElement()
                    .extracting(PublishFaultsIT::reason)
                    .isEqualTo("ID_CONFLICT");
        }
    }

    private static String reason(ConsumerRecord<byte[], byte[]> letter) {
        return new String(letter.headers().lastHeader("eventbus-dlq-reason").value(), UTF_8);
    }
}
