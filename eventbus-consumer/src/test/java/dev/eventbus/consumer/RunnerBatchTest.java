package dev.eventbus.consumer;

import static dev.eventbus.consumer.MockKafka.ASSET;
import static dev.eventbus.consumer.MockKafka.LETTERS;
import static dev.eventbus.consumer.MockKafka.P0;
import static dev.eventbus.consumer.MockKafka.P1;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import ch.qos.logback.classic.Level;
import ch.qos.logback.classic.Logger;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.core.read.ListAppender;
import dev.eventbus.Event;
import dev.eventbus.StartRefusedException;
import dev.eventbus.consumer.MockKafka.Asset;
import dev.eventbus.consumer.inbox.JdbcInbox;
import dev.eventbus.consumer.inbox.Mark;
import dev.eventbus.consumer.inbox.Outcome;
import dev.eventbus.consumer.internal.Backoff;
import dev.eventbus.consumer.internal.DrainLoop;
import io.github.resilience4j.retry.RetryConfig;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.UUID;
import java.util.stream.IntStream;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.h2.jdbcx.JdbcDataSource;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.slf4j.LoggerFactory;

/** A runner whose events share transactions: what is promised for one event by itself holds for each of a batch. */
class RunnerBatchTest {

    /** The two ways to handle many events in one transaction. */
    enum Handlers {
        ONE_BY_ONE,
        LIST
    }

    private final MockKafka kafka = MockKafka.create();
    private final JdbcDataSource database = new JdbcDataSource();
    private final Set<String> failing = new HashSet<>();
    private final List<String> runs = new ArrayList<>();
    private final List<String> repeats = new ArrayList<>();
    private final Set<String> transactions = new LinkedHashSet<>();

    /** What an event's handler executes after its write, once, and keeps to itself. */
    private final Map<String, String> swallowed = new HashMap<>();

    private JdbcInbox inbox = JdbcInbox.h2(database);

    @BeforeEach
    void tables() throws SQLException {
        database.setURL("jdbc:h2:mem:" + UUID.randomUUID() + ";DB_CLOSE_DELAY=-1");
        inbox = JdbcInbox.h2(database).batching(100);
        inbox.createTables();
        execute("CREATE TABLE ledger (ord bigint GENERATED ALWAYS AS IDENTITY, event varchar(128))");
    }

    @ParameterizedTest
    @EnumSource
    void events_of_several_keys_share_a_transaction_and_stay_in_order(Handlers handlers) throws SQLException {
        ConsumerRunner runner = started(handlers);
        for (int i = 1; i <= 5; i++) {
            kafka.event(P0, "alice", "a" + i);
            kafka.event(P1, "bob", "b" + i);
        }
        settle(runner);
        assertThat(transactions).hasSize(1);
        assertThat(ledger())
                .hasSize(10)
                .filteredOn(id -> id.startsWith("a"))
                .containsExactly("a1", "a2", "a3", "a4", "a5");
        assertThat(ledger()).filteredOn(id -> id.startsWith("b")).containsExactly("b1", "b2", "b3", "b4", "b5");
        assertThat(kafka.committed(P0)).isEqualTo(5);
        assertThat(kafka.committed(P1)).isEqualTo(5);
    }

    @Test
    void a_batch_has_at_most_as_many_events_as_it_may() throws SQLException {
        inbox = inbox.batching(4);
        ConsumerRunner runner = started(Handlers.ONE_BY_ONE);
        for (int i = 0; i < 10; i++) {
            kafka.event(P0, "k" + i % 3, "e" + i);
        }
        settle(runner);
        assertThat(ledger()).hasSize(10);
        assertThat(transactions).hasSize(3);
    }

    @ParameterizedTest
    @EnumSource
    void a_poison_event_is_dead_lettered_by_itself_and_its_neighbours_use_no_attempt(Handlers handlers)
            throws SQLException {
        ConsumerRunner runner = started(handlers);
        failing.add("b1");
        for (String id : List.of("a1", "b1", "c1", "a2", "b2")) {
            kafka.event(P0, id.substring(0, 1), id);
        }
        exhaust(runner);
        assertThat(letterIds()).containsExactly("b1");
        assertThat(ledger()).containsExactlyInAnyOrder("a1", "a2", "b2", "c1").containsSubsequence("a1", "a2");
        assertThat(runs)
                .as("three attempts, and one run in the batch")
                .filteredOn("b1 1"::equals)
                .hasSize(2);
        assertThat(runs).contains("b1 2", "b1 3").doesNotContain("b1 4", "a1 2", "c1 2", "a2 2");
        assertThat(runs.indexOf("b2 1")).as("after the end of b1").isGreaterThan(runs.indexOf("b1 3"));
        assertThat(outcome("b1")).isEqualTo("DEAD");
        assertThat(kafka.committed(P0)).isEqualTo(5);
    }

    @Test
    void events_of_a_key_that_failed_run_by_themselves_for_a_minute() throws SQLException {
        ConsumerRunner runner = started(Handlers.ONE_BY_ONE);
        failing.add("b1");
        kafka.event(P0, "alice", "a1");
        kafka.event(P0, "bob", "b1");
        exhaust(runner);
        transactions.clear();
        kafka.event(P0, "alice", "a2");
        kafka.event(P0, "bob", "b2");
        kafka.event(P0, "carol", "c2");
        settle(runner);
        assertThat(transactions).as("bob's own, and one of the others").hasSize(2);
        kafka.advance(BatchCall.FAILS_ALONE.plusSeconds(1));
        transactions.clear();
        kafka.event(P0, "alice", "a3");
        kafka.event(P0, "bob", "b3");
        settle(runner);
        assertThat(transactions).hasSize(1);
    }

    @ParameterizedTest
    @EnumSource
    void a_held_mark_is_left_out_and_its_successors_wait_while_others_are_committed(Handlers handlers)
            throws Exception {
        ConsumerRunner runner = started(handlers);
        ConsumerRecord<byte[], byte[]> a1 = kafka.event(P0, "alice", "a1");
        kafka.event(P0, "bob", "b1");
        kafka.event(P0, "carol", "c1");
        inbox.run(Mark.of("ledger", "a1", a1), transaction -> {
            settle(runner);
            assertThat(ledger()).containsExactlyInAnyOrder("b1", "c1");
            assertThat(transactions)
                    .as("the held one is left out of their transaction")
                    .hasSize(1);
            kafka.event(P0, "alice", "a2");
            settle(runner);
            assertThat(ledger()).doesNotContain("a2");
            assertThat(runner.health().nextRetry())
                    .isEqualTo(kafka.clock().instant().plus(Backoff.HELD_ELSEWHERE));
        });
        kafka.advance(Backoff.HELD_ELSEWHERE);
        settle(runner);
        assertThat(ledger()).containsExactlyInAnyOrder("a2", "b1", "c1");
        assertThat(repeats).containsExactly("0 DONE");
        assertThat(kafka.letters.history()).isEmpty();
        assertThat(kafka.committed(P0)).isEqualTo(4);
    }

    @Test
    void nothing_runs_before_a_predecessor_of_its_batch_whose_mark_is_held() throws Exception {
        ConsumerRunner runner = started(Handlers.ONE_BY_ONE);
        ConsumerRecord<byte[], byte[]> a1 = kafka.event(P0, "alice", "a1");
        kafka.event(P0, "alice", "a2");
        kafka.event(P0, "bob", "b1");
        kafka.event(P0, "carol", "c1");
        inbox.run(Mark.of("ledger", "a1", a1), transaction -> {
            settle(runner);
            assertThat(ledger()).containsExactly("b1", "c1");
            assertThat(transactions).as("those of other keys stay together").hasSize(1);
        });
        kafka.advance(Backoff.HELD_ELSEWHERE);
        settle(runner);
        assertThat(ledger()).containsExactly("b1", "c1", "a2");
    }

    private static final class OnPurpose extends IllegalStateException {
        private static final long serialVersionUID = 1;
    }

    @Test
    void batches_that_fail_write_one_line_a_second() {
        Logger logger = (Logger) LoggerFactory.getLogger(BatchCall.class);
        ListAppender<ILoggingEvent> lines = new ListAppender<>();
        lines.start();
        logger.setLevel(Level.WARN);
        logger.addAppender(lines);
        try {
            ConsumerRunner runner =
                    assigned(ConsumerRunner.builder(kafka, "ledger").inTransaction(inbox, ASSET, (event, tx) -> {
                        throw new OnPurpose();
                    }));
            for (int i = 0; i < 5; i++) {
                kafka.event(P0, "one" + i, "a" + i);
                kafka.event(P0, "two" + i, "b" + i);
                settle(runner);
            }
            assertThat(lines.list)
                    .filteredOn(line -> line.getFormattedMessage().contains(OnPurpose.class.getName()))
                    .hasSize(1);
        } finally {
            logger.detachAppender(lines);
            logger.setLevel(null);
        }
    }

    @ParameterizedTest
    @EnumSource
    void a_dying_event_is_only_published_and_its_successor_follows_it(Handlers handlers) throws SQLException {
        ConsumerRunner runner = started(handlers);
        ConsumerRecord<byte[], byte[]> a1 = kafka.event(P0, "alice", "a1");
        kafka.event(P0, "alice", "a2");
        kafka.event(P0, "bob", "b1");
        inbox.decide(Mark.of("ledger", "a1", a1), Outcome.DYING);
        settle(runner);
        assertThat(letterIds()).containsExactly("a1");
        assertThat(ledger()).containsExactlyInAnyOrder("a2", "b1");
        assertThat(outcome("a1")).isEqualTo("DEAD");
        assertThat(kafka.committed(P0)).isEqualTo(3);
    }

    @ParameterizedTest
    @EnumSource
    void repeats_are_recognised_whether_in_the_same_batch_or_before(Handlers handlers) throws SQLException {
        ConsumerRunner runner = started(handlers);
        kafka.event(P0, "alice", "a1");
        kafka.event(P0, "alice", "a1");
        kafka.event(P0, "bob", "b1");
        settle(runner);
        kafka.event(P0, "alice", "a1");
        kafka.event(P0, "alice", "a2");
        kafka.event(P0, "bob", "b1");
        settle(runner);
        assertThat(ledger()).containsExactlyInAnyOrder("a1", "b1", "a2");
        assertThat(repeats).containsExactlyInAnyOrder("1 DONE", "3 DONE", "5 DONE");
        assertThat(kafka.committed(P0)).isEqualTo(6);
    }

    @ParameterizedTest
    @EnumSource
    void another_event_under_an_id_of_the_batch_is_a_conflict_of_its_own(Handlers handlers) throws SQLException {
        ConsumerRunner runner = started(handlers);
        kafka.event(P0, "alice", "e1");
        kafka.event(P0, "bob", "e1");
        kafka.event(P0, "carol", "e2");
        settle(runner);
        assertThat(ledger()).containsExactlyInAnyOrder("e1", "e2");
        assertThat(letterReasons()).containsExactly("ID_CONFLICT");
        assertThat(kafka.committed(P0)).isEqualTo(3);
    }

    @ParameterizedTest
    @EnumSource
    void a_record_that_is_no_event_dies_in_its_place(Handlers handlers) throws SQLException {
        ConsumerRunner runner = started(handlers);
        kafka.event(P0, "alice", "a1");
        kafka.record(P0, "alice", "no json");
        kafka.event(P0, "alice", "a2");
        kafka.event(P0, "bob", "b1");
        settle(runner);
        assertThat(ledger()).containsExactlyInAnyOrder("a1", "a2", "b1").containsSubsequence("a1", "a2");
        assertThat(letterReasons()).containsExactly("MALFORMED_JSON");
        assertThat(kafka.committed(P0)).isEqualTo(4);
    }

    @ParameterizedTest
    @EnumSource
    void a_deadlock_that_a_handler_keeps_to_itself_undoes_the_batch_and_each_event_runs_by_itself(Handlers handlers)
            throws SQLException {
        ConsumerRunner runner = started(handlers);
        swallowed.put("b1", "ROLLBACK"); // the database ends all of a victim's transaction, and goes on with a new one
        for (String id : List.of("a1", "b1", "c1", "a2", "b2")) {
            kafka.event(P0, id.substring(0, 1), id);
        }
        settle(runner);
        assertThat(ledger())
                .containsExactlyInAnyOrder("a1", "a2", "b1", "b2", "c1")
                .containsSubsequence("a1", "a2")
                .containsSubsequence("b1", "b2");
        assertThat(runs).allMatch(run -> run.endsWith(" 1"));
        assertThat(kafka.letters.history()).isEmpty();
        assertThat(kafka.committed(P0)).isEqualTo(5);
        assertThat(runner.health().status()).isEqualTo(RunnerHealth.Status.UP);
    }

    @ParameterizedTest
    @EnumSource
    void a_handler_that_commits_a_shared_transaction_stops_its_partitions(Handlers handlers) throws SQLException {
        ConsumerRunner runner = started(handlers);
        swallowed.put("b1", "COMMIT"); // what comes behind it is rolled back, though all count as handled
        for (String id : List.of("a1", "b1", "c1")) {
            kafka.event(P0, id.substring(0, 1), id);
        }
        settle(runner);
        assertThat(ledger()).containsExactly("a1", "b1");
        assertThat(runner.health().status()).isEqualTo(RunnerHealth.Status.DOWN);
        assertThat(kafka.committed(P0)).isLessThanOrEqualTo(0);
    }

    @ParameterizedTest
    @EnumSource
    void a_handler_that_commits_a_shared_transaction_before_another_one_fails_stops_its_partitions(Handlers handlers)
            throws SQLException {
        ConsumerRunner runner = started(handlers);
        swallowed.put("b1", "COMMIT"); // with the marks of all, c1's too, whose handler has not run
        failing.add("c1");
        for (String id : List.of("a1", "b1", "c1")) {
            kafka.event(P0, id.substring(0, 1), id);
        }
        settle(runner);
        assertThat(ledger()).doesNotContain("c1");
        assertThat(runner.health().status()).isEqualTo(RunnerHealth.Status.DOWN);
        assertThat(kafka.committed(P0)).isLessThanOrEqualTo(0);
    }

    @Test
    void an_outage_uses_no_attempt_and_ends_by_itself() throws SQLException {
        ConsumerRunner runner = started(Handlers.ONE_BY_ONE);
        String url = database.getURL();
        database.setURL("jdbc:h2:tcp://127.0.0.1:1/none");
        kafka.event(P0, "alice", "a1");
        kafka.event(P0, "bob", "b1");
        settle(runner);
        for (int i = 0; i < 10; i++) {
            kafka.setTo(runner.health().nextRetry());
            settle(runner);
        }
        database.setURL(url);
        exhaust(runner);
        assertThat(ledger()).containsExactlyInAnyOrder("a1", "b1");
        assertThat(kafka.letters.history()).isEmpty();
    }

    @Test
    void a_runner_that_dies_in_a_batch_leaves_nothing_and_its_successor_does_all() throws SQLException {
        ConsumerRunner runner = started(Handlers.ONE_BY_ONE);
        failing.add("dies");
        kafka.event(P0, "alice", "a1");
        kafka.event(P0, "alice", "dies");
        settle(runner);
        assertThat(runner.health().status()).isEqualTo(RunnerHealth.Status.DOWN);
        assertThat(ledger()).isEmpty();
        assertThat(kafka.committed(P0)).isLessThanOrEqualTo(0);
    }

    @ParameterizedTest
    @EnumSource
    void every_event_has_its_effect_once_in_order_in_any_mixture(Handlers handlers) throws SQLException {
        ConsumerRunner runner = started(handlers);
        failing.addAll(List.of("e7", "e40", "e41"));
        for (int i = 0; i < 100; i++) {
            kafka.event(i % 2 == 0 ? P0 : P1, "k" + i % 7 + i % 2, "e" + i);
            if (i % 10 == 3) {
                kafka.event(i % 2 == 0 ? P0 : P1, "k" + i % 7 + i % 2, "e" + i);
            }
        }
        exhaust(runner);
        assertThat(letterIds()).containsExactlyInAnyOrder("e7", "e40", "e41");
        assertThat(ledger()).hasSize(97).doesNotHaveDuplicates();
        for (int k = 0; k < 14; k++) {
            int key = k;
            List<String> expected = IntStream.range(0, 100)
                    .filter(i -> i % 14 == key)
                    .mapToObj(i -> "e" + i)
                    .filter(id -> !failing.contains(id))
                    .toList();
            assertThat(ledger()).filteredOn(expected::contains).containsExactlyElementsOf(expected);
        }
    }

    @Test
    void a_batch_handler_without_an_inbox_gets_lists_and_a_poison_event_spares_its_neighbours() throws SQLException {
        List<List<String>> lists = new ArrayList<>();
        ConsumerRunner runner = assigned(ConsumerRunner.builder(kafka, "ledger").onBatch(ASSET, 3, (events, batch) -> {
            List<String> ids = events.stream().map(Event::id).toList();
            lists.add(ids);
            if (ids.stream().anyMatch(failing::contains)) {
                throw new IllegalStateException("no luck");
            }
        }));
        failing.add("b1");
        for (String id : List.of("a1", "a2", "b1", "b2", "c1", "c2")) {
            kafka.event(P0, id.substring(0, 1), id);
        }
        exhaust(runner);
        assertThat(letterIds()).containsExactly("b1");
        assertThat(lists.get(0)).containsExactly("a1", "a2", "b1");
        assertThat(lists).contains(List.of("a1"), List.of("a2"), List.of("b1"), List.of("c1", "c2"));
        assertThat(lists)
                .as("in the list, and three attempts")
                .filteredOn(ids -> ids.contains("b1"))
                .hasSize(4);
        assertThat(kafka.committed(P0)).isEqualTo(6);
    }

    @Test
    void an_error_of_the_users_transactions_while_a_batch_is_collected_leaves_no_key_behind() throws SQLException {
        boolean[] failing = {true};
        inbox = JdbcInbox.h2(work -> {
                    if (failing[0] && asks(BatchCall.class)) {
                        failing[0] = false;
                        throw new Error("no connection");
                    }
                    if (failing[0] && asks(DrainLoop.class)) {
                        throw new IllegalStateException("what is parked is not read beforehand");
                    }
                    try (Connection connection = database.getConnection()) {
                        connection.setAutoCommit(false);
                        work.accept(connection);
                        connection.commit();
                    } catch (SQLException e) {
                        throw new IllegalStateException(e);
                    }
                })
                .batching(100);
        ConsumerRunner runner = started(Handlers.ONE_BY_ONE);
        for (String id : List.of("a1", "b1", "a2", "c1")) {
            kafka.event(P0, id.substring(0, 1), id);
        }
        exhaust(runner);
        assertThat(failing).containsExactly(false);
        assertThat(ledger()).containsExactlyInAnyOrder("a1", "a2", "b1", "c1").containsSubsequence("a1", "a2");
        assertThat(kafka.committed(P0)).isEqualTo(4);
    }

    private static boolean asks(Class<?> who) {
        return StackWalker.getInstance()
                .walk(frames -> frames.anyMatch(frame -> frame.getClassName().equals(who.getName())));
    }

    @Test
    void a_batch_handler_needs_an_inbox_that_batches() {
        assertThatThrownBy(() -> ConsumerRunner.builder(kafka, "ledger")
                        .inTransactionBatch(inbox.batching(1), ASSET, (events, tx) -> {})
                        .afterRetries(AfterRetries.deadLetter(LETTERS))
                        .build())
                .isInstanceOf(StartRefusedException.class)
                .hasMessageContaining("batching(200)");
    }

    private ConsumerRunner started(Handlers handlers) {
        ConsumerRunnerBuilder builder = ConsumerRunner.builder(kafka, "ledger");
        return assigned(
                handlers == Handlers.ONE_BY_ONE
                        ? builder.inTransaction(inbox, ASSET, (event, tx) -> book(event, tx.attempt(), tx.connection()))
                        : builder.inTransactionBatch(inbox, ASSET, (events, tx) -> {
                            for (Event<Asset> event : events) {
                                book(event, tx.attempt(), tx.connection());
                            }
                        }));
    }

    private ConsumerRunner assigned(ConsumerRunnerBuilder builder) {
        ConsumerRunner runner = builder.retry(RetryConfig.custom()
                        .maxAttempts(3)
                        .waitDuration(Duration.ofSeconds(1))
                        .build())
                .afterRetries(AfterRetries.deadLetter(LETTERS))
                .listener(new RunnerListener() {
                    @Override
                    public void repeated(String type, Delivery delivery, Outcome known) {
                        repeats.add("%d %s".formatted(delivery.offset(), known));
                    }
                })
                .build();
        kafka.assign(P0, P1);
        runner.runOnce();
        return runner;
    }

    private void book(Event<?> event, int attempt, Connection transaction) throws SQLException {
        runs.add(event.id() + " " + attempt);
        try (PreparedStatement insert = transaction.prepareStatement("INSERT INTO ledger (event) VALUES (?)");
                Statement id = transaction.createStatement();
                ResultSet row = id.executeQuery("SELECT TRANSACTION_ID()")) {
            row.next();
            transactions.add(row.getString(1));
            insert.setString(1, event.id());
            insert.executeUpdate();
        }
        String end = swallowed.remove(event.id());
        if (end != null) {
            try (Statement ending = transaction.createStatement()) {
                ending.execute("EXECUTE IMMEDIATE '%s'".formatted(end));
            }
        }
        if (event.id().equals("dies") && failing.contains("dies")) {
            throw new InternalError("the JVM is out of order");
        }
        if (failing.contains(event.id())) {
            transactions.remove(transactions.stream().reduce((a, b) -> b).orElse(""));
            throw new IllegalStateException("after the write");
        }
    }

    private static void settle(ConsumerRunner runner) {
        SteppedRunner.settle(runner);
    }

    /** Until nobody waits for a retry any more. */
    private void exhaust(ConsumerRunner runner) {
        settle(runner);
        while (runner.health().nextRetry() != null) {
            kafka.setTo(runner.health().nextRetry());
            settle(runner);
        }
    }

    private List<String> letterIds() {
        return letterHeaders("eventbus-dlq-event-id");
    }

    private List<String> letterReasons() {
        return letterHeaders("eventbus-dlq-reason");
    }

    private List<String> letterHeaders(String name) {
        return kafka.letters.history().stream()
                .map(letter -> new String(letter.headers().lastHeader(name).value(), UTF_8))
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
