package dev.eventbus.testkit;

import java.time.InstantSource;
import java.util.UUID;
import java.util.concurrent.atomic.AtomicLong;

/** Ids in the form of production's, UUIDv7, but the same in every run: time and a counter. Thread-safe. */
final class EventIds {

    private static final long VERSION_7 = 0x7000L;
    private static final long VARIANT = 0x8000_0000_0000_0000L;

    private final InstantSource clock;
    private final AtomicLong made;

    /** Of an outbox in a unit test. */
    static EventIds ofOutbox(InstantSource clock) {
        return new EventIds(clock, 1L << 48);
    }

    /** Of a bus, whose consumers may be given what an outbox has recorded. */
    static EventIds ofBus(InstantSource clock) {
        return new EventIds(clock, 0);
    }

    private EventIds(InstantSource clock, long first) {
        this.clock = clock;
        this.made = new AtomicLong(first);
    }

    String next() {
        return new UUID(clock.millis() << 16 | VERSION_7, VARIANT | made.incrementAndGet()).toString();
    }
}
