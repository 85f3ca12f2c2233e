package dev.eventbus.consumer.internal;

import dev.eventbus.internal.Fatal;
import dev.eventbus.internal.InterruptFlag;
import io.github.resilience4j.core.IntervalBiFunction;
import io.github.resilience4j.core.functions.Either;
import io.github.resilience4j.retry.RetryConfig;
import java.time.Duration;

/**
 * How long until the next try. Two kinds: after a failure that used an attempt the user's {@link RetryConfig} says, asked as a
 * calculator (its executor, which sleeps, is never called) and capped; a wait that uses none doubles from 200 ms to 10 s.
 *
 * <p>Pure and thread-safe, as far as the user's interval function is.
 */
public final class Backoff {

    /** Longest delay that is kept in memory; a policy that asks for more is refused when the runner is built. */
    public static final Duration LONGEST_IN_MEMORY = Duration.ofSeconds(30);

    /** Longest delay of an event that waits in the database with its parked key. */
    public static final Duration LONGEST_PARKED = Duration.ofDays(365);

    /** How long a lane whose mark another owner holds waits before it asks again for the first time. */
    public static final Duration HELD_ELSEWHERE = Duration.ofMillis(250);

    private static final long FIRST_WAIT_MILLIS = 200;
    private static final long LONGEST_WAIT_MILLIS = 10_000;
    private static final long LONGEST_HELD_MILLIS = 5_000;
    private static final int MOST_DOUBLED_BY_A_KEY = 3;

    private static final int PROBED_ATTEMPTS = 1_000;
    private static final int DRAWS = 100;

    private final IntervalBiFunction<Object> interval;
    private final Duration cap;

    public Backoff(RetryConfig retry) {
        this(retry, LONGEST_IN_MEMORY);
    }

    /** @param cap of what the policy says */
    public Backoff(RetryConfig retry, Duration cap) {
        this.interval = retry.getIntervalBiFunction();
        this.cap = cap;
    }

    /** The policy's delay after the given attempt (1 for the first), within 0 and the cap; our own if the policy fails. */
    public Duration afterAttempt(int attempt, Throwable cause) {
        Long millis;
        try (InterruptFlag ignored = InterruptFlag.kept()) {
            millis = interval.apply(attempt, Either.left(cause));
        } catch (Throwable e) {
            Fatal.rethrow(e);
            return waiting(attempt, attempt);
        }
        long wanted = millis == null ? 0 : millis;
        return Duration.ofMillis(Math.max(0, Math.min(wanted, cap.toMillis())));
    }

    /** As {@link #afterAttempt}, within 0 and 30 s. */
    public Duration inMemory(int attempt, Throwable cause) {
        Duration delay = afterAttempt(attempt, cause);
        return delay.compareTo(LONGEST_IN_MEMORY) > 0 ? LONGEST_IN_MEMORY : delay;
    }

    /**
     * The delay before the n-th repetition (1 for the first) of a step that used no attempt.
     *
     * @param spread any number that differs between records, so that thousands of keys do not come back in one instant
     */
    public static Duration waiting(int times, long spread) {
        return doubled(FIRST_WAIT_MILLIS, times, LONGEST_WAIT_MILLIS, spread);
    }

    /**
     * The delay after a mark was found to be held by somebody else the n-th time in a row (1 for the first). Most are free
     * a moment later; what stays held, by an owner that is frozen, may be thousands.
     *
     * @param spread as of {@link #waiting}
     */
    public static Duration heldElsewhere(int times, long spread) {
        return times <= 1 ? HELD_ELSEWHERE : doubled(HELD_ELSEWHERE.toMillis(), times, LONGEST_HELD_MILLIS, spread);
    }

    /** As {@link #heldElsewhere}, if a parked key is in hand: its events have gaps between them, which must be met. */
    public static Duration keyInHand(int times, long spread) {
        return heldElsewhere(Math.min(times, MOST_DOUBLED_BY_A_KEY), spread);
    }

    private static Duration doubled(long first, int times, long longest, long spread) {
        long most = Math.min(first << Math.min(Math.max(times, 1) - 1, 10), longest);
        long fraction = Math.floorMod(spread * 0x9E3779B97F4A7C15L >>> 32, 256L);
        return Duration.ofMillis(most - most * fraction / 1024); // 75 to 100 %
    }

    /** The longest delay that the policy asks for, over its attempts and many draws of its jitter. */
    public Duration longest(int maxAttempts) {
        Throwable cause = new IllegalStateException("probe");
        long longest = 0;
        for (int attempt = 1; attempt < Math.min(maxAttempts, PROBED_ATTEMPTS); attempt++) {
            for (int draw = 0; draw < DRAWS; draw++) {
                longest = Math.max(longest, asked(attempt, cause));
            }
        }
        return Duration.ofMillis(longest);
    }

    /** One that knows exceptions of its own only says nothing of another. */
    private long asked(int attempt, Throwable cause) {
        try (InterruptFlag ignored = InterruptFlag.kept()) {
            Long millis = interval.apply(attempt, Either.left(cause));
            return millis == null ? 0 : millis;
        } catch (Throwable e) {
            Fatal.rethrow(e);
            return 0;
        }
    }
}
