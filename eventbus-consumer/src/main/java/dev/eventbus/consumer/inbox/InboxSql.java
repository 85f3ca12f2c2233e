package dev.eventbus.consumer.inbox;

import java.sql.Connection;
import java.sql.SQLException;
import org.jspecify.annotations.Nullable;

/**
 * The statements of one database, whole, and the few calls around them that differ from database to database. Each method works
 * in the connection's transaction and neither begins nor ends one.
 */
interface InboxSql {

    /** How long the insert of a mark waits for another, uncommitted owner of it. */
    int MARK_LOCK_TIMEOUT_MILLIS = 250;

    /** What came of inserting a mark. */
    sealed interface Insertion {

        /** The row is ours once this transaction commits. */
        record Inserted(String transactionId) implements Insertion {}

        /** Another owner's row stands there, committed. */
        record Taken() implements Insertion {}

        /** Another owner's transaction has not ended in time; ours can only be rolled back. */
        record Held() implements Insertion {}
    }

    /** A committed row. */
    @SuppressWarnings("ArrayRecordComponent") // compared by its reader
    record Decision(Outcome outcome, byte[] payloadHash) {}

    /** Puts a setting of the session back. */
    @FunctionalInterface
    interface Restore {
        void run() throws SQLException;
    }

    /** DDL, a resource of this jar. */
    String ddl();

    /** What stands before a table's name: empty, or a quoted schema and a dot. */
    String schema();

    /** Whether DDL, and so a handler that uses it, commits. */
    boolean ddlCommits();

    /**
     * Makes READ COMMITTED the isolation of the transaction about to begin, where only the session has such a setting.
     *
     * @return to be run after that transaction has ended
     */
    Restore isolate(Connection connection) throws SQLException;

    /** The first statement of a transaction; waits {@value #MARK_LOCK_TIMEOUT_MILLIS} ms at most. The session's own lock time-out is back afterwards. */
    Insertion insert(Connection connection, Mark mark, Outcome outcome) throws SQLException;

    /** What was decided about the mark's event, if the row is still there. */
    @Nullable
    Decision decision(Connection connection, Mark mark) throws SQLException;

    /** DYING becomes DEAD, if the row is this very event's. */
    void dead(Connection connection, Mark mark) throws SQLException;

    /** Makes the coming commit a durable one and says which transaction it will commit; null if it has written nothing. */
    @Nullable
    String seal(Connection connection) throws SQLException;

    /** Whether this session cannot write. */
    boolean readOnly(Connection connection) throws SQLException;
}
