package dev.eventbus.outbox.sql;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

/** MariaDB 10.6 and later, and MySQL 8. */
record MariaDbAdminSql(TableNames names) implements AdminSql {

    private static final String BLOCKS = """
            SELECT CONVERT(aggregatetype USING utf8mb4), CONVERT(aggregateid USING utf8mb4), shard, seq,
                   CONVERT(event_id USING utf8mb4), reason, error, sent_later, since
            FROM `eventbus_blocked_key`
            WHERE reason <> 'UNBLOCKED'
            """;

    /** Nothing needs to be set up: each statement names its index. */
    @Override
    public String begin() {
        return """
                SELECT 1
                """;
    }

    @Override
    public String lockShard() {
        return names.in("""
                SELECT shard FROM `eventbus_relay_lease` WHERE shard = ? FOR UPDATE
                """);
    }

    @Override
    public String blockedKeys() {
        return names.in(BLOCKS + """
                  AND event_id = COALESCE(CONVERT(? USING utf8mb4), event_id) AND reason = COALESCE(?, reason)
                ORDER BY since, aggregatetype, aggregateid
                LIMIT ?
                """);
    }

    @Override
    public String blockedKey() {
        return names.in(
                BLOCKS + "AND aggregatetype = CONVERT(? USING utf8mb4) AND aggregateid = CONVERT(? USING utf8mb4)");
    }

    @Override
    public String newestOfKey() {
        return names.in("""
                SELECT seq, CONVERT(id USING utf8mb4) FROM `eventbus_outbox` FORCE INDEX (PRIMARY)
                WHERE shard = ? AND aggregatetype = CONVERT(? USING utf8mb4)
                  AND COALESCE(aggregateid, '') = CONVERT(? USING utf8mb4)
                ORDER BY seq DESC
                LIMIT 1
                """);
    }

    @Override
    public String unblockKey() {
        return names.in("""
                UPDATE `eventbus_blocked_key`
                SET reason = 'UNBLOCKED', seq = ?, event_id = CONVERT(? USING utf8mb4), error = NULL, sent_later = NULL,
                    since = UTC_TIMESTAMP(6)
                WHERE aggregatetype = CONVERT(? USING utf8mb4) AND aggregateid = CONVERT(? USING utf8mb4)
                """);
    }

    @Override
    public String deleteBlockedKey() {
        return names.in("""
                DELETE FROM `eventbus_blocked_key`
                WHERE aggregatetype = CONVERT(? USING utf8mb4) AND aggregateid = CONVERT(? USING utf8mb4)
                """);
    }

    @Override
    public String blocksWithoutEvent() {
        return names.in("""
                SELECT CONVERT(b.aggregatetype USING utf8mb4), CONVERT(b.aggregateid USING utf8mb4), b.shard, b.seq,
                       CONVERT(b.event_id USING utf8mb4), b.reason
                FROM `eventbus_blocked_key` b
                WHERE b.shard IN (SELECT shard FROM `eventbus_relay_lease` WHERE owner = ?)
                  AND (b.reason <> 'UNBLOCKED' OR b.since < UTC_TIMESTAMP(6) - INTERVAL 10 SECOND)
                  AND NOT EXISTS (SELECT 1 FROM `eventbus_outbox` o
                                  WHERE o.shard = b.shard AND o.seq = b.seq AND o.id = b.event_id)
                LIMIT ?
                """);
    }

    @Override
    public String deleteBlockAsRead() {
        return names.in("""
                DELETE FROM `eventbus_blocked_key`
                WHERE aggregatetype = CONVERT(? USING utf8mb4) AND aggregateid = CONVERT(? USING utf8mb4)
                  AND shard = ? AND seq = ? AND event_id = CONVERT(? USING utf8mb4) AND reason = ?
                """);
    }

    @Override
    public String event() {
        return names.in("""
                SELECT CONVERT(id USING utf8mb4), type, CONVERT(aggregatetype USING utf8mb4),
                       CONVERT(aggregateid USING utf8mb4), payload, content_type, traceparent, tracestate, headers
                FROM `eventbus_outbox` FORCE INDEX (PRIMARY)
                WHERE shard = ? AND seq = ? AND id = CONVERT(? USING utf8mb4)
                """);
    }

    @Override
    public String deleteEvent() {
        return names.in("""
                DELETE FROM `eventbus_outbox` WHERE shard = ? AND seq = ? AND id = CONVERT(? USING utf8mb4)
                """);
    }

    @Override
    public String pending() {
        String shards =
                IntStream.range(0, Shards.COUNT).mapToObj("""
                (SELECT shard, aggregatetype FROM `eventbus_outbox` FORCE INDEX (PRIMARY) WHERE shard = %d ORDER BY seq LIMIT ?)
                """::formatted).collect(Collectors.joining(" UNION ALL "));
        return names.in("""
                SELECT shard, CONVERT(aggregatetype USING utf8mb4), count(*) FROM (%s) head GROUP BY shard, aggregatetype
                """.formatted(shards));
    }

    @Override
    public String oldest() {
        return names.in("""
                SELECT MIN(head.created_at), UTC_TIMESTAMP(6)
                FROM (SELECT (SELECT o.created_at FROM `eventbus_outbox` o FORCE INDEX (PRIMARY)
                              WHERE o.shard = every.shard
                                AND NOT EXISTS (SELECT 1 FROM `eventbus_blocked_key` b
                                                WHERE b.aggregatetype = o.aggregatetype
                                                  AND b.aggregateid = COALESCE(o.aggregateid, '')
                                                  AND b.reason <> 'UNBLOCKED')
                              ORDER BY o.seq
                              LIMIT 1) AS created_at
                      FROM `eventbus_relay_lease` every) head
                """);
    }

    @Override
    public String shards() {
        return names.in("""
                SELECT shard, CONVERT(owner USING utf8mb4), lease_until, COALESCE(lease_until >= UTC_TIMESTAMP(6), FALSE)
                FROM `eventbus_relay_lease`
                ORDER BY shard
                """);
    }

    @Override
    public String relays() {
        return names.in("""
                SELECT CONVERT(owner USING utf8mb4) FROM `eventbus_relay_member` WHERE lease_until >= UTC_TIMESTAMP(6)
                UNION
                SELECT CONVERT(owner USING utf8mb4) FROM `eventbus_relay_lease`
                WHERE lease_until >= UTC_TIMESTAMP(6) AND owner IS NOT NULL
                """);
    }

    @Override
    public String countBlockedKeys() {
        return names.in("""
                SELECT count(*) FROM `eventbus_blocked_key` WHERE reason <> 'UNBLOCKED'
                """);
    }

    /** A session never keeps numbers for later here. */
    @Override
    public String server() {
        return """
                SELECT CONCAT(CASE WHEN VERSION() LIKE '%MariaDB%' THEN 'MariaDB ' ELSE 'MySQL ' END, VERSION()),
                       SUBSTRING_INDEX(VERSION(), '.', 1) * 1000 + SUBSTRING_INDEX(SUBSTRING_INDEX(VERSION(), '.', 2), '.', -1)
                         < CASE WHEN VERSION() LIKE '%MariaDB%' THEN 10006 ELSE 8000 END,
                       1
                """;
    }

    /**
     * What {@link MariaDbOutboxSql#insert()} refuses too, as far as it is the server's; and logging by statement, under which the server
     * refuses what a relay deletes.
     */
    @Override
    public Optional<String> obstacles() {
        return Optional.of("""
                SELECT CONCAT('auto_increment_increment is ', @@GLOBAL.auto_increment_increment, ', as where several servers are written to (Galera, group replication): transactions that wait for each other could be numbered out of order, and the events of one key sent so. Let one server take all writes, with auto_increment_increment = 1 (Galera: wsrep_auto_increment_control = OFF).')
                FROM DUAL WHERE @@GLOBAL.auto_increment_increment <> 1
                UNION ALL
                SELECT CONCAT('innodb_flush_log_at_trx_commit is ', @@innodb_flush_log_at_trx_commit, ': a crash could undo a transaction after its event was relayed. Set it to 1.')
                FROM DUAL WHERE @@innodb_flush_log_at_trx_commit NOT IN (1, 3)
                UNION ALL
                SELECT CONCAT('sync_binlog is ', @@GLOBAL.sync_binlog, ' with a binary log: a crash of the machine could undo a transaction after its event was relayed. Set it to 1.')
                FROM DUAL WHERE @@GLOBAL.log_bin AND @@GLOBAL.sync_binlog <> 1
                UNION ALL
                SELECT 'binlog_format is STATEMENT: InnoDB then refuses what a relay deletes under READ COMMITTED. Set it to MIXED or ROW.'
                FROM DUAL WHERE @@GLOBAL.log_bin AND @@GLOBAL.binlog_format = 'STATEMENT'
                """);
    }

    /** None that could be told: a privilege may come by a role, which only the server can work out. */
    @Override
    public String missingPrivileges() {
        return """
                SELECT NULL
                """;
    }

    @Override
    public Map<String, String> privilegeProbes() {
        Map<String, String> probes = new LinkedHashMap<>();
        for (String table : List.of("`eventbus_outbox`", "`eventbus_relay_member`", "`eventbus_blocked_key`")) {
            probes.put(names.in("DELETE on " + table), names.in("DELETE FROM %s WHERE FALSE".formatted(table)));
        }
        for (String table : List.of("`eventbus_meta`", "`eventbus_relay_member`", "`eventbus_blocked_key`")) {
            probes.put(
                    names.in("INSERT on " + table),
                    names.in("INSERT INTO %1$s SELECT * FROM %1$s WHERE FALSE".formatted(table)));
        }
        Map<String, String> assignments = Map.of(
                "`eventbus_meta`", "value = ''",
                "`eventbus_relay_member`", "owner = ''",
                "`eventbus_relay_lease`", "epoch = 0",
                "`eventbus_blocked_key`", "reason = ''");
        assignments.forEach((table, assignment) -> probes.put(
                names.in("UPDATE on " + table), names.in("UPDATE %s SET %s WHERE FALSE".formatted(table, assignment))));
        return probes;
    }

    @Override
    public String meta() {
        return names.in("""
                SELECT value FROM `eventbus_meta` WHERE name = ?
                """);
    }

    @Override
    public String metas() {
        return names.in("""
                SELECT CONVERT(name USING utf8mb4), value FROM `eventbus_meta`
                WHERE CAST(LEFT(CONVERT(name USING utf8mb4), ?) AS binary) = CONVERT(? USING utf8mb4)
                """);
    }

    @Override
    public String insertMeta() {
        return names.in("""
                INSERT INTO `eventbus_meta` (name, value) VALUES (?, ?) ON DUPLICATE KEY UPDATE name = name
                """);
    }

    @Override
    public String replaceMeta() {
        return names.in("""
                UPDATE `eventbus_meta` SET value = ? WHERE name = ? AND value = ?
                """);
    }

    @Override
    public String deleteMetas() {
        return names.in("""
                DELETE FROM `eventbus_meta`
                WHERE CAST(LEFT(CONVERT(name USING utf8mb4), ?) AS binary) = CONVERT(? USING utf8mb4)
                """);
    }

    @Override
    public String countKeyLocks() {
        return names.in("""
                SELECT count(*) FROM `eventbus_key_lock`
                """);
    }

    /** Of being read-only a server says 0 or 1; MariaDB 12 says OFF, ON, NO_LOCK or NO_LOCK_NO_ADMIN (MDEV-36425). */
    @Override
    public String whereAmI() {
        return """
                SELECT CURRENT_USER(), DATABASE(), DATABASE(), CAST(@@GLOBAL.read_only AS CHAR) NOT IN ('0', 'OFF')
                """;
    }

    @Override
    public String createSchema(String schema) {
        return "CREATE SCHEMA IF NOT EXISTS `" + schema + "`";
    }

    @Override
    public String columns() {
        return """
                SELECT LOWER(COLUMN_NAME), PRIVILEGES LIKE '%select%', PRIVILEGES LIKE '%insert%'
                FROM INFORMATION_SCHEMA.COLUMNS
                WHERE TABLE_SCHEMA = COALESCE(?, DATABASE()) AND TABLE_NAME = ?
                """;
    }

    @Override
    public Optional<String> look(String table) {
        return Optional.of(names.in("SELECT 1 FROM `%s` WHERE FALSE".formatted(table)));
    }
}
