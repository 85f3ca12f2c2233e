package dev.eventbus.embedded;

import java.time.Duration;
import java.util.concurrent.locks.LockSupport;
import java.util.function.BooleanSupplier;

/** Looks at a condition until it holds or a deadline of the monotonic clock is over. */
final class Await {

    private static final Duration BETWEEN_LOOKS = Duration.ofMillis(5);

    private Await() {}

    /** Whether the condition came to hold in time; an interrupt ends the wait with an exception and stays set. */
    static boolean until(Duration atMost, BooleanSupplier condition) {
        long start = System.nanoTime();
        while (!condition.getAsBoolean()) {
            if (System.nanoTime() - start > atMost.toNanos()) {
                return false;
            }
            LockSupport.parkNanos(BETWEEN_LOOKS.toNanos());
            if (Thread.currentThread().isInterrupted()) {
                throw new EmbeddedServerException("Interrupted while waiting for a server");
            }
        }
        return true;
    }
}
