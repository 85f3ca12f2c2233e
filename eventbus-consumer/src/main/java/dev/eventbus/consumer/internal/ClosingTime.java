package dev.eventbus.consumer.internal;

import java.time.Duration;

/** How long a runner has to close, and the parts of that. */
public record ClosingTime(long fromNanos, long untilNanos) {

    /** From now on. */
    public static ClosingTime of(Duration limit) {
        long now = System.nanoTime();
        return new ClosingTime(now, now + limit.toNanos());
    }

    /** A third of what is left; never nothing. */
    public Duration third() {
        return Duration.ofNanos(Math.max(1_000_000, (untilNanos - System.nanoTime()) / 3));
    }

    /** What is left until the n-th fifth of all is over. */
    public Duration untilFifth(int n) {
        return Duration.ofNanos(Math.max(0, fromNanos + (untilNanos - fromNanos) / 5 * n - System.nanoTime()));
    }
}
