package dev.eventbus.consumer.internal;

import static org.assertj.core.api.Assertions.assertThat;

import io.github.resilience4j.core.IntervalBiFunction;
import io.github.resilience4j.core.IntervalFunction;
import io.github.resilience4j.retry.RetryConfig;
import java.io.UncheckedIOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;
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

    /** T-02, of policies drawn at random and two at the edges of what a long can hold. */
    @Test
    void T02_delays_grow_to_the_cap_and_are_never_negative_whatever_the_attempt_and_the_policy() {
        Random random = new Random(2);
        List<IntervalFunction> policies = new ArrayList<>(List.of(
                IntervalFunction.ofExponentialBackoff(1, 10, Long.MAX_VALUE),
                IntervalFunction.ofExponentialBackoff(Long.MAX_VALUE / 2, 2)));
        for (int i = 0; i < 100; i++) {
            policies.add(IntervalFunction.ofExponentialBackoff(
                    1 + random.nextInt(60_000), 1 + random.nextDouble() * 9, 60_000 + random.nextLong(1L << 62)));
        }
        for (IntervalFunction policy : policies) {
            Backoff backoff = backoff(policy);
            Duration before = Duration.ZERO;
            for (int attempt : attempts(random)) {
                Duration delay = backoff.afterAttempt(attempt, CAUSE);
                assertThat(delay).isBetween(before, Backoff.LONGEST_IN_MEMORY);
                before = delay;
            }
            assertThat(before.isZero()).isFalse();
        }
    }

    @Test
    void T02_jitter_stays_between_nothing_and_the_cap() {
        Random random = new Random(3);
        for (int i = 0; i < 100; i++) {
            Backoff backoff = backoff(IntervalFunction.ofExponentialRandomBackoff(
                    1 + random.nextInt(60_000), 1 + random.nextDouble() * 9, random.nextDouble(), Long.MAX_VALUE));
            for (int attempt : attempts(random)) {
                assertThat(backoff.afterAttempt(attempt, CAUSE)).isBetween(Duration.ZERO, Backoff.LONGEST_IN_MEMORY);
            }
        }
    }

    @Test
    void what_somebody_else_holds_is_asked_for_again_soon_and_then_up_to_5_seconds_later() {
        for (long offset = 0; offset < 100; offset++) {
            assertThat(Backoff.heldElsewhere(1, offset)).isEqualTo(Duration.ofMillis(250));
            assertThat(Backoff.heldElsewhere(2, offset)).isBetween(Duration.ofMillis(375), Duration.ofMillis(500));
            assertThat(Backoff.heldElsewhere(4, offset)).isBetween(Duration.ofMillis(1_500), Duration.ofSeconds(2));
            assertThat(Backoff.heldElsewhere(6, offset)).isBetween(Duration.ofMillis(3_750), Duration.ofSeconds(5));
            assertThat(Backoff.heldElsewhere(Integer.MAX_VALUE, offset)).isEqualTo(Backoff.heldElsewhere(6, offset));
        }
    }

    @Test
    void a_policy_that_fails_or_has_no_answer_costs_a_delay_of_our_own_and_not_the_event() {
        IllegalStateException bug = new IllegalStateException("a bug in the policy");
        Duration instead = backoff(attempt -> {
                    throw bug;
                })
                .afterAttempt(3, CAUSE);
        assertThat(instead).isBetween(Duration.ofMillis(600), Duration.ofMillis(800));
    }

    /** From 1 to 10,000, ascending. */
    private static List<Integer> attempts(Random random) {
        return IntStream.concat(IntStream.rangeClosed(1, 20), random.ints(20, 20, 10_001))
                .sorted()
                .boxed()
                .toList();
    }

    @Test
    void finds_the_longest_delay_that_jitter_can_bring() {
        Backoff backoff = backoff(IntervalFunction.ofRandomized(Duration.ofSeconds(25), 0.5));
        assertThat(backoff.longest(4)).isGreaterThan(Backoff.LONGEST_IN_MEMORY);
    }

    @Test
    void a_policy_that_knows_exceptions_of_its_own_only_says_nothing_of_its_longest_delay() {
        IntervalBiFunction<Object> own =
                (attempt, failure) -> ((UncheckedIOException) failure.getLeft()).getCause() == null ? 1L : 2L;
        assertThat(new Backoff(RetryConfig.custom().intervalBiFunction(own).build()).longest(4))
                .isEqualTo(Duration.ZERO);
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
