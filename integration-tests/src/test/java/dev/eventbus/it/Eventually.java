package dev.eventbus.it;

import java.time.Duration;
import java.util.concurrent.Callable;
import java.util.concurrent.locks.LockSupport;
import java.util.function.Supplier;

/** Waits for what other threads and processes bring about, by looking again and again; never for a length of time. */
public final class Eventually {

    private static final Duration LIMIT = Duration.ofSeconds(60);

    private Eventually() {}

    /** Looks until the condition holds; fails after a minute, saying what was seen last. */
    public static void holds(Callable<Boolean> condition, Supplier<?> seen) {
        holds(LIMIT, condition, seen);
    }

    public static void holds(Duration limit, Callable<Boolean> condition, Supplier<?> seen) {
        long deadline = System.nanoTime() + limit.toNanos();
        while (!isTrue(condition)) {
            if (System.nanoTime() - deadline > 0) {
                throw new AssertionError("not within " + limit + "; seen last: " + seen.get());
            }
            LockSupport.parkNanos(Duration.ofMillis(5).toNanos());
        }
    }

    private static boolean isTrue(Callable<Boolean> condition) {
        try {
            return condition.call();
        } catch (RuntimeException e) {
            throw e;
        } catch (Exception e) {
            throw new IllegalStateException(e);
        }
    }
}
