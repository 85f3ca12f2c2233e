package dev.eventbus.consumer.inbox;

import dev.eventbus.consumer.inbox.InboxSql.Insertion;
import dev.eventbus.consumer.inbox.InboxTransactions.Ending;
import dev.eventbus.consumer.parking.ParkedEvent;
import dev.eventbus.consumer.parking.ParkedKey;
import dev.eventbus.consumer.parking.ParkedRows;
import dev.eventbus.consumer.parking.ParkingSql;
import dev.eventbus.internal.Fatal;
import java.sql.Connection;
import java.sql.SQLException;
import java.time.Instant;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import java.util.function.Predicate;
import org.jspecify.annotations.Nullable;

/**
 * Keys whose events wait in the database to be handled later. A parked key is the parent of its events by foreign key: whoever adds an
 * event locks it, whoever lifts the key deletes it, and the database decides who was first.
 *
 * <p>Each method is one transaction of its own, or several short ones where it says so, committed when it returns. Thread-safe.
 */
public final class ParkingStore {

    /** Runs one parked event. */
    @FunctionalInterface
    public interface Work {

        /** As {@link JdbcInbox.Work#run}, for the first event of a key. */
        void run(ParkedEvent event, Connection transaction) throws Exception;
    }

    /** What came of draining a key by one event. */
    public sealed interface Drained {

        /** Somebody else has the key, it is not parked any more, or its first event is not due. */
        record Nothing() implements Drained {}

        /** The first event was run, and its effect is committed. */
        record Ran(ParkedEvent event) implements Drained {}

        /** The first event had its effect before; its row is gone now. */
        record AlreadyApplied(ParkedEvent event) implements Drained {}

        /** No event is left: see {@link ParkingStore#lift}. */
        record Empty() implements Drained {}
    }

    /**
     * What becomes of a key whose first event has failed.
     *
     * @param nextTry null if nobody knows
     * @param redrives of this key that have failed by now
     */
    public record Change(ParkedKey.State state, @Nullable Instant nextTry, int redrives) {}

    // As for marks: what stood in the way and was gone is rare, never twice in a row.
    private static final int TRIES = 3;

    private final InboxTransactions transactions;
    private final InboxSql sql;
    private final ParkingSql parking;
    private final FirstDecision first;

    ParkingStore(InboxTransactions transactions, InboxSql sql, FirstDecision first) {
        this.transactions = transactions;
        this.sql = sql;
        this.parking = sql.parking();
        this.first = first;
    }

    // ---- adding

    /**
     * Parks an event and with it its key, if that is not parked yet.
     *
     * @param event with the reason why
     * @param state of the key, if it is not parked yet
     * @param nextTry of the event; null unless the key waits for it
     * @return {@link MarkResult.Decided} if it is parked now
     */
    public MarkResult park(Mark mark, ParkedEvent event, ParkedKey.State state, @Nullable Instant nextTry)
            throws SQLException {
        String reason = Objects.requireNonNull(event.reason(), "a parked event's reason");
        for (int i = 0; i < TRIES; i++) {
            Optional<MarkResult> result = adding(
                    mark, event, connection -> rows(mark.group()).insertKey(connection, event, state, reason, nextTry));
            if (result.isPresent()) {
                return result.get();
            }
        }
        return new MarkResult.HeldElsewhere();
    }

    /**
     * Adds an event to its parked key, behind those that are there.
     *
     * @return {@link MarkResult.Decided} if it is parked now; empty if the key is not parked any more, so that nothing was written and the
     *     event is to be handled
     */
    public Optional<MarkResult> follow(Mark mark, ParkedEvent event) throws SQLException {
        for (int i = 0; i < TRIES; i++) {
            boolean[] looked = {false};
            Optional<MarkResult> result = adding(mark, event, connection -> looked[0] = true);
            if (result.isPresent() || looked[0]) {
                return result;
            }
        }
        return Optional.of(new MarkResult.HeldElsewhere());
    }

    /** What somebody has decided about an event; empty if nobody has. */
    public Optional<MarkResult> decided(Mark mark) throws SQLException {
        return inTransaction(mark.group(), rows -> Optional.ofNullable(rows.decided(mark)));
    }

    /** What comes between the mark and the event's row. */
    private interface Before {
        void run(Connection connection) throws SQLException;
    }

    /** Leaves a transaction in which nothing may be kept: the key is not parked. */
    private static final class NotParked extends Exception {
        private static final long serialVersionUID = 1;

        NotParked() {
            super(null, null, false, false);
        }
    }

    /** Empty if the key is not parked, or the mark that stood in the way is gone. */
    private Optional<MarkResult> adding(Mark mark, ParkedEvent event, Before before) throws SQLException {
        ParkedRows rows = rows(mark.group());
        try {
            return transactions.run((connection, watch) -> first.decide(connection, mark, Outcome.PARKED, ours -> {
                before.run(connection);
                if (!rows.lockToAdd(connection, event) || !rows.insertEvent(connection, event)) {
                    throw new NotParked();
                }
                sql.attempts().delete(connection, mark.group(), mark.eventId()); // its row has them from now on
            }));
        } catch (NotParked e) {
            return Optional.empty();
        } catch (SQLException e) {
            if (parking.isLocked(e)) {
                return Optional.of(new MarkResult.HeldElsewhere());
            }
            throw e;
        } catch (Throwable e) {
            Fatal.rethrow(e);
            throw InboxTransactions.unwrapped(e);
        }
    }

    // ---- looking

    /** All parked keys of a group. */
    public List<ParkedKey> load(String group) throws SQLException {
        return transactions.runOurs(
                (connection, watch) -> new Ending<>(rows(group).keys(connection), false));
    }

    /** Those parked keys of a group whose first event is to be run now. */
    public List<ParkedKey> due(String group, Instant now) throws SQLException {
        return transactions.runOurs(
                (connection, watch) -> new Ending<>(rows(group).dueKeys(connection, now), false));
    }

    /** A parked event of a group; empty if it is not parked any more. */
    public Optional<ParkedEvent> find(String group, String eventId) throws SQLException {
        return transactions.runOurs((connection, watch) ->
                new Ending<>(Optional.ofNullable(rows(group).event(connection, eventId)), false));
    }

    /** The first event of a key; empty if it has none, or is not parked. */
    public Optional<ParkedEvent> first(String group, ParkedKey key) throws SQLException {
        return transactions.runOurs((connection, watch) ->
                new Ending<>(Optional.ofNullable(rows(group).first(connection, key)), false));
    }

    // ---- draining

    /**
     * Runs the first event of a key that is to be run now: its mark becomes DONE, the work is done, and its row and what is noted of its
     * attempts are deleted in one transaction, while nobody else can run the key. What the work throws comes out unchanged after the
     * roll-back.
     */
    public Drained drain(String group, ParkedKey key, Instant now, Work work) throws Exception {
        ParkedRows rows = rows(group);
        return transactions.run((connection, watch) -> {
            sql.begin(connection);
            if (!rows.lockDue(connection, key, now)) {
                return new Ending<>(new Drained.Nothing(), false);
            }
            ParkedEvent event = rows.first(connection, key);
            if (event == null) {
                return new Ending<>(new Drained.Empty(), false);
            }
            if (!rows.settle(connection, event.eventId(), Outcome.DONE.name())) {
                Insertion made = new RedriveRows(connection, sql, group).done(event);
                if (made instanceof Insertion.Held) {
                    return new Ending<>(new Drained.Nothing(), false);
                }
                if (made instanceof Insertion.Taken) {
                    new RedriveRows(connection, sql, group).forget(event.eventId());
                    return new Ending<>(new Drained.AlreadyApplied(event), sealed(connection));
                }
            }
            Insertion.Inserted transaction = Objects.requireNonNull(sql.transaction(connection));
            Mark mark = new Mark(group, event.eventId(), new byte[0], event.topic(), event.partition(), event.offset());
            GuardedConnection.Lent lent = new GuardedConnection.Lent(connection, sql, transaction, watch);
            boolean sealed;
            try {
                lent.to(handlers -> work.run(event, handlers));
                new RedriveRows(connection, sql, group).forget(event.eventId());
                sealed = sql.seal(connection, transaction);
            } catch (Throwable e) {
                throw lent.asItIs(e, mark, Outcome.DONE);
            }
            if (!sealed) {
                throw lent.howItEnded(mark, Outcome.DONE);
            }
            return new Ending<>(new Drained.Ran(event), true);
        });
    }

    /** Whether {@link #drain} would find something to do: a key is not free while somebody runs its first event. */
    public boolean isFree(String group, ParkedKey key, Instant now) throws SQLException {
        return transactions.runOurs((connection, watch) -> {
            sql.begin(connection);
            return new Ending<>(rows(group).lockDue(connection, key, now), false);
        });
    }

    /** Whether this transaction has written something, which the coming commit keeps for good. */
    private boolean sealed(Connection connection) throws SQLException {
        Insertion.Inserted written = sql.transaction(connection);
        return written != null && sql.seal(connection, written);
    }

    /**
     * Lifts a key that has no events any more, so that later ones are handled as they come.
     *
     * @return false if somebody has just added one, or has the key in hand
     */
    public boolean lift(String group, ParkedKey key) throws SQLException {
        ParkedRows rows = rows(group);
        try {
            return transactions.runOurs((connection, watch) -> {
                sql.begin(connection);
                boolean lifted = rows.lockToLift(connection, key) && rows.deleteKey(connection, key);
                return new Ending<>(lifted, lifted && sealed(connection));
            });
        } catch (SQLException e) {
            if (parking.isRefused(e) || parking.isLocked(e)) {
                return false;
            }
            throw e;
        }
    }

    /**
     * The first event of a key has failed. Nothing changes if it is not parked any more, or the key is not as it was when the event was
     * run: what others have said since counts.
     *
     * @param drained the key as it was read before its event was run
     * @param event with the attempts it has used, and why it failed
     * @return whether it was changed
     */
    public boolean failed(String group, ParkedKey drained, ParkedEvent event, Change change) throws SQLException {
        ParkedRows rows = rows(group);
        try {
            return transactions.runOurs((connection, watch) -> {
                sql.begin(connection);
                boolean there = rows.lockUnchanged(connection, drained) && rows.failed(connection, event);
                if (there) {
                    rows.changeKey(connection, event, change.state(), change.nextTry(), change.redrives());
                }
                return new Ending<>(there, there && sealed(connection));
            });
        } catch (SQLException e) {
            if (parking.isLocked(e)) { // whoever has it now, what they do counts
                return false;
            }
            throw e;
        }
    }

    // ---- asked for by a person

    /**
     * The key's events are handled again, in order, by the runner that owns the partition of the first of them.
     *
     * @param topic physical, as {@link ParkedKey#topic} has it
     * @return false if the key is not parked
     * @throws SQLException with the database's word for a lock time-out if the key's first event is being handled right now, or somebody
     *     else changes the key: nothing was changed, ask again
     */
    public boolean redrive(String group, String topic, byte[] key) throws SQLException {
        try {
            return transactions.runOurs((connection, watch) -> {
                sql.begin(connection);
                boolean there = rows(group).redrive(connection, topic, key);
                return new Ending<>(there, there && sealed(connection));
            });
        } catch (SQLException e) {
            if (parking.isLocked(e)) {
                throw new SQLException(
                        "the key's first event is being handled right now, or somebody else changes the key; nothing was changed, ask again",
                        e.getSQLState(),
                        e.getErrorCode(),
                        e);
            }
            throw e;
        }
    }

    /**
     * As {@link #redrive(String, String, byte[])}, for a key as {@link #load} gave it.
     *
     * @throws SQLException as there
     */
    public boolean redrive(String group, ParkedKey key) throws SQLException {
        return redrive(group, key.topic(), key.key());
    }

    /**
     * Gives up events of a key, on purpose: they count as skipped, and a line of {@code eventbus_redrive} says so. A key that has none left
     * is lifted. {@code Redrive.ofParked} does the same with a plan, a name and a reason.
     *
     * @param which tells by the id
     * @return how many events were given up; 0 if none of them is parked, or the key is being handled right now
     */
    public int discard(String group, ParkedKey key, Predicate<String> which) throws SQLException {
        return skip(group, key, which, true);
    }

    /** As {@link #discard}, for who notes it himself. */
    public int skip(String group, ParkedKey key, Predicate<String> which) throws SQLException {
        return skip(group, key, which, false);
    }

    private int skip(String group, ParkedKey key, Predicate<String> which, boolean noted) throws SQLException {
        ParkedRows rows = rows(group);
        int discarded = transactions.runOurs((connection, watch) -> {
            sql.begin(connection);
            int skipped = 0;
            if (rows.lockToLift(connection, key)) {
                List<String> meant =
                        rows.eventIds(connection, key).stream().filter(which).toList();
                for (String eventId : meant) {
                    rows.settle(connection, eventId, Outcome.SKIPPED.name());
                    skipped += rows.deleteEvent(connection, eventId) ? 1 : 0;
                }
                if (noted && skipped > 0) {
                    rows.noteDiscard(connection, key, meant.size(), skipped);
                }
                if (skipped > 0 && rows.first(connection, key) == null) {
                    rows.deleteKey(connection, key); // later ones would follow it for nothing
                }
            }
            return new Ending<>(skipped, skipped > 0 && sealed(connection));
        });
        if (discarded == 0) {
            lift(group, key);
        }
        return discarded;
    }

    /** Whether that is the database's word for a lock that others have, so that nothing was changed and it may be asked again. */
    public boolean isLocked(SQLException failure) {
        return parking.isLocked(failure);
    }

    // ---- of letters that are handled again

    /** What happens in one transaction. */
    public interface RowsWork<T> {
        T run(RedriveRows rows) throws SQLException;
    }

    /** Runs work on a group's rows in one transaction, which is kept only if the work says {@link RedriveRows#keep}. */
    public <T> T inTransaction(String group, RowsWork<T> work) throws SQLException {
        return transactions.runOurs((connection, watch) -> {
            sql.begin(connection);
            RedriveRows rows = new RedriveRows(connection, sql, group);
            T result = work.run(rows);
            return new Ending<>(result, rows.isKept() && sealed(connection));
        });
    }

    private ParkedRows rows(String group) {
        return new ParkedRows(parking, group);
    }
}
