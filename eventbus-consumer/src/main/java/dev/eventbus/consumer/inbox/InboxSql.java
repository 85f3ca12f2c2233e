package dev.eventbus.consumer.inbox;

import dev.eventbus.consumer.parking.ParkingSql;
import java.sql.Connection;
import java.sql.SQLException;
import java.time.Duration;
import java.time.Instant;
import java.util.Arrays;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * The statements of one database, whole, and the few calls around them that differ from database to database. Each method works
 * in the connection's transaction and neither begins nor ends one.
 */
interface InboxSql {

    /** How long the insert of a mark waits for another, uncommitted owner of it. */
    int MARK_LOCK_TIMEOUT_MILLIS = 250;

    /** The same where it was waited for in vain before: who holds it for long must not hold our threads too. */
    int AGAIN_LOCK_TIMEOUT_MILLIS = 10;

    /** Rows that a purge deletes in one transaction. */
    int PURGE_BATCH = 1_000;

    /** Whether an age is one that no database can count back from now: what must be so old is kept for ever. */
    static boolean isForEver(Duration age) {
        return age.compareTo(Duration.ofDays(365_000)) > 0;
    }

    /** What came of inserting a mark. */
    sealed interface Insertion {

        /**
         * The row is ours once this transaction commits.
         *
         * @param transaction tells it from every other one
         */
        record Inserted(String transaction) implements Insertion {}

        /** Another owner's row stands there, committed. */
        record Taken() implements Insertion {}

        /** Another owner's transaction has not ended in time; ours can only be rolled back. */
        record Held() implements Insertion {}
    }

    /** A committed row. */
    @SuppressWarnings("ArrayRecordComponent") // compared by its reader
    record Decision(Outcome outcome, byte[] payloadHash) {

        /** What it means for whoever wanted to insert this mark. */
        MarkResult about(Mark mark) {
            return Arrays.equals(payloadHash, mark.payloadHash())
                    ? new MarkResult.Known(outcome)
                    : new MarkResult.IdConflict();
        }
    }

    /**
     * Marks that are old enough to go.
     *
     * @param topics physical names with a comma between them; null for all
     */
    record Aged(String group, @Nullable String topics, Duration olderThan) {}

    /**
     * What one batch has deleted.
     *
     * @param upTo where the next one begins: what must stay before it need not be read again
     */
    record Purged(int marks, Instant upTo) {}

    /** Puts settings of the session back, after the transaction. */
    @FunctionalInterface
    interface Restore {
        void run() throws SQLException;
    }

    /** What a handler may have left in the session. */
    @FunctionalInterface
    interface Leftovers {

        /**
         * Clears it away, after the transaction.
         *
         * @return false if that takes a new session
         */
        boolean clear(Connection connection) throws SQLException;
    }

    /**
     * Whose session it is, and what it is told.
     *
     * @param ours whether isolation and settings are the inbox's to choose; else they are the user's
     * @param idleLimit how long a transaction may go without a statement until the database ends it
     */
    record Session(boolean ours, Duration idleLimit) {}

    /** DDL, a resource of this jar. */
    String ddl();

    /** What stands before a table's name: empty, or a quoted schema and a dot. */
    String schema();

    /** Whether DDL, and so a handler that uses it, commits. */
    boolean ddlCommits();

    /**
     * Makes READ COMMITTED the isolation of the transaction about to begin, and the idle limit its limit, where only the session
     * has such settings.
     *
     * @return to be run after that transaction has ended
     */
    Restore prepare(Connection connection) throws SQLException;

    /**
     * Looks at the session before a handler may leave something in it.
     *
     * @return what clears it away again; null if nothing does
     */
    @Nullable
    Leftovers remember(Connection connection) throws SQLException;

    /**
     * Inserts a mark. The session's own lock time-out is back afterwards.
     *
     * @param waitMillis for another, uncommitted owner of it, at most
     */
    Insertion insert(Connection connection, Mark mark, Outcome outcome, int waitMillis) throws SQLException;

    /**
     * As {@link #insert}, of outcome DONE, for many marks in the order given, by one statement.
     *
     * @return what came of each, none of them held; null if that could not be said of all of them together: then this transaction
     *     can only be rolled back, and {@link #insertEach} says it in another
     */
    @Nullable
    List<Insertion> insertAll(Connection connection, List<Mark> marks) throws SQLException;

    /**
     * As {@link #insertAll}, by one statement for each mark, which waits {@value #AGAIN_LOCK_TIMEOUT_MILLIS} ms at most. A held one is
     * left out, and the transaction goes on.
     */
    List<Insertion> insertEach(Connection connection, List<Mark> marks) throws SQLException;

    /** What was decided about the mark's event, if the row is still there. */
    @Nullable
    Decision decision(Connection connection, Mark mark) throws SQLException;

    /** DYING becomes DEAD, if the row is this very event's. */
    void dead(Connection connection, Mark mark) throws SQLException;

    /** Makes the coming commit a durable one and says whether it will commit the transaction in which the mark was inserted. */
    boolean seal(Connection connection, Insertion.Inserted mark) throws SQLException;

    /**
     * Whether the transaction in which the mark was inserted is gone, asked right after a statement of it has failed; nothing is changed.
     * Never, where a transaction in which something has failed can only be rolled back.
     *
     * @param failure of that statement
     */
    default boolean isGone(Connection connection, Insertion.Inserted mark, SQLException failure) throws SQLException {
        return false;
    }

    /**
     * Whether the transaction in which the mark was inserted, and which is over, has committed. Null if the database cannot tell: then its
     * marks must, which another owner may have committed instead.
     */
    default @Nullable Boolean hasCommitted(Connection connection, Insertion.Inserted mark) throws SQLException {
        return null;
    }

    /**
     * Deletes marks DONE, DEAD and SKIPPED of a group, older than that by the database's clock, the oldest {@value #PURGE_BATCH} at most. A dead
     * letter that waits to be handled again keeps its mark.
     *
     * @param since none decided before is looked at
     */
    Purged purge(Connection connection, Aged marks, Instant since) throws SQLException;

    /** The statements about attempts, in the same schema. */
    AttemptSql attempts();

    /** The statements about parked keys, in the same schema. */
    ParkingSql parking();

    /** Gives a transaction that does not begin with a mark what {@link #insert} gives others; before its first statement. */
    default void begin(Connection connection) throws SQLException {}

    /** Tells this transaction from every other one; for {@link #seal}. Null if it has written nothing, as far as the database can tell. */
    Insertion.@Nullable Inserted transaction(Connection connection) throws SQLException;

    /** Whether this session cannot write. */
    boolean readOnly(Connection connection) throws SQLException;

    /** What else makes the database unfit, each with the promise that it breaks and the fix. Nothing, where {@link #seal} sees to all. */
    default List<String> unfit(Connection connection) throws SQLException {
        return List.of();
    }

    /** A name as this database quotes it. */
    String quoted(String name);

    /** The statements about {@code eventbus_attempt} of one database. Each works in the connection's transaction. */
    interface AttemptSql {

        /** What is noted of an event; null if nothing is. */
        AttemptStore.@Nullable Attempts find(Connection connection, String group, String eventId) throws SQLException;

        /** Notes an event that nothing is noted of. */
        void insert(Connection connection, String group, String eventId, AttemptStore.Attempts attempts)
                throws SQLException;

        /** Replaces what is noted of an event. */
        void update(Connection connection, String group, String eventId, AttemptStore.Attempts attempts)
                throws SQLException;

        /** Forgets an event. */
        void delete(Connection connection, String group, String eventId) throws SQLException;

        /**
         * Forgets events of a group that are neither dying nor parked and were noted longer ago than that by the database's clock, 1,000 at most; how many.
         */
        int purge(Connection connection, String group, Duration olderThan) throws SQLException;
    }
}
