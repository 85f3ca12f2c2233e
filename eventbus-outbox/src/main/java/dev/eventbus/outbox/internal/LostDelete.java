package dev.eventbus.outbox.internal;

import java.time.Duration;
import java.util.function.LongSupplier;

/**
 * What is known of a DELETE that has not been answered with a success: whether it has committed, and whether it may still run. It is
 * repeated on another connection, which meets the locks of one that still runs. One thread only.
 */
public final class LostDelete {

    private final long longest;
    private final LongSupplier nanoTime;

    private boolean isOpen;

    /** Whether the connection that it was sent on is lost, and it was not repeated since. */
    private boolean unanswered;

    private boolean mayStillRun;
    private long lostAt;

    /** @param longest what is locked for longer is somebody else's */
    public LostDelete(Duration longest, LongSupplier nanoTime) {
        this.longest = longest.toNanos();
        this.nanoTime = nanoTime;
    }

    /**
     * The last DELETE, if there was one, may or may not have committed.
     *
     * @param connectionLost whether the database may be at it still
     */
    public void lost(boolean connectionLost) {
        isOpen = true;
        if (connectionLost) {
            unanswered = true;
            lostAt = nanoTime.getAsLong();
        }
    }

    /** Whether nobody has looked yet what has become of it. */
    public boolean isOpen() {
        return isOpen;
    }

    /** It was looked what has become of it, and if it was of anything, that was {@link #repeated}. */
    public void close() {
        isOpen = false;
        unanswered = false;
    }

    /** A DELETE of what it was of, and perhaps of more, has succeeded; what is locked stays. */
    public void repeated(boolean someLocked) {
        mayStillRun = (unanswered || mayStillRun) && someLocked;
        unanswered = false;
    }

    /** Nothing of what it was of is left that it could delete. */
    public void isOfNothing() {
        mayStillRun = false;
    }

    /** Whether rows that are gone may have been deleted by it. */
    public boolean mayHaveDeleted() {
        return isOpen || mayStillRun;
    }

    /** Whether it may yet delete what is locked. */
    public boolean mayStillRun() {
        return mayStillRun && nanoTime.getAsLong() - lostAt < longest;
    }
}
