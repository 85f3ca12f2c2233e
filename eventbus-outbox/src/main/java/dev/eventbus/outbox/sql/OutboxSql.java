package dev.eventbus.outbox.sql;

import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.time.Duration;
import java.time.Instant;
import java.time.OffsetDateTime;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * Every statement that the outbox needs, in the words of one database. A statement can be pasted into a console; what goes in at
 * run time is bound, never written into the text.
 *
 * <p>Where the ways of binding differ, the method prepares and binds; everywhere else it returns the text.
 */
public interface OutboxSql {

    /** Most rows of one shard that {@link #missed} tells. */
    int MOST_MISSED = 64;

    /** Folder of the DDL under {@code META-INF/eventbus/outbox/}, and the name used in messages. */
    String database();

    /** Names in use. */
    TableNames names();

    /**
     * Inserts an event: shard, id, topic, key, type, payload, headers, content type, traceparent, tracestate. Changes no row,
     * or fails as {@link #isUnsafeSession} knows, in a session that cannot keep the promise: one that commits asynchronously, say.
     */
    String insert();

    /** Whether an insert failed because the session cannot keep the promise. */
    default boolean isUnsafeSession(SQLException error) {
        return false;
    }

    /** What is said then: what is wrong with the session, what could happen, that nothing was written, and the fix. */
    String unsafeSession();

    /** How many locks there are for keys; keys share them by their hash. */
    int keyLocks();

    /**
     * Takes locks, given in ascending order, until the transaction ends, and gives the transaction its id where it has one. The
     * result has one row for each lock, or none, with nothing locked, if the transaction holds others and the database can tell, or
     * if it is above {@link #lockingIsolation()}.
     */
    PreparedStatement lockKeys(Connection connection, int[] locks) throws SQLException;

    /** The highest isolation level, as JDBC has it, at which a transaction that begins with a lock reads what the one it waited for wrote. */
    default int lockingIsolation() {
        return Connection.TRANSACTION_SERIALIZABLE;
    }

    /**
     * One statement, one snapshot, all owned shards. Columns: {@code snapshot_xmin} and {@code head} (NULL where the database
     * gives no exact floor), then {@code shard, seq, id, aggregatetype, aggregateid, type, payload, headers, content_type,
     * traceparent, tracestate, created_at, bytes}, and what {@link #place} reads. Where the first two are given, a row of their own has them, with {@code shard} NULL.
     * Events come in the order of the shards' turns, within a shard by {@code seq}.
     */
    PreparedStatement fetch(Connection connection, FetchWindow window) throws SQLException;

    /**
     * Rows that a fetch should have found before its last one of their shard: {@code shard, seq, aggregatetype, aggregateid}, of each
     * shard the first {@link #MOST_MISSED} by {@code seq}. Null where a snapshot is of one moment, so that a fetch misses nothing.
     */
    default @Nullable PreparedStatement missed(Connection connection, FetchWindow window, List<OutboxRow> fetched)
            throws SQLException {
        return null;
    }

    /** The value of a column that holds a time, in any of these statements and those of {@link #admin()}. */
    default @Nullable Instant instant(ResultSet row, int column) throws SQLException {
        OffsetDateTime time = row.getObject(column, OffsetDateTime.class);
        return time == null ? null : time.toInstant();
    }

    /** Where the row of a fetch that is being read lies; empty where rows are only found by name. */
    default String place(ResultSet row) throws SQLException {
        return "";
    }

    /**
     * Deletes those of these rows that are still where they were when they were read. Result as of {@link #delete}. Null where rows are
     * only found by name.
     */
    default @Nullable PreparedStatement deleteAtPlaces(Connection connection, Collection<OutboxRow> rows)
            throws SQLException {
        return null;
    }

    /**
     * Deletes rows. The result has one row: how many were deleted and the transaction's id, or 0 where there is none. Without a result,
     * the driver's count says how many.
     */
    PreparedStatement delete(Connection connection, Collection<RowKey> rows) throws SQLException;

    /**
     * Deletes rows in the transaction that has inserted them; its durability stays as it is. Called only where rows are read from the
     * database's log.
     */
    default PreparedStatement deleteOwn(Connection connection, Collection<RowKey> rows) throws SQLException {
        throw new UnsupportedOperationException("%s has no log that is read".formatted(database()));
    }

    /** Locks those of these rows that nobody else has locked, until the transaction ends. Result: {@code shard, seq}. */
    PreparedStatement lockUnlocked(Connection connection, Collection<RowKey> rows) throws SQLException;

    /** Whether a DELETE that meets somebody's lock waits for so long that a lease may run out. */
    default boolean waitsForLocks() {
        return false;
    }

    /** Finds those of these rows that are there, under their number and their id. Result: {@code shard, seq}. */
    PreparedStatement find(Connection connection, Collection<RowKey> rows) throws SQLException;

    /** Gives a transaction of its own an id, the first column; null where fetches tell no snapshot, so that nobody asks. */
    default @Nullable String newTransaction() {
        return null;
    }

    /** Says that a relay is alive for this long: owner, milliseconds. Adds or changes its one row. */
    String upsertMember();

    /** Forgets relays that have not said so for too long. */
    String pruneMembers();

    /** Forgets a relay that ends: owner. */
    String deleteMember();

    /** Relays that are alive: {@code owner}. */
    String members();

    /**
     * Renews those leases of a relay that have not run out: milliseconds, owner. Like the next three and {@link #lockLease()} it passes
     * over a row that somebody else has locked, where the database can: one process that stands still must not stop others.
     */
    String renewLeases();

    /**
     * Takes one shard, with the next epoch, if it is free or its lease has run out and nobody has taken it since it was seen so:
     * owner, milliseconds, shard, epoch seen. Changes one row or none.
     */
    String claimLease();

    /** Gives one shard back if it is still ours: shard, owner, epoch. Changes one row or none. */
    String releaseLease();

    /** Gives back all that a relay owns: owner. */
    String releaseLeases();

    /**
     * Who owns what, one row for every shard: {@code shard}, {@code owner} (NULL if it is free or the lease has run out), {@code epoch},
     * and for how many milliseconds the lease still runs, 0 if it does not.
     */
    String leases();

    /** Locks a shard's lease row if it is still ours, and not locked: shard, owner, epoch. Result: one row or none. */
    String lockLease();

    /** Whether an event is still there: shard, seq, id. Result: one row or none. */
    String rowExists();

    /**
     * Blocks a key unless it is blocked, in the place of a mark UNBLOCKED if there is one: topic, key, shard, seq, event id, reason,
     * error, ids sent later.
     */
    String insertBlockedKey();

    /** Blocked keys of one owner's shards, without marks: owner. Result: {@code shard, reason, count}. */
    String countBlockedKeys();

    /** Whether somebody has unblocked a key since this event of it was published: topic, key, seq. Result: one row or none. */
    String unblockedSince();

    /** The database's time. */
    String now();

    /**
     * The transaction that has been writing for longest. Result: who, since when, and the statement that ends it; at most one row, and
     * none if this user may not see it. Used only where a fetch says up to where all transactions have ended.
     */
    default String oldestWriter() {
        throw new UnsupportedOperationException(
                "%s gives no floor that a writer could hold back".formatted(database()));
    }

    /** What a person, a command line or a meter asks. */
    AdminSql admin();

    /** Settings of a relay's session, name to value; empty where there are none. Its transactions may stand still for a lease. */
    Map<String, String> sessionSettings(Duration lease);

    /** Gives a setting of a session another value, and returns the one before. Called only if there are settings. */
    default String exchange(Connection session, String setting, String value) throws SQLException {
        throw new UnsupportedOperationException("%s has no session settings that a relay needs".formatted(database()));
    }
}
