package dev.eventbus.consumer;

import dev.eventbus.DecodeException;
import dev.eventbus.FailureReason;
import dev.eventbus.consumer.inbox.AttemptStore;
import dev.eventbus.consumer.internal.Backoff;
import dev.eventbus.consumer.internal.CrashWatch;
import dev.eventbus.consumer.internal.ParkedKeys;
import dev.eventbus.internal.Fatal;
import dev.eventbus.internal.InterruptFlag;
import dev.eventbus.internal.SqlFaults;
import io.github.resilience4j.retry.RetryConfig;
import java.sql.SQLException;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Function;
import org.apache.kafka.common.errors.InterruptException;
import org.apache.kafka.common.errors.RetriableException;
import org.jspecify.annotations.Nullable;

/**
 * Decides what becomes of a failure; {@link FailureRouter} carries it out.
 *
 * <ol>
 *   <li>No readable event, or an id that belongs to another event: set aside at once.
 *   <li>Our own steps (mark held elsewhere; inbox, dead-letter topic or what a codec needs out of reach): waited out, never an attempt.
 *   <li>A handler's failure is an outage if the user's classifier or the table of database and Kafka faults says so: waited out
 *       for as long as {@link OutageWatch} believes it.
 *   <li>A handler that was interrupted has not failed.
 *   <li>What is left uses an attempt: tried again as the retry policy says, at last set aside or stopped as the user chose.
 * </ol>
 *
 * <p>Thread-safe; the progress of a record belongs to the thread that runs its lane.
 */
final class FailurePolicy {

    /** An outage that one event alone goes on meeting for so long, while others succeed, is the event's own fault. */
    static final Duration ALONE_AT_MOST = Duration.ofMinutes(5);

    /** How deep a chain of causes is followed; chains may be circular. */
    private static final int DEEPEST_CAUSE = 32;

    /** What went wrong, and where. */
    sealed interface Failure {

        /** Null if nothing was thrown. */
        default @Nullable Throwable cause() {
            return null;
        }

        /** The record is no event of a known type. */
        record Undecodable(DecodeException cause) implements Failure {}

        /** The inbox knows the event's id with another payload. */
        record IdConflict() implements Failure {}

        /**
         * Another, uncommitted owner holds the event's mark.
         *
         * @param follows whether it may also be the key that the event is parked with
         */
        record HeldElsewhere(boolean follows) implements Failure {}

        /** A handler threw, or its transaction did not commit. */
        record HandlerFailed(Throwable cause, OutageWatch watch) implements Failure {}

        /** The start of a handler could not be noted, so it was not run. */
        record NotNoted(Throwable cause) implements Failure {}

        /** The event was running, alone at last, each time the process ended: so many times in all. */
        record EndedTheProcess(int starts) implements Failure {}

        /** A dead-letter handler threw; it is tried again for ever. */
        record LetterHandlerFailed(Throwable cause) implements Failure {}

        /** Noting or sending a dead letter failed; the handler is out of it. */
        record DeadLetteringFailed(Throwable cause) implements Failure {}
    }

    /** What becomes of it. */
    sealed interface Disposition {

        /** Until the next try; null if there is none by itself. */
        default @Nullable Duration delay() {
            return null;
        }

        /** Why nothing is tried again, if nothing is. */
        default FailureReason reason() {
            return FailureReason.ATTEMPTS_EXHAUSTED;
        }

        /** The handler runs again after the delay; the failure has used an attempt. */
        record RetryAfter(Duration delay) implements Disposition {}

        /** The same step is tried again after the delay; no attempt is used. */
        record WaitFor(Duration delay) implements Disposition {}

        /** The record goes to the dead-letter topic; its handler never runs again. */
        record SetAside(FailureReason reason) implements Disposition {}

        /**
         * The record's key is parked, with this record first.
         *
         * @param delay until its next try, without a copy being sent; null if it has failed for the last time
         */
        record ParkKey(FailureReason reason, @Nullable Duration delay) implements Disposition {}

        /** The record's partition stops, with the record unfinished. */
        record StopPartition(FailureReason reason) implements Disposition {}
    }

    private final RetryConfig retry;
    private final Backoff backoff;
    private final Function<? super Throwable, ? extends @Nullable FailureKind> classify;
    private final boolean stopsPartition;
    private final boolean parksKey;

    FailurePolicy(
            RetryConfig retry,
            Function<? super Throwable, ? extends @Nullable FailureKind> classify,
            @Nullable AfterRetries afterRetries) {
        this.retry = retry;
        this.parksKey = afterRetries != null && afterRetries.inbox() != null;
        this.backoff = new Backoff(retry, parksKey ? Backoff.LONGEST_PARKED : Backoff.LONGEST_IN_MEMORY);
        this.classify = classify;
        this.stopsPartition = afterRetries != null && afterRetries.stopsPartition();
    }

    /** Whether later events of a key pass one that fails for good. */
    boolean goesOn() {
        return !parksKey && !stopsPartition;
    }

    /** Decides, and counts what it decides on the record: an attempt used, or one more wait. */
    Disposition decide(Failure failure, InFlight record, Instant now) {
        if (failure instanceof Failure.Undecodable undecodable) {
            if (undecodable.cause().isForNow()) {
                return waiting(record);
            }
            return new Disposition.SetAside(undecodable.cause().reason());
        }
        if (failure instanceof Failure.IdConflict) {
            return new Disposition.SetAside(FailureReason.ID_CONFLICT);
        }
        if (failure instanceof Failure.HeldElsewhere held) {
            int times = record.held().again(held.follows());
            long spread = record.record().offset();
            return new Disposition.WaitFor(
                    held.follows() ? Backoff.keyInHand(times, spread) : Backoff.heldElsewhere(times, spread));
        }
        if (failure instanceof Failure.DeadLetteringFailed || failure instanceof Failure.NotNoted) {
            return waiting(record);
        }
        if (failure instanceof Failure.EndedTheProcess) {
            return last(FailureReason.CRASHED_HANDLER, record);
        }
        if (failure instanceof Failure.LetterHandlerFailed letter) {
            return foreverAgain(letter.cause(), record);
        }
        if (failure instanceof Failure.HandlerFailed handler) {
            return afterHandlerFailed(handler, record, now);
        }
        throw new IllegalStateException("no rule for " + failure);
    }

    /**
     * Why an event died, told from what is noted of its attempts. The last of them may not be, since it is noted after the event was
     * marked as dying.
     */
    FailureReason whyItDied(AttemptStore.Attempts noted) {
        if (noted.starts() >= CrashWatch.MAX_STARTS) {
            return FailureReason.CRASHED_HANDLER;
        }
        return noted.failures() + 1 >= retry.getMaxAttempts()
                ? FailureReason.ATTEMPTS_EXHAUSTED
                : FailureReason.NOT_RETRYABLE;
    }

    private Disposition afterHandlerFailed(Failure.HandlerFailed failure, InFlight record, Instant now) {
        FailureKind kind = kindOf(failure.cause());
        if (isInterrupt(failure.cause())) {
            return waiting(record);
        }
        if (kind == FailureKind.OUTAGE && failure.watch().believes(record, now)) {
            return waiting(record);
        }
        record.usedAttempt();
        if (kind == FailureKind.FINAL || !isRetryable(failure.cause())) {
            return last(FailureReason.NOT_RETRYABLE, record);
        }
        if (record.attempts() >= retry.getMaxAttempts()) {
            return last(FailureReason.ATTEMPTS_EXHAUSTED, record);
        }
        Duration delay = backoff.afterAttempt(record.attempts(), failure.cause());
        if (delay.compareTo(Backoff.LONGEST_IN_MEMORY) <= 0) {
            return new Disposition.RetryAfter(delay);
        }
        return isParkable(record)
                ? new Disposition.ParkKey(FailureReason.ATTEMPTS_EXHAUSTED, delay)
                : new Disposition.RetryAfter(Backoff.LONGEST_IN_MEMORY);
    }

    private Disposition foreverAgain(Throwable cause, InFlight record) {
        if (kindOf(cause) == FailureKind.OUTAGE) {
            return waiting(record);
        }
        record.usedAttempt();
        Duration policy = backoff.inMemory(Math.min(record.attempts(), retry.getMaxAttempts()), cause);
        Duration least = Backoff.waiting(record.attempts(), record.record().offset());
        return new Disposition.RetryAfter(policy.compareTo(least) > 0 ? policy : least);
    }

    /** One without a key has no later events that would have to wait; a very long one is no entry of an index. */
    private boolean isParkable(InFlight record) {
        byte[] key = record.record().key();
        return parksKey && key != null && key.length <= ParkedKeys.LONGEST_KEY_BYTES;
    }

    private Disposition last(FailureReason reason, InFlight record) {
        if (isParkable(record)) {
            return new Disposition.ParkKey(reason, null);
        }
        return stopsPartition ? new Disposition.StopPartition(reason) : new Disposition.SetAside(reason);
    }

    private static Disposition waiting(InFlight record) {
        return new Disposition.WaitFor(
                Backoff.waiting(record.waitsAgain(), record.record().offset()));
    }

    /** Somebody wants the thread back: the event has not failed. */
    private static boolean isInterrupt(Throwable failure) {
        return chainOf(failure).stream()
                .anyMatch(cause -> cause instanceof InterruptedException || cause instanceof InterruptException);
    }

    /** The user's word first; where it is RETRY, the table's. */
    private FailureKind kindOf(Throwable failure) {
        FailureKind said = saidByUser(failure);
        if (said == FailureKind.RETRY && isInfrastructure(failure)) {
            return FailureKind.OUTAGE;
        }
        return said;
    }

    /** A classifier that fails has no opinion; its failure is kept with the handler's. */
    private FailureKind saidByUser(Throwable failure) {
        try (InterruptFlag ignored = InterruptFlag.kept()) {
            FailureKind said = classify.apply(failure);
            return said == null ? FailureKind.RETRY : said;
        } catch (Throwable e) {
            Fatal.rethrow(e);
            keepWith(failure, e);
            return FailureKind.RETRY;
        }
    }

    static boolean isInfrastructure(Throwable failure) {
        for (Throwable cause : chainOf(failure)) {
            if (cause instanceof SQLException sql && SqlFaults.isInfrastructure(sql)
                    || cause instanceof RetriableException) {
                return true;
            }
        }
        return false;
    }

    /**
     * Asks the policy's predicate along the chain of causes, since frameworks wrap what handlers throw. The predicate does not
     * say whether it is a list of what to retry or of what not to; a throwable that no list can name tells: if that one is
     * retried, the first cause that is not retried decides; if it is not, the first cause that is retried decides.
     */
    private boolean isRetryable(Throwable failure) {
        boolean retriedUnlessNamed = Boolean.TRUE.equals(asked(new Unnamed(), null));
        boolean understoodAll = true;
        for (Throwable cause : chainOf(failure)) {
            Boolean retried = asked(cause, failure);
            if (retried != null && retried != retriedUnlessNamed) {
                return retried;
            }
            understoodAll &= retried != null;
        }
        return retriedUnlessNamed && understoodAll; // a policy that cannot say yes says no
    }

    /** Null if the predicate throws, as one does that looks into a message where there is none; what it threw is kept with the failure. */
    private @Nullable Boolean asked(Throwable cause, @Nullable Throwable failure) {
        try (InterruptFlag ignored = InterruptFlag.kept()) {
            return retry.getExceptionPredicate().test(cause);
        } catch (Throwable e) {
            Fatal.rethrow(e);
            if (failure != null) {
                keepWith(failure, e);
            }
            return null;
        }
    }

    private static void keepWith(Throwable failure, Throwable another) {
        if (another != failure) {
            failure.addSuppressed(another);
        }
    }

    /** The failure and its causes; of a SQL batch also the server's words, which stand in its next exceptions. */
    private static List<Throwable> chainOf(Throwable failure) {
        List<Throwable> chain = new ArrayList<>();
        for (Throwable cause = failure; cause != null && chain.size() < DEEPEST_CAUSE; cause = cause.getCause()) {
            chain.add(cause);
            SQLException next = cause instanceof SQLException sql ? sql.getNextException() : null;
            while (next != null && chain.size() < DEEPEST_CAUSE) {
                chain.add(next);
                next = next.getNextException();
            }
        }
        return chain;
    }

    /** A throwable that no user's list can name. */
    private static final class Unnamed extends Exception {
        private static final long serialVersionUID = 1;

        Unnamed() {
            super(null, null, false, false);
        }
    }

    /**
     * How a record last met an outage.
     *
     * @param successes how many successes its handler had by then
     * @param reports how many outages its handler had reported by then
     * @param aloneSince since when many others have succeeded while this record failed; null if they have not
     */
    record Sighting(
            Instant at,
            long successes,
            long reports,
            @Nullable Instant aloneSince) {}

    /**
     * Whether an outage that a handler's event reports is believed: not for longer than five minutes in which between any two of
     * its tries at least ten times as many events of that handler succeeded as failed so. Where nobody else has anything to do it
     * is believed. Thread-safe.
     */
    static final class OutageWatch {

        private static final Duration QUIET = ALONE_AT_MOST.multipliedBy(2);
        private static final int MANY = 10;

        /** Whether an outage was reported of late; keeps the lock off the path of success. */
        private volatile boolean reported;

        /** All below guarded by this. */
        private long successes;

        private long reports;
        private Instant lastReport = Instant.MIN;

        /** Whether successes are of interest now. */
        boolean isReported() {
            return reported;
        }

        synchronized void succeeded(Instant now) {
            successes++;
            reported = !lastReport.plus(QUIET).isBefore(now);
        }

        /** Notes that the record met an outage, and says whether it is one. */
        synchronized boolean believes(InFlight record, Instant now) {
            reported = true;
            lastReport = now;
            Sighting before = record.outage();
            Instant alone = before == null ? null : aloneSince(before);
            record.outage(new Sighting(now, successes, ++reports, alone));
            return alone == null || now.isBefore(alone.plus(ALONE_AT_MOST));
        }

        /** Guarded by this. */
        private @Nullable Instant aloneSince(Sighting before) {
            Instant alone = before.aloneSince();
            if (alone != null && !before.at().isBefore(alone.plus(ALONE_AT_MOST))) {
                return alone; // convicted, and from now on tried too fast to compare with others
            }
            long succeeded = successes - before.successes();
            long failed = reports - before.reports();
            if (succeeded < MANY * failed) {
                return null;
            }
            return alone == null && succeeded > 0 ? before.at() : alone;
        }
    }
}
