package dev.eventbus.consumer;

import static dev.eventbus.consumer.MockKafka.ASSET;
import static dev.eventbus.consumer.MockKafka.LETTERS;
import static dev.eventbus.consumer.MockKafka.P0;
import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.consumer.RunnerHealth.Status;
import io.github.resilience4j.retry.RetryConfig;
import java.time.Duration;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.LockSupport;
import java.util.function.BooleanSupplier;
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

    private static void await(BooleanSupplier condition) {
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(20);
        while (!condition.getAsBoolean()) {
            assertThat(System.nanoTime()).as("waited in vain").isLessThan(deadline);
            LockSupport.parkNanos(200_000);
        }
    }
}
