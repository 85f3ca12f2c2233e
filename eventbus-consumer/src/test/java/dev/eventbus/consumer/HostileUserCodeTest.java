package dev.eventbus.consumer;

import static dev.eventbus.consumer.MockKafka.ASSET;
import static dev.eventbus.consumer.MockKafka.LETTERS;
import static dev.eventbus.consumer.MockKafka.P0;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.eventbus.Codec;
import dev.eventbus.EventType;
import dev.eventbus.consumer.RunnerHealth.Status;
import io.github.resilience4j.retry.RetryConfig;
import java.time.Duration;
import java.time.temporal.ChronoUnit;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.LockSupport;
import java.util.function.BooleanSupplier;
import org.apache.kafka.common.errors.InterruptException;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Listeners, classifiers, policies and executors that throw what they like: nothing is lost, and no key hangs. */
@Timeout(60)
class HostileUserCodeTest extends SteppedRunner {

    @Test
    void a_listener_that_throws_an_error_changes_nothing() {
        ConsumerRunner runner = runner(kafka)
                .listener(new RunnerListener() {
                    @Override
                    public void handled(String eventType, Delivery delivery, Duration took) {
                        throw new AssertionError("a listener's");
                    }

                    @Override
                    public void rebalanced(int assigned, int revoked, int lost) {
                        throw new NoClassDefFoundError("a listener's");
                    }
                })
                .build();
        kafka.assign(P0);
        runner.runOnce();
        kafka.event(P0, "alice", "a1");
        kafka.event(P0, "alice", "a2");
        settle(runner);
        assertThat(handled).containsExactly("a1", "a2");
        assertThat(kafka.committed(P0)).isEqualTo(2);
        assertThat(runner.health().status()).isEqualTo(Status.UP);
    }

    @Test
    void a_retry_predicate_that_throws_means_not_retryable_and_a_classifier_that_does_has_no_opinion() {
        failing.add("bob");
        ConsumerRunner runner = runner(kafka)
                .retry(RetryConfig.custom()
                        .maxAttempts(4)
                        .retryOnException(e -> {
                            throw new ClassCastException();
                        })
                        .build())
                .classify(e -> {
                    throw new NoClassDefFoundError();
                })
                .build();
        kafka.assign(P0);
        runner.runOnce();
        kafka.event(P0, "bob", "b1");
        settle(runner);
        assertThat(letterReasons()).containsExactly("NOT_RETRYABLE");
        assertThat(kafka.committed(P0)).isEqualTo(1);
    }

    /** As a Kotlin handler's {@code TODO()} or a service loader throws them: no exception, and not the JVM's own. */
    @Test
    void an_error_of_a_listener_runs_no_handler_again() {
        ConsumerRunner runner = runner(kafka)
                .listener(new RunnerListener() {
                    @Override
                    public void handled(String eventType, Delivery delivery, Duration took) {
                        throw new Error("a listener's");
                    }

                    @Override
                    public void retried(String eventType, Delivery delivery, Throwable cause, Duration delay) {
                        throw new StackOverflowError();
                    }
                })
                .build();
        kafka.assign(P0);
        runner.runOnce();
        failing.add("b1");
        kafka.event(P0, "alice", "a1");
        kafka.event(P0, "bob", "b1");
        settle(runner);
        failing.clear();
        jump(runner);
        assertThat(handled).containsExactly("a1", "b1");
        assertThat(kafka.committed(P0)).isEqualTo(2);
        assertThat(runner.health().status()).isEqualTo(Status.UP);
    }

    @Test
    void an_error_of_a_classifier_or_an_interval_is_no_opinion_and_one_of_a_predicate_means_not_retryable() {
        ConsumerRunner runner = runner(kafka)
                .retry(RetryConfig.custom()
                        .maxAttempts(3)
                        .intervalFunction(attempt -> {
                            if (!failing.isEmpty()) {
                                throw new Error("an interval's");
                            }
                            return 100L;
                        })
                        .retryOnException(e -> {
                            if (failing.contains("carol")) {
                                throw new Error("a predicate's");
                            }
                            return true;
                        })
                        .build())
                .classify(e -> {
                    throw new Error("a classifier's");
                })
                .build();
        kafka.assign(P0);
        runner.runOnce();
        failing.add("bob");
        kafka.event(P0, "bob", "b1");
        settle(runner);
        jump(runner);
        jump(runner);
        assertThat(triedAt).hasSize(3);
        assertThat(letterReasons()).containsExactly("ATTEMPTS_EXHAUSTED");
        failing.add("carol");
        kafka.event(P0, "carol", "c1");
        settle(runner);
        assertThat(letterReasons()).containsExactly("ATTEMPTS_EXHAUSTED", "NOT_RETRYABLE");
        assertThat(kafka.committed(P0)).isEqualTo(2);
    }

    @Test
    void a_stack_that_runs_over_on_the_poll_thread_ends_nothing() {
        AtomicInteger observed = new AtomicInteger();
        MockKafka real = MockKafka.create().ticking();
        ConsumerRunner runner = runner(real)
                .listener(new RunnerListener() {
                    @Override
                    public void observed(RunnerHealth health) {
                        if (observed.incrementAndGet() == 2) {
                            throw new StackOverflowError();
                        }
                    }
                })
                .build();
        try {
            real.consumer.schedulePollTask(() -> {
                throw new StackOverflowError();
            });
            runner.start();
            await(() -> observed.get() > 3);
            real.assign(P0);
            real.event(P0, "alice", "a1");
            await(() -> real.committed(P0) == 1);
            assertThat(runner.health().status()).isEqualTo(Status.UP);
        } finally {
            runner.close(Duration.ofSeconds(5));
        }
    }

    /** Whatever it throws: Kafka's client has bugs too, and another one than ours may lack a class. */
    @Test
    void a_round_that_fails_is_seen_in_health_and_the_next_one_mends_it() {
        ConsumerRunner runner = runner(kafka).build();
        kafka.assign(P0);
        runner.runOnce();
        assertThat(runner.health().status()).isEqualTo(Status.UP);
        for (Throwable bug : List.of(new IllegalStateException("a client's"), new NoClassDefFoundError("a client's"))) {
            kafka.consumer.schedulePollTask(() -> {
                if (bug instanceof Error error) {
                    throw error;
                }
                throw (RuntimeException) bug;
            });
            assertThatThrownBy(runner::runOnce).isSameAs(bug);
            assertThat(runner.health().status()).isEqualTo(Status.DEGRADED);
            assertThat(runner.health().problems())
                    .singleElement()
                    .asString()
                    .contains(bug.getClass().getName(), "bug", "wait in their topics");
            kafka.event(P0, "alice", bug.getClass().getSimpleName());
            settle(runner);
            assertThat(runner.health().status()).isEqualTo(Status.UP);
        }
        assertThat(handled).containsExactly("IllegalStateException", "NoClassDefFoundError");
    }

    @Test
    void a_limit_beyond_all_numbers_closes_all_the_same() {
        ConsumerRunner runner = runner(MockKafka.create().ticking()).build();
        runner.start();
        runner.close(ChronoUnit.FOREVER.getDuration());
        assertThat(runner.health().status()).isEqualTo(Status.STOPPED);
    }

    @Test
    void an_executor_that_throws_in_the_middle_of_a_batch_loses_no_offset() {
        MockKafka real = MockKafka.create().ticking();
        Set<Long> seen = ConcurrentHashMap.newKeySet();
        AtomicInteger executions = new AtomicInteger();
        ExecutorService pool = Executors.newFixedThreadPool(4);
        ConsumerRunner runner = ConsumerRunner.builder(real, "g")
                .on(ASSET, (event, delivery) -> seen.add(delivery.offset()))
                .afterRetries(AfterRetries.deadLetter(LETTERS))
                .executor(task -> {
                    if (executions.incrementAndGet() == 3) {
                        throw new IllegalStateException("once");
                    }
                    pool.execute(task);
                })
                .build();
        try {
            real.assign(P0);
            runner.start();
            await(() -> !runner.health().partitions().isEmpty());
            for (int i = 0; i < 50; i++) {
                real.event(P0, "k" + i, "e" + i);
            }
            await(() -> real.committed(P0) == 50);
            assertThat(seen).hasSize(50);
        } finally {
            runner.close(Duration.ofSeconds(5));
            pool.shutdownNow();
        }
    }

    /** Virtual ones where there are any. */
    @Test
    void an_executor_with_a_thread_for_each_task_runs_as_many_handlers_at_once_as_the_concurrency_says()
            throws ReflectiveOperationException {
        boolean virtual = Runtime.version().feature() >= 21;
        ExecutorService threads = virtual
                ? (ExecutorService) Executors.class
                        .getMethod("newVirtualThreadPerTaskExecutor")
                        .invoke(null)
                : Executors.newCachedThreadPool();
        int concurrency = 200;
        MockKafka real = MockKafka.create().ticking();
        CountDownLatch inside = new CountDownLatch(concurrency);
        AtomicInteger running = new AtomicInteger();
        AtomicInteger most = new AtomicInteger();
        int keys = 2 * concurrency;
        Set<String> groups = ConcurrentHashMap.newKeySet();
        Map<String, List<Long>> seen = new ConcurrentHashMap<>();
        ConsumerRunner runner = ConsumerRunner.builder(real, "g")
                .on(ASSET, (event, delivery) -> {
                    groups.add(Thread.currentThread().getThreadGroup().getName());
                    most.accumulateAndGet(running.incrementAndGet(), Math::max);
                    inside.countDown();
                    inside.await();
                    running.decrementAndGet();
                    seen.computeIfAbsent(event.key(), key -> new CopyOnWriteArrayList<>())
                            .add(delivery.offset());
                })
                .afterRetries(AfterRetries.deadLetter(LETTERS))
                .concurrency(concurrency)
                .executor(threads)
                .build();
        try {
            real.assign(P0);
            runner.start();
            await(() -> !runner.health().partitions().isEmpty());
            for (int i = 0; i < 2 * keys; i++) {
                real.event(P0, "k" + i % keys, "e" + i);
            }
            await(() -> real.committed(P0) == 2 * keys);
            assertThat(most).hasValue(concurrency);
            assertThat(seen.values())
                    .hasSize(keys)
                    .allSatisfy(offsets -> assertThat(offsets).hasSize(2).isSorted());
            assertThat(groups.contains("VirtualThreads")).isEqualTo(virtual);
        } finally {
            runner.close(Duration.ofSeconds(5));
            threads.shutdownNow();
        }
    }

    /** As a listener does that waits for an answer: it restores a flag that nobody has set. */
    @Test
    void what_is_not_ours_leaves_no_interrupt_behind() {
        List<String> interrupted = new CopyOnWriteArrayList<>();
        ConsumerRunner runner = ConsumerRunner.builder(kafka, "g")
                .on(
                        EventType.of("NOTE", String.class, Codec.<String>reading((topic, bytes) -> {
                                    note(interrupted, "codec");
                                    return new String(bytes, UTF_8);
                                }))
                                .topic(MockKafka.TOPIC)
                                .key(text -> text),
                        (event, delivery) -> {
                            note(interrupted, "handler");
                            handled.add(event.payload());
                            if (delivery.attempt() < 3) {
                                throw new IllegalStateException("no luck");
                            }
                        })
                .retry(RetryConfig.custom()
                        .maxAttempts(3)
                        .intervalFunction(attempt -> {
                            note(interrupted, "interval");
                            return 100L;
                        })
                        .retryOnException(e -> {
                            note(interrupted, "predicate");
                            return true;
                        })
                        .build())
                .classify(e -> {
                    note(interrupted, "classifier");
                    return FailureKind.RETRY;
                })
                .afterRetries(AfterRetries.deadLetter(LETTERS))
                .listener(new RunnerListener() {
                    @Override
                    public void handled(String eventType, Delivery delivery, Duration took) {
                        note(interrupted, "handled");
                        throw new IllegalStateException("a listener's");
                    }

                    @Override
                    public void retried(String eventType, Delivery delivery, Throwable cause, Duration delay) {
                        note(interrupted, "retried");
                    }

                    @Override
                    public void rebalanced(int assigned, int revoked, int lost) {
                        note(interrupted, "rebalanced");
                    }

                    @Override
                    public void observed(RunnerHealth health) {
                        note(interrupted, "observed");
                    }
                })
                .build();
        kafka.assign(P0);
        runner.runOnce();
        assertThat(Thread.currentThread().isInterrupted()).isFalse();
        kafka.record(P0, "alice", "a1");
        kafka.record(P0, "bob", "b1");
        settle(runner);
        jump(runner);
        jump(runner);
        assertThat(handled).hasSize(6).contains("a1", "b1");
        assertThat(interrupted).isEmpty();
        assertThat(Thread.currentThread().isInterrupted()).isFalse();
        assertThat(kafka.committed(P0)).isEqualTo(2);
    }

    /** Notes who begins with the flag set, and leaves it so. */
    private static void note(List<? super String> interrupted, String who) {
        if (Thread.currentThread().isInterrupted()) {
            interrupted.add(who);
        }
        Thread.currentThread().interrupt();
    }

    @Test
    void an_executor_that_leaves_the_flag_set_does_not_reach_the_poll() {
        MockKafka real = MockKafka.create().ticking();
        ExecutorService pool = Executors.newFixedThreadPool(2);
        List<Boolean> flags = new CopyOnWriteArrayList<>();
        ConsumerRunner runner = ConsumerRunner.builder(real, "g")
                .on(ASSET, (event, delivery) -> handled.add(event.id()))
                .afterRetries(AfterRetries.deadLetter(LETTERS))
                .executor(task -> {
                    pool.execute(task);
                    Thread.currentThread().interrupt();
                })
                .build();
        try {
            real.assign(P0);
            runner.start();
            real.event(P0, "alice", "a1");
            await(() -> real.committed(P0) == 1);
            real.consumer.schedulePollTask(
                    () -> flags.add(Thread.currentThread().isInterrupted()));
            await(() -> !flags.isEmpty());
            assertThat(flags).containsExactly(false);
        } finally {
            runner.close(Duration.ofSeconds(5));
            pool.shutdownNow();
        }
    }

    @Test
    void a_runner_whose_thread_was_interrupted_is_down_and_not_closed() {
        MockKafka real = MockKafka.create().ticking();
        List<RunnerHealth> observed = new CopyOnWriteArrayList<>();
        ConsumerRunner runner = runner(real)
                .listener(new RunnerListener() {
                    @Override
                    public void observed(RunnerHealth health) {
                        observed.add(health);
                    }
                })
                .build();
        try {
            real.consumer.schedulePollTask(() -> {
                Thread.currentThread().interrupt();
                throw new InterruptException("as a client does");
            });
            runner.start();
            await(() -> runner.health().status() == Status.DOWN);
            assertThat(runner.health().problems())
                    .singleElement()
                    .asString()
                    .contains("interrupted", "build a new one");
            await(() -> observed.stream().anyMatch(health -> health.status() == Status.DOWN));
        } finally {
            runner.close(Duration.ofSeconds(5));
        }
    }

    private static void await(BooleanSupplier condition) {
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(20);
        while (!condition.getAsBoolean()) {
            assertThat(System.nanoTime()).as("waited in vain").isLessThan(deadline);
            LockSupport.parkNanos(200_000);
        }
    }
}
