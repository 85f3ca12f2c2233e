package dev.eventbus.consumer;

import static dev.eventbus.consumer.MockKafka.ASSET;
import static dev.eventbus.consumer.MockKafka.LETTERS;
import static dev.eventbus.consumer.MockKafka.P0;
import static dev.eventbus.consumer.MockKafka.P1;
import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.consumer.RunnerHealth.Status;
import io.github.resilience4j.retry.RetryConfig;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.locks.LockSupport;
import java.util.function.BooleanSupplier;
import org.apache.kafka.clients.consumer.CommitFailedException;
import org.apache.kafka.common.TopicPartition;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** A started runner with real threads, whose partitions come and go while handlers run. */
@Timeout(60)
class RebalanceTest {

    private final MockKafka kafka = MockKafka.create().ticking();
    private final BlockingQueue<String> started = new LinkedBlockingQueue<>();
    private final List<String> ended = new CopyOnWriteArrayList<>();
    private final Map<String, CountDownLatch> gates = new ConcurrentHashMap<>();
    private final Set<String> deaf = ConcurrentHashMap.newKeySet();
    private final Set<String> failOnce = ConcurrentHashMap.newKeySet();
    private final List<String> moves = new CopyOnWriteArrayList<>();

    private ConsumerRunner runner = runner();

    @AfterEach
    void close() {
        gates.values().forEach(CountDownLatch::countDown);
        runner.close(Duration.ofSeconds(5));
    }

    @Test
    void a_revoked_partition_finishes_what_stands_below_an_ended_record_and_nothing_more_so_that_nothing_is_repeated()
            throws Exception {
        gate("a1");
        start();
        kafka.event(P0, "alice", "a1");
        kafka.event(P0, "alice", "a2"); // its next owner would repeat b1 behind it
        kafka.event(P0, "bob", "b1");
        kafka.event(P0, "alice", "a3");
        awaitStarted("a1", "b1");
        await(() -> ended.contains("b1"));

        awaitHandOver(P1);
        open("a1");
        await(() -> moves.contains("+0 -1 !0"));

        assertThat(ended).containsExactly("b1", "a1", "a2");
        assertThat(kafka.committed(P0)).as("all that has ended").isEqualTo(3);
    }

    @Test
    void what_takes_longer_than_a_hand_over_may_is_not_followed_by_more() throws Exception {
        kafka.settings.put("max.poll.interval.ms", "100"); // hands over after 50 ms
        runner = runner();
        gate("a1");
        start();
        kafka.event(P0, "alice", "a1");
        kafka.event(P0, "alice", "a2");
        kafka.event(P0, "bob", "b1");
        awaitStarted("a1", "b1");
        await(() -> ended.contains("b1"));

        kafka.assign(P1);
        await(() -> moves.contains("+0 -1 !0"));
        open("a1");
        await(() -> ended.contains("a1"));
        kafka.event(P1, "carol", "c1");
        await(() -> kafka.committed(P1) == 1);
        assertThat(ended).as("a2 is the next owner's").containsExactly("b1", "a1", "c1");
        assertThat(kafka.committed(P0)).isLessThanOrEqualTo(0);
    }

    @Test
    void a_hand_over_waits_for_a_retry_that_is_near() throws Exception {
        runner = runner(retry(Duration.ofMillis(100)));
        failOnce.add("a1");
        start();
        kafka.event(P0, "alice", "a1");
        kafka.event(P0, "alice", "a2");
        kafka.event(P0, "bob", "b1");
        awaitStarted("a1", "b1");
        await(() -> ended.contains("b1") && failOnce.isEmpty());

        kafka.assign(P1);
        await(() -> moves.contains("+0 -1 !0"));
        assertThat(ended).containsExactly("b1", "a1", "a2");
        assertThat(kafka.committed(P0)).isEqualTo(3);
    }

    @Test
    void a_hand_over_does_not_wait_for_a_retry_that_is_far_nor_start_what_it_would_hold_up() throws Exception {
        runner = runner(retry(Duration.ofSeconds(20)));
        failOnce.add("a1");
        gate("b1");
        start();
        kafka.event(P0, "alice", "a1");
        kafka.event(P0, "bob", "b1");
        kafka.event(P0, "bob", "b2");
        kafka.event(P0, "carol", "c1");
        awaitStarted("a1", "b1", "c1");
        await(() -> ended.contains("c1") && runner.health().nextRetry() != null);

        awaitHandOver(P1);
        open("b1");
        await(() -> moves.contains("+0 -1 !0"));
        assertThat(ended).as("b2 would be repeated too").containsExactly("c1", "b1");
        assertThat(kafka.committed(P0)).isLessThanOrEqualTo(0);
        await(() -> runner.health().nextRetry() == null);
    }

    @Test
    void a_runner_that_closes_finishes_what_stands_below_an_ended_record_and_nothing_more() throws Exception {
        gate("a1");
        start();
        kafka.event(P0, "alice", "a1");
        kafka.event(P0, "alice", "a2");
        kafka.event(P0, "bob", "b1");
        kafka.event(P0, "alice", "a3");
        awaitStarted("a1", "b1");
        await(() -> ended.contains("b1"));

        Thread closer = new Thread(() -> runner.close(Duration.ofSeconds(20)));
        closer.start();
        await(() -> runner.health().status() == Status.STOPPING);
        open("a1");
        closer.join(10_000);
        assertThat(ended).containsExactly("b1", "a1", "a2");
        assertThat(kafka.committed(P0)).isEqualTo(3);
        assertThat(runner.health().status()).isEqualTo(Status.STOPPED);
    }

    @Test
    void I4_a_key_that_comes_back_while_its_old_handler_still_runs_waits_for_it_and_only_it() throws Exception {
        kafka.settings.put("max.poll.interval.ms", "100"); // hands over after 50 ms
        runner = runner();
        gate("a1");
        start();
        kafka.event(P0, "alice", "a1");
        awaitStarted("a1");

        kafka.assign(P1);
        await(() -> moves.contains("+0 -1 !0"));
        assertThat(kafka.committed(P0)).as("a1 has not ended").isLessThanOrEqualTo(0);
        kafka.assign(P0, P1);
        kafka.event(P0, "alice", "a1b"); // another event at another offset of the same key
        kafka.event(P0, "bob", "b1");
        awaitStarted("b1");
        await(() -> ended.contains("b1"));
        assertThat(started).as("alice waits").isEmpty();

        open("a1");
        awaitStarted("a1b");
        assertThat(ended).startsWith("b1", "a1");
    }

    @Test
    void I4_a_lost_key_is_free_only_after_its_last_record_and_not_after_one_whose_report_was_on_its_way()
            throws Exception {
        gate("a1");
        gate("a2");
        start();
        kafka.event(P0, "alice", "a1");
        kafka.event(P0, "alice", "a2");
        awaitStarted("a1");
        kafka.loseAfter(
                () -> {
                    open("a1"); // its report is not taken before this poll has returned
                    await(() -> started.contains("a2"));
                },
                P0);
        await(() -> moves.contains("+0 -0 !1"));
        awaitStarted("a2");

        kafka.assign(P0, P1);
        kafka.event(P0, "alice", "a3");
        kafka.event(P0, "bob", "b1");
        awaitStarted("b1");
        await(() -> ended.contains("b1"));
        assertThat(started).as("alice waits for a2").isEmpty();
        open("a2");
        awaitStarted("a3");
        assertThat(ended.indexOf("a2")).isLessThan(3);
    }

    @Test
    void I3_what_ends_after_its_partition_was_lost_never_touches_the_new_window() throws Exception {
        gate("a1");
        gate("a1-again");
        start();
        kafka.event(P0, "alice", "a1");
        awaitStarted("a1");

        kafka.lose(P0);
        await(() -> moves.contains("+0 -0 !1"));
        kafka.assign(P0, P1);
        kafka.record(P0, 0, "bob", MockKafka.json("bob", "a1-again"));
        awaitStarted("a1-again"); // the same offset, in the new epoch, another key
        open("a1");
        await(() -> ended.contains("a1"));
        kafka.event(P1, "carol", "c1");
        await(() -> kafka.committed(P1) == 1); // which commits what can be of all partitions
        assertThat(kafka.committed(P0))
                .as("offset 0 of the new epoch still runs")
                .isLessThanOrEqualTo(0);

        open("a1-again");
        await(() -> kafka.committed(P0) == 1);
    }

    @Test
    void a_lost_partition_is_not_waited_for_and_not_committed() throws Exception {
        gate("a2");
        start();
        kafka.event(P0, "alice", "a1");
        kafka.event(P0, "alice", "a2");
        kafka.event(P1, "bob", "b1");
        awaitStarted("a1", "a2", "b1");
        await(() -> kafka.committed(P0) == 1 && kafka.committed(P1) == 1);

        kafka.lose(P0);
        await(() -> moves.contains("+0 -0 !1"));
        open("a2");
        await(() -> ended.contains("a2"));
        kafka.event(P1, "bob", "b2");
        await(() -> kafka.committed(P1) == 2);
        assertThat(kafka.committed(P0)).isEqualTo(1);
    }

    @Test
    void what_has_ended_while_the_polling_thread_was_held_is_not_committed_once_the_partition_is_lost()
            throws Exception {
        MockKafka still = MockKafka.create();
        runner = runner(still, RunnerListener.NONE);
        gate("a1");
        runner.start();
        still.assign(P0);
        still.event(P0, "alice", "a1");
        awaitStarted("a1");

        still.consumer.schedulePollTask(() -> {
            open("a1");
            await(() -> ended.contains("a1"));
            still.advance(OffsetCommitter.PERIOD);
        });
        still.lose(P0);
        int polls = still.consumer.polls.get();
        await(() -> still.consumer.polls.get() > polls + 5);
        assertThat(still.committed(P0))
                .as("another member may have committed more")
                .isEqualTo(-1);
    }

    @Test
    void a_close_by_a_listener_waits_for_running_handlers_too() throws Exception {
        AtomicBoolean mayClose = new AtomicBoolean();
        CountDownLatch asked = new CountDownLatch(1);
        runner = runner(kafka, new RunnerListener() {
            @Override
            public void observed(RunnerHealth health) {
                if (mayClose.compareAndSet(true, false)) {
                    runner.close(Duration.ofSeconds(20));
                    asked.countDown();
                }
            }
        });
        gate("a1");
        runner.start();
        kafka.assign(P0);
        kafka.event(P0, "alice", "a1");
        awaitStarted("a1");
        mayClose.set(true);
        assertThat(asked.await(20, TimeUnit.SECONDS)).isTrue();
        int reads = kafka.clockReads.get();
        await(() -> kafka.clockReads.get() > reads + 5 || runner.health().status() == Status.STOPPED);
        open("a1");
        await(() -> runner.health().status() == Status.STOPPED);
        assertThat(kafka.committed(P0)).isEqualTo(1);
    }

    @Test
    void a_commit_that_fails_in_the_middle_of_a_rebalance_stops_nothing() throws Exception {
        gate("a1");
        start();
        kafka.event(P0, "alice", "a1");
        awaitStarted("a1");
        kafka.consumer.failCommitsWith = new CommitFailedException("the group has moved on");
        open("a1");
        kafka.assign(P1);
        await(() -> moves.contains("+0 -1 !0"));
        kafka.consumer.failCommitsWith = null;

        kafka.event(P1, "bob", "b1");
        await(() -> kafka.committed(P1) == 1);
        assertThat(kafka.committed(P0)).isLessThanOrEqualTo(0);
    }

    @Test
    void polling_goes_on_while_handlers_run_and_while_the_runner_drains() throws Exception {
        gate("a1");
        start();
        kafka.event(P0, "alice", "a1");
        kafka.event(P0, "alice", "a2");
        awaitStarted("a1");
        int whileRunning = kafka.consumer.polls.get();
        await(() -> kafka.consumer.polls.get() > whileRunning + 50);

        CountDownLatch closed = new CountDownLatch(1);
        Thread closer = new Thread(() -> {
            runner.close(Duration.ofSeconds(20));
            closed.countDown();
        });
        closer.start();
        await(() -> runner.health().status() == Status.STOPPING);
        int whileDraining = kafka.consumer.polls.get();
        await(() -> kafka.consumer.polls.get() > whileDraining + 50);
        assertThat(kafka.consumer.paused()).contains(P0);

        open("a1");
        assertThat(closed.await(10, TimeUnit.SECONDS)).isTrue();
        closer.join(10_000);
        assertThat(ended).containsExactly("a1");
        assertThat(kafka.committed(P0)).as("a1 was committed, a2 was not begun").isEqualTo(1);
        assertThat(kafka.consumer.closed()).isTrue();
    }

    /** A hook of the JVM and a block that ends: neither may take away what the drain of the other needs. */
    @Test
    void a_second_close_waits_for_the_first() throws Exception {
        gate("a1");
        start();
        kafka.event(P0, "alice", "a1");
        awaitStarted("a1");
        Thread first = new Thread(() -> runner.close(Duration.ofSeconds(20)));
        first.start();
        await(() -> runner.health().status() == Status.STOPPING);
        AtomicBoolean committed = new AtomicBoolean();
        Thread second = new Thread(() -> {
            runner.close(Duration.ofSeconds(20));
            committed.set(kafka.committed(P0) == 1);
        });
        second.start();
        await(() -> second.getState() == Thread.State.TIMED_WAITING || !second.isAlive());
        open("a1");
        second.join(10_000);
        first.join(10_000);
        assertThat(committed).isTrue();
    }

    @Test
    void closing_in_the_middle_of_a_hand_over_starts_nothing_more_of_the_partitions_that_stay() throws Exception {
        gate("a1");
        gate("b1");
        start();
        kafka.event(P0, "alice", "a1");
        kafka.event(P1, "bob", "b1");
        kafka.event(P1, "bob", "b2");
        awaitStarted("a1", "b1");
        awaitHandOver(P1);

        Thread closer = new Thread(() -> runner.close(Duration.ofSeconds(20)));
        closer.start();
        await(() -> closer.getState() == Thread.State.TIMED_WAITING);
        int reads = kafka.clockReads.get();
        await(() -> kafka.clockReads.get() > reads + 2); // the hand-over has looked again, and seen that it closes
        open("b1");
        await(() -> ended.contains("b1"));
        open("a1");
        closer.join(10_000);
        assertThat(ended).containsExactly("b1", "a1");
        assertThat(kafka.committed(P1)).isEqualTo(1);
    }

    /** As one that a pool has given up closes what it has opened. */
    @Test
    void a_thread_that_was_interrupted_before_closes_in_order_all_the_same() throws Exception {
        gate("a1");
        start();
        kafka.event(P0, "alice", "a1");
        awaitStarted("a1");
        AtomicBoolean stillInterrupted = new AtomicBoolean();
        Thread closer = new Thread(() -> {
            Thread.currentThread().interrupt();
            runner.close(Duration.ofSeconds(20));
            stillInterrupted.set(Thread.currentThread().isInterrupted());
        });
        closer.start();
        await(() -> closer.getState() == Thread.State.TIMED_WAITING || !closer.isAlive());
        open("a1");
        closer.join(20_000);
        assertThat(ended).containsExactly("a1");
        assertThat(kafka.committed(P0)).isEqualTo(1);
        assertThat(runner.health().status()).isEqualTo(Status.STOPPED);
        assertThat(stillInterrupted).isTrue();
    }

    @Test
    void a_handler_that_is_interrupted_at_close_has_not_failed() throws Exception {
        gate("a1");
        start();
        kafka.event(P0, "alice", "a1");
        awaitStarted("a1");
        runner.close(Duration.ofMillis(500));
        await(() -> runner.health().status() == Status.STOPPED);
        assertThat(kafka.letters.history()).isEmpty();
        assertThat(kafka.committed(P0)).isLessThanOrEqualTo(0);
    }

    @Test
    void a_handler_that_ignores_interrupts_holds_up_nobody_else_and_close_returns_without_it() throws Exception {
        deaf.add("a1");
        gate("a1");
        start();
        kafka.event(P0, "alice", "a1");
        awaitStarted("a1");
        kafka.event(P0, "bob", "b1");
        kafka.event(P1, "carol", "c1");
        await(() -> kafka.committed(P1) == 1 && ended.contains("b1"));

        Thread closer = new Thread(() -> runner.close(Duration.ofSeconds(1)));
        closer.start();
        closer.join(20_000);
        assertThat(closer.isAlive()).isFalse();
        await(() -> runner.health().status() == Status.STOPPED);
        assertThat(ended).as("a1 still runs").containsExactlyInAnyOrder("b1", "c1");
        assertThat(kafka.committed(P0)).as("not past a1").isLessThanOrEqualTo(0);
    }

    private void start() {
        runner.start();
        kafka.assign(P0, P1);
        await(() -> moves.contains("+2 -0 !0"));
    }

    /** Until the hand-over of what is not among these has closed it, and waits for its handlers. */
    private void awaitHandOver(TopicPartition... staying) throws InterruptedException {
        CountDownLatch begun = kafka.assignTelling(staying);
        assertThat(begun.await(20, TimeUnit.SECONDS)).isTrue();
        int reads = kafka.clockReads.get();
        await(() -> kafka.clockReads.get() > reads + 1);
    }

    private void gate(String id) {
        gates.put(id, new CountDownLatch(1));
    }

    private void open(String id) {
        CountDownLatch gate = gates.get(id);
        if (gate != null) {
            gate.countDown();
        }
    }

    private void awaitStarted(String... ids) throws InterruptedException {
        for (int i = 0; i < ids.length; i++) {
            assertThat(started.poll(20, TimeUnit.SECONDS)).isIn((Object[]) ids);
        }
    }

    private static void await(BooleanSupplier condition) {
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(20);
        while (!condition.getAsBoolean()) {
            assertThat(System.nanoTime()).as("waited in vain").isLessThan(deadline);
            LockSupport.parkNanos(200_000);
        }
    }

    private static RetryConfig retry(Duration wait) {
        return RetryConfig.custom().maxAttempts(2).waitDuration(wait).build();
    }

    private ConsumerRunner runner() {
        return runner(RetryConfig.custom().maxAttempts(1).build());
    }

    private ConsumerRunner runner(RetryConfig retry) {
        return runner(kafka, retry, new RunnerListener() {
            @Override
            public void rebalanced(int assigned, int revoked, int lost) {
                moves.add("+%d -%d !%d".formatted(assigned, revoked, lost));
            }
        });
    }

    private ConsumerRunner runner(MockKafka kafka, RunnerListener listener) {
        return runner(kafka, RetryConfig.custom().maxAttempts(1).build(), listener);
    }

    private ConsumerRunner runner(MockKafka kafka, RetryConfig retry, RunnerListener listener) {
        return ConsumerRunner.builder(kafka, "g")
                .on(ASSET, (event, delivery) -> {
                    started.add(event.id());
                    CountDownLatch gate = gates.get(event.id());
                    while (gate != null && deaf.contains(event.id()) && gate.getCount() > 0) {
                        LockSupport.parkNanos(1_000_000); // an interrupt changes nothing
                    }
                    if (gate != null && !gate.await(30, TimeUnit.SECONDS)) {
                        throw new AssertionError("the test forgot " + event.id());
                    }
                    if (failOnce.remove(event.id())) {
                        throw new IllegalStateException("once");
                    }
                    ended.add(event.id());
                })
                .retry(retry)
                .afterRetries(AfterRetries.deadLetter(LETTERS))
                .listener(listener)
                .build();
    }
}
