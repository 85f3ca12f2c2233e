package dev.eventbus.outbox;

import java.time.Duration;

/** How long the relay waits before it tries a thing that failed again: doubled each time, up to a cap. */
final class Backoff {

    private final Duration first;
    private final Duration cap;

    Backoff(Duration first, Duration cap) {
        this.first = first;
        this.cap = cap;
    }

    /** @param failures in a row, 1 or more */
    Duration after(int failures) {
        Duration wait = first.multipliedBy(1L << Math.min(failures - 1, 30));
        return wait.compareTo(cap) > 0 ? cap : wait;
    }
}
