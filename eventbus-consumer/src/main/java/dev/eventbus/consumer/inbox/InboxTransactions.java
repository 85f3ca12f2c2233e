package dev.eventbus.consumer.inbox;

import dev.eventbus.internal.Fatal;
import java.sql.Connection;
import java.sql.SQLException;

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
        } catch (Throwable e) { // an Error of a framework's transactions is no bug of ours
            Fatal.rethrow(e);
            throw unwrapped(e);
        }
    }

    /** As the database said it, with its state and code, whatever a framework has made of it. */
    static SQLException unwrapped(Throwable e) {
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
}
