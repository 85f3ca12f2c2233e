package dev.eventbus.outbox.sql;

import java.util.Map;
import java.util.Optional;

/**
 * The statements beside a relay's daily work: what a person, a command line or a meter asks of the outbox, what is asked at a
 * start, what takes blocks away, and {@code eventbus_meta}, in the words of one database. What goes in at run time is bound.
 */
public interface AdminSql {

    /**
     * First statement of a transaction: it commits synchronously, its plans use the index whatever the statistics say, and where the
     * database can, it is ended if it stands still for 10 s with a lock that a relay needs.
     */
    String begin();

    /** Locks a shard's lease row until the end of the transaction, whoever owns it: shard. */
    String lockShard();

    /**
     * Blocked keys, the oldest block first: event id, reason, each NULL for any; most rows. Result: {@code aggregatetype,
     * aggregateid, shard, seq, event_id, reason, error, sent_later, since}.
     */
    String blockedKeys();

    /** The block of a key: topic, key. Result as of {@link #blockedKeys}, one row or none. */
    String blockedKey();

    /** The newest event of a key: shard, topic, key. Result: {@code seq, id}, one row or none. */
    String newestOfKey();

    /** Makes a mark of a block, up to an event: seq, event id, topic, key. */
    String unblockKey();

    /** Takes a block away: topic, key. */
    String deleteBlockedKey();

    /**
     * Blocks and marks whose event is gone, in the shards of one owner: owner, most rows. Locks nothing. Young marks are left alone,
     * but on H2: a snapshot of MariaDB may have one and lack its event. Result: {@code aggregatetype, aggregateid, shard, seq, event_id,
     * reason}.
     */
    String blocksWithoutEvent();

    /** Takes a block or a mark away if it is the one that was read, and locks no other row: topic, key, shard, seq, event id, reason. */
    String deleteBlockAsRead();

    /**
     * An event: shard, seq, id. Result: {@code id, type, aggregatetype, aggregateid, payload, content_type, traceparent, tracestate,
     * headers}, one row or none.
     */
    String event();

    /** Deletes an event: shard, seq, id. */
    String deleteEvent();

    /**
     * How many events wait, counting at most so many of a shard: limit, in each of its places. Result: {@code shard, aggregatetype,
     * count}.
     */
    String pending();

    /** When the oldest event that is not blocked was published, NULL if there is none, and the database's time. */
    String oldest();

    /** Every shard: {@code shard, owner, lease_until}, and whether the lease still runs. */
    String shards();

    /** Relays that are alive: {@code owner}. */
    String relays();

    /** How many keys are blocked. */
    String countBlockedKeys();

    /** One row: version of the server, whether it is too old, and how many sequence numbers a session keeps for later. */
    String server();

    /** Why the server's settings cannot do: one row for each reason, in words, with the fix. */
    default Optional<String> obstacles() {
        return Optional.empty();
    }

    /** Why Debezium would miss events of this outbox, each with its fix: one row for each. Called as {@link OutboxSql#deleteOwn}. */
    default Optional<String> obstaclesToDebezium() {
        return Optional.empty();
    }

    /** Privileges that a relay needs and this user lacks, as far as the database tells them. Result: one row with a list, or NULL. */
    String missingPrivileges();

    /** Where the database does not tell them: statements that change nothing, by the privilege that each of them needs. */
    default Map<String, String> privilegeProbes() {
        return Map.of();
    }

    /** Value of a name: name. Result: one row or none. */
    String meta();

    /** Writes a name once: name, value. */
    String insertMeta();

    /** Names that begin with a prefix: its length, the prefix. Result: {@code name, value}. */
    String metas();

    /** Changes a value if it is the expected one: value, name, expected value. */
    String replaceMeta();

    /** Deletes names that begin with a prefix: its length, the prefix. */
    String deleteMetas();

    /** One row: how many rows {@code eventbus_key_lock} has. */
    String countKeyLocks();

    /** One row: user, database, schema in use, whether this is a standby that cannot be written to. */
    String whereAmI();

    /** Creates a schema if there is none of this name, which comes from the allow-list of {@link TableNames}. */
    default String createSchema(String schema) {
        return "CREATE SCHEMA IF NOT EXISTS \"" + schema + "\"";
    }

    /**
     * Columns of a table: schema or NULL for the session's own, table. Result: {@code column_name} in lower case, whether this user may
     * read it, and whether it may insert it; {@code TRUE} where the database does not tell.
     */
    String columns();

    /**
     * Reads nothing of a table. Where {@link #columns} has no row of a table on which this user has no privilege, this tells the reason:
     * it fails for want of the privilege, or as there is no table.
     */
    default Optional<String> look(String table) {
        return Optional.empty();
    }
}
