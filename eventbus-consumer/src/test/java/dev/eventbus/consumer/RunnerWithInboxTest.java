package dev.eventbus.consumer;

import static dev.eventbus.consumer.MockKafka.ASSET;
import static dev.eventbus.consumer.MockKafka.LETTERS;
import static dev.eventbus.consumer.MockKafka.P0;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import ch.qos.logback.classic.Level;
import ch.qos.logback.classic.Logger;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.core.read.ListAppender;
import dev.eventbus.Codec;
import dev.eventbus.EventType;
import dev.eventbus.consumer.inbox.JdbcInbox;
import dev.eventbus.consumer.inbox.Mark;
import dev.eventbus.consumer.inbox.Outcome;
import dev.eventbus.consumer.internal.Backoff;
import dev.eventbus.consumer.internal.CrashWatch;
import dev.eventbus.it.inbox.HookedDataSource;
import io.github.resilience4j.retry.RetryConfig;
import java.nio.charset.StandardCharsets;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.h2.jdbcx.JdbcDataSource;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.parallel.Isolated;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.slf4j.LoggerFactory;

/** A runner with an inbox in H2: the inbox decides how an event ended, whoever asks. */
@Isolated("reads all that is logged")
class RunnerWithInboxTest {

    private final JdbcDataSource database = new JdbcDataSource();
    private final Set<String> failing = new HashSet<>();
    private final List<String> runs = new ArrayList<>();
    private final List<String> repeats = new ArrayList<>();
    private JdbcInbox inbox = JdbcInbox.h2(database);

    @BeforeEach
    void tables() throws SQLException {
        database.setURL("jdbc:h2:mem:" + UUID.randomUUID() + ";DB_CLOSE_DELAY=-1");
        inbox = JdbcInbox.h2(database);
        inbox.createTables();
        execute("CREATE TABLE ledger (ord bigint GENERATED ALWAYS AS IDENTITY, event varchar(128))");
    }

    @Test
    void effect_and_mark_commit_together_and_a_repeat_is_not_run() throws SQLException {
        MockKafka kafka = MockKafka.create();
        ConsumerRunner runner = runner(kafka);
        kafka.assign(P0);
        runner.runOnce();
        kafka.event(P0, "alice", "a1");
        kafka.event(P0, "alice", "a1");
        settle(runner);
        assertThat(ledger()).containsExactly("a1");
        assertThat(repeats).containsExactly("1 DONE");
        assertThat(kafka.committed(P0)).isEqualTo(2);
    }

    @Test
    void a_failed_attempt_leaves_nothing_behind() throws SQLException {
        MockKafka kafka = MockKafka.create();
        failing.add("a1");
        ConsumerRunner runner = runner(kafka);
        kafka.assign(P0);
        runner.runOnce();
        kafka.event(P0, "alice", "a1");
        settle(runner);
        assertThat(ledger()).isEmpty();
        failing.clear();
        kafka.setTo(runner.health().nextRetry());
        settle(runner);
        assertThat(ledger()).containsExactly("a1");
        assertThat(runs).containsExactly("a1", "a1");
    }

    @Test
    void F3_a_dead_lettered_event_is_not_run_again_after_its_successor() throws SQLException {
        failing.add("a1");
        MockKafka kafka = MockKafka.create();
        ConsumerRunner dying = runner(kafka);
        kafka.assign(P0);
        dying.runOnce();
        kafka.event(P0, "alice", "a1");
        kafka.event(P0, "alice", "a2");
        kafka.consumer.failCommitsWith = new org.apache.kafka.common.errors.TimeoutException("dies before it");
        exhaust(kafka, dying);
        assertThat(kafka.letters.history()).hasSize(1);
        assertThat(ledger()).containsExactly("a2");
        assertThat(kafka.committed(P0)).as("nothing was committed").isEqualTo(-1);

        failing.clear(); // what it depends on has recovered when the successor reads from the start
        runs.clear();
        MockKafka successors = MockKafka.create();
        ConsumerRunner successor = runner(successors);
        successors.assign(P0);
        successor.runOnce();
        successors.event(P0, "alice", "a1");
        successors.event(P0, "alice", "a2");
        settle(successor);
        assertThat(runs).as("neither runs again").isEmpty();
        assertThat(ledger()).containsExactly("a2");
        assertThat(repeats).containsExactly("0 DEAD", "1 DONE");
        assertThat(successors.letters.history()).isEmpty();
        assertThat(successors.committed(P0)).isEqualTo(2);
    }

    @Test
    void an_event_that_was_dying_when_its_owner_died_is_only_published() throws SQLException {
        MockKafka kafka = MockKafka.create();
        ConsumerRunner runner = runner(kafka);
        kafka.assign(P0);
        runner.runOnce();
        ConsumerRecord<byte[], byte[]> a1 = kafka.event(P0, "alice", "a1");
        inbox.decide(Mark.of("ledger", "a1", a1), Outcome.DYING);
        kafka.event(P0, "alice", "a2");
        settle(runner);
        assertThat(runs).containsExactly("a2");
        assertThat(kafka.letters.history()).hasSize(1);
        assertThat(outcome("a1")).isEqualTo("DEAD");
        assertThat(kafka.committed(P0)).isEqualTo(2);
    }

    /** Its letter names what the notes of its attempts tell; the last attempt may have been noted, or not. */
    @ParameterizedTest
    @CsvSource({
        "3, 0, ATTEMPTS_EXHAUSTED, 3",
        "2, 0, ATTEMPTS_EXHAUSTED, 2",
        "1, 0, NOT_RETRYABLE, 1",
        "0, 0, NOT_RETRYABLE, 0",
        "0, 6, CRASHED_HANDLER, 6",
        "1, 6, CRASHED_HANDLER, 7",
        "0, 1, NOT_RETRYABLE, 0"
    })
    void the_letter_of_an_event_that_was_dying_names_the_reason_that_its_attempts_tell(
            int failures, int starts, String reason, String attempts) throws SQLException {
        MockKafka kafka = MockKafka.create();
        ConsumerRunner runner = runner(kafka);
        kafka.assign(P0);
        runner.runOnce();
        ConsumerRecord<byte[], byte[]> a1 = kafka.event(P0, "alice", "a1");
        Mark mark = Mark.of("ledger", "a1", a1);
        for (int i = 0; i < starts; i++) {
            inbox.attempts().startedAlone(mark, CrashWatch.MAX_STARTS);
        }
        if (failures > 0) {
            execute("MERGE INTO eventbus_attempt VALUES (STRINGTOUTF8('ledger'), STRINGTOUTF8('a1'), %d, %d, now())"
                    .formatted(failures, starts));
        }
        inbox.decide(mark, Outcome.DYING);
        settle(runner);
        assertThat(runs).isEmpty();
        assertThat(letterHeader(kafka, "reason")).isEqualTo(reason);
        assertThat(letterHeader(kafka, "attempts")).isEqualTo(attempts);
        if (failures > 0) {
            assertThat(query("SELECT 1 FROM eventbus_attempt")).isEmpty();
        }
    }

    private static String letterHeader(MockKafka kafka, String name) {
        assertThat(kafka.letters.history()).hasSize(1);
        return new String(
                kafka.letters
                        .history()
                        .get(0)
                        .headers()
                        .lastHeader("eventbus-dlq-" + name)
                        .value(),
                UTF_8);
    }

    @Test
    void the_letter_is_decided_before_it_is_sent_and_settled_after_its_ack() throws SQLException {
        failing.add("a1");
        MockKafka kafka = new MockKafka(false);
        ConsumerRunner runner = runner(kafka);
        kafka.assign(P0);
        runner.runOnce();
        kafka.event(P0, "alice", "a1");
        kafka.event(P0, "alice", "a2");
        exhaust(kafka, runner);
        assertThat(kafka.letters.history()).hasSize(1);
        assertThat(outcome("a1")).isEqualTo("DYING");
        assertThat(runs).as("a2 waits for the ack").doesNotContain("a2");
        assertThat(kafka.committed(P0)).isLessThanOrEqualTo(0);

        assertThat(kafka.letters.completeNext()).isTrue();
        settle(runner);
        assertThat(outcome("a1")).isEqualTo("DEAD");
        assertThat(runs).endsWith("a2");
        assertThat(kafka.committed(P0)).isEqualTo(2);
    }

    @Test
    void another_event_under_a_known_id_is_dead_lettered_as_a_conflict() throws SQLException {
        MockKafka kafka = MockKafka.create();
        ConsumerRunner runner = runner(kafka);
        kafka.assign(P0);
        runner.runOnce();
        kafka.event(P0, "alice", "a1");
        kafka.event(P0, "bob", "a1");
        settle(runner);
        assertThat(ledger()).containsExactly("a1");
        assertThat(reasons(kafka)).containsExactly("ID_CONFLICT");
        assertThat(outcome("a1")).isEqualTo("DONE");
        assertThat(kafka.committed(P0)).isEqualTo(2);
    }

    @Test
    void a_record_without_a_readable_id_is_marked_by_its_origin() throws SQLException {
        MockKafka kafka = MockKafka.create();
        ConsumerRunner runner = runner(kafka);
        kafka.assign(P0);
        runner.runOnce();
        kafka.record(P0, "alice", "no json");
        settle(runner);
        assertThat(reasons(kafka)).containsExactly("MALFORMED_JSON");
        assertThat(outcome("asset.events/0/0")).isEqualTo("DEAD");
    }

    @Test
    void a_mark_held_by_another_owner_uses_no_attempt_and_no_thread() throws Exception {
        MockKafka kafka = MockKafka.create();
        ConsumerRunner runner = runner(kafka);
        kafka.assign(P0);
        runner.runOnce();
        ConsumerRecord<byte[], byte[]> a1 = kafka.event(P0, "alice", "a1");
        kafka.event(P0, "bob", "b1");
        inbox.run(Mark.of("ledger", "a1", a1), transaction -> {
            settle(runner);
            assertThat(runs).containsExactly("b1");
            assertThat(runner.health().nextRetry())
                    .isEqualTo(kafka.clock().instant().plus(Backoff.HELD_ELSEWHERE));
            assertThat(runner.health().problems())
                    .as("the ordinary end of a hand-over")
                    .isEmpty();
            kafka.advance(Duration.ofSeconds(30));
            settle(runner);
            assertThat(runner.health().problems())
                    .anySatisfy(problem -> assertThat(problem).contains("the mark of an event is held"));
        });
        kafka.advance(Backoff.HELD_ELSEWHERE.multipliedBy(2));
        settle(runner);
        assertThat(runs).as("the other owner has done it").containsExactly("b1");
        assertThat(repeats).containsExactly("0 DONE");
    }

    @Test
    void an_inbox_that_is_out_of_reach_is_an_outage_that_ends_by_itself() throws SQLException {
        MockKafka kafka = MockKafka.create();
        ConsumerRunner runner = runner(kafka);
        kafka.assign(P0);
        runner.runOnce();
        String url = database.getURL();
        database.setURL("jdbc:h2:tcp://127.0.0.1:1/none");
        kafka.event(P0, "alice", "a1");
        triesTenTimesToBegin(kafka, runner);
        database.setURL(url);
        kafka.setTo(runner.health().nextRetry());
        settle(runner);
        assertThat(ledger()).containsExactly("a1");
        assertThat(kafka.letters.history()).isEmpty();
    }

    private static void triesTenTimesToBegin(MockKafka kafka, ConsumerRunner runner) {
        settle(runner);
        for (int i = 0; i < 10; i++) {
            kafka.setTo(runner.health().nextRetry());
            settle(runner);
        }
        assertThat(runner.health().problems())
                .anySatisfy(problem -> assertThat(problem).contains("the inbox cannot note that a handler starts"));
    }

    /** Not an outage to the table of database faults, and still nothing that the handler did. */
    @Test
    void a_mark_that_cannot_be_inserted_uses_no_attempt_whatever_the_fault_is() throws SQLException {
        MockKafka kafka = MockKafka.create();
        ConsumerRunner runner = runner(kafka);
        kafka.assign(P0);
        runner.runOnce();
        execute("ALTER TABLE eventbus_inbox RENAME TO away");
        kafka.event(P0, "alice", "a1");
        triesTenTimesToBegin(kafka, runner);
        execute("ALTER TABLE away RENAME TO eventbus_inbox");
        kafka.setTo(runner.health().nextRetry());
        settle(runner);
        assertThat(runs).containsExactly("a1");
        assertThat(ledger()).containsExactly("a1");
        assertThat(kafka.letters.history()).isEmpty();
    }

    /** Its next try would meet its own mark and take it for a repeat's. */
    @Test
    void a_handler_that_commits_in_hiding_stops_its_partition() throws SQLException {
        MockKafka kafka = MockKafka.create();
        ConsumerRunner runner = ConsumerRunner.builder(kafka, "ledger")
                .inTransaction(inbox, ASSET, (event, tx) -> {
                    runs.add(event.id());
                    try (Statement statement = tx.connection().createStatement()) {
                        statement.execute("EXECUTE IMMEDIATE 'COMMIT'");
                    }
                })
                .afterRetries(AfterRetries.deadLetter(LETTERS))
                .build();
        kafka.assign(P0);
        runner.runOnce();
        kafka.event(P0, "alice", "a1");
        kafka.event(P0, "bob", "b1");
        settle(runner);
        assertThat(runs).containsExactly("a1");
        assertThat(runner.health().status()).isEqualTo(RunnerHealth.Status.DOWN);
        assertThat(runner.health().problems())
                .anySatisfy(problem -> assertThat(problem).contains("a1", "compare the data of this event by hand"));
        assertThat(kafka.committed(P0)).isLessThanOrEqualTo(0);
    }

    @Test
    void a_copy_without_a_key_of_an_event_that_is_parked_is_a_repeat() throws SQLException {
        MockKafka kafka = MockKafka.create();
        ConsumerRunner runner = parking(kafka, ASSET);
        failing.add("a1");
        kafka.event(P0, "alice", "a1");
        exhaust(kafka, runner);
        kafka.record(P0, null, MockKafka.json("alice", "a1"));
        kafka.event(P0, "bob", "b1");
        exhaust(kafka, runner);
        assertThat(ledger()).containsExactly("b1");
        assertThat(repeats).containsExactly("1 PARKED");
        assertThat(kafka.committed(P0)).isEqualTo(3);
        assertThat(runner.health().status()).isEqualTo(RunnerHealth.Status.UP);
        assertThat(outcome("a1")).isEqualTo("PARKED");
    }

    @ParameterizedTest
    @CsvSource({"2000,PARKED", "2001,DEAD", "3000,DEAD"})
    void an_event_whose_key_is_too_long_for_an_index_is_dead_lettered_where_others_are_parked(
            int keyBytes, String outcome) throws SQLException {
        MockKafka kafka = MockKafka.create();
        EventType<String> note = EventType.of(
                        "NOTE",
                        String.class,
                        Codec.reading((topic, bytes) -> new String(bytes, StandardCharsets.UTF_8)))
                .topic(MockKafka.TOPIC)
                .key(text -> text);
        ConsumerRunner runner = parking(kafka, note);
        failing.add(MockKafka.TOPIC + "/0/0");
        kafka.record(P0, "k".repeat(keyBytes), "one");
        exhaust(kafka, runner);
        assertThat(reasons(kafka)).containsExactly("ATTEMPTS_EXHAUSTED");
        assertThat(outcome(MockKafka.TOPIC + "/0/0")).isEqualTo(outcome);
        assertThat(kafka.committed(P0)).isEqualTo(1);
        assertThat(inbox.parking().load("ledger")).hasSize(outcome.equals("PARKED") ? 1 : 0);
    }

    @Test
    void the_start_line_names_what_is_at_least_once_and_how_many_connections_are_wanted() {
        ListAppender<ILoggingEvent> lines = new ListAppender<>();
        Logger log = (Logger) LoggerFactory.getLogger(ConsumerRunner.class);
        lines.start();
        log.setLevel(Level.INFO);
        log.addAppender(lines);
        try (ConsumerRunner runner = ConsumerRunner.builder(MockKafka.create(), "ledger")
                .inTransaction(inbox, ASSET, (event, tx) -> {})
                .on(
                        EventType.of("SEEN", MockKafka.Asset.class)
                                .topic("seen.events")
                                .key(MockKafka.Asset::userId),
                        (event, delivery) -> {})
                .concurrency(7)
                .afterRetries(AfterRetries.deadLetter(LETTERS))
                .build()) {
            runner.start();
        } finally {
            log.detachAppender(lines);
            log.setLevel(null);
        }
        assertThat(lines.list.get(0).getFormattedMessage())
                .contains("at least once: [SEEN]", "effects once: [ASSET_UPDATED]", "size its pool for 13");
    }

    /** Of the version before, whose policy was to go on, something is left when this one is to park the key. */
    @Test
    void F3_an_event_that_a_zombie_dead_letters_just_before_it_is_parked_goes_on_as_a_dead_letter()
            throws SQLException {
        MockKafka kafka = MockKafka.create();
        AtomicInteger rollbacks = new AtomicInteger();
        inbox = JdbcInbox.h2(HookedDataSource.over(database, (real, method, arguments, rest) -> {
            Object result = rest.call();
            if (method.equals("rollback") && runs.size() == 3 && rollbacks.getAndIncrement() == 0) {
                JdbcInbox.h2(database).decide(markOfA1(), Outcome.DYING);
            }
            return result;
        }));
        failing.add("a1");
        ConsumerRunner runner = parking(kafka, ASSET);
        kafka.event(P0, "alice", "a1");
        kafka.event(P0, "alice", "a2");
        exhaust(kafka, runner);
        assertThat(rollbacks.get()).isPositive();
        assertThat(reasons(kafka)).hasSize(1);
        assertThat(outcome("a1")).isEqualTo("DEAD");
        assertThat(inbox.parking().load("ledger")).isEmpty();
        assertThat(ledger()).containsExactly("a2");
    }

    /** It is to be parked until it is known how it died. */
    @Test
    void F3_an_event_that_turns_out_to_be_dying_when_it_is_parked_waits_for_the_inbox_to_tell_why()
            throws SQLException {
        MockKafka kafka = MockKafka.create();
        AtomicInteger rollbacks = new AtomicInteger();
        AtomicInteger refused = new AtomicInteger();
        inbox = JdbcInbox.h2(HookedDataSource.over(database, (real, method, arguments, rest) -> {
            boolean asksWhy = method.equals("prepareStatement")
                    && rollbacks.get() > 0
                    && String.valueOf(arguments[0]).contains("eventbus_attempt")
                    && String.valueOf(arguments[0]).contains("SELECT");
            if (asksWhy && refused.getAndIncrement() == 0) {
                throw new SQLException("connection lost", "08006");
            }
            Object result = rest.call();
            if (method.equals("rollback") && runs.size() == 3 && rollbacks.getAndIncrement() == 0) {
                JdbcInbox.h2(database).decide(markOfA1(), Outcome.DYING);
            }
            return result;
        }));
        failing.add("a1");
        ConsumerRunner runner = parking(kafka, ASSET);
        kafka.event(P0, "alice", "a1");
        kafka.event(P0, "alice", "a2");
        for (int tries = 0; tries < 20 && reasons(kafka).isEmpty(); tries++) {
            kafka.advance(Duration.ofSeconds(10));
            settle(runner);
        }
        settle(runner);
        assertThat(refused.get()).isGreaterThan(1);
        assertThat(reasons(kafka)).containsExactly("ATTEMPTS_EXHAUSTED");
        assertThat(outcome("a1")).isEqualTo("DEAD");
        assertThat(ledger()).containsExactly("a2");
    }

    private static Mark markOfA1() {
        return Mark.of(
                "ledger",
                "a1",
                new ConsumerRecord<>(
                        MockKafka.TOPIC,
                        0,
                        0,
                        "alice".getBytes(UTF_8),
                        MockKafka.json("alice", "a1").getBytes(UTF_8)));
    }

    private ConsumerRunner runner(MockKafka kafka) {
        return builder(kafka, ASSET).build();
    }

    /** With partitions. */
    private ConsumerRunner parking(MockKafka kafka, EventType<?> type) {
        ConsumerRunner runner = builder(kafka, type)
                .afterRetries(AfterRetries.parkKey(inbox, LETTERS))
                .build();
        kafka.assign(P0);
        runner.runOnce();
        return runner;
    }

    private ConsumerRunnerBuilder builder(MockKafka kafka, EventType<?> type) {
        return ConsumerRunner.builder(kafka, "ledger")
                .inTransaction(inbox, type, (event, tx) -> {
                    runs.add(event.id());
                    try (PreparedStatement insert =
                            tx.connection().prepareStatement("INSERT INTO ledger (event) VALUES (?)")) {
                        insert.setString(1, event.id());
                        insert.executeUpdate();
                    }
                    if (failing.contains(event.id())) {
                        throw new IllegalStateException("after the write");
                    }
                })
                .retry(RetryConfig.custom()
                        .maxAttempts(3)
                        .waitDuration(Duration.ofSeconds(1))
                        .build())
                .afterRetries(AfterRetries.deadLetter(LETTERS))
                .listener(new RunnerListener() {
                    @Override
                    public void repeated(String type, Delivery delivery, Outcome known) {
                        repeats.add("%d %s".formatted(delivery.offset(), known));
                    }
                });
    }

    private static void settle(ConsumerRunner runner) {
        SteppedRunner.settle(runner);
    }

    /** Until nobody waits for a retry any more. */
    private static void exhaust(MockKafka kafka, ConsumerRunner runner) {
        settle(runner);
        while (runner.health().nextRetry() != null) {
            kafka.setTo(runner.health().nextRetry());
            settle(runner);
        }
    }

    private static List<String> reasons(MockKafka kafka) {
        return kafka.letters.history().stream()
                .map(letter -> new String(
                        letter.headers().lastHeader("eventbus-dlq-reason").value(), StandardCharsets.UTF_8))
                .toList();
    }

    private List<String> ledger() throws SQLException {
        return query("SELECT event FROM ledger ORDER BY ord");
    }

    private String outcome(String id) throws SQLException {
        return query("SELECT outcome FROM eventbus_inbox WHERE event_id = STRINGTOUTF8('" + id + "')")
                .get(0);
    }

    private List<String> query(String sql) throws SQLException {
        List<String> rows = new ArrayList<>();
        try (Connection connection = database.getConnection();
                Statement statement = connection.createStatement();
                ResultSet result = statement.executeQuery(sql)) {
            while (result.next()) {
                rows.add(result.getString(1));
            }
        }
        return rows;
    }

    private void execute(String sql) throws SQLException {
        try (Connection connection = database.getConnection();
                Statement statement = connection.createStatement()) {
            statement.execute(sql);
        }
    }
}
