package dev.eventbus.outbox.sql;

/** H2 2.2 or later in any compatibility mode: for tests and demos. */
record H2AdminSql(TableNames names) implements AdminSql {

    private static final String BLOCKS = """
            SELECT aggregatetype, aggregateid, shard, seq, event_id, reason, error, sent_later, since
            FROM "eventbus_blocked_key"
            WHERE reason <> 'UNBLOCKED'
            """;

    @Override
    public String begin() {
        return """
                SELECT 1
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
                  AND event_id = COALESCE(?, event_id) AND reason = COALESCE(?, reason)
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
                WHERE shard = ? AND aggregatetype = ? AND COALESCE(aggregateid, '') = ?
                ORDER BY seq DESC
                LIMIT 1
                """);
    }

    @Override
    public String unblockKey() {
        return names.in("""
                UPDATE "eventbus_blocked_key"
                SET reason = 'UNBLOCKED', seq = ?, event_id = ?, error = NULL, sent_later = NULL, since = CURRENT_TIMESTAMP
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
                SELECT shard, aggregatetype, count(*)
                FROM (SELECT shard, aggregatetype, ROW_NUMBER() OVER (PARTITION BY shard ORDER BY seq) AS place
                      FROM "eventbus_outbox")
                WHERE place <= ?
                GROUP BY shard, aggregatetype
                """);
    }

    @Override
    public String oldest() {
        return names.in("""
                SELECT MIN(o.created_at), CURRENT_TIMESTAMP
                FROM "eventbus_outbox" o
                WHERE NOT EXISTS (SELECT 1 FROM "eventbus_blocked_key" b
                                  WHERE b.aggregatetype = o.aggregatetype AND b.aggregateid = COALESCE(o.aggregateid, '')
                                    AND b.reason <> 'UNBLOCKED')
                """);
    }

    @Override
    public String shards() {
        return names.in("""
                SELECT shard, owner, lease_until, COALESCE(lease_until >= CURRENT_TIMESTAMP, FALSE)
                FROM "eventbus_relay_lease"
                ORDER BY shard
                """);
    }

    @Override
    public String relays() {
        return names.in("""
                SELECT owner FROM "eventbus_relay_member" WHERE lease_until >= CURRENT_TIMESTAMP
                UNION
                SELECT owner FROM "eventbus_relay_lease" WHERE lease_until >= CURRENT_TIMESTAMP AND owner IS NOT NULL
                """);
    }

    @Override
    public String countBlockedKeys() {
        return names.in("""
                SELECT count(*) FROM "eventbus_blocked_key" WHERE reason <> 'UNBLOCKED'
                """);
    }

    /** One process has all sessions, so a cache of its own sequence is no session's. */
    @Override
    public String server() {
        return """
                SELECT 'H2 ' || H2VERSION(), H2VERSION() LIKE '1.%' OR H2VERSION() LIKE '2.0.%' OR H2VERSION() LIKE '2.1.%', 1
                """;
    }

    @Override
    public String missingPrivileges() {
        return """
                SELECT CAST(NULL AS varchar)
                """;
    }

    @Override
    public String meta() {
        return names.in("""
                SELECT "value" FROM "eventbus_meta" WHERE name = ?
                """);
    }

    @Override
    public String metas() {
        return names.in("""
                SELECT name, "value" FROM "eventbus_meta" WHERE left(name, ?) = ?
                """);
    }

    @Override
    public String insertMeta() {
        return names.in("""
                MERGE INTO "eventbus_meta" m
                USING (SELECT CAST(? AS varchar) AS name, CAST(? AS varchar) AS given_value) AS given
                ON m.name = given.name
                WHEN NOT MATCHED THEN INSERT (name, "value") VALUES (given.name, given.given_value)
                """);
    }

    @Override
    public String replaceMeta() {
        return names.in("""
                UPDATE "eventbus_meta" SET "value" = ? WHERE name = ? AND "value" = ?
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
                SELECT CURRENT_USER, DATABASE(), SCHEMA(), FALSE
                """;
    }

    @Override
    public String columns() {
        return """
                SELECT LOWER(COLUMN_NAME), TRUE, TRUE FROM INFORMATION_SCHEMA.COLUMNS
                WHERE TABLE_SCHEMA = COALESCE(?, SCHEMA()) AND TABLE_NAME = ?
                """;
    }
}
