package dev.eventbus.consumer.internal;

import static org.assertj.core.api.Assertions.assertThat;

import io.github.resilience4j.core.IntervalFunction;
import io.github.resilience4j.retry.RetryConfig;
import java.time.Duration;
import org.junit.jupiter.api.Test;

class BackoffTest {

    private static final Throwable CAUSE = new IllegalStateException();

    @Test
    void asks_the_policy_for_each_attempt() {
        Backoff backoff = backoff(IntervalFunction.ofExponentialBackoff(Duration.ofMillis(200), 2.0));
        assertThat(backoff.afterAttempt(1, CAUSE)).isEqualTo(Duration.ofMillis(200));
        assertThat(backoff.afterAttempt(2, CAUSE)).isEqualTo(Duration.ofMillis(400));
        assertThat(backoff.afterAttempt(3, CAUSE)).isEqualTo(Duration.ofMillis(800));
    }

    @Test
    void caps_what_a_policy_asks_for_at_30_seconds() {
        assertThat(backoff(attempt -> Long.MAX_VALUE).afterAttempt(1, CAUSE)).isEqualTo(Duration.ofSeconds(30));
        assertThat(backoff(attempt -> -1L).afterAttempt(1, CAUSE)).isEqualTo(Duration.ZERO);
    }

    @Test
    void finds_the_longest_delay_that_jitter_can_bring() {
        Backoff backoff = backoff(IntervalFunction.ofRandomized(Duration.ofSeconds(25), 0.5));
        assertThat(backoff.longest(4)).isGreaterThan(Backoff.LONGEST_IN_MEMORY);
    }

    @Test
    void a_policy_without_a_second_attempt_never_waits() {
        assertThat(backoff(attempt -> 1_000_000L).longest(1)).isEqualTo(Duration.ZERO);
    }

    @Test
    void waiting_doubles_from_200_ms_to_10_s_and_spreads_by_a_quarter() {
        long[] most = {200, 400, 800, 1600, 3200, 6400, 10_000, 10_000};
        for (int times = 1; times <= most.length; times++) {
            for (long offset = 0; offset < 1_000; offset++) {
                assertThat(Backoff.waiting(times, offset).toMillis())
                        .isBetween(most[times - 1] * 3 / 4, most[times - 1]);
            }
        }
        assertThat(Backoff.waiting(Integer.MAX_VALUE, 7)).isLessThanOrEqualTo(Duration.ofSeconds(10));
        assertThat(java.util.stream.LongStream.range(0, 100)
                        .mapToObj(offset -> Backoff.waiting(7, offset))
                        .distinct()
                        .count())
                .as("neighbours do not come back in one instant")
                .isGreaterThan(50);
    }

    private static Backoff backoff(IntervalFunction interval) {
        return new Backoff(
                RetryConfig.custom().maxAttempts(4).intervalFunction(interval).build());
    }
}
