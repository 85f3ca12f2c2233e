package dev.eventbus.consumer;

import static dev.eventbus.consumer.MockKafka.ASSET;
import static dev.eventbus.consumer.MockKafka.LETTERS;
import static dev.eventbus.consumer.MockKafka.P0;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.EventType;
import dev.eventbus.consumer.inbox.JdbcInbox;
import dev.eventbus.consumer.inbox.Mark;
import dev.eventbus.consumer.inbox.MarkResult;
import dev.eventbus.consumer.inbox.Outcome;
import dev.eventbus.consumer.inbox.Transactions;
import dev.eventbus.consumer.parking.ParkedEvent;
import dev.eventbus.consumer.parking.ParkedKey.State;
import dev.eventbus.internal.RunLoop;
import dev.eventbus.it.inbox.HookedDataSource;
import io.github.resilience4j.retry.RetryConfig;
import java.sql.Connection;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.Callable;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.errors.FencedInstanceIdException;
import org.h2.jdbcx.JdbcDataSource;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.parallel.Execution;
import org.junit.jupiter.api.parallel.ExecutionMode;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Parked keys of a runner on threads: lanes and drains beside each other, and a close in the middle. */
@Timeout(180)
@Execution(ExecutionMode.CONCURRENT)
class ParkingThreadsTest {

    private static final EventType<MockKafka.Asset> OTHER =
            EventType.of("OTHER", MockKafka.Asset.class).topic(MockKafka.TOPIC).key(MockKafka.Asset::userId);

    private final JdbcDataSource database = new JdbcDataSource();
    private final Set<String> failing = ConcurrentHashMap.newKeySet();
    private final Set<String> failingOnce = ConcurrentHashMap.newKeySet();
    private final Map<String, CountDownLatch> held = new ConcurrentHashMap<>();
    private final List<String> begun = new CopyOnWriteArrayList<>();
    private final List<String> handled = new CopyOnWriteArrayList<>();
    private final MockKafka kafka = MockKafka.create().ticking();
    private JdbcInbox inbox = JdbcInbox.h2(database);
    private @Nullable ConsumerRunner runner;

    @BeforeEach
    void tables() throws SQLException {
        database.setURL("jdbc:h2:mem:" + UUID.randomUUID() + ";DB_CLOSE_DELAY=-1");
        inbox = JdbcInbox.h2(database);
        inbox.createTables();
    }

    @AfterEach
    void close() {
        held.values().forEach(CountDownLatch::countDown);
        if (runner != null) {
            runner.close(Duration.ofSeconds(5));
        }
    }

    private ConsumerRunnerBuilder builder() {
        return builder(kafka);
    }

    private ConsumerRunnerBuilder builder(MockKafka from) {
        return ConsumerRunner.builder(from, "g")
                .inTransaction(inbox, ASSET, (event, delivery) -> {
                    begun.add(event.id());
                    CountDownLatch latch = held.get(event.id());
                    if (latch != null) {
                        latch.await();
                    }
                    if (failing.contains(event.id()) || failingOnce.remove(event.id())) {
                        throw new IllegalStateException("no luck");
                    }
                    handled.add(event.id());
                })
                .retry(RetryConfig.custom().maxAttempts(1).build())
                .afterRetries(AfterRetries.parkKey(inbox, LETTERS));
    }

    private ConsumerRunner start(ConsumerRunnerBuilder builder) {
        ConsumerRunner started = builder.build().start();
        runner = started;
        kafka.assign(P0);
        return started;
    }

    private void eventually(Callable<Boolean> condition) {
        assertThat(RunLoop.await(Duration.ofSeconds(60), () -> {
                    try {
                        return condition.call();
                    } catch (Exception e) {
                        throw new IllegalStateException(e);
                    }
                }))
                .as(() -> "begun %s, handled %s".formatted(begun, handled))
                .isTrue();
    }

    private boolean isParked(int keys) throws SQLException {
        return inbox.parking().load("g").size() == keys;
    }

    private void redrive(String user) throws SQLException {
        assertThat(inbox.parking().redrive("g", MockKafka.TOPIC, user.getBytes(UTF_8)))
                .isTrue();
    }

    @Test
    void a_key_that_is_parked_again_while_it_is_lifted_is_not_forgotten() throws SQLException {
        CountDownLatch lifted = new CountDownLatch(1);
        CountDownLatch parkedAgain = new CountDownLatch(1);
        ThreadLocal<Boolean> lifts = ThreadLocal.withInitial(() -> false);
        inbox = JdbcInbox.h2(HookedDataSource.over(database, (real, method, arguments, rest) -> {
            if (method.equals("prepareStatement")
                    && String.valueOf(arguments[0]).contains("DELETE FROM eventbus_parked_key")) {
                lifts.set(true);
            }
            Object result = rest.call();
            if (method.equals("close") && lifts.get()) {
                lifts.set(false);
                lifted.countDown();
                assertThat(parkedAgain.await(20, TimeUnit.SECONDS)).isTrue();
            }
            return result;
        }));
        start(builder());
        failing.add("b1");
        kafka.event(P0, "bob", "b1");
        eventually(() -> isParked(1));
        failing.clear();
        redrive("bob");
        eventually(() -> lifted.getCount() == 0);
        failing.add("b2");
        kafka.event(P0, "bob", "b2");
        eventually(() -> isParked(1));
        eventually(() -> kafka.committed(P0) == 2);
        parkedAgain.countDown();
        kafka.event(P0, "bob", "b3");
        eventually(() -> kafka.committed(P0) == 3);
        assertThat(handled).containsExactly("b1");
        assertThat(inbox.parking().load("g").get(0).events()).isEqualTo(2);
    }

    @Test
    void parked_events_are_handled_while_all_handlers_of_live_ones_are_busy_and_the_other_way_round()
            throws SQLException {
        start(builder().concurrency(1));
        List<String> parked = List.of("u1", "u2", "u3", "u4");
        for (String id : parked) {
            failing.add(id);
            kafka.event(P0, id, id);
        }
        eventually(() -> isParked(4));
        CountDownLatch live = new CountDownLatch(1);
        held.put("live", live);
        kafka.event(P0, "live", "live");
        eventually(() -> begun.contains("live"));
        failing.clear();
        redrive("u1");
        eventually(() -> handled.contains("u1"));
        parked.subList(1, 4).forEach(id -> held.put(id, new CountDownLatch(1)));
        begun.clear();
        for (String id : parked.subList(1, 4)) {
            redrive(id);
        }
        eventually(() -> begun.containsAll(parked.subList(1, 4)));
        live.countDown();
        kafka.event(P0, "more", "more");
        eventually(() -> handled.contains("more"));
    }

    @Test
    void a_handler_of_a_parked_event_that_is_interrupted_at_close_has_not_failed() throws SQLException {
        ConsumerRunner first = start(builder());
        failing.add("b1");
        kafka.event(P0, "bob", "b1");
        eventually(() -> isParked(1));
        failing.clear();
        held.put("b1", new CountDownLatch(1));
        begun.clear();
        redrive("bob");
        eventually(() -> begun.contains("b1"));
        first.close(Duration.ofSeconds(2));
        assertThat(handled).isEmpty();
        assertThat(inbox.parking().load("g")).singleElement().satisfies(key -> {
            assertThat(key.state()).isEqualTo(State.REDRIVE);
            assertThat(key.redrives()).isZero();
        });
    }

    @Test
    void close_waits_for_a_handler_of_a_parked_event_and_begins_no_other() throws SQLException {
        ConsumerRunner first = start(builder());
        failing.add("b1");
        kafka.event(P0, "bob", "b1");
        kafka.event(P0, "bob", "b2");
        eventually(() -> kafka.committed(P0) == 2);
        failing.clear();
        CountDownLatch latch = new CountDownLatch(1);
        held.put("b1", latch);
        begun.clear();
        redrive("bob");
        eventually(() -> begun.contains("b1"));
        Thread closing = new Thread(() -> first.close(Duration.ofSeconds(20)));
        closing.start();
        eventually(() -> first.health().status() == RunnerHealth.Status.STOPPING);
        latch.countDown();
        eventually(() -> first.health().status() == RunnerHealth.Status.STOPPED);
        assertThat(handled).containsExactly("b1");
        assertThat(inbox.parking().load("g").get(0).state()).isEqualTo(State.REDRIVE);
        assertThat(inbox.parking().load("g").get(0).events()).isEqualTo(1);
    }

    @Test
    void an_executor_that_throws_an_error_keeps_no_key_taken() throws SQLException {
        AtomicInteger refused = new AtomicInteger(20);
        start(builder().executor(task -> {
            if (Thread.currentThread().getName().startsWith("parked keys") && refused.getAndDecrement() > 0) {
                throw new NoClassDefFoundError("an executor's");
            }
            task.run();
        }));
        failing.add("b1");
        kafka.event(P0, "bob", "b1");
        eventually(() -> isParked(1));
        failing.clear();
        refused.set(2);
        redrive("bob");
        eventually(() -> handled.contains("b1"));
        assertThat(refused.get()).isNegative();
    }

    @Test
    void an_executor_that_drops_turns_of_parked_keys_is_told_and_keeps_no_key_taken() throws SQLException {
        AtomicBoolean drops = new AtomicBoolean();
        ConsumerRunner running = start(builder().executor(task -> {
            boolean ofParked = Thread.currentThread().getName().startsWith("parked keys");
            if (!ofParked || !drops.compareAndSet(true, false)) {
                task.run();
            }
        }));
        failing.add("b1");
        kafka.event(P0, "bob", "b1");
        eventually(() -> isParked(1));
        failing.clear();
        drops.set(true);
        redrive("bob");
        eventually(() -> running.health().problems().stream().anyMatch(it -> it.contains("drops tasks")));
        eventually(() -> handled.contains("b1"));
        eventually(() -> running.health().problems().stream().noneMatch(it -> it.contains("drops tasks")));
    }

    @Test
    void an_executor_that_refuses_turns_of_parked_keys_is_told() throws SQLException {
        AtomicBoolean refuses = new AtomicBoolean();
        ConsumerRunner running = start(builder().executor(task -> {
            if (refuses.get() && Thread.currentThread().getName().startsWith("parked keys")) {
                throw new RejectedExecutionException("shut down");
            }
            task.run();
        }));
        failing.add("b1");
        kafka.event(P0, "bob", "b1");
        eventually(() -> isParked(1));
        failing.clear();
        refuses.set(true);
        redrive("bob");
        eventually(() -> running.health().problems().stream().anyMatch(it -> it.contains("refuses parked events")));
        refuses.set(false);
        eventually(() -> handled.contains("b1"));
    }

    @Test
    void many_keys_that_are_redriven_at_once_are_not_drained_a_few_a_second() throws SQLException {
        int many = 80;
        start(builder());
        for (int n = 0; n < many; n++) {
            comesBack("user-" + n, "u" + n);
        }
        assertThat(RunLoop.await(Duration.ofSeconds(10), () -> handled.size() == many))
                .as(() -> "handled %d; four a second are 40".formatted(handled.size()))
                .isTrue();
    }

    @Test
    void a_parked_key_whose_events_fail_waits_for_their_delays_and_not_for_a_look_each_second() throws SQLException {
        int many = 30;
        comesBack("bob", "letter");
        for (int n = 0; n < many; n++) {
            failingOnce.add("b" + n);
            follows("bob", "b" + n);
        }
        start(builder()
                .retry(RetryConfig.custom()
                        .maxAttempts(3)
                        .waitDuration(Duration.ofMillis(10))
                        .build()));
        assertThat(RunLoop.await(Duration.ofSeconds(10), () -> handled.size() == many + 1))
                .as(() -> "handled %d; one a second are 10".formatted(handled.size()))
                .isTrue();
        assertThat(begun).hasSize(2 * many + 1);
    }

    @Test
    void a_key_goes_on_at_once_behind_an_event_that_is_a_dead_letter_now() throws SQLException {
        int many = 30;
        comesBack("bob", "letter");
        for (int n = 0; n < many; n++) {
            failing.add("b" + n);
            follows("bob", "b" + n);
        }
        follows("bob", "last");
        start(builder().afterRetries(AfterRetries.deadLetter(LETTERS)));
        assertThat(RunLoop.await(Duration.ofSeconds(10), () -> handled.contains("last")))
                .as(() -> "begun %s; one a second are 10".formatted(begun))
                .isTrue();
        assertThat(kafka.letters.history()).hasSize(many);
    }

    // ---- a key that is parked from outside, by a redrive

    /** As a redrive does it: the runner is not told. */
    private void comesBack(String user, String id) throws SQLException {
        ConsumerRecord<byte[], byte[]> record = recordOf(user, id);
        ParkedEvent event = ParkedEvent.following(id, record).failed(0, "ATTEMPTS_EXHAUSTED", null);
        assertThat(JdbcInbox.h2(database).parking().park(Mark.of("g", id, record), event, State.REDRIVE, null))
                .isEqualTo(new MarkResult.Decided());
    }

    private void follows(String user, String id) throws SQLException {
        ConsumerRecord<byte[], byte[]> record = recordOf(user, id);
        assertThat(JdbcInbox.h2(database).parking().follow(Mark.of("g", id, record), ParkedEvent.following(id, record)))
                .contains(new MarkResult.Decided());
    }

    private static ConsumerRecord<byte[], byte[]> recordOf(String user, String id) {
        return new ConsumerRecord<>(
                MockKafka.TOPIC,
                0,
                0,
                user.getBytes(UTF_8),
                MockKafka.json(user, id).getBytes(UTF_8));
    }

    /** Counts looks for keys that are due; the first mark of a live event waits for the latch. */
    private JdbcInbox watched(AtomicInteger looks, CountDownLatch waits, CountDownLatch go) {
        return JdbcInbox.h2(HookedDataSource.over(database, (real, method, arguments, rest) -> {
            if (method.equals("prepareStatement")) {
                String sql = String.valueOf(arguments[0]);
                if (sql.contains("'REDRIVE')")) {
                    looks.incrementAndGet();
                } else if (sql.contains("INSERT INTO eventbus_inbox")
                        && Thread.currentThread().getName().startsWith("handler")
                        && waits.getCount() > 0) {
                    waits.countDown();
                    assertThat(go.await(20, TimeUnit.SECONDS)).isTrue();
                }
            }
            return rest.call();
        }));
    }

    /** Its session is gone when its end is noted, so often; first something else happens. */
    private ConsumerRunner startPlainOn(AtomicInteger failures, Callable<?> first) {
        inbox = JdbcInbox.h2(HookedDataSource.over(database, (real, method, arguments, rest) -> {
            if (method.equals("prepareStatement")
                    && String.valueOf(arguments[0]).contains("DELETE FROM eventbus_parked_event")
                    && begun.contains("b1")
                    && failures.getAndDecrement() > 0) {
                first.call();
                throw new SQLException("terminating connection due to idle-in-transaction timeout", "25P03");
            }
            return rest.call();
        }));
        return start(ConsumerRunner.builder(kafka, "g")
                .on(ASSET, (event, delivery) -> begun.add(event.id()))
                .inTransaction(inbox, OTHER, (event, tx) -> {})
                .afterRetries(AfterRetries.deadLetter(LETTERS)));
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 4})
    void an_event_of_plain_on_is_not_handled_again_because_its_end_could_not_be_noted_at_once(int failures)
            throws SQLException {
        comesBack("bob", "b1");
        ConsumerRunner running = startPlainOn(new AtomicInteger(failures), () -> null);
        eventually(() -> isParked(0));
        assertThat(begun).containsExactly("b1");
        assertThat(running.health().problems()).noneMatch(it -> it.contains("depend on"));
        assertThat(inbox.parking().decided(Mark.of("g", "b1", recordOf("bob", "b1"))))
                .contains(new MarkResult.Known(Outcome.DONE));
    }

    @Test
    void an_event_of_plain_on_whose_end_is_not_noted_keeps_its_place_when_an_earlier_letter_comes_before_it()
            throws SQLException {
        comesBack("bob", "b1");
        follows("bob", "b0");
        changed("ALTER TABLE eventbus_parked_event ALTER COLUMN ord DROP IDENTITY");
        startPlainOn(
                new AtomicInteger(1),
                () -> changed("UPDATE eventbus_parked_event SET ord = 100 WHERE event_id = STRINGTOUTF8('b1')"));
        eventually(() -> isParked(0));
        assertThat(begun).containsExactly("b1", "b0");
    }

    /** What its handler does on that thread, by a repository for instance, is rolled back with the user's transaction. */
    @Test
    void in_the_users_transactions_an_event_of_plain_on_has_failed_if_their_commit_fails() throws SQLException {
        AtomicInteger failures = new AtomicInteger(1);
        inbox = JdbcInbox.h2((Transactions) work -> {
            try (Connection transaction = database.getConnection()) {
                transaction.setAutoCommit(false);
                work.accept(transaction);
                if (begun.contains("b1") && failures.getAndDecrement() > 0) {
                    transaction.rollback();
                    throw new IllegalStateException("a flush at commit has met a constraint");
                }
                transaction.commit();
            } catch (SQLException e) {
                throw new IllegalStateException(e);
            }
        });
        comesBack("bob", "b1");
        start(ConsumerRunner.builder(kafka, "g")
                .on(ASSET, (event, delivery) -> begun.add(event.id()))
                .inTransaction(inbox, OTHER, (event, tx) -> {})
                .afterRetries(AfterRetries.deadLetter(LETTERS)));
        eventually(() -> inbox.parking().load("g").get(0).state() == State.PARKED);
        assertThat(begun).containsExactly("b1");
        assertThat(inbox.parking().decided(Mark.of("g", "b1", recordOf("bob", "b1"))))
                .contains(new MarkResult.Known(Outcome.PARKED));
    }

    private int changed(String sql) throws SQLException {
        try (Connection other = database.getConnection();
                Statement statement = other.createStatement()) {
            return statement.executeUpdate(sql);
        }
    }

    @Test
    void who_comes_to_own_a_parked_event_that_still_runs_elsewhere_does_not_suspect_it() throws SQLException {
        start(builder());
        CountDownLatch latch = new CountDownLatch(1);
        held.put("b1", latch);
        comesBack("bob", "b1");
        eventually(() -> begun.contains("b1"));
        AtomicInteger looks = new AtomicInteger();
        AtomicInteger notes = new AtomicInteger();
        inbox = JdbcInbox.h2(HookedDataSource.over(database, (real, method, arguments, rest) -> {
            String sql = method.equals("prepareStatement") ? String.valueOf(arguments[0]) : "";
            looks.addAndGet(sql.contains("'REDRIVE')") ? 1 : 0);
            notes.addAndGet(sql.contains("UPDATE eventbus_attempt") ? 1 : 0);
            return rest.call();
        }));
        MockKafka handedOver = MockKafka.create().ticking();
        try (ConsumerRunner ignored = builder(handedOver).build().start()) {
            handedOver.assign(P0);
            eventually(() -> looks.get() > 3);
            assertThat(notes).hasValue(0);
            latch.countDown();
            eventually(() -> isParked(0));
        }
        assertThat(begun).containsExactly("b1");
    }

    @Test
    void a_live_event_that_comes_while_a_redriven_one_of_its_key_runs_waits_behind_it() throws SQLException {
        start(builder());
        kafka.event(P0, "alice", "a1");
        eventually(() -> handled.contains("a1"));
        CountDownLatch letter = new CountDownLatch(1);
        held.put("b1", letter);
        comesBack("bob", "b1");
        eventually(() -> begun.contains("b1"));
        kafka.event(P0, "bob", "b2");
        kafka.event(P0, "carol", "c1");
        eventually(() -> handled.contains("c1"));
        assertThat(begun).containsExactly("a1", "b1", "c1");
        letter.countDown();
        eventually(() -> handled.contains("b2"));
        assertThat(handled).containsExactly("a1", "c1", "b1", "b2");
    }

    @Test
    void a_redriven_event_does_not_begin_while_a_live_one_of_its_key_waits_for_its_mark() throws SQLException {
        AtomicInteger looks = new AtomicInteger();
        CountDownLatch waits = new CountDownLatch(1);
        CountDownLatch go = new CountDownLatch(1);
        inbox = watched(looks, waits, go);
        start(builder());
        kafka.event(P0, "bob", "b2");
        eventually(() -> waits.getCount() == 0);
        comesBack("bob", "b1");
        int before = looks.get();
        eventually(() -> looks.get() > before + 2);
        assertThat(begun).isEmpty();
        go.countDown();
        eventually(() -> handled.contains("b1"));
        assertThat(handled).containsExactly("b2", "b1");
    }

    @Test
    void a_parked_key_is_drained_while_an_event_that_follows_it_waits_for_its_mark() throws SQLException {
        CountDownLatch waits = new CountDownLatch(1);
        CountDownLatch go = new CountDownLatch(1);
        failing.add("b1");
        comesBack("bob", "b1"); // its mark stands before any is watched
        inbox = watched(new AtomicInteger(), waits, go);
        start(builder());
        eventually(() -> inbox.parking().load("g").get(0).state() == State.PARKED);
        failing.clear();
        kafka.event(P0, "bob", "b2");
        eventually(() -> waits.getCount() == 0);
        redrive("bob");
        assertThat(RunLoop.await(Duration.ofSeconds(10), () -> handled.contains("b1")))
                .as("while b2 waits")
                .isTrue();
        go.countDown();
        eventually(() -> handled.contains("b2"));
        assertThat(handled).containsExactly("b1", "b2");
    }

    @Test
    void a_redriven_event_does_not_begin_while_a_live_one_of_its_key_is_in_a_batch() throws SQLException {
        AtomicInteger looks = new AtomicInteger();
        CountDownLatch go = new CountDownLatch(1);
        inbox = watched(looks, new CountDownLatch(0), go).batching(10);
        held.put("first", go);
        ConsumerRunner running = start(builder().concurrency(1));
        kafka.event(P0, "carol", "first");
        eventually(() -> begun.contains("first"));
        kafka.event(P0, "alice", "a1");
        kafka.event(P0, "bob", "b2");
        CountDownLatch alice = new CountDownLatch(1);
        held.put("a1", alice);
        eventually(() -> running.health().partitions().stream().anyMatch(partition -> partition.inFlight() == 3));
        go.countDown();
        eventually(() -> begun.contains("a1")); // and b2 is in its transaction
        comesBack("bob", "b1");
        int before = looks.get();
        eventually(() -> looks.get() > before + 2);
        assertThat(begun).containsExactly("first", "a1");
        alice.countDown();
        eventually(() -> handled.contains("b1"));
        assertThat(handled).containsExactly("first", "a1", "b2", "b1");
    }

    @Test
    void a_runner_whose_place_another_has_taken_drains_nothing_more() throws SQLException {
        AtomicInteger looks = new AtomicInteger();
        inbox = watched(looks, new CountDownLatch(0), new CountDownLatch(0));
        ConsumerRunner running = start(builder());
        kafka.event(P0, "alice", "a1");
        eventually(() -> handled.contains("a1"));
        kafka.consumer.setPollException(new FencedInstanceIdException("another has its group.instance.id"));
        eventually(() -> running.health().status() == RunnerHealth.Status.DOWN);
        comesBack("bob", "b1");
        int before = looks.get();
        eventually(() -> looks.get() > before + 2);
        assertThat(begun).containsExactly("a1");
    }
}
