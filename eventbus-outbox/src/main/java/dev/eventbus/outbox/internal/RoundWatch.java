package dev.eventbus.outbox.internal;

import java.time.Duration;
import java.util.Optional;
import java.util.function.LongSupplier;

/**
 * Whether the relay's thread still comes by. One that is held, by a listener that blocks, say, can say nothing itself, so that others
 * look. The relay's thread says that it comes by, and any thread asks.
 */
public final class RoundWatch {

    /** Rounds follow each other within so much, also after one that failed. */
    private static final Duration REST = Duration.ofSeconds(2);

    private final long longest;
    private final LongSupplier nanoTime;

    private volatile long seenAt;

    /** Rounds that are made by hand come when somebody likes, and are not missed. */
    private volatile boolean loops;

    /** @param lease no statement takes longer, and it has run out once nothing was heard for so long */
    public RoundWatch(Duration lease, LongSupplier nanoTime) {
        this.longest = lease.plus(REST).toNanos();
        this.nanoTime = nanoTime;
    }

    /** Relay's thread: from now on rounds follow each other by themselves. */
    public void loops() {
        comesBy();
        loops = true;
    }

    /** Relay's thread: it comes by, between two rounds or between two statements of one. Returns when, in local time. */
    public long comesBy() {
        long now = nanoTime.getAsLong();
        seenAt = now;
        return now;
    }

    /** For how long the relay's thread has not come by, if that is longer than any statement takes. Its leases have run out then. */
    public Optional<Duration> heldFor() {
        long held = nanoTime.getAsLong() - seenAt;
        return loops && held > longest ? Optional.of(Duration.ofNanos(held)) : Optional.empty();
    }
}
