package dev.eventbus.outbox.sql;

import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import java.util.Collection;
import java.util.Map;

/**
 * Every statement that the outbox needs, in the words of one database. A statement can be pasted into a console; what goes in at
 * run time is bound, never written into the text.
 *
 * <p>Where the ways of binding differ, the method prepares and binds; everywhere else it returns the text.
 */
public interface OutboxSql {

    /** Folder of the DDL under {@code META-INF/eventbus/outbox/}, and the name used in messages. */
    String database();

    /** Names in use. */
    TableNames names();

    /**
     * Inserts an event: shard, id, topic, key, type, payload, headers, content type, traceparent, tracestate. Changes no row if
     * the session commits asynchronously: then an event could be relayed whose transaction a crash undoes.
     */
    String insert();

    /**
     * One statement, one snapshot, all owned shards. Columns: {@code snapshot_xmin} and {@code head} (NULL where the database
     * gives no exact floor), then {@code shard, seq, id, aggregatetype, aggregateid, type, payload, headers, content_type,
     * traceparent, tracestate, created_at}. Where the first two are given, the first row has them even if there is no event; its
     * {@code shard} is then NULL.
     */
    PreparedStatement fetch(Connection connection, FetchWindow window) throws SQLException;

    /** Deletes rows. The result has one row: how many were deleted and the transaction's id, or 0 where there is none. */
    PreparedStatement delete(Connection connection, Collection<RowKey> rows) throws SQLException;

    /** Takes every shard that is free or whose lease has run out: owner, milliseconds. Result: {@code shard, epoch}. */
    String claimLeases();

    /** Renews leases that have not run out: milliseconds, owner. Result: {@code shard, epoch}. */
    String renewLeases();

    /** Gives all leases of an owner back: owner. */
    String releaseLeases();

    /** Who owns what: {@code shard, owner}, for shards with a running lease. */
    String leases();

    /** Locks a shard's lease row if it is still ours: shard, owner, epoch. Result: one row or none. */
    String lockLease();

    /** Whether an event is still there: shard, seq, id. Result: one row or none. */
    String rowExists();

    /** Blocks a key unless it is blocked: topic, key, shard, seq, event id, reason, error, ids sent later. */
    String insertBlockedKey();

    /** Lifts blocks whose event is gone, in the shards of one owner: owner. */
    String liftBlockedKeys();

    /** Blocked keys of one owner's shards: owner. Result: {@code shard, count}. */
    String countBlockedKeys();

    /** Value of a name: name. Result: one row or none. */
    String meta();

    /** Writes a name once: name, value. */
    String insertMeta();

    /** One row: user, database, schema in use, whether this is a standby that cannot be written to. */
    String whereAmI();

    /** Columns of a table: schema or NULL for the session's own, table. Result: {@code column_name} in lower case. */
    String columns();

    /** Settings of a relay's session, name to value; empty where there are none. */
    Map<String, String> sessionSettings();

    /** Sets a session setting and returns its old value: name, name, value. Used only if there are settings. */
    String exchangeSetting();
}
