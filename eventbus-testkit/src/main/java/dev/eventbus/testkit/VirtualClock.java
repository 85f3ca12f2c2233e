package dev.eventbus.testkit;

import java.time.Duration;
import java.time.Instant;
import java.time.InstantSource;

/** Time that moves only when it is told to. Begins at 2030-01-01T00:00:00Z. Thread-safe. */
final class VirtualClock implements InstantSource {

    static final Instant START = Instant.parse("2030-01-01T00:00:00Z");

    /** Guarded by "this". */
    private Instant now = START;

    @Override
    public synchronized Instant instant() {
        return now;
    }

    synchronized void advance(Duration by) {
        if (by.isNegative()) {
            throw new IllegalArgumentException("time can only be advanced, was %s".formatted(by));
        }
        now = now.plus(by);
    }

    /** Goes forward to an instant; does nothing if it has passed. */
    synchronized void advanceTo(Instant instant) {
        now = now.isAfter(instant) ? now : instant;
    }
}
