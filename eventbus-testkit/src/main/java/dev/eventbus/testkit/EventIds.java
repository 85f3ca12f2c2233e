package dev.eventbus.testkit;

import java.time.InstantSource;
import java.util.UUID;
import java.util.concurrent.atomic.AtomicLong;

/** Ids in the form of production's, UUIDv7, but the same in every run: time and a counter. Thread-safe. */
final class EventIds {

    private static final long VERSION_7 = 0x7000L;
    private static final long VARIANT = 0x8000_0000_0000_0000L;

    private final InstantSource clock;
    private final AtomicLong made = new AtomicLong();

    EventIds(InstantSource clock) {
        this.clock = clock;
    }

    String next() {
        return new UUID(clock.millis() << 16 | VERSION_7, VARIANT | made.incrementAndGet()).toString();
    }
}
