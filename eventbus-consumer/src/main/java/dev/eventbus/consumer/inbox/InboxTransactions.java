package dev.eventbus.consumer.inbox;

import dev.eventbus.consumer.parking.ParkedRows;
import dev.eventbus.consumer.parking.ParkingSql;
import java.sql.Connection;
import java.sql.SQLException;
import org.jspecify.annotations.Nullable;

/** Where the inbox's transactions come from: connections of its own, or the user's {@link Transactions}. Thread-safe. */
interface InboxTransactions {

    String FAILED = "the inbox's transaction failed";

    /**
     * How a transaction ends.
     *
     * @param value what came of it
     * @param commits whether it is to be committed, or rolled back
     */
    record Ending<T>(T value, boolean commits) {}

    /** To be told before a statement that may leave something in the session, where somebody clears it away. */
    @FunctionalInterface
    interface SessionWatch {

        /** @return false if nobody can clear it away: the statement must not run */
        boolean leaves() throws SQLException;
    }

    /** What happens in a transaction. */
    @FunctionalInterface
    interface Step<T> {
        Ending<T> in(Connection connection, SessionWatch watch) throws Exception;
    }

    /**
     * Runs a step in a transaction of its own. What the step throws comes out unchanged after the roll-back; any other exception
     * means that the outcome is unknown.
     */
    <T> T run(Step<T> step) throws Exception;

    /** For steps of ours, which throw nothing but what the database does; a framework's wrapping is taken off. */
    default <T> T runOurs(Step<T> step) throws SQLException {
        try {
            return run(step);
        } catch (Exception e) {
            throw unwrapped(e);
        }
    }

    /** As the database said it, with its state and code, whatever a framework has made of it. */
    static SQLException unwrapped(Exception e) {
        if (e instanceof SQLException plain) {
            return plain;
        }
        for (Throwable cause = e.getCause(); cause != null; cause = cause.getCause()) {
            if (cause instanceof SQLException database && database.getSQLState() != null) {
                return new SQLException(FAILED, database.getSQLState(), database.getErrorCode(), e);
            }
        }
        return new SQLException(FAILED, e);
    }

    /**
     * The rows of a group in an open transaction of a redrive.
     *
     * @param refused its one element tells that another transaction has a mark that this one needs
     */
    @SuppressWarnings("ArrayRecordComponent") // shared with who began the transaction
    record OpenRows(
            Connection connection, InboxSql inbox, ParkedRows parked, String group, boolean[] refused)
            implements ParkingStore.Rows {

        @Override
        public ParkingSql sql() {
            return inbox.parking();
        }

        @Override
        public @Nullable MarkResult decided(Mark mark) throws SQLException {
            InboxSql.Decision known = inbox.decision(connection, mark);
            return known == null ? null : known.about(mark);
        }

        @Override
        public @Nullable Outcome outcome(Mark mark) throws SQLException {
            InboxSql.Decision known = inbox.decision(connection, mark);
            return known == null ? null : known.outcome();
        }

        @Override
        public boolean mark(Mark mark, Outcome outcome) throws SQLException {
            refused[0] |= !(inbox.insert(connection, mark, outcome, InboxSql.MARK_LOCK_TIMEOUT_MILLIS)
                    instanceof InboxSql.Insertion.Inserted);
            return !refused[0];
        }

        @Override
        public void forget(String eventId) throws SQLException {
            parked.deleteEvent(connection, eventId);
            inbox.attempts().delete(connection, group, eventId);
        }
    }
}
