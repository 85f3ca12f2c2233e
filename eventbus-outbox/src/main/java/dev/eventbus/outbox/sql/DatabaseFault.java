package dev.eventbus.outbox.sql;

import java.sql.BatchUpdateException;
import java.sql.SQLException;
import org.jspecify.annotations.Nullable;

/** What keeps the relay from its database, in words. */
public final class DatabaseFault {

    private static final String TO_THE_PRIMARY = "Connect the relay to the primary, where it can write";
    private static final String LOCKED = "Find out who keeps locks on the eventbus tables";
    private static final String MORE_ROOM = "Give the database more connections or room";

    /** PostgreSQL has ended a session that did nothing in a transaction. */
    private static final String STOOD_STILL = "25P03";

    private DatabaseFault() {}

    /** What failed, what becomes of the events, and the fix. */
    public static String explain(SQLException error) {
        SQLException innermost = innermost(error);
        String state = String.valueOf(innermost.getSQLState());
        return "The outbox database cannot be used: %s (SQLSTATE %s). Events wait in the outbox. %s."
                .formatted(firstLine(innermost.getMessage()), state, fix(state, innermost.getErrorCode()));
    }

    private static String fix(String state, int code) {
        return switch (code) { // of MariaDB and MySQL, where these have no SQLSTATE, or the wrong one; PostgreSQL has
            // no codes
            case 1044, 1049 -> "Correct the database's name in the relay's data source, or let its user in";
            case 1021, 1040, 1114, 1203, 1226 -> MORE_ROOM;
            case 1205, 1213 -> LOCKED + ": SHOW ENGINE INNODB STATUS; nobody needs to but a relay";
            case 1290, 1792, 1836 -> TO_THE_PRIMARY;
            default -> fix(state);
        };
    }

    private static String fix(String state) {
        if (state.equals(STOOD_STILL)) {
            return "Nothing needs to be done: this process stood still in the middle of a transaction, which the database has undone";
        }
        return switch (state.length() >= 2 ? state.substring(0, 2) : "") {
            case "08" -> "Start the database, or correct host and port in the relay's data source";
            case "28" -> "Correct user and password in the relay's data source";
            case "3D" -> "Correct the database's name in the relay's data source";
            case "55" -> LOCKED + ": pg_locks and pg_stat_activity; nobody needs to but a relay";
            case "42" ->
                "Grant the relay's user SELECT, INSERT, UPDATE and DELETE on the eventbus tables and SELECT on their sequence";
            case "25" -> TO_THE_PRIMARY;
            case "53" -> MORE_ROOM;
            default -> "See the database's own log";
        };
    }

    /** Whether MariaDB or MySQL has refused a table, or a column of it, to this user. */
    static boolean isPrivilegeMissing(SQLException error) {
        int code = innermost(error).getErrorCode();
        return code == 1142 || code == 1143;
    }

    /** Whether MariaDB or MySQL knows no such table, or no such schema. */
    static boolean isTableMissing(SQLException error) {
        int code = innermost(error).getErrorCode();
        return code == 1146 || code == 1049;
    }

    /** Whether there is no connection any more that anything could be said through. */
    public static boolean isConnectionLost(SQLException error) {
        SQLException innermost = innermost(error);
        String state = String.valueOf(innermost.getSQLState());
        boolean endedByMariaDb = innermost.getErrorCode() == 1927 || innermost.getErrorCode() == 4031; // KILL, idle
        return state.startsWith("08") || state.startsWith("57P") || endedByMariaDb;
    }

    /**
     * An error without the values that were bound: drivers write a whole batch, keys and payloads, into their messages. Kept are
     * SQLSTATE, vendor code, stack trace and the first line of what the server said, without anything in quotes.
     */
    public static SQLException withoutValues(SQLException error) {
        SQLException server = error;
        while (server.getNextException() != null) {
            server = server.getNextException();
        }
        String said = server instanceof BatchUpdateException
                ? "a batch was not executed"
                : firstLine(server.getMessage()).replaceAll("'.*('|$)", "'…'");
        SQLException bare = new SQLException(said, error.getSQLState(), error.getErrorCode());
        bare.setStackTrace(error.getStackTrace());
        return bare;
    }

    /** A pool wraps what the driver said. */
    private static SQLException innermost(SQLException error) {
        SQLException innermost = error;
        for (Throwable cause = error.getCause(); cause != null; cause = cause.getCause()) {
            if (cause instanceof SQLException deeper) {
                innermost = deeper;
            }
        }
        return innermost;
    }

    private static String firstLine(@Nullable String message) {
        return message == null ? "no message" : message.lines().findFirst().orElse("no message");
    }
}
