package dev.eventbus.outbox;

import java.time.Duration;
import java.util.Set;
import java.util.concurrent.CopyOnWriteArraySet;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.LongSupplier;

/**
 * When a relay looks into the outbox next. After a publish in this process: 0.5, 1, 2, 4 … ms after it or after the last look, for
 * 250 ms; after a known commit: at once; otherwise after 2 to 100 ms, a quarter longer each time that nothing has moved.
 *
 * <p>{@link #published()} and {@link #committed()} may be called from any thread and cost a look at two fields unless the relay
 * rests for long; everything else belongs to the relay's thread. The clock is the local monotonic one.
 */
final class LookSchedule {

    /**
     * Lets the relays of this process find a commit soon. A plain connection has no hook for its commit, so the commit is found by
     * looking: publishing only leaves a note, and each relay's schedule looks more often for a while. Thread-safe.
     */
    static final class WakeUp {

        private final Set<LookSchedule> relays = new CopyOnWriteArraySet<>();

        /** Called by publishers, inside the caller's transaction. */
        void published() {
            for (LookSchedule relay : relays) {
                relay.published();
            }
        }

        /** Called once a transaction is known to have committed. */
        void committed() {
            for (LookSchedule relay : relays) {
                relay.committed();
            }
        }

        void join(LookSchedule relay) {
            relays.add(relay);
        }

        void leave(LookSchedule relay) {
            relays.remove(relay);
        }
    }

    private static final long FIRST_STEP = Duration.ofNanos(500_000).toNanos();
    private static final long ALERT = Duration.ofMillis(250).toNanos();
    private static final long SHORTEST_REST = Duration.ofMillis(2).toNanos();
    private static final long LONGEST_REST = Duration.ofMillis(100).toNanos();

    private final Runnable wake;
    private final LongSupplier nanoTime;

    /** Time of the last publish; of two at the same moment either may win. */
    private volatile long publishedAt;

    private volatile boolean committed;

    /** Whether a publish has to wake the relay: only while it rests for longer than the first step. */
    private final AtomicBoolean armed = new AtomicBoolean();

    // The relay's thread only.
    private long seenPublishedAt;
    private long alertUntil;
    private long step = FIRST_STEP;
    private long rest = SHORTEST_REST;
    private long lookAt;

    LookSchedule(Runnable wake, LongSupplier nanoTime) {
        this.wake = wake;
        this.nanoTime = nanoTime;
        long now = nanoTime.getAsLong();
        this.publishedAt = now;
        this.seenPublishedAt = now;
        this.alertUntil = now;
        this.lookAt = now;
    }

    void published() {
        publishedAt = nanoTime.getAsLong();
        wakeIfArmed();
    }

    void committed() {
        committed = true;
        wakeIfArmed();
    }

    private void wakeIfArmed() {
        if (armed.get() && armed.compareAndSet(true, false)) {
            wake.run();
        }
    }

    /** Whether it is time to look. A known commit counts once. */
    boolean due() {
        armed.set(false);
        noticePublish();
        boolean known = committed;
        if (known) {
            committed = false;
        }
        return known || nanoTime.getAsLong() - lookAt >= 0;
    }

    /**
     * Plans the next look.
     *
     * @param moved whether this one saw an event, or a sequence number given out since the one before
     */
    void looked(boolean moved) {
        long now = nanoTime.getAsLong();
        rest = moved ? SHORTEST_REST : Math.min(rest + rest / 4, LONGEST_REST);
        if (now - alertUntil < 0) {
            lookAt = now + step;
            step = Math.min(step * 2, LONGEST_REST);
        } else {
            lookAt = now + rest;
        }
    }

    /** How long to rest until the next look; a publish may end the rest. */
    Duration untilNextLook() {
        armed.set(nanoTime.getAsLong() + FIRST_STEP - lookAt < 0);
        noticePublish();
        if (committed) {
            return Duration.ZERO;
        }
        return Duration.ofNanos(Math.max(0, lookAt - nanoTime.getAsLong()));
    }

    /** A publish brings the next look nearer and never puts it off. */
    private void noticePublish() {
        long published = publishedAt;
        if (published != seenPublishedAt) {
            seenPublishedAt = published;
            alertUntil = published + ALERT;
            step = 2 * FIRST_STEP;
            lookAt = lookAt - (published + FIRST_STEP) > 0 ? published + FIRST_STEP : lookAt;
        }
    }
}
