package dev.eventbus.outbox.sql;

import java.util.Optional;

/** PostgreSQL 13 and later. */
record PostgresAdminSql(TableNames names) implements AdminSql {

    private static final String BLOCKS = """
            SELECT aggregatetype, aggregateid, shard, seq, event_id, reason, error, sent_later, since
            FROM "eventbus_blocked_key"
            WHERE reason <> 'UNBLOCKED'
            """;

    @Override
    public String begin() {
        return """
                SELECT set_config('synchronous_commit', 'on', true), set_config('plan_cache_mode', 'force_custom_plan', true),
                       set_config('jit', 'off', true), set_config('enable_seqscan', 'off', true),
                       set_config('enable_bitmapscan', 'off', true),
                       set_config('idle_in_transaction_session_timeout', '10s', true), set_config('lock_timeout', '5s', true)
                """;
    }

    @Override
    public String lockShard() {
        return names.in("""
                SELECT shard FROM "eventbus_relay_lease" WHERE shard = ? FOR UPDATE
                """);
    }

    @Override
    public String blockedKeys() {
        return names.in(BLOCKS + """
                  AND event_id = coalesce(?::varchar, event_id) AND reason = coalesce(?::varchar, reason)
                ORDER BY since, aggregatetype, aggregateid
                LIMIT ?
                """);
    }

    @Override
    public String blockedKey() {
        return names.in(BLOCKS + "AND aggregatetype = ? AND aggregateid = ?");
    }

    @Override
    public String newestOfKey() {
        return names.in("""
                SELECT seq, id FROM "eventbus_outbox"
                WHERE shard = ? AND aggregatetype = ? AND coalesce(aggregateid, '') = ?
                ORDER BY seq DESC
                LIMIT 1
                """);
    }

    @Override
    public String unblockKey() {
        return names.in("""
                UPDATE "eventbus_blocked_key"
                SET reason = 'UNBLOCKED', seq = ?, event_id = ?, error = NULL, sent_later = NULL, since = clock_timestamp()
                WHERE aggregatetype = ? AND aggregateid = ?
                """);
    }

    @Override
    public String deleteBlockedKey() {
        return names.in("""
                DELETE FROM "eventbus_blocked_key" WHERE aggregatetype = ? AND aggregateid = ?
                """);
    }

    @Override
    public String blocksWithoutEvent() {
        return names.in("""
                SELECT b.aggregatetype, b.aggregateid, b.shard, b.seq, b.event_id, b.reason
                FROM "eventbus_blocked_key" b
                WHERE b.shard IN (SELECT shard FROM "eventbus_relay_lease" WHERE owner = ?)
                  AND (b.reason <> 'UNBLOCKED' OR b.since < clock_timestamp() - interval '10 seconds')
                  AND NOT EXISTS (SELECT 1 FROM "eventbus_outbox" o
                                  WHERE o.shard = b.shard AND o.seq = b.seq AND o.id = b.event_id)
                LIMIT ?
                """);
    }

    @Override
    public String deleteBlockAsRead() {
        return names.in("""
                DELETE FROM "eventbus_blocked_key"
                WHERE aggregatetype = ? AND aggregateid = ? AND shard = ? AND seq = ? AND event_id = ? AND reason = ?
                """);
    }

    @Override
    public String event() {
        return names.in("""
                SELECT id, type, aggregatetype, aggregateid, payload, content_type, traceparent, tracestate, headers
                FROM "eventbus_outbox" WHERE shard = ? AND seq = ? AND id = ?
                """);
    }

    @Override
    public String deleteEvent() {
        return names.in("""
                DELETE FROM "eventbus_outbox" WHERE shard = ? AND seq = ? AND id = ?
                """);
    }

    @Override
    public String pending() {
        return names.in("""
                SELECT every.shard, head.aggregatetype, count(*)
                FROM "eventbus_relay_lease" every
                CROSS JOIN LATERAL (SELECT o.aggregatetype FROM "eventbus_outbox" o
                                    WHERE o.shard = every.shard ORDER BY o.seq LIMIT ?) head
                GROUP BY every.shard, head.aggregatetype
                """);
    }

    @Override
    public String oldest() {
        return names.in("""
                SELECT min(head.created_at), clock_timestamp()
                FROM "eventbus_relay_lease" every
                LEFT JOIN LATERAL (
                  SELECT o.created_at FROM "eventbus_outbox" o
                  WHERE o.shard = every.shard
                    AND NOT EXISTS (SELECT 1 FROM "eventbus_blocked_key" b
                                    WHERE b.aggregatetype = o.aggregatetype
                                      AND b.aggregateid = coalesce(o.aggregateid, '') AND b.reason <> 'UNBLOCKED')
                  ORDER BY o.seq
                  LIMIT 1) head ON true
                """);
    }

    @Override
    public String shards() {
        return names.in("""
                SELECT shard, owner, lease_until, coalesce(lease_until >= clock_timestamp(), false)
                FROM "eventbus_relay_lease"
                ORDER BY shard
                """);
    }

    @Override
    public String relays() {
        return names.in("""
                SELECT owner FROM "eventbus_relay_member" WHERE lease_until >= clock_timestamp()
                UNION
                SELECT owner FROM "eventbus_relay_lease" WHERE lease_until >= clock_timestamp() AND owner IS NOT NULL
                """);
    }

    @Override
    public String countBlockedKeys() {
        return names.in("""
                SELECT count(*) FROM "eventbus_blocked_key" WHERE reason <> 'UNBLOCKED'
                """);
    }

    @Override
    public String server() {
        return names.in("""
                SELECT 'PostgreSQL ' || current_setting('server_version'), current_setting('server_version_num')::int < 130000,
                       coalesce((SELECT seqcache FROM pg_sequence
                                 WHERE seqrelid = pg_get_serial_sequence('"eventbus_outbox"', 'seq')::regclass), 1)
                """);
    }

    /** Rows are deleted by their places, which tell rows apart within one table only. */
    @Override
    public Optional<String> obstacles() {
        return Optional.of(names.in("""
                SELECT 'table ' || oid::regclass || ' is a view, is partitioned or has children: the relay needs one plain table. Make it one.'
                FROM pg_class WHERE oid = '"eventbus_outbox"'::regclass AND (relkind <> 'r' OR EXISTS (SELECT 1 FROM pg_inherits WHERE inhparent = oid))
                """));
    }

    @Override
    public Optional<String> obstaclesToDebezium() {
        return Optional.of(names.in("""
                SELECT 'table ' || event_table.id || ' is in no publication of inserts, so Debezium would never be told of its events. CREATE PUBLICATION ... FOR TABLE ' || event_table.id || ' WITH (publish = ''insert'').'
                FROM (SELECT '"eventbus_outbox"'::regclass AS id) event_table
                WHERE NOT EXISTS (SELECT 1 FROM pg_publication p CROSS JOIN LATERAL pg_get_publication_tables(p.pubname) AS t
                                  WHERE p.pubinsert AND t.relid = event_table.id)
                UNION ALL
                SELECT 'database ' || current_database() || ' has no logical replication slot of pgoutput that is ready: what is published before there is one, or after one was lost, is lost. Start the connector first, and wait until pg_replication_slots has a confirmed_flush_lsn for it.'
                WHERE NOT EXISTS (SELECT 1 FROM pg_replication_slots
                                  WHERE plugin = 'pgoutput' AND database = current_database() AND NOT temporary
                                    AND confirmed_flush_lsn IS NOT NULL AND wal_status IS DISTINCT FROM 'lost')
                """));
    }

    @Override
    public String missingPrivileges() {
        return names.in("""
                SELECT string_agg(lacking.what, ', ')
                FROM (
                  SELECT needed.privilege || ' on ' || needed.on_table AS what
                  FROM (VALUES ('"eventbus_outbox"', 'SELECT'), ('"eventbus_outbox"', 'DELETE'),
                               ('"eventbus_outbox"', 'UPDATE'),
                               ('"eventbus_meta"', 'SELECT'), ('"eventbus_meta"', 'INSERT'),
                               ('"eventbus_key_lock"', 'SELECT'),
                               ('"eventbus_relay_member"', 'SELECT'), ('"eventbus_relay_member"', 'INSERT'),
                               ('"eventbus_relay_member"', 'UPDATE'), ('"eventbus_relay_member"', 'DELETE'),
                               ('"eventbus_relay_lease"', 'SELECT'), ('"eventbus_relay_lease"', 'UPDATE'),
                               ('"eventbus_blocked_key"', 'SELECT'), ('"eventbus_blocked_key"', 'INSERT'),
                               ('"eventbus_blocked_key"', 'UPDATE'), ('"eventbus_blocked_key"', 'DELETE'))
                       AS needed (on_table, privilege)
                  WHERE NOT has_table_privilege(needed.on_table, needed.privilege)
                  UNION ALL
                  SELECT 'SELECT on sequence ' || serial.name
                  FROM pg_get_serial_sequence('"eventbus_outbox"', 'seq') AS serial (name)
                  WHERE NOT has_sequence_privilege(serial.name, 'SELECT')) lacking
                """);
    }

    @Override
    public String meta() {
        return names.in("""
                SELECT value FROM "eventbus_meta" WHERE name = ?
                """);
    }

    @Override
    public String metas() {
        return names.in("""
                SELECT name, value FROM "eventbus_meta" WHERE left(name, ?) = ?
                """);
    }

    @Override
    public String insertMeta() {
        return names.in("""
                INSERT INTO "eventbus_meta" (name, value) VALUES (?, ?) ON CONFLICT DO NOTHING
                """);
    }

    @Override
    public String replaceMeta() {
        return names.in("""
                UPDATE "eventbus_meta" SET value = ? WHERE name = ? AND value = ?
                """);
    }

    @Override
    public String deleteMetas() {
        return names.in("""
                DELETE FROM "eventbus_meta" WHERE left(name, ?) = ?
                """);
    }

    @Override
    public String countKeyLocks() {
        return names.in("""
                SELECT count(*) FROM "eventbus_key_lock"
                """);
    }

    @Override
    public String whereAmI() {
        return """
                SELECT current_user, current_database(), current_schema(), pg_is_in_recovery()
                """;
    }

    /** Of the catalog, which shows a table to every user; {@code information_schema} shows it to those with a privilege on it. */
    @Override
    public String columns() {
        return """
                SELECT a.attname, has_column_privilege(c.oid, a.attnum, 'SELECT'), has_column_privilege(c.oid, a.attnum, 'INSERT')
                FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid
                WHERE n.nspname = coalesce(?, current_schema()) AND c.relname = ? AND c.relkind IN ('r', 'p', 'v', 'f')
                  AND a.attnum > 0 AND NOT a.attisdropped
                """;
    }
}
