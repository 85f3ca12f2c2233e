package dev.eventbus.consumer;

import static dev.eventbus.consumer.MockKafka.ASSET;
import static dev.eventbus.consumer.MockKafka.LETTERS;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import io.github.resilience4j.core.IntervalFunction;
import io.github.resilience4j.retry.RetryConfig;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;

/** A runner stepped round by round, in virtual time, on kafka-clients' mocks. */
abstract class SteppedRunner {

    final MockKafka kafka = MockKafka.create();
    final List<String> handled = new ArrayList<>();
    final Set<String> failing = new HashSet<>();
    final List<Instant> triedAt = new ArrayList<>();

    ConsumerRunnerBuilder runner(MockKafka on) {
        return ConsumerRunner.builder(on, "g")
                .on(ASSET, (event, delivery) -> {
                    if (failing.contains(event.key()) || failing.contains(event.id())) {
                        triedAt.add(on.clock().instant());
                        throw new IllegalStateException("no luck");
                    }
                    handled.add(event.id());
                })
                .retry(RetryConfig.custom()
                        .maxAttempts(4)
                        .intervalFunction(IntervalFunction.ofExponentialBackoff(Duration.ofMillis(200), 2))
                        .build())
                .afterRetries(AfterRetries.deadLetter(LETTERS));
    }

    /** Rounds until one does nothing. */
    static void settle(ConsumerRunner runner) {
        for (int i = 0; i < 1_000; i++) {
            if (runner.runOnce() == 0 && i > 3) {
                return;
            }
        }
        throw new AssertionError("does not settle");
    }

    /** To the time of the next retry, and on until nothing is left to do. */
    void jump(ConsumerRunner runner) {
        Instant due = runner.health().nextRetry();
        assertThat(due).as("somebody waits").isNotNull();
        kafka.setTo(due);
        settle(runner);
    }

    List<String> letterReasons() {
        return kafka.letters.history().stream()
                .map(letter -> new String(
                        letter.headers().lastHeader("eventbus-dlq-reason").value(), UTF_8))
                .toList();
    }
}
