package dev.eventbus.consumer.inbox;

import dev.eventbus.consumer.inbox.InboxTransactions.Ending;
import java.sql.SQLException;
import java.time.Duration;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.LongSupplier;
import org.jspecify.annotations.Nullable;

/**
 * What is kept in {@code eventbus_attempt} of events that have not ended: failures, and starts whose handler has not returned. An
 * event that is still there with a start when nobody runs it was running when its process died.
 *
 * <p>Each method but the purge is one transaction of its own, committed when it returns. Thread-safe; one owner of an event at a time.
 */
public final class AttemptStore {

    /**
     * What is noted of an event.
     *
     * @param failures attempts that it has used
     * @param starts of its handler that have not come back
     */
    public record Attempts(int failures, int starts) {

        /** Of an event that nothing is noted of. */
        public static final Attempts NONE = new Attempts(0, 0);
    }

    /** What is to be noted, given what is; null to leave it. */
    @FunctionalInterface
    private interface Change {
        @Nullable
        Attempts after(Attempts known);
    }

    /** The turn of an event that must run with nothing beside it: one at a time of all that share this, and since when. For the engine; thread-safe. */
    public static final class AloneTurn {

        /** How long an event may keep all others waiting; then the next may take its turn over. */
        public static final Duration AT_MOST = Duration.ofSeconds(60);

        /** Who has the turn, or had it; identity counts. */
        public final class Taken {

            private final long since = nanos.getAsLong();
            private final boolean beside = !out.isEmpty();

            private Taken() {}

            /** Whether somebody from whom a turn was taken over still ran then: who runs now need not be who ends the process. */
            public boolean isBeside() {
                return beside;
            }

            /** Whether nobody waits for it any more. */
            public boolean isOverdue() {
                return nanos.getAsLong() - since > AT_MOST.toNanos();
            }
        }

        private final LongSupplier nanos;
        private final AtomicReference<@Nullable Taken> taken = new AtomicReference<>();

        /** All who have not come back. */
        private final Set<Taken> out = ConcurrentHashMap.newKeySet();

        public AloneTurn() {
            this(System::nanoTime);
        }

        /** @param nanos local time, as of {@link System#nanoTime()} */
        public AloneTurn(LongSupplier nanos) {
            this.nanos = nanos;
        }

        /** Null if somebody has it, and not yet for so long that it may be taken over. */
        public @Nullable Taken tryTake() {
            Taken before = taken.get();
            if (before != null && !before.isOverdue()) {
                return null;
            }
            Taken ours = new Taken();
            if (!taken.compareAndSet(before, ours)) {
                return null;
            }
            out.add(ours);
            return ours;
        }

        /** Whoever has taken it over meanwhile keeps it. */
        public void giveBack(Taken ours) {
            out.remove(ours);
            taken.compareAndSet(ours, null);
        }

        /** Whether somebody has it, and not yet for so long that others may run beside him. */
        public boolean holdsOthers() {
            Taken now = taken.get();
            return now != null && !now.isOverdue();
        }
    }

    private final InboxTransactions transactions;
    private final InboxSql.AttemptSql sql;
    private final AloneTurn alone;

    AttemptStore(InboxTransactions transactions, InboxSql.AttemptSql sql, AloneTurn alone) {
        this.transactions = transactions;
        this.sql = sql;
        this.alone = alone;
    }

    /** Held while an event runs alone: a crash takes all runners of a process, so one event at a time of all that share this. */
    public AloneTurn alone() {
        return alone;
    }

    /** What is noted of the event. */
    public Attempts of(Mark mark) throws SQLException {
        return change(mark, known -> null);
    }

    /**
     * The event is about to run beside others. Its start is noted, unless one is already that has not come back: then it is a
     * suspect and must not run so.
     *
     * @return what was noted before
     */
    public Attempts started(Mark mark) throws SQLException {
        return change(mark, known -> known.starts() > 0 ? null : new Attempts(known.failures(), 1));
    }

    /**
     * The event is about to run alone: one more start.
     *
     * @param most starts that may be noted; if they are, nothing changes and the event must not run
     * @return what was noted before
     */
    public Attempts startedAlone(Mark mark, int most) throws SQLException {
        return change(
                mark, known -> known.starts() >= most ? null : new Attempts(known.failures(), known.starts() + 1));
    }

    /**
     * The event's handler has come back and failed: its start is taken off.
     *
     * @param failures attempts that it has used by now
     */
    public void failed(Mark mark, int failures) throws SQLException {
        change(mark, known -> new Attempts(failures, Math.max(0, known.starts() - 1)));
    }

    /**
     * The event's handler has come back and failed, and its start was not noted.
     *
     * @param failures attempts that it has used by now
     */
    public void failedUncounted(Mark mark, int failures) throws SQLException {
        change(mark, known -> new Attempts(failures, known.starts()));
    }

    /** The event has ended: nothing of it needs to be known any more. */
    public void ended(Mark mark) throws SQLException {
        transactions.runOurs((connection, watch) -> {
            sql.delete(connection, mark.group(), mark.eventId());
            return new Ending<>(mark, true);
        });
    }

    /**
     * Forgets what a group noted longer ago than that by the database's clock, except of events that are dying or parked, in
     * transactions of 1,000 rows.
     *
     * @return how many events were forgotten
     */
    long purge(String group, Duration olderThan) throws SQLException {
        if (InboxSql.isForEver(olderThan)) {
            return 0;
        }
        long purged = 0;
        int batch;
        do {
            batch = transactions.runOurs((connection, watch) -> {
                int deleted = sql.purge(connection, group, olderThan);
                return new Ending<>(deleted, deleted > 0);
            });
            purged += batch;
        } while (batch == InboxSql.PURGE_BATCH);
        return purged;
    }

    private Attempts change(Mark mark, Change change) throws SQLException {
        return transactions.runOurs((connection, watch) -> {
            Attempts found = sql.find(connection, mark.group(), mark.eventId());
            Attempts known = found == null ? Attempts.NONE : found;
            Attempts changed = change.after(known);
            if (changed != null && found == null) {
                sql.insert(connection, mark.group(), mark.eventId(), changed);
            } else if (changed != null) {
                sql.update(connection, mark.group(), mark.eventId(), changed);
            }
            return new Ending<>(known, true);
        });
    }
}
