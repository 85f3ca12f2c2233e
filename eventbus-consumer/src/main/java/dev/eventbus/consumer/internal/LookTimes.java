package dev.eventbus.consumer.internal;

import java.time.Duration;
import java.util.concurrent.ConcurrentSkipListSet;
import java.util.concurrent.TimeUnit;
import java.util.function.LongSupplier;

/**
 * When parked keys are looked at: every second, and sooner where it is known that one is due sooner. Those sooner looks are apart by 10 ms
 * at least, and by four times as long as the last one took, so that a database that is slow to answer is not asked all the time.
 *
 * <p>{@link #dueIn} by any thread, the rest by the one that looks. Local time, counted from when this was made.
 */
final class LookTimes {

    /** What a look is for. */
    enum Look {
        /** Whatever there is to know. */
        ALL,
        /** Only what is due. */
        DUE,
        /** It is not yet time for one. */
        NONE
    }

    private static final long STEP = TimeUnit.MILLISECONDS.toNanos(10);

    /** What is due at a time is due by a clock that counts otherwise. */
    private static final long CLOCKS_DIFFER = TimeUnit.MILLISECONDS.toNanos(1);

    private static final int REST_TO_WORK = 4;

    private final LongSupplier nanoTime;
    private final long made;

    /** Times of sooner looks, in whole steps. */
    private final ConcurrentSkipListSet<Long> sooner = new ConcurrentSkipListSet<>();

    private long due;
    private long began;
    private long notBefore;

    LookTimes(LongSupplier nanoTime) {
        this.nanoTime = nanoTime;
        this.made = nanoTime.getAsLong();
    }

    private long now() {
        return nanoTime.getAsLong() - made;
    }

    /** A key is due after the delay. True if there is a sooner look for that, of which nobody knows yet. */
    boolean dueIn(Duration delay) {
        if (delay.compareTo(DrainLoop.PERIOD) >= 0) {
            return false;
        }
        long least = delay.isNegative() ? 0 : delay.toNanos();
        return sooner.add((now() + least + CLOCKS_DIFFER + STEP - 1) / STEP * STEP);
    }

    /** What to look for now; {@link #ended} says when to ask again. */
    Look begin() {
        began = now();
        boolean all = began - due >= 0;
        if (!all && (sooner.isEmpty() || sooner.first() > began || notBefore > began)) {
            return Look.NONE;
        }
        due = all ? began + DrainLoop.PERIOD.toNanos() : due;
        sooner.headSet(began, true).clear();
        return all ? Look.ALL : Look.DUE;
    }

    /** How long to rest until the next look. */
    Duration ended(Look look) {
        long now = now();
        if (look != Look.NONE) {
            notBefore = now + REST_TO_WORK * (now - began);
        }
        Long soon = sooner.isEmpty() ? null : sooner.first();
        long next = soon == null ? due : Math.min(due, Math.max(soon, notBefore));
        return Duration.ofNanos(Math.max(0, next - now));
    }
}
