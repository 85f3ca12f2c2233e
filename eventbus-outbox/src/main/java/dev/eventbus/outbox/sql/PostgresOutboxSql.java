package dev.eventbus.outbox.sql;

import java.sql.Array;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.function.Function;
import java.util.function.ToIntFunction;
import java.util.function.ToLongFunction;

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

    @Override
    public PreparedStatement fetch(Connection connection, FetchWindow window) throws SQLException {
        String sql = names.in("""
                SELECT now.snapshot_xmin, now.head, event.shard, event.seq, event.id, event.aggregatetype, event.aggregateid,
                       event.type, event.payload, event.headers, event.content_type, event.traceparent, event.tracestate,
                       event.created_at
                FROM (SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS snapshot_xmin,
                             coalesce(pg_sequence_last_value(pg_get_serial_sequence(?, 'seq')::regclass), 0) AS head) now
                LEFT JOIN (
                  SELECT page.*, sum(page.size) OVER (ORDER BY page.turn, page.seq) - page.size AS bytes_before
                  FROM (
                    SELECT owned.turn, head.*
                    FROM unnest(?::smallint[], ?::bigint[]) WITH ORDINALITY AS owned (shard, floor, turn)
                    CROSS JOIN LATERAL (
                      SELECT o.*, coalesce(octet_length(o.payload), 0) AS size
                      FROM "eventbus_outbox" o
                      WHERE o.shard = owned.shard AND o.seq > owned.floor
                        AND o.aggregatetype <> ALL (?::varchar[])
                        AND o.aggregatetype = coalesce(?::varchar, o.aggregatetype)
                        AND (o.shard, o.seq) NOT IN (SELECT * FROM unnest(?::smallint[], ?::bigint[]))
                        AND NOT EXISTS (SELECT 1 FROM "eventbus_blocked_key" b
                                        WHERE b.aggregatetype = o.aggregatetype
                                          AND b.aggregateid = coalesce(o.aggregateid, ''))
                      ORDER BY o.seq
                      LIMIT ?) head
                    LIMIT ?) page) event ON event.bytes_before < ?
                ORDER BY event.turn, event.seq
                """);
        PreparedStatement fetch = connection.prepareStatement(sql);
        fetch.setString(1, names.qualifiedEvents());
        fetch.setArray(2, shards(connection, window.floors(), FetchWindow.Floor::shard));
        fetch.setArray(3, longs(connection, window.floors(), FetchWindow.Floor::seq));
        fetch.setArray(4, strings(connection, window.excludedTopics(), topic -> topic));
        fetch.setString(5, window.onlyTopic());
        fetch.setArray(6, shards(connection, window.inFlight(), RowKey::shard));
        fetch.setArray(7, longs(connection, window.inFlight(), RowKey::seq));
        fetch.setInt(8, window.rowsPerShard());
        fetch.setInt(9, window.rows());
        fetch.setLong(10, window.bytes());
        return fetch;
    }

    /** Commits asynchronously, and only this statement does: what a crash undoes is sent again. */
    @Override
    public PreparedStatement delete(Connection connection, Collection<RowKey> rows) throws SQLException {
        String sql = names.in("""
                WITH gone AS (
                  DELETE FROM "eventbus_outbox" o
                  USING unnest(?::smallint[], ?::bigint[], ?::varchar[]) AS acked (shard, seq, id)
                  WHERE o.shard = acked.shard AND o.seq = acked.seq AND o.id = acked.id
                  RETURNING 1)
                SELECT count(*), pg_current_xact_id()::text::bigint, set_config('synchronous_commit', 'off', true) FROM gone
                """);
        PreparedStatement delete = connection.prepareStatement(sql);
        delete.setArray(1, shards(connection, rows, RowKey::shard));
        delete.setArray(2, longs(connection, rows, RowKey::seq));
        delete.setArray(3, strings(connection, rows, RowKey::id));
        return delete;
    }

    @Override
    public String claimLeases() {
        return names.in("""
                UPDATE "eventbus_relay_lease"
                SET owner = ?, epoch = epoch + 1, lease_until = clock_timestamp() + ? * interval '1 millisecond'
                WHERE owner IS NULL OR lease_until < clock_timestamp()
                RETURNING shard, epoch
                """);
    }

    @Override
    public String renewLeases() {
        return names.in("""
                UPDATE "eventbus_relay_lease"
                SET lease_until = clock_timestamp() + ? * interval '1 millisecond'
                WHERE owner = ? AND lease_until >= clock_timestamp()
                RETURNING shard, epoch
                """);
    }

    @Override
    public String releaseLeases() {
        return names.in("""
                UPDATE "eventbus_relay_lease" SET owner = NULL, lease_until = NULL WHERE owner = ?
                """);
    }

    @Override
    public String leases() {
        return names.in("""
                SELECT shard, owner FROM "eventbus_relay_lease" WHERE lease_until >= clock_timestamp() ORDER BY shard
                """);
    }

    @Override
    public String lockLease() {
        return names.in("""
                SELECT shard FROM "eventbus_relay_lease" WHERE shard = ? AND owner = ? AND epoch = ? FOR UPDATE
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
                INSERT INTO "eventbus_blocked_key" (aggregatetype, aggregateid, shard, seq, event_id, reason, error, sent_later,
                                                    since)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, clock_timestamp())
                ON CONFLICT DO NOTHING
                """);
    }

    @Override
    public String liftBlockedKeys() {
        return names.in("""
                DELETE FROM "eventbus_blocked_key" b
                WHERE b.shard IN (SELECT shard FROM "eventbus_relay_lease" WHERE owner = ?)
                  AND NOT EXISTS (SELECT 1 FROM "eventbus_outbox" o
                                  WHERE o.shard = b.shard AND o.seq = b.seq AND o.id = b.event_id)
                """);
    }

    @Override
    public String countBlockedKeys() {
        return names.in("""
                SELECT shard, count(*) FROM "eventbus_blocked_key"
                WHERE shard IN (SELECT shard FROM "eventbus_relay_lease" WHERE owner = ?)
                GROUP BY shard
                """);
    }

    @Override
    public String meta() {
        return names.in("""
                SELECT value FROM "eventbus_meta" WHERE name = ?
                """);
    }

    @Override
    public String insertMeta() {
        return names.in("""
                INSERT INTO "eventbus_meta" (name, value) VALUES (?, ?) ON CONFLICT DO NOTHING
                """);
    }

    @Override
    public String whereAmI() {
        return """
                SELECT current_user, current_database(), current_schema(), pg_is_in_recovery()
                """;
    }

    @Override
    public String columns() {
        return """
                SELECT column_name FROM information_schema.columns
                WHERE table_schema = coalesce(?, current_schema()) AND table_name = ?
                """;
    }

    /**
     * Plans are pinned to the index: statistics taken while the outbox was empty must not choose a sequential scan for a backlog.
     * Leases and blocks commit synchronously whatever the role's default is.
     */
    @Override
    public Map<String, String> sessionSettings() {
        Map<String, String> settings = new LinkedHashMap<>();
        settings.put("plan_cache_mode", "force_custom_plan");
        settings.put("jit", "off");
        settings.put("enable_seqscan", "off");
        settings.put("enable_bitmapscan", "off");
        settings.put("enable_hashjoin", "off");
        settings.put("enable_mergejoin", "off");
        settings.put("synchronous_commit", "on");
        return settings;
    }

    @Override
    public String exchangeSetting() {
        return """
                SELECT current_setting(?), set_config(?, ?, false)
                """;
    }

    private static <T> Array shards(Connection connection, Collection<T> of, ToIntFunction<T> shard)
            throws SQLException {
        return connection.createArrayOf(
                "int2", of.stream().map(one -> (short) shard.applyAsInt(one)).toArray());
    }

    private static <T> Array longs(Connection connection, Collection<T> of, ToLongFunction<T> value)
            throws SQLException {
        return connection.createArrayOf(
                "int8", of.stream().map(value::applyAsLong).toArray());
    }

    private static <T> Array strings(Connection connection, Collection<T> of, Function<T, String> value)
            throws SQLException {
        return connection.createArrayOf("varchar", of.stream().map(value).toArray());
    }
}
