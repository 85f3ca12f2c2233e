package dev.eventbus.consumer;

import static dev.eventbus.consumer.MockKafka.P0;
import static dev.eventbus.consumer.MockKafka.P1;
import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.consumer.RunnerHealth.Status;
import dev.eventbus.consumer.internal.PollWatch;
import dev.eventbus.internal.RunLoop;
import java.time.Duration;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.locks.LockSupport;
import java.util.function.BooleanSupplier;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** What is told of a runner whose polling thread somebody else's code holds. */
@Timeout(60)
class HeldPollThreadTest extends SteppedRunner {

    /** What of the user's is called on the polling thread. */
    private enum Theirs {
        OBSERVED,
        RECEIVED,
        REBALANCED,
        EXECUTOR
    }

    private final MockKafka real = MockKafka.create().ticking();
    private final AtomicLong nanos = new AtomicLong(Long.MAX_VALUE - 1); // it may run over at any time
    private final ExecutorService pool = Executors.newFixedThreadPool(2);
    private final CountDownLatch held = new CountDownLatch(1);
    private final CountDownLatch goesOn = new CountDownLatch(1);
    private volatile boolean holds;

    @AfterEach
    void letGo() {
        goesOn.countDown();
        pool.shutdownNow();
    }

    private void hold() {
        if (holds) {
            held.countDown();
            try {
                goesOn.await();
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        }
    }

    private ConsumerRunnerBuilder heldBy(Theirs theirs) {
        return runner(real)
                .executor(task -> {
                    if (theirs == Theirs.EXECUTOR) {
                        hold();
                    }
                    pool.execute(task);
                })
                .listener(new RunnerListener() {
                    @Override
                    public void observed(RunnerHealth health) {
                        if (theirs == Theirs.OBSERVED) {
                            hold();
                        }
                    }

                    @Override
                    public void received(String topic, int partition, int records) {
                        if (theirs == Theirs.RECEIVED) {
                            hold();
                        }
                    }

                    @Override
                    public void rebalanced(int assigned, int revoked, int lost) {
                        if (theirs == Theirs.REBALANCED) {
                            hold();
                        }
                    }
                });
    }

    private PollLoop loopOf(ConsumerRunnerBuilder builder) {
        return new PollLoop(builder.settings(), pool, nanos::get);
    }

    private static RunLoop started(PollLoop loop) {
        RunLoop thread = new RunLoop(
                "runner g",
                () -> {
                    loop.round();
                    return loop.rest();
                },
                () -> loop.end(true));
        thread.start();
        return thread;
    }

    private static void ends(PollLoop loop, RunLoop thread) {
        loop.close(Duration.ofSeconds(5));
        thread.stop();
        assertThat(thread.awaitStopped(Duration.ofSeconds(20))).isTrue();
    }

    private void passes(Duration time) {
        nanos.addAndGet(time.toNanos());
    }

    @ParameterizedTest
    @EnumSource
    void a_runner_whose_polling_thread_is_held_is_down_until_it_comes_back(Theirs theirs) throws InterruptedException {
        ConsumerRunnerBuilder builder = heldBy(theirs);
        PollLoop loop = new PollLoop(builder.settings(), builder.settings().executor(), nanos::get);
        RunLoop thread = started(loop);
        try {
            real.assign(P0);
            real.event(P0, "alice", "a1");
            await(() -> real.committed(P0) == 1);
            await(() -> loop.health().status() == Status.UP);
            holds = true;
            real.assign(P0, P1);
            real.event(P0, "alice", "a2");
            held.await();
            passes(PollWatch.LONGEST);
            assertThat(loop.health().status()).as("it may still be honest work").isEqualTo(Status.UP);
            passes(Duration.ofNanos(1));
            assertThat(loop.health().status()).isEqualTo(Status.DOWN);
            assertThat(loop.health().problems().get(0))
                    .startsWith("the polling thread \"runner g\" has not come back since 20")
                    .contains(
                            "nothing is polled",
                            "the group gives this runner's partitions to others",
                            "A listener or an executor(…) that blocks holds it, or Kafka's client: a thread dump names it");
            assertThat(loop.health().partitions()).as("as they were seen last").isNotEmpty();
            holds = false;
            goesOn.countDown();
            await(() -> loop.health().status() == Status.UP);
            assertThat(loop.health().problems()).isEmpty();
            await(() -> real.committed(P0) == 2);
        } finally {
            goesOn.countDown();
            ends(loop, thread);
        }
    }

    @Test
    void a_polling_thread_that_waits_for_a_handler_in_a_hand_over_is_not_held() throws InterruptedException {
        CountDownLatch runs = new CountDownLatch(1);
        CountDownLatch ends = new CountDownLatch(1);
        PollLoop loop = loopOf(ConsumerRunner.builder(real, "g")
                .on(MockKafka.ASSET, (event, delivery) -> {
                    runs.countDown();
                    ends.await();
                })
                .afterRetries(AfterRetries.deadLetter(MockKafka.LETTERS)));
        RunLoop thread = started(loop);
        try {
            real.assign(P0);
            real.event(P0, "alice", "a1");
            runs.await();
            await(() -> loop.health().status() == Status.UP);
            assertThat(real.assignTelling().await(20, TimeUnit.SECONDS)).isTrue();
            int polls = real.consumer.polls.get();
            for (int i = 0; i < 3; i++) {
                passes(PollWatch.LONGEST.plusSeconds(1));
                await(() -> loop.health().status() == Status.UP);
            }
            assertThat(real.consumer.polls).as("it has waited all the time").hasValue(polls);
            ends.countDown();
            await(() -> real.committed(P0) == 1);
        } finally {
            ends.countDown();
            ends(loop, thread);
        }
    }

    @Test
    void a_runner_that_is_closed_is_not_missed() {
        PollLoop loop = loopOf(runner(real));
        RunLoop thread = started(loop);
        real.assign(P0);
        await(() -> loop.health().status() == Status.UP);
        ends(loop, thread);
        passes(Duration.ofDays(1));
        assertThat(loop.health().status()).isEqualTo(Status.STOPPED);
        assertThat(loop.health().problems()).isEmpty();
    }

    @Test
    void a_runner_that_a_test_steps_is_not_missed_between_its_rounds() {
        PollLoop loop = new PollLoop(runner(kafka).settings(), null, nanos::get);
        kafka.assign(P0);
        loop.round();
        passes(Duration.ofDays(1));
        assertThat(loop.health().status()).isEqualTo(Status.UP);
    }

    private static void await(BooleanSupplier condition) {
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(20);
        while (!condition.getAsBoolean()) {
            assertThat(System.nanoTime()).as("waited in vain").isLessThan(deadline);
            LockSupport.parkNanos(200_000);
        }
    }
}
