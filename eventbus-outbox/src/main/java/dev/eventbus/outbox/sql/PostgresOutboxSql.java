package dev.eventbus.outbox.sql;

import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.time.Duration;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.stream.IntStream;

/** PostgreSQL 13 and later. */
public record PostgresOutboxSql(TableNames names) implements OutboxSql {

    @Override
    public String database() {
        return "postgresql";
    }

    /**
     * The condition is evaluated before the row, and so before its sequence number is taken: the transaction has its id first,
     * which makes the relay's floor exact.
     */
    @Override
    public String insert() {
        return names.in("""
                INSERT INTO "eventbus_outbox" (shard, id, aggregatetype, aggregateid, type, payload, headers, content_type,
                                               traceparent, tracestate, created_at)
                SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, clock_timestamp()
                WHERE current_setting('synchronous_commit') <> 'off' AND pg_current_xact_id() IS NOT NULL
                """);
    }

    /** As many as there are numbers: advisory locks are made when they are taken. */
    @Override
    public int keyLocks() {
        return Integer.MAX_VALUE;
    }

    /**
     * Advisory locks in the space of the event table, seen as {@code classid = 'eventbus_outbox'::regclass} in {@code pg_locks}:
     * two outboxes never share one, and a user's own would have to be made of that number. What a transaction holds is remembered
     * in a setting that ends with it, and with the savepoint, as the locks do. An advisory lock gives a transaction no id, so it
     * is asked for: from the lock on, the relay's floor stays below what this transaction will write.
     */
    @Override
    public PreparedStatement lockKeys(Connection connection, int[] locks) throws SQLException {
        String sql = names.in("""
                SELECT pg_advisory_xact_lock(asked.outbox::int, lock), pg_current_xact_id(),
                       set_config(asked.setting, held.locks::text, true)
                FROM (SELECT event_table.id AS outbox, 'eventbus.key_locks_' || event_table.id AS setting, ?::int[] AS locks
                      FROM (SELECT '"eventbus_outbox"'::regclass::oid AS id) event_table) asked
                CROSS JOIN LATERAL (
                  SELECT coalesce(nullif(current_setting(asked.setting, true), '')::int[], asked.locks) AS locks) held
                CROSS JOIN LATERAL unnest(asked.locks) AS lock
                WHERE held.locks @> asked.locks AND current_setting('transaction_isolation') LIKE 'read %'
                """);
        PreparedStatement lock = connection.prepareStatement(sql);
        lock.setArray(
                1, connection.createArrayOf("int4", IntStream.of(locks).boxed().toArray()));
        return lock;
    }

    /** Above it the statement that waits has made the snapshot that all others read. */
    @Override
    public int lockingIsolation() {
        return Connection.TRANSACTION_READ_COMMITTED;
    }

    @Override
    public String unsafeSession() {
        return "its row was not inserted, for one of two reasons. Either this session commits asynchronously (synchronous_commit = off), and a crash could undo your transaction after its event was relayed: nothing was written; set synchronous_commit to local, on or higher for this role or session. Or a trigger or rule of the table keeps rows out: take it away, and roll back, since other events of the call may have been written.";
    }

    /**
     * Without the {@code OFFSET} all blocked keys might be hashed at each fetch: the plan is made once, when there is none. A sum keeps
     * every row of the page until it has seen the last one, so where each row is bounded there is none.
     */
    @Override
    public PreparedStatement fetch(Connection connection, FetchWindow window) throws SQLException {
        boolean eachIsBounded = window.mostRowBytes() > 0;
        String sql = names.in("""
                SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS snapshot_xmin,
                       coalesce(pg_sequence_last_value(pg_get_serial_sequence(?, 'seq')::regclass), 0) AS head,
                       NULL::smallint AS shard, NULL::bigint AS seq, NULL::varchar AS id, NULL::varchar AS aggregatetype,
                       NULL::varchar AS aggregateid, NULL::varchar AS type, NULL::bytea AS payload, NULL::text AS headers,
                       NULL::varchar AS content_type, NULL::varchar AS traceparent, NULL::varchar AS tracestate,
                       NULL::timestamptz AS created_at, NULL::integer AS bytes, NULL::tid AS place
                UNION ALL
                SELECT NULL, NULL, page.shard, page.seq, page.id, page.aggregatetype, page.aggregateid, page.type,
                       CASE WHEN page.has_room THEN page.payload END, CASE WHEN page.has_room THEN page.headers END,
                       page.content_type, page.traceparent, page.tracestate, page.created_at, page.bytes, page.place
                FROM (
                  SELECT o.*, %s ?::bigint AS has_room
                  FROM unnest(?::smallint[], ?::bigint[]) AS owned (shard, floor)
                  CROSS JOIN LATERAL (
                    SELECT o.ctid AS place, o.*,
                           coalesce(octet_length(o.payload), 0) + coalesce(octet_length(o.headers), 0) AS bytes
                    FROM "eventbus_outbox" o
                    WHERE o.shard = owned.shard AND o.seq > owned.floor
                      AND o.aggregatetype <> ALL (?::varchar[])
                      AND o.aggregatetype = coalesce(?::varchar, o.aggregatetype)
                      AND (o.shard, o.seq) NOT IN (SELECT * FROM unnest(?::smallint[], ?::bigint[]))
                      AND (NOT EXISTS (SELECT 1 FROM "eventbus_blocked_key" WHERE reason <> 'UNBLOCKED')
                           OR NOT EXISTS (SELECT 1 FROM "eventbus_blocked_key" b
                                          WHERE b.aggregatetype = o.aggregatetype
                                            AND b.aggregateid = coalesce(o.aggregateid, '') AND b.reason <> 'UNBLOCKED'
                                          OFFSET 0))
                    ORDER BY o.seq
                    LIMIT ?) o
                  LIMIT ?) page
                WHERE %s
                """.formatted(
                        eachIsBounded ? "o.bytes <=" : "sum(o.bytes) OVER (ROWS UNBOUNDED PRECEDING) - o.bytes <",
                        eachIsBounded ? "true" : "page.has_room"));
        PreparedStatement fetch = connection.prepareStatement(sql);
        fetch.setString(1, names.qualifiedEvents());
        fetch.setLong(2, eachIsBounded ? window.mostRowBytes() : window.bytes());
        fetch.setArray(3, PostgresDeleteSql.shards(connection, window.floors(), FetchWindow.Floor::shard));
        fetch.setArray(4, PostgresDeleteSql.longs(connection, window.floors(), FetchWindow.Floor::seq));
        fetch.setArray(5, PostgresDeleteSql.strings(connection, window.excludedTopics(), topic -> topic));
        fetch.setString(6, window.onlyTopic());
        fetch.setArray(7, PostgresDeleteSql.shards(connection, window.inFlight(), RowKey::shard));
        fetch.setArray(8, PostgresDeleteSql.longs(connection, window.inFlight(), RowKey::seq));
        fetch.setInt(9, window.rowsPerShard());
        fetch.setInt(10, window.rows());
        return fetch;
    }

    @Override
    public String place(ResultSet row) throws SQLException {
        return row.getString(16);
    }

    /** Commits asynchronously, as no statement does but those that delete: what a crash undoes is sent again. */
    @Override
    public PreparedStatement deleteAtPlaces(Connection connection, Collection<OutboxRow> rows) throws SQLException {
        return new PostgresDeleteSql(names).deleteAtPlaces(connection, rows);
    }

    /** Commits asynchronously, as {@link #deleteAtPlaces}. */
    @Override
    public PreparedStatement delete(Connection connection, Collection<RowKey> rows) throws SQLException {
        return new PostgresDeleteSql(names).delete(connection, rows);
    }

    @Override
    public PreparedStatement deleteOwn(Connection connection, Collection<RowKey> rows) throws SQLException {
        return new PostgresDeleteSql(names).deleteOwn(connection, rows);
    }

    @Override
    public PreparedStatement lockUnlocked(Connection connection, Collection<RowKey> rows) throws SQLException {
        return new PostgresDeleteSql(names).lockUnlocked(connection, rows);
    }

    @Override
    public PreparedStatement find(Connection connection, Collection<RowKey> rows) throws SQLException {
        return new PostgresDeleteSql(names).find(connection, rows);
    }

    @Override
    public String newTransaction() {
        return """
                SELECT pg_current_xact_id()::text::bigint, set_config('synchronous_commit', 'off', true)
                """;
    }

    @Override
    public String upsertMember() {
        return names.in("""
                INSERT INTO "eventbus_relay_member" (owner, lease_until)
                VALUES (?, clock_timestamp() + ? * interval '1 millisecond')
                ON CONFLICT (owner) DO UPDATE SET lease_until = excluded.lease_until
                """);
    }

    @Override
    public String pruneMembers() {
        return names.in("""
                DELETE FROM "eventbus_relay_member"
                WHERE owner IN (SELECT owner FROM "eventbus_relay_member" WHERE lease_until < clock_timestamp()
                                FOR UPDATE SKIP LOCKED)
                """);
    }

    @Override
    public String deleteMember() {
        return names.in("""
                DELETE FROM "eventbus_relay_member" WHERE owner = ?
                """);
    }

    @Override
    public String members() {
        return names.in("""
                SELECT owner FROM "eventbus_relay_member" WHERE lease_until >= clock_timestamp()
                """);
    }

    @Override
    public String renewLeases() {
        return names.in("""
                UPDATE "eventbus_relay_lease"
                SET lease_until = clock_timestamp() + ? * interval '1 millisecond'
                WHERE shard IN (SELECT shard FROM "eventbus_relay_lease"
                                WHERE owner = ? AND lease_until >= clock_timestamp()
                                FOR UPDATE SKIP LOCKED)
                """);
    }

    @Override
    public String claimLease() {
        return names.in("""
                UPDATE "eventbus_relay_lease"
                SET owner = ?, epoch = epoch + 1, lease_until = clock_timestamp() + ? * interval '1 millisecond'
                WHERE shard = (SELECT shard FROM "eventbus_relay_lease"
                               WHERE shard = ? AND epoch = ? AND (owner IS NULL OR lease_until < clock_timestamp())
                               FOR UPDATE SKIP LOCKED)
                """);
    }

    @Override
    public String releaseLease() {
        return names.in("""
                UPDATE "eventbus_relay_lease" SET owner = NULL, lease_until = NULL
                WHERE shard = (SELECT shard FROM "eventbus_relay_lease" WHERE shard = ? AND owner = ? AND epoch = ?
                               FOR UPDATE SKIP LOCKED)
                """);
    }

    @Override
    public String releaseLeases() {
        return names.in("""
                UPDATE "eventbus_relay_lease" SET owner = NULL, lease_until = NULL
                WHERE shard IN (SELECT shard FROM "eventbus_relay_lease" WHERE owner = ? FOR UPDATE SKIP LOCKED)
                """);
    }

    @Override
    public String leases() {
        return names.in("""
                SELECT shard,
                       CASE WHEN lease_until >= now.at THEN owner END,
                       epoch,
                       greatest(0, coalesce(ceil(extract(epoch FROM lease_until - now.at) * 1000), 0))::bigint
                FROM "eventbus_relay_lease", (SELECT clock_timestamp() AS at) now
                ORDER BY shard
                """);
    }

    @Override
    public String lockLease() {
        return names.in("""
                SELECT shard FROM "eventbus_relay_lease" WHERE shard = ? AND owner = ? AND epoch = ?
                FOR UPDATE SKIP LOCKED
                """);
    }

    @Override
    public String rowExists() {
        return names.in("""
                SELECT shard FROM "eventbus_outbox" WHERE shard = ? AND seq = ? AND id = ?
                """);
    }

    @Override
    public String insertBlockedKey() {
        return names.in("""
                INSERT INTO "eventbus_blocked_key" AS b (aggregatetype, aggregateid, shard, seq, event_id, reason, error,
                                                         sent_later, since)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, clock_timestamp())
                ON CONFLICT (aggregatetype, aggregateid) DO UPDATE
                SET shard = excluded.shard, seq = excluded.seq, event_id = excluded.event_id, reason = excluded.reason,
                    error = excluded.error, sent_later = excluded.sent_later, since = excluded.since
                WHERE b.reason = 'UNBLOCKED'
                """);
    }

    @Override
    public String countBlockedKeys() {
        return names.in("""
                SELECT shard, reason, count(*) FROM "eventbus_blocked_key"
                WHERE reason <> 'UNBLOCKED' AND shard IN (SELECT shard FROM "eventbus_relay_lease" WHERE owner = ?)
                GROUP BY shard, reason
                """);
    }

    @Override
    public String unblockedSince() {
        return names.in("""
                SELECT seq FROM "eventbus_blocked_key"
                WHERE aggregatetype = ? AND aggregateid = ? AND seq >= ? AND reason = 'UNBLOCKED'
                """);
    }

    @Override
    public String now() {
        return """
                SELECT clock_timestamp()
                """;
    }

    @Override
    public String oldestWriter() {
        return """
                SELECT who, since, ending
                FROM (
                  SELECT format('pid %s of user %s in database %s, application %L', pid, usename, datname, application_name) AS who,
                         xact_start AS since, format('SELECT pg_terminate_backend(%s)', pid) AS ending, backend_xid AS xid
                  FROM pg_stat_activity WHERE backend_xid IS NOT NULL AND pid <> pg_backend_pid()
                  UNION ALL
                  SELECT format('prepared transaction %L of user %s in database %s', gid, owner, database), prepared,
                         format('ROLLBACK PREPARED %L', gid), transaction
                  FROM pg_prepared_xacts) writer
                ORDER BY age(xid) DESC
                LIMIT 1
                """;
    }

    @Override
    public AdminSql admin() {
        return new PostgresAdminSql(names);
    }

    /**
     * Plans are pinned to the index: statistics taken while the outbox was empty must not choose a sequential scan for a backlog. There
     * is only one plan then, so it is made once: to plan a statement with a page of numbers in it takes as long as to run it.
     * Leases and blocks commit synchronously whatever the role's default is. A relay that stands still in a transaction holds what it
     * has locked for no longer than a lease, and nobody else's lock keeps it for longer than a second.
     */
    @Override
    public Map<String, String> sessionSettings(Duration lease) {
        Map<String, String> settings = new LinkedHashMap<>();
        settings.put("plan_cache_mode", "force_generic_plan");
        settings.put("jit", "off");
        settings.put("enable_seqscan", "off");
        settings.put("enable_bitmapscan", "off");
        settings.put("enable_hashjoin", "off");
        settings.put("enable_mergejoin", "off");
        settings.put("synchronous_commit", "on");
        settings.put("idle_in_transaction_session_timeout", lease.toMillis() + "ms");
        settings.put("lock_timeout", "1s");
        return settings;
    }

    @Override
    public String exchange(Connection session, String setting, String value) throws SQLException {
        try (PreparedStatement exchange = session.prepareStatement("""
                SELECT current_setting(?), set_config(?, ?, false)
                """)) {
            exchange.setString(1, setting);
            exchange.setString(2, setting);
            exchange.setString(3, value);
            try (ResultSet old = exchange.executeQuery()) {
                old.next();
                return old.getString(1);
            }
        }
    }
}
