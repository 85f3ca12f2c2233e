package dev.eventbus.it.inbox;

import static dev.eventbus.it.Events.ASSET_UPDATED;
import static java.nio.charset.StandardCharsets.UTF_8;
import static java.util.stream.Collectors.toMap;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.zaxxer.hikari.HikariConfig;
import com.zaxxer.hikari.HikariDataSource;
import dev.eventbus.Event;
import dev.eventbus.EventType;
import dev.eventbus.consumer.AfterRetries;
import dev.eventbus.consumer.ConsumerRunner;
import dev.eventbus.consumer.Delivery;
import dev.eventbus.consumer.RunnerHealth.Status;
import dev.eventbus.consumer.RunnerListener;
import dev.eventbus.consumer.TransactionalDelivery;
import dev.eventbus.consumer.inbox.InboxPurge;
import dev.eventbus.consumer.inbox.InboxPurge.Reads;
import dev.eventbus.consumer.inbox.JdbcInbox;
import dev.eventbus.consumer.inbox.Outcome;
import dev.eventbus.embedded.KafkaServer;
import dev.eventbus.embedded.PostgresServer;
import dev.eventbus.embedded.ServersExtension;
import dev.eventbus.it.Events.AssetUpdated;
import dev.eventbus.it.Eventually;
import dev.eventbus.it.Scene;
import dev.eventbus.topics.TopicSpec;
import dev.eventbus.topics.Topics;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Queue;
import java.util.Set;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.stream.IntStream;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.parallel.Execution;
import org.junit.jupiter.api.parallel.ExecutionMode;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Runners with an inbox, on a real broker and a real PostgreSQL. */
@ExtendWith(ServersExtension.class)
@Execution(ExecutionMode.CONCURRENT)
class InboxRunnerIT {

    private final Scene scene;

    InboxRunnerIT(KafkaServer kafka, PostgresServer postgres) throws SQLException {
        scene = Scene.create(kafka, postgres, "asset.events:3", "housing.events:1", "dlq.events:1");
    }

    @BeforeEach
    void createEffects() throws SQLException {
        scene.execute("CREATE TABLE effect (event_id text, key text, attempt integer)");
    }

    @AfterEach
    void close() throws Exception {
        scene.close();
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2, 100})
    void D_01_an_event_has_its_effect_once_however_often_and_to_however_many_owners_it_is_delivered(int copies)
            throws Exception {
        String group = scene.group("ledger");
        for (int i = 0; i < copies; i++) {
            scene.send(new ProducerRecord<>(
                    scene.kafka().physicalTopic("asset.events"),
                    i % 3,
                    "alice".getBytes(UTF_8),
                    asset("evt-1", "alice")));
        }
        scene.flush();
        scene.start(ledger(group, scene.inbox()));
        scene.start(ledger(group, scene.inbox()));
        awaitCommitted(group, copies);
        assertThat(effects()).containsExactly("evt-1");
        assertThat(scene.records("dlq.events")).isEmpty();
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void D_03_thousands_of_events_that_are_read_again_from_the_beginning_add_no_effect(boolean inBatches)
            throws Exception {
        int events = 3_000;
        int users = 50;
        for (int n = 0; n < events; n++) {
            send("evt-" + n, "user-" + n % users);
        }
        scene.flush();
        String group = scene.group("ledger");
        JdbcInbox inbox = inBatches ? scene.inbox().batching(100) : scene.inbox();
        try (ConsumerRunner first = ledger(group, inbox).start()) {
            Eventually.holds(() -> scene.committed(group, "asset.events") == events, first::health);
        }
        assertThat(effects()).hasSize(events).doesNotHaveDuplicates();

        setToBeginning(group);
        Queue<Outcome> repeats = new ConcurrentLinkedQueue<>();
        ConsumerRunner second = scene.start(ledger(group, inbox, repeats));
        Eventually.holds(() -> scene.committed(group, "asset.events") == events, second::health);
        assertThat(effects()).hasSize(events).doesNotHaveDuplicates();
        assertThat(repeats).as("each was met once more").hasSize(events).containsOnly(Outcome.DONE);
        assertThat(scene.endOffsets("dlq.events")).isZero();
    }

    private void setToBeginning(String group) throws Exception {
        String topic = scene.kafka().physicalTopic("asset.events");
        try (Admin admin = scene.kafka().admin()) {
            Map<TopicPartition, OffsetAndMetadata> beginning = IntStream.range(0, 3)
                    .boxed()
                    .collect(toMap(n -> new TopicPartition(topic, n), n -> new OffsetAndMetadata(0)));
            admin.alterConsumerGroupOffsets(group, beginning).all().get();
        }
    }

    @Test
    void D_02_groups_have_events_and_topics_do_not_so_a_copy_in_another_topic_is_a_repeat() throws Exception {
        EventType<AssetUpdated> moved = EventType.of("ASSET_MOVED", AssetUpdated.class)
                .topic("housing.events")
                .key(AssetUpdated::userId);
        byte[] value = """
                {"eventId":"evt-1","timestamp":"2025-12-29T10:00:00Z","userId":"alice"}""".getBytes(UTF_8);
        for (String[] copy : new String[][] {{"asset.events", "ASSET_UPDATED"}, {"housing.events", "ASSET_MOVED"}}) {
            ProducerRecord<byte[], byte[]> record =
                    new ProducerRecord<>(scene.kafka().physicalTopic(copy[0]), "alice".getBytes(UTF_8), value);
            record.headers().add("eventType", copy[1].getBytes(UTF_8));
            scene.send(record);
        }
        scene.flush();
        JdbcInbox inbox = scene.inbox();
        for (String name : List.of("ledger", "other")) {
            String group = scene.group(name);
            scene.start(ConsumerRunner.builder(scene.kafka(), group)
                    .inTransaction(inbox, ASSET_UPDATED, InboxRunnerIT::book)
                    .inTransaction(inbox, moved, InboxRunnerIT::book)
                    .afterRetries(AfterRetries.deadLetter("dlq.events"))
                    .build());
            awaitCommitted(group, 1);
            Eventually.holds(() -> scene.committed(group, "housing.events") == 1, () -> group);
        }
        assertThat(effects()).as("one of each group").containsExactly("evt-1", "evt-1");
        assertThat(reasons()).isEmpty();
    }

    /** What PostgreSQL says when it is not the event's fault. */
    @ParameterizedTest
    @ValueSource(strings = {"40001", "40P01", "55P03"})
    void D_04_a_mark_that_meets_a_conflict_is_tried_again_without_using_an_attempt(String state) throws Exception {
        scene.execute("CREATE SEQUENCE conflicts");
        scene.execute("""
                CREATE FUNCTION conflict() RETURNS trigger LANGUAGE plpgsql AS $$
                BEGIN
                  IF nextval('conflicts') <= 4 THEN RAISE EXCEPTION 'conflict' USING ERRCODE = '%s'; END IF;
                  RETURN NEW;
                END $$""".formatted(state));
        scene.execute("CREATE TRIGGER conflict BEFORE INSERT ON eventbus_inbox FOR EACH ROW"
                + " WHEN (NEW.consumer_group LIKE '%.ledger') EXECUTE FUNCTION conflict()");
        String group = scene.group("ledger");
        send("evt-1", "alice");
        scene.start(ledger(group, scene.inbox()));
        awaitCommitted(group, 1);
        assertThat(scene.strings("SELECT event_id || ' ' || attempt FROM effect"))
                .containsExactly("evt-1 1");
        assertThat(scene.records("dlq.events")).isEmpty();
    }

    @Test
    void D_06_two_events_with_one_id_are_told_apart_and_the_second_is_dead_lettered() throws Exception {
        String group = scene.group("ledger");
        send("evt-1", "alice");
        scene.start(ledger(group, scene.inbox()));
        awaitCommitted(group, 1);
        send("evt-1", "bob");
        awaitCommitted(group, 2);
        assertThat(effects()).containsExactly("evt-1");
        assertThat(reasons()).containsExactly("ID_CONFLICT");
    }

    @Test
    void D_07_ids_are_told_apart_as_bytes_and_what_no_inbox_can_hold_is_dead_lettered() throws Exception {
        String group = scene.group("ledger");
        List<String> lookAlikes = List.of(
                "evt-A",
                "EVT-a",
                "evt-A ",
                "evt-a",
                "evt-\u00c1",
                "evt-A\u0301",
                "x".repeat(128),
                "x".repeat(127) + "y");
        lookAlikes.forEach(id -> send(id, "alice"));
        List.of("x".repeat(129), "x".repeat(10_240), "\\u0000evt", "\u00e9".repeat(65))
                .forEach(id -> send(id, "alice"));
        scene.flush();
        scene.start(ledger(group, scene.inbox()));
        awaitCommitted(group, 12);
        assertThat(effects()).containsExactlyElementsOf(lookAlikes);
        assertThat(scene.records("dlq.events")).hasSize(4);
    }

    @Test
    void K_21_a_pool_that_is_too_small_slows_handlers_down_and_costs_no_attempt() throws Exception {
        HikariConfig tight = new HikariConfig();
        tight.setDataSource(scene.database());
        tight.setMaximumPoolSize(2);
        tight.setConnectionTimeout(250);
        String group = scene.group("ledger");
        for (int i = 0; i < 300; i++) {
            send("evt-" + i, "user-" + i % 50);
        }
        scene.flush();
        try (HikariDataSource two = new HikariDataSource(tight);
                ConsumerRunner runner = ConsumerRunner.builder(scene.kafka(), group)
                        .inTransaction(JdbcInbox.postgres(two), ASSET_UPDATED, (event, tx) -> {
                            book(event, tx);
                            try (PreparedStatement slow = tx.connection().prepareStatement("SELECT pg_sleep(0.02)")) {
                                slow.execute();
                            }
                        })
                        .concurrency(16)
                        .afterRetries(AfterRetries.deadLetter("dlq.events"))
                        .build()) {
            runner.start();
            awaitCommitted(group, 300);
        }
        assertThat(effects()).hasSize(300).doesNotHaveDuplicates();
        assertThat(scene.count("SELECT count(*) FROM effect WHERE attempt > 1")).isZero();
        assertThat(scene.records("dlq.events")).isEmpty();
    }

    @Test
    void K_03_keys_of_which_nobody_holds_a_mark_flow_while_a_zombie_holds_as_many_as_there_are_handlers()
            throws Exception {
        String group = scene.group("ledger");
        try (Connection zombie = scene.database().getConnection()) {
            zombie.setAutoCommit(false);
            try (PreparedStatement mark = zombie.prepareStatement("""
                    INSERT INTO eventbus_inbox
                    SELECT ?, 'held-' || n, 'DONE', '', 't', 0, 0, now() FROM generate_series(1, 32) AS n""")) {
                mark.setString(1, group);
                mark.executeUpdate();
            }
            for (int i = 1; i <= 32; i++) {
                send("held-" + i, "held-" + i);
            }
            for (int i = 0; i < 1_000; i++) {
                send("evt-" + i, "user-" + i % 200);
            }
            scene.flush();
            scene.start(ledger(group, scene.inbox()));
            Eventually.holds(() -> effects().size() == 1_000, this::effectsQuietly);
            assertThat(effects()).noneMatch(id -> id.startsWith("held"));
            zombie.rollback();
        }
        awaitCommitted(group, 1_032);
        assertThat(effects()).hasSize(1_032).doesNotHaveDuplicates();
        assertThat(scene.count("SELECT count(*) FROM effect WHERE attempt > 1")).isZero();
    }

    // --- purge

    @Test
    void D_05_marks_outlive_topic_dead_letters_and_a_relay_that_is_off() throws Exception {
        mark("kept", 20);
        mark("gone", 22);
        JdbcInbox inbox = scene.inbox();
        scene.execute("INSERT INTO eventbus_attempt VALUES ('g', 'kept', 1, 0, now() - interval '20 days')");
        scene.execute("INSERT INTO eventbus_attempt VALUES ('g', 'gone', 1, 0, now() - interval '22 days')");
        Reads reads = new Reads("g", Set.of("asset.events", "housing.events"), "dlq.events");
        assertThat(new InboxPurge(inbox, scene.kafka(), reads).runOnce()).isEqualTo(1);
        assertThat(marks()).containsExactly("kept");
        mark("discarded-letter", "dlq.events", 22);
        assertThat(new InboxPurge(inbox, scene.kafka(), reads).runOnce()).isEqualTo(1);
        assertThat(scene.count("SELECT count(*) FROM eventbus_attempt")).isEqualTo(1);

        InboxPurge tooShort = new InboxPurge(inbox.retention(Duration.ofDays(14)), scene.kafka(), reads);
        assertThat(tooShort.runOnce()).isZero();
        assertThat(tooShort.problem()).contains("P5", "PT336H", "PT504H");

        mark("longer", 29);
        assertThat(new InboxPurge(inbox.retention(Duration.ofDays(30)), scene.kafka(), reads).runOnce())
                .isZero();
        assertThat(new InboxPurge(inbox.retention(Duration.ofDays(28)), scene.kafka(), reads).runOnce())
                .isEqualTo(1);
    }

    @Test
    void a_database_that_deletes_nothing_twice_in_a_row_is_a_problem_while_it_lasts() throws Exception {
        AtomicBoolean refuses = new AtomicBoolean(true);
        JdbcInbox inbox =
                JdbcInbox.postgres(HookedDataSource.over(scene.database(), (real, method, arguments, rest) -> {
                    if (refuses.get()
                            && method.equals("prepareStatement")
                            && arguments[0].toString().contains("DELETE FROM")) {
                        throw new SQLException("permission denied", "42501");
                    }
                    return rest.call();
                }));
        InboxPurge purge = new InboxPurge(inbox, scene.kafka(), new Reads("g", Set.of("asset.events"), "dlq.events"));
        assertThatThrownBy(purge::runOnce).isInstanceOf(SQLException.class);
        assertThat(purge.problem()).as("once may be a lock or a fail-over").isNull();
        assertThatThrownBy(purge::runOnce).isInstanceOf(SQLException.class);
        assertThat(purge.problem()).contains("the inbox is not purged", "42501");
        refuses.set(false);
        assertThat(purge.runOnce()).isZero();
        assertThat(purge.problem()).isNull();
        refuses.set(true);
        assertThatThrownBy(purge::runOnce).isInstanceOf(SQLException.class);
        assertThat(purge.problem()).as("not in a row").isNull();
    }

    @Test
    void D_05_nothing_is_purged_while_a_topic_keeps_its_events_for_ever_or_is_not_known() throws Exception {
        Topics.of(
                        scene.kafka(),
                        TopicSpec.of("compacted.events", 1)
                                .replicationFactor(1)
                                .minInsyncReplicas(1)
                                .compactedAfter(Duration.ofDays(1)))
                .provision();
        mark("of-compacted", "compacted.events", 4_000);
        mark("of-unknown", "no.such.topic", 4_000);
        InboxPurge compacted =
                new InboxPurge(scene.inbox(), scene.kafka(), new Reads("g", Set.of("compacted.events"), "dlq.events"));
        assertThat(compacted.runOnce()).isZero();
        assertThat(compacted.problem()).isNull();
        InboxPurge unknown =
                new InboxPurge(scene.inbox(), scene.kafka(), new Reads("g", Set.of("no.such.topic"), "dlq.events"));
        assertThat(unknown.runOnce()).isZero();
        assertThat(unknown.problem()).contains("no.such.topic", "UnknownTopicOrPartitionException");
        assertThat(marks()).containsExactly("of-compacted", "of-unknown");
    }

    @Test
    void D_05_a_runner_purges_the_marks_of_its_own_group_and_topics_while_it_runs_and_says_when_it_may_not()
            throws Exception {
        String group = scene.group("ledger");
        mark("of-another-group", 100);
        scene.execute(("INSERT INTO eventbus_inbox SELECT '%s', 'old-' || n, 'DONE', '', '%s', 0, 0,"
                        + " now() - interval '100 days' FROM generate_series(1, 2500) AS n")
                .formatted(group, scene.kafka().physicalTopic("asset.events")));
        // a runner beside this one reads it, and knows for how long a repeat may come
        scene.execute(("INSERT INTO eventbus_inbox VALUES ('%s', 'of-another-topic', 'DONE', '', 't', 0, 0,"
                        + " now() - interval '100 days')")
                .formatted(group));
        ConsumerRunner runner = ledger(group, scene.inbox());
        try (runner) {
            runner.start();
            send("evt-1", "alice");
            awaitCommitted(group, 1);
            Eventually.holds(
                    () -> marks().equals(List.of("evt-1", "of-another-group", "of-another-topic")), runner::health);
            Eventually.holds(() -> runner.health().status() == Status.UP, runner::health);
        }
        ConsumerRunner forgetful = ledger(group, scene.inbox().retention(Duration.ofDays(14)));
        try (forgetful) {
            forgetful.start();
            Eventually.holds(
                    () -> forgetful.health().status() == Status.DEGRADED
                            && forgetful.health().problems().toString().contains("P5"),
                    forgetful::health);
        }
    }

    private ConsumerRunner ledger(String group, JdbcInbox inbox) {
        return ledger(group, inbox, new ConcurrentLinkedQueue<>());
    }

    /** @param repeats gets what is known of each event that comes again */
    private ConsumerRunner ledger(String group, JdbcInbox inbox, Queue<Outcome> repeats) {
        return ConsumerRunner.builder(scene.kafka(), group)
                .inTransaction(inbox, ASSET_UPDATED, InboxRunnerIT::book)
                .afterRetries(AfterRetries.deadLetter("dlq.events"))
                .listener(new RunnerListener() {
                    @Override
                    public void repeated(String type, Delivery delivery, Outcome known) {
                        repeats.add(known);
                    }
                })
                .build();
    }

    private static void book(Event<?> event, TransactionalDelivery tx) throws SQLException {
        try (PreparedStatement effect = tx.connection().prepareStatement("INSERT INTO effect VALUES (?, ?, ?)")) {
            effect.setString(1, event.id());
            effect.setString(2, event.key());
            effect.setInt(3, tx.attempt());
            effect.executeUpdate();
        }
    }

    private void mark(String id, int daysAgo) throws SQLException {
        mark(id, "asset.events", daysAgo);
    }

    private void mark(String id, String topic, int daysAgo) throws SQLException {
        scene.execute(
                "INSERT INTO eventbus_inbox VALUES ('g', '%s', 'DONE', '', '%s', 0, 0, now() - interval '%d days')"
                        .formatted(id, scene.kafka().physicalTopic(topic), daysAgo));
    }

    private List<String> marks() throws SQLException {
        return scene.strings("SELECT event_id FROM eventbus_inbox ORDER BY event_id");
    }

    private void send(String id, String user) {
        scene.sendRaw("asset.events", user, asset(id, user));
    }

    private static byte[] asset(String id, String user) {
        return """
                {"eventId":"%s","eventType":"ASSET_UPDATED","timestamp":"2025-12-29T10:00:00Z","userId":"%s"}""".formatted(id, user).getBytes(UTF_8);
    }

    private List<String> effects() throws SQLException {
        return scene.strings("SELECT event_id FROM effect");
    }

    private Object effectsQuietly() {
        try {
            return effects().size();
        } catch (SQLException e) {
            return e;
        }
    }

    private List<String> reasons() {
        return scene.records("dlq.events").stream()
                .map(letter -> new String(
                        letter.headers().lastHeader("eventbus-dlq-reason").value(), UTF_8))
                .toList();
    }

    private void awaitCommitted(String group, long records) {
        Eventually.holds(
                () -> scene.committed(group, "asset.events") == records, () -> scene.committed(group, "asset.events"));
    }
}
