package dev.eventbus.consumer.internal;

import dev.eventbus.consumer.deadletter.DeadLetterSink;
import dev.eventbus.consumer.deadletter.Origin;
import dev.eventbus.consumer.inbox.Mark;
import dev.eventbus.consumer.inbox.Outcome;
import dev.eventbus.consumer.inbox.ParkingStore;
import dev.eventbus.consumer.inbox.RedriveRows;
import dev.eventbus.consumer.parking.ParkedEvent;
import dev.eventbus.consumer.parking.ParkedKey;
import dev.eventbus.consumer.parking.ParkingSql;
import java.sql.SQLException;
import java.time.Instant;
import java.util.concurrent.CompletionException;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Parked events whose place is the dead-letter topic: they have come from there by a redrive, or their runner parks no keys. One that fails
 * for good is a dead letter again, and its key goes on.
 *
 * <p>Thread-safe.
 */
public final class DeadAgain {

    private static final Logger LOG = LoggerFactory.getLogger(DeadAgain.class);

    private final ParkingStore store;
    private final DeadLetterSink sink;
    private final String group;
    private final boolean goesOn;
    private final SparseLog sparse = new SparseLog(LOG);

    /** @param goesOn whether later events of a key pass one that fails for good */
    public DeadAgain(ParkingStore store, DeadLetterSink sink, String group, boolean goesOn) {
        this.store = store;
        this.sink = sink;
        this.group = group;
        this.goesOn = goesOn;
    }

    /**
     * Sends the letter of an event that has failed for good.
     *
     * @param cause null if only the event knows it
     * @return whether the broker has acknowledged it
     */
    public boolean send(
            ParkedKey key, ParkedEvent event, @Nullable Throwable cause, @Nullable Instant firstFailed, Instant now)
            throws SQLException {
        Origin origin = origin(key, event, now);
        try {
            sink.send(
                            event.record(),
                            cause == null
                                    ? origin.withError(event.error(), event.attempts())
                                    : origin.withFailure(
                                            cause, event.attempts(), firstFailed == null ? now : firstFailed))
                    .toCompletableFuture()
                    .join();
            return true;
        } catch (CompletionException e) {
            return false;
        }
    }

    /** Where it comes from; of one that was a letter before, how often it was redriven. */
    private Origin origin(ParkedKey key, ParkedEvent event, Instant now) throws SQLException {
        return Origin.of(event.record(), group, event.failureReason(), now)
                .withEventId(event.eventId())
                .withRedrives(outcome(event) == Outcome.PARKED ? 0 : key.redrives());
    }

    /** What its mark says; null if there is none: of dead letters they are purged, and of parked events they are not. */
    private @Nullable Outcome outcome(ParkedEvent event) throws SQLException {
        Outcome[] outcome = new Outcome[1];
        store.inTransaction(group, rows -> {
            outcome[0] = rows.outcome(anyOf(group, event));
            return rows;
        });
        return outcome[0];
    }

    private static Mark anyOf(String group, ParkedEvent event) {
        return new Mark(group, event.eventId(), new byte[0], "any", 0, 0);
    }

    /** It has failed for good, and nobody knows whether its letter has arrived. */
    public static boolean isLetterDue(ParkedKey key, ParkedEvent event) {
        return key.state() == ParkedKey.State.WAITING
                && event.hasFailedForGood()
                && key.reason().equals(event.reason());
    }

    /** Whether it goes back, and does not stay parked. */
    public boolean goesBack(ParkedEvent event) throws SQLException {
        Outcome known = goesOn ? null : outcome(event);
        return known == null || known == Outcome.DEAD;
    }

    /**
     * The broker has acknowledged the letter: the event is not parked any more, and its key goes on with the next one, as often redriven as
     * before this one failed. Nothing changes if the key is not as it was.
     *
     * @param drained the key as it was read
     * @return whether it was changed
     */
    public boolean setAside(ParkedKey drained, ParkedEvent event, Instant now) throws SQLException {
        ParkingSql[] words = new ParkingSql[1];
        boolean changed;
        try {
            changed = store.inTransaction(group, rows -> {
                words[0] = rows.sql();
                return setAside(rows, drained, event);
            });
        } catch (SQLException e) {
            if (words[0] == null || !words[0].isLocked(e)) {
                throw e;
            }
            changed = false; // whoever has it now, what they do counts
        }
        String reason = String.valueOf(event.reason());
        if (changed) {
            sparse.warn(now, reason, "{} failed ({}) and is a dead letter again; its key goes on{}", event, reason);
        }
        return changed;
    }

    /** It has failed and stays where it is, for a person. */
    public void tellParked(ParkedEvent event, int redrives, Instant now) {
        String reason = String.valueOf(event.reason());
        sparse.warn(
                now,
                "parked " + reason,
                "{} failed ({}) and stays parked with its key, {} redrives of which have failed; later events of the key wait behind it: mend the cause, then redrive or discard the key{}",
                event,
                reason,
                redrives);
    }

    private boolean setAside(RedriveRows rows, ParkedKey drained, ParkedEvent event) throws SQLException {
        boolean there = rows.parked().lockUnchanged(rows.connection(), drained) && isDead(rows, event);
        if (there) {
            rows.forget(event.eventId());
            int before = Math.max(0, drained.redrives() - 1);
            rows.parked().changeKey(rows.connection(), event, ParkedKey.State.REDRIVE, null, before);
            rows.keep();
        }
        return there;
    }

    /** Makes it true that it is a dead letter, also where its mark is gone: else its letter would be sent again and again. */
    private boolean isDead(RedriveRows rows, ParkedEvent event) throws SQLException {
        return rows.parked().settle(rows.connection(), event.eventId(), Outcome.DEAD.name())
                || rows.outcome(anyOf(group, event)) == null
                        && rows.mark(Mark.of(group, event.eventId(), event.record()), Outcome.DEAD);
    }
}
