package dev.eventbus.it.inbox;

import static dev.eventbus.it.Events.ASSET_UPDATED;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.eventbus.Event;
import dev.eventbus.consumer.AfterRetries;
import dev.eventbus.consumer.ConsumerRunner;
import dev.eventbus.consumer.Delivery;
import dev.eventbus.consumer.RunnerListener;
import dev.eventbus.consumer.inbox.InboxPurge;
import dev.eventbus.consumer.inbox.Outcome;
import dev.eventbus.embedded.EmbeddedPostgres;
import dev.eventbus.embedded.KafkaServer;
import dev.eventbus.embedded.PostgresServer;
import dev.eventbus.embedded.ServersExtension;
import dev.eventbus.faults.crash.CrashPoint;
import dev.eventbus.faults.crash.Signals;
import dev.eventbus.it.Events.AssetUpdated;
import dev.eventbus.it.Eventually;
import dev.eventbus.it.Scene;
import dev.eventbus.it.outbox.RelayProcess;
import dev.eventbus.outbox.OutboxAdmin;
import dev.eventbus.outbox.OutboxRelay;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import java.time.Duration;
import java.time.Instant;
import java.util.Map;
import java.util.Queue;
import java.util.Set;
import java.util.concurrent.ConcurrentLinkedQueue;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.common.TopicPartition;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.parallel.Isolated;

/** What effects once rest upon: that marks outlive every copy of an event, and that what was committed survives a crash. */
@ExtendWith(ServersExtension.class)
@Isolated("looks at all threads or sessions there are")
class PreconditionsIT {

    private final Queue<Outcome> repeats = new ConcurrentLinkedQueue<>();

    /** The event is in the topic, its row still in the outbox; then nobody is there for longer than the topic keeps it. */
    @Test
    void F17_an_event_that_comes_again_long_after_its_relay_crashed_waits_for_a_person_and_has_its_effect_once(
            KafkaServer kafka, PostgresServer postgres) throws Exception {
        try (Scene scene = Scene.create(kafka, postgres, "asset.events:1", "dlq.events:1")) {
            scene.execute("CREATE TABLE effect (event varchar(128))");
            String group = scene.group("ledger");
            ConsumerRunner runner = scene.start(ledger(scene, group));
            scene.inTransaction(tx -> publish(scene, tx, "evt-1"));
            try (RelayProcess relay = RelayProcess.start(
                    scene, Duration.ofSeconds(2), "-D%s=BEFORE_DELETE:1".formatted(CrashPoint.PROPERTY))) {
                assertThat(relay.awaitEnd()).isNotZero();
            }
            Eventually.holds(() -> scene.committed(group, "asset.events") == 1, runner::health);
            assertThat(scene.count("SELECT count(*) FROM eventbus_outbox")).isEqualTo(1);

            daysPass(scene, 6);
            OutboxRelay relay = scene.startRelay();
            awaitRepeat(scene, group, 2, runner);
            assertThat(repeats).containsExactly(Outcome.DONE);

            relay.close();
            scene.inTransaction(tx -> publish(scene, tx, "evt-1")); // as it was before the relay deleted it
            daysPass(scene, 8);
            assertThat(purge(scene, group).problem()).isNull();
            OutboxRelay later = scene.startRelay();
            Eventually.holds(() -> later.health().blockedKeys() == 1, later::health);
            OutboxAdmin admin = OutboxAdmin.of(scene.outbox(), scene.database());
            assertThat(admin.blocked())
                    .extracting(OutboxAdmin.BlockedKey::reason)
                    .containsExactly("STALE");
            assertThat(scene.endOffsets("asset.events")).isEqualTo(2);

            assertThat(admin.unblockAll("STALE")).isEqualTo(1);
            awaitRepeat(scene, group, 3, runner);
            assertThat(repeats).containsExactly(Outcome.DONE, Outcome.DONE);
            assertThat(scene.strings("SELECT event FROM effect")).containsExactly("evt-1");
            assertThat(scene.endOffsets("dlq.events")).isZero();
        }
    }

    private static void awaitRepeat(Scene scene, String group, int records, ConsumerRunner runner) {
        Eventually.holds(
                () -> scene.committed(group, "asset.events") == records
                        && scene.count("SELECT count(*) FROM eventbus_outbox") == 0,
                runner::health);
    }

    /** Everything in the database is so much older, and the topic keeps nothing for so long; the inbox is purged. */
    private static void daysPass(Scene scene, int days) throws Exception {
        scene.execute("UPDATE eventbus_outbox SET created_at = created_at - interval '%d days'".formatted(days));
        scene.execute("UPDATE eventbus_inbox SET decided_at = decided_at - interval '%d days'".formatted(days));
        TopicPartition partition = new TopicPartition(scene.kafka().physicalTopic("asset.events"), 0);
        try (Admin admin = scene.kafka().admin()) {
            admin.deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(scene.endOffsets("asset.events"))))
                    .all()
                    .get();
        }
    }

    private static InboxPurge purge(Scene scene, String group) throws SQLException {
        InboxPurge purge = new InboxPurge(
                scene.inbox(), scene.kafka(), new InboxPurge.Reads(group, Set.of("asset.events"), "dlq.events"));
        assertThat(purge.runOnce()).as("marks deleted").isZero();
        return purge;
    }

    @Test
    void F22_where_commits_are_asynchronous_nothing_is_published_that_a_crash_could_undo(KafkaServer kafka)
            throws Exception {
        try (EmbeddedPostgres forgetful = forgetful();
                Scene scene = Scene.create(kafka, forgetful, "asset.events:1")) {
            scene.execute("CREATE TABLE change (event varchar(128))");
            freezeWalWriter(scene);
            OutboxRelay relay = scene.startRelay();
            assertThatThrownBy(() -> scene.inTransaction(tx -> change(scene, tx, "evt-1")))
                    .hasMessageContaining("synchronous_commit");
            scene.inTransaction(tx -> {
                execute(tx, "SET LOCAL synchronous_commit = on");
                change(scene, tx, "evt-2");
            });
            Eventually.holds(() -> scene.endOffsets("asset.events") == 1, relay::health);
            forgetful.kill();
            forgetful.restart();
            Eventually.holds(() -> answers(scene), relay::health);
            assertThat(scene.strings("SELECT event FROM change")).containsExactly("evt-2");
            Eventually.holds(() -> scene.count("SELECT count(*) FROM eventbus_outbox") == 0, relay::health);
            assertThat(scene.records("asset.events"))
                    .extracting(record ->
                            new String(record.headers().lastHeader("id").value(), UTF_8))
                    .containsOnly("evt-2");
        }
    }

    @Test
    void F22_an_effect_whose_offset_is_committed_survives_the_crash_of_a_database_that_commits_asynchronously(
            KafkaServer kafka) throws Exception {
        try (EmbeddedPostgres forgetful = forgetful();
                Scene scene = Scene.create(kafka, forgetful, "asset.events:1", "dlq.events:1")) {
            scene.execute("CREATE TABLE effect (event varchar(128))");
            scene.execute("CREATE TABLE unsealed (n integer)");
            scene.execute("CHECKPOINT");
            freezeWalWriter(scene);
            String group = scene.group("ledger");
            ConsumerRunner runner = scene.start(ledger(scene, group));
            for (int n = 1; n <= 5; n++) {
                scene.sendRaw("asset.events", "alice", """
                        {"eventId":"evt-%d","eventType":"ASSET_UPDATED","timestamp":"2030-01-01T00:00:00Z","userId":"alice"}""".formatted(n));
                scene.flush();
                int events = n;
                Eventually.holds(() -> scene.committed(group, "asset.events") == events, runner::health);
            }
            scene.execute("INSERT INTO unsealed VALUES (1)");
            forgetful.kill();
            forgetful.restart();
            Eventually.holds(() -> answers(scene), runner::health);
            assertThat(scene.count("SELECT count(*) FROM unsealed"))
                    .as("what was committed without waiting")
                    .isZero();
            assertThat(scene.strings("SELECT event FROM effect")).hasSize(5);
            assertThat(scene.strings("SELECT outcome FROM eventbus_inbox"))
                    .containsOnly("DONE")
                    .hasSize(5);
        }
    }

    /** Commits do not wait, and are written ten seconds later, or never: see {@link #freezeWalWriter}. */
    private static EmbeddedPostgres forgetful() {
        return EmbeddedPostgres.builder()
                .setting("synchronous_commit", "off")
                .setting("wal_writer_delay", "10000ms")
                .start();
    }

    /** Until the server is started again nothing writes a commit that did not wait, except one after it that does. */
    private static void freezeWalWriter(Scene scene) {
        String rests =
                "SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter' AND wait_event = 'WalWriterMain'";
        Eventually.holds(
                () -> {
                    for (String pid : scene.strings(rests)) {
                        Signals.send("STOP", Long.parseLong(pid));
                        if (scene.strings(rests).contains(pid)) {
                            return true;
                        }
                        Signals.send("CONT", Long.parseLong(pid)); // it may hold a lock
                    }
                    return false;
                },
                () -> "it does not rest");
    }

    private static boolean answers(Scene scene) {
        try {
            return scene.count("SELECT 1") == 1;
        } catch (SQLException e) {
            return false; // a connection of before the crash
        }
    }

    private static void change(Scene scene, Connection tx, String id) throws SQLException {
        execute(tx, "INSERT INTO change VALUES ('%s')".formatted(id));
        publish(scene, tx, id);
    }

    private static void execute(Connection connection, String sql) throws SQLException {
        try (PreparedStatement statement = connection.prepareStatement(sql)) {
            statement.execute();
        }
    }

    private static void publish(Scene scene, Connection tx, String id) throws SQLException {
        scene.outbox().within(tx).publish(Event.of(ASSET_UPDATED, id, Instant.EPOCH, AssetUpdated.amount("bob", 1)));
    }

    private ConsumerRunner ledger(Scene scene, String group) {
        return ConsumerRunner.builder(scene.kafka(), group)
                .inTransaction(scene.inbox(), ASSET_UPDATED, (event, tx) -> {
                    try (PreparedStatement insert = tx.connection().prepareStatement("INSERT INTO effect VALUES (?)")) {
                        insert.setString(1, event.id());
                        insert.executeUpdate();
                    }
                })
                .afterRetries(AfterRetries.deadLetter("dlq.events"))
                .listener(new RunnerListener() {
                    @Override
                    public void repeated(String eventType, Delivery delivery, Outcome known) {
                        repeats.add(known);
                    }
                })
                .build();
    }
}
