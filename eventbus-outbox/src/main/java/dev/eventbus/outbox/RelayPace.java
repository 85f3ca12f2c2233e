package dev.eventbus.outbox;

import java.time.Duration;
import java.util.Set;
import java.util.concurrent.CopyOnWriteArraySet;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.LongSupplier;

/**
 * When the relay's next statement is due, and how long it rests until then.
 *
 * <p>It <em>looks</em> into the outbox 0.5, 1, 2, 4 … ms after a publish in this process or after the last look, for 250 ms; after a known
 * commit at once; otherwise after 2 to 100 ms, a quarter longer each time that nothing has moved. After a look that found events it
 * pauses for twice as long as that took, at most 10 ms, whatever is known: so under load the next finds several, and the database has time for
 * others. While a topic is stuck whose events each look reads past, it pauses for four times as long as that took, at most 1 s.
 *
 * <p>While more rows wait than fit, they are <em>read</em> by the half window, and always <em>deleted</em> by the half window or once all that
 * can come has come: few statements for many rows, and Kafka works on one half while the database works on the other. For 10 ms at
 * most they wait for company.
 *
 * <p>{@link #published()}, {@link #committed()} and {@link #outcome()} may be called from any thread, and the first two cost a look at two
 * fields unless the relay rests for long; everything else belongs to the relay's thread. The clock is the local monotonic one.
 */
final class RelayPace {

    /**
     * Lets the relays of this process find a commit soon. A plain connection has no hook for its commit, so the commit is found by
     * looking: publishing only leaves a note, and each relay's schedule looks more often for a while. Thread-safe.
     */
    static final class WakeUp {

        private final Set<RelayPace> relays = new CopyOnWriteArraySet<>();

        /** Called by publishers, inside the caller's transaction. */
        void published() {
            for (RelayPace relay : relays) {
                relay.published();
            }
        }

        /** Called once a transaction is known to have committed. */
        void committed() {
            for (RelayPace relay : relays) {
                relay.committed();
            }
        }

        void join(RelayPace relay) {
            relays.add(relay);
        }

        void leave(RelayPace relay) {
            relays.remove(relay);
        }
    }

    private static final long FIRST_STEP = Duration.ofNanos(500_000).toNanos();
    private static final long ALERT = Duration.ofMillis(250).toNanos();
    private static final long SHORTEST_REST = Duration.ofMillis(2).toNanos();
    private static final long LONGEST_REST = Duration.ofMillis(100).toNanos();
    private static final int RESTS_TO_A_LOOK = 2;
    private static final long LONGEST_PAUSE = Duration.ofMillis(10).toNanos();

    /** What is stuck is read past at each look, all of it: the database is to do other things for most of the time. */
    private static final int RESTS_TO_A_PASS = 4;

    private static final long LONGEST_PAUSE_AFTER_A_PASS = Duration.ofSeconds(1).toNanos();

    private static final Duration COMPANY = Duration.ofMillis(10);

    private final InFlight inFlight;
    private final Runnable wake;
    private final LongSupplier nanoTime;

    /** Time of the last publish; of two at the same moment either may win. */
    private volatile long publishedAt;

    private volatile boolean committed;

    /** How many outcomes have been reported since they were last settled, and how many end a rest. */
    private final AtomicInteger reported = new AtomicInteger();

    private volatile int enough = 1;

    /** Whether a publish or a commit has to wake the relay: only while it rests for longer than the first step. */
    private final AtomicBoolean armed = new AtomicBoolean();

    // The relay's thread only.
    private long seenPublishedAt;
    private long alertUntil;
    private long step = FIRST_STEP;
    private long rest = SHORTEST_REST;
    private long lookAt;

    /** Not before this, whatever happens. */
    private long pauseUntil;

    /** Not before this while anything is stuck. */
    private long readsPastAt;

    /** When the last DELETE or fetch ended. */
    private long statementAt;

    RelayPace(InFlight inFlight, Runnable wake, LongSupplier nanoTime) {
        this.inFlight = inFlight;
        this.wake = wake;
        this.nanoTime = nanoTime;
        long now = nanoTime.getAsLong();
        this.publishedAt = now;
        this.seenPublishedAt = now;
        this.alertUntil = now;
        this.lookAt = now;
        this.pauseUntil = now;
        this.readsPastAt = now;
        this.statementAt = now;
    }

    // ---- what other threads tell

    void published() {
        publishedAt = nanoTime.getAsLong();
        wakeIfArmed();
    }

    void committed() {
        committed = true;
        wakeIfArmed();
    }

    /** Kafka has said what became of an event. */
    void outcome() {
        if (reported.incrementAndGet() >= enough) {
            wake.run();
        }
    }

    private void wakeIfArmed() {
        if (armed.get() && armed.compareAndSet(true, false)) {
            wake.run();
        }
    }

    // ---- the relay's thread

    /** What was reported so far is about to be settled. */
    void settles() {
        reported.set(0);
    }

    /** A DELETE or a fetch has ended. */
    void statementEnded() {
        statementAt = nanoTime.getAsLong();
    }

    boolean isTimeToRead() {
        Set<String> stuck = inFlight.stuck();
        return inFlight.room().isFreeBeside(stuck, 0)
                && (inFlight.room().isFreeBeside(stuck, 0.5) || !inFlight.anyHandedOver() || isCompanyOver());
    }

    boolean isTimeToDelete() {
        return inFlight.deleting().isEmpty() && (inFlight.missingToHalfAcked() <= 0 || isCompanyOver());
    }

    private boolean isCompanyOver() {
        return nanoTime.getAsLong() - statementAt >= COMPANY.toNanos();
    }

    /**
     * How long to rest; what is reported, published or committed meanwhile may end it.
     *
     * @param more whether rows are known to be left that can be read now
     */
    Duration rest(boolean more) {
        boolean deletes = !inFlight.deleting().isEmpty(); // whose end ends the rest
        boolean toDelete = !deletes && !inFlight.awaitingDelete().isEmpty();
        if (toDelete && isTimeToDelete() || more && isTimeToRead()) {
            return Duration.ZERO;
        }
        int missing = deletes ? Integer.MAX_VALUE : inFlight.missingToHalfAcked();
        enough = more ? Math.max(1, missing) : 1;
        if (reported.get() >= enough) {
            return Duration.ZERO;
        }
        Duration rest = more ? COMPANY : untilNextLook();
        return toDelete && rest.compareTo(COMPANY) > 0 ? COMPANY : rest;
    }

    /** Whether it is time to look. A known commit counts once. */
    boolean due() {
        armed.set(false);
        noticePublish();
        long now = nanoTime.getAsLong();
        if (now - pauseEnd() < 0 || !committed && now - lookAt < 0) {
            return false;
        }
        committed = false; // before the look, so that a commit beside it is not missed
        return true;
    }

    /**
     * Plans the next look.
     *
     * @param moved whether this one saw an event, or a sequence number given out since the one before
     * @param tookNanos how long it took, with the DELETE before it; 0 if it found no event
     * @param passedNanos how long it took to read past events of a topic that is stuck; 0 if there is none
     */
    void looked(boolean moved, long tookNanos, long passedNanos) {
        long now = nanoTime.getAsLong();
        readsPastAt = now + Math.min(RESTS_TO_A_PASS * passedNanos, LONGEST_PAUSE_AFTER_A_PASS);
        pauseUntil = now + Math.min(RESTS_TO_A_LOOK * tookNanos, LONGEST_PAUSE);
        rest = moved ? SHORTEST_REST : Math.min(rest + rest / 4, LONGEST_REST);
        if (now - alertUntil < 0) {
            lookAt = now + step;
            step = Math.min(step * 2, LONGEST_REST);
        } else {
            lookAt = now + rest;
        }
    }

    /** How long it is until the next look, at most {@link #LONGEST_REST}: leases are kept meanwhile. A publish or a commit may bring it nearer. */
    private Duration untilNextLook() {
        long now = nanoTime.getAsLong();
        long pauseEnd = pauseEnd();
        boolean pauses = lookAt - pauseEnd <= 0;
        armed.set(!pauses && !committed && lookAt - now > FIRST_STEP);
        noticePublish();
        long untilLook = committed ? 0 : lookAt - now;
        return Duration.ofNanos(Math.max(0, Math.min(Math.max(untilLook, pauseEnd - now), LONGEST_REST)));
    }

    private long pauseEnd() {
        boolean nothingToReadPast =
                readsPastAt - pauseUntil <= 0 || inFlight.stuck().isEmpty();
        return nothingToReadPast ? pauseUntil : readsPastAt;
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
