package dev.eventbus.outbox.sql;

import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.time.Duration;
import java.time.Instant;
import java.time.LocalDateTime;
import java.time.ZoneOffset;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;

/**
 * MariaDB 10.6 and later, in words that MySQL 8 understands too. It gives no exact floor, so a shard is read from its beginning.
 *
 * <p>Ids, keys, topics and owners are columns of bytes, so that no collation decides about them; text becomes UTF-8 on its way in,
 * whatever the connection's character set, and text again on its way out. Times are UTC in columns without a zone.
 */
public record MariaDbOutboxSql(TableNames names) implements OutboxSql {

    /** What the guard of {@link #insert()} raises: a number is out of range. */
    private static final int OUT_OF_RANGE = 1690;

    private static final int LONGEST_LIST = 512;

    /** Rows of one owned shard; only what orders and bounds them, since with payloads the server writes the union to disk. */
    private static final String ROWS_OF_A_SHARD = """
            (SELECT CAST(? AS signed) AS turn, o.shard, o.seq,
                    COALESCE(OCTET_LENGTH(o.payload), 0) + COALESCE(OCTET_LENGTH(o.headers), 0) AS size
             FROM `eventbus_outbox` o FORCE INDEX (PRIMARY)
             WHERE o.shard = ? AND o.seq > ? AND o.seq < ?
               AND o.aggregatetype NOT IN (%s)
               AND o.aggregatetype = COALESCE(?, o.aggregatetype)
               AND o.seq NOT IN (%s)
               AND NOT EXISTS (SELECT 1 FROM `eventbus_blocked_key` b
                               WHERE b.aggregatetype = o.aggregatetype AND b.aggregateid = COALESCE(o.aggregateid, '')
                                 AND b.reason <> 'UNBLOCKED')
             ORDER BY o.seq
             LIMIT ?)
            """;

    @Override
    public String database() {
        return "mariadb";
    }

    /**
     * The shard carries a guard, which raises an error unless the three conditions hold, whatever the session's mode. It stands among
     * the values since an INSERT with a SELECT and a WHERE can be sent by no driver in bulk, and takes a hundred times as long.
     */
    @Override
    public String insert() {
        return names.in("""
                INSERT INTO `eventbus_outbox` (shard, id, aggregatetype, aggregateid, type, payload, headers, content_type,
                                               traceparent, tracestate, created_at)
                VALUES (? + 0 * (9223372036854775807 + (NOT (@@innodb_flush_log_at_trx_commit IN (1, 3)
                                                             AND @@sql_mode LIKE '%STRICT%'
                                                             AND @@auto_increment_increment = 1))),
                        CONVERT(? USING utf8mb4), CONVERT(? USING utf8mb4), CONVERT(? USING utf8mb4), ?, ?, ?, ?, ?, ?, UTC_TIMESTAMP(6))
                """);
    }

    @Override
    public boolean isUnsafeSession(SQLException error) {
        return error.getErrorCode() == OUT_OF_RANGE;
    }

    @Override
    public String unsafeSession() {
        return "this session breaks one of three conditions: innodb_flush_log_at_trx_commit is 1 or 3 (else a crash could undo your transaction after its event was relayed), sql_mode has STRICT_TRANS_TABLES or STRICT_ALL_TABLES (else a value could be cut), auto_increment_increment is 1 (else events of one key could be numbered out of order). Nothing was written; correct the setting.";
    }

    @Override
    public int keyLocks() {
        return OutboxSchema.KEY_LOCKS;
    }

    /**
     * Along the primary key, hence in ascending order, and no row beside. In lists of 512, since from 1,000 on MariaDB joins a list like a
     * table, in an order of its own.
     */
    @Override
    public PreparedStatement lockKeys(Connection connection, int[] locks) throws SQLException {
        List<Integer> slots = padded(IntStream.of(locks).boxed().toList(), locks[0]);
        String lists = IntStream.iterate(0, from -> from < slots.size(), from -> from + LONGEST_LIST)
                .mapToObj(from -> "slot IN (%s)"
                        .formatted(marks(slots.subList(from, Math.min(slots.size(), from + LONGEST_LIST)))))
                .collect(Collectors.joining(" OR "));
        String sql = names.in("""
                SELECT slot FROM `eventbus_key_lock` FORCE INDEX (PRIMARY) WHERE %s ORDER BY slot FOR UPDATE
                """.formatted(lists));
        PreparedStatement lock = connection.prepareStatement(sql);
        for (int i = 0; i < slots.size(); i++) {
            lock.setInt(i + 1, slots.get(i));
        }
        return lock;
    }

    @Override
    public PreparedStatement fetch(Connection connection, FetchWindow window) throws SQLException {
        String sql = names.in("""
                SELECT NULL AS snapshot_xmin, NULL AS head, event.shard, event.seq, CONVERT(event.id USING utf8mb4) AS id,
                       CONVERT(event.aggregatetype USING utf8mb4) AS aggregatetype,
                       CONVERT(event.aggregateid USING utf8mb4) AS aggregateid, event.type, event.payload, event.headers,
                       event.content_type, event.traceparent, event.tracestate, event.created_at, chosen.size AS bytes
                FROM (
                  SELECT page.turn, page.shard, page.seq, page.size,
                         SUM(page.size) OVER (ORDER BY page.turn, page.seq) - page.size AS bytes_before
                  FROM (SELECT * FROM (%s) head ORDER BY turn, seq LIMIT ?) page) chosen
                STRAIGHT_JOIN `eventbus_outbox` event FORCE INDEX (PRIMARY)
                  ON event.shard = chosen.shard AND event.seq = chosen.seq
                WHERE chosen.bytes_before < ?
                ORDER BY chosen.turn, chosen.seq
                """.formatted(rowsOfShards(window)));
        PreparedStatement fetch = connection.prepareStatement(sql);
        int at = bindRowsOfShards(fetch, window, Map.of());
        fetch.setInt(at++, window.rows());
        fetch.setLong(at, window.bytes());
        return fetch;
    }

    /**
     * InnoDB of MariaDB collects the transactions under way one by one, without a lock, while they end: its snapshot can have what a
     * transaction wrote and lack what one wrote for which that transaction waited.
     */
    @Override
    public PreparedStatement missed(Connection connection, FetchWindow window, List<OutboxRow> fetched)
            throws SQLException {
        FetchWindow beside = window.beside(fetched, MOST_MISSED);
        PreparedStatement missed = connection.prepareStatement(names.in("""
                SELECT event.shard, event.seq, CONVERT(event.aggregatetype USING utf8mb4),
                       CONVERT(event.aggregateid USING utf8mb4)
                FROM (%s) head
                STRAIGHT_JOIN `eventbus_outbox` event FORCE INDEX (PRIMARY)
                  ON event.shard = head.shard AND event.seq = head.seq
                ORDER BY event.shard, event.seq
                """.formatted(rowsOfShards(beside))));
        Map<Integer, Long> last =
                fetched.stream().map(OutboxRow::key).collect(Collectors.toMap(RowKey::shard, RowKey::seq, Math::max));
        bindRowsOfShards(missed, beside, last);
        return missed;
    }

    private static String rowsOfShards(FetchWindow window) {
        String topics = marks(padded(window.excludedTopics(), ""));
        Map<Integer, List<Long>> inFlight = inFlight(window);
        return window.floors().stream()
                .map(floor ->
                        ROWS_OF_A_SHARD.formatted(topics, marks(inFlight.getOrDefault(floor.shard(), List.of(0L)))))
                .collect(Collectors.joining(" UNION ALL "));
    }

    private static int bindRowsOfShards(PreparedStatement statement, FetchWindow window, Map<Integer, Long> below)
            throws SQLException {
        Map<Integer, List<Long>> inFlight = inFlight(window);
        int at = 1;
        for (int turn = 0; turn < window.floors().size(); turn++) {
            FetchWindow.Floor floor = window.floors().get(turn);
            statement.setInt(at++, turn);
            statement.setInt(at++, floor.shard());
            statement.setLong(at++, floor.seq());
            statement.setLong(at++, below.getOrDefault(floor.shard(), Long.MAX_VALUE));
            for (String topic : padded(window.excludedTopics(), "")) {
                statement.setString(at++, topic);
            }
            statement.setString(at++, window.onlyTopic());
            for (long seq : inFlight.getOrDefault(floor.shard(), List.of(0L))) {
                statement.setLong(at++, seq);
            }
            statement.setInt(at++, window.rowsPerShard());
        }
        return at;
    }

    private static Map<Integer, List<Long>> inFlight(FetchWindow window) {
        Map<Integer, List<Long>> inFlight = window.inFlight().stream()
                .collect(Collectors.groupingBy(RowKey::shard, Collectors.mapping(RowKey::seq, Collectors.toList())));
        inFlight.replaceAll((shard, seqs) -> padded(seqs, 0L));
        return inFlight;
    }

    /** Values for a list that cannot be empty, as many as a power of two, so that few texts of the statement are in use. */
    private static <T> List<T> padded(Collection<T> values, T filler) {
        List<T> padded = new ArrayList<>(values);
        int length = Integer.highestOneBit(Math.max(1, 2 * padded.size() - 1));
        padded.addAll(Collections.nCopies(length - padded.size(), filler));
        return padded;
    }

    private static String marks(List<?> values) {
        return String.join(", ", Collections.nCopies(values.size(), "?"));
    }

    /** Rows by their names, each looked up by itself. A list of (shard, seq, id) in parentheses instead takes seconds for 2,000 rows. */
    private static final String NAMED = """
            FROM JSON_TABLE(?, '$[*]' COLUMNS (shard smallint PATH '$[0]', seq bigint PATH '$[1]',
                                               id varchar(128) CHARACTER SET utf8mb4 PATH '$[2]')) AS named
            STRAIGHT_JOIN `eventbus_outbox` FORCE INDEX (PRIMARY) ON `eventbus_outbox`.shard = named.shard
              AND `eventbus_outbox`.seq = named.seq AND `eventbus_outbox`.id = named.id
            """;

    private static final String FIND = "SELECT `eventbus_outbox`.shard, `eventbus_outbox`.seq\n" + NAMED;

    @Override
    public PreparedStatement delete(Connection connection, Collection<RowKey> rows) throws SQLException {
        String sql = names.in("""
                DELETE `eventbus_outbox`
                """ + NAMED);
        return bind(connection.prepareStatement(sql), rows);
    }

    /** {@code innodb_lock_wait_timeout} is 50 s as it comes. */
    @Override
    public boolean waitsForLocks() {
        return true;
    }

    @Override
    public PreparedStatement lockUnlocked(Connection connection, Collection<RowKey> rows) throws SQLException {
        return bind(connection.prepareStatement(names.in(FIND + "FOR UPDATE SKIP LOCKED")), rows);
    }

    @Override
    public PreparedStatement find(Connection connection, Collection<RowKey> rows) throws SQLException {
        return bind(connection.prepareStatement(names.in(FIND)), rows);
    }

    private static PreparedStatement bind(PreparedStatement statement, Collection<RowKey> rows) throws SQLException {
        statement.setString(1, OutboxJson.keys(rows));
        return statement;
    }

    @Override
    public @Nullable Instant instant(ResultSet row, int column) throws SQLException {
        LocalDateTime utc = row.getObject(column, LocalDateTime.class);
        return utc == null ? null : utc.toInstant(ZoneOffset.UTC);
    }

    @Override
    public String upsertMember() {
        return names.in("""
                INSERT INTO `eventbus_relay_member` (owner, lease_until)
                VALUES (?, UTC_TIMESTAMP(6) + INTERVAL ? * 1000 MICROSECOND)
                ON DUPLICATE KEY UPDATE lease_until = VALUES(lease_until)
                """);
    }

    @Override
    public String pruneMembers() {
        return names.in("""
                DELETE `eventbus_relay_member` FROM (SELECT owner FROM `eventbus_relay_member` WHERE lease_until < UTC_TIMESTAMP(6) LIMIT 1000 FOR UPDATE SKIP LOCKED) free
                STRAIGHT_JOIN `eventbus_relay_member` ON `eventbus_relay_member`.owner = free.owner
                """);
    }

    @Override
    public String deleteMember() {
        return names.in("""
                DELETE FROM `eventbus_relay_member` WHERE owner = ?
                """);
    }

    @Override
    public String members() {
        return names.in("""
                SELECT CONVERT(owner USING utf8mb4) FROM `eventbus_relay_member` WHERE lease_until >= UTC_TIMESTAMP(6)
                """);
    }

    @Override
    public String renewLeases() {
        return names.in("""
                UPDATE (SELECT shard, UTC_TIMESTAMP(6) + INTERVAL ? * 1000 MICROSECOND AS till FROM `eventbus_relay_lease`
                        WHERE owner = ? AND lease_until >= UTC_TIMESTAMP(6) LIMIT 1000 FOR UPDATE SKIP LOCKED) free
                STRAIGHT_JOIN `eventbus_relay_lease` mine ON mine.shard = free.shard
                SET mine.lease_until = free.till
                """);
    }

    @Override
    public String claimLease() {
        return names.in("""
                UPDATE (SELECT shard, ? AS taker, UTC_TIMESTAMP(6) + INTERVAL ? * 1000 MICROSECOND AS till
                        FROM `eventbus_relay_lease`
                        WHERE shard = ? AND epoch = ? AND (owner IS NULL OR lease_until < UTC_TIMESTAMP(6))
                        LIMIT 1 FOR UPDATE SKIP LOCKED) free
                STRAIGHT_JOIN `eventbus_relay_lease` mine ON mine.shard = free.shard
                SET mine.owner = free.taker, mine.epoch = mine.epoch + 1, mine.lease_until = free.till
                """);
    }

    @Override
    public String releaseLease() {
        return names.in("""
                UPDATE (SELECT shard FROM `eventbus_relay_lease` WHERE shard = ? AND owner = ? AND epoch = ?
                        LIMIT 1 FOR UPDATE SKIP LOCKED) free
                STRAIGHT_JOIN `eventbus_relay_lease` mine ON mine.shard = free.shard
                SET mine.owner = NULL, mine.lease_until = NULL
                """);
    }

    @Override
    public String releaseLeases() {
        return names.in("""
                UPDATE (SELECT shard FROM `eventbus_relay_lease` WHERE owner = ? LIMIT 1000 FOR UPDATE SKIP LOCKED) free
                STRAIGHT_JOIN `eventbus_relay_lease` mine ON mine.shard = free.shard
                SET mine.owner = NULL, mine.lease_until = NULL
                """);
    }

    @Override
    public String leases() {
        return names.in("""
                SELECT shard,
                       CASE WHEN lease_until >= UTC_TIMESTAMP(6) THEN CONVERT(owner USING utf8mb4) END,
                       epoch,
                       GREATEST(0, COALESCE(TIMESTAMPDIFF(MICROSECOND, UTC_TIMESTAMP(6), lease_until) DIV 1000, 0))
                FROM `eventbus_relay_lease`
                ORDER BY shard
                """);
    }

    @Override
    public String lockLease() {
        return names.in("""
                SELECT shard FROM `eventbus_relay_lease` WHERE shard = ? AND owner = ? AND epoch = ? FOR UPDATE SKIP LOCKED
                """);
    }

    @Override
    public String rowExists() {
        return names.in("""
                SELECT shard FROM `eventbus_outbox` WHERE shard = ? AND seq = ? AND id = CONVERT(? USING utf8mb4)
                """);
    }

    @Override
    public String insertBlockedKey() {
        return names.in("""
                INSERT INTO `eventbus_blocked_key` (aggregatetype, aggregateid, shard, seq, event_id, reason, error,
                                                    sent_later, since)
                SELECT given.topic, given.blocked, given.shard, given.seq, given.event_id, given.reason, given.error,
                       given.sent_later, UTC_TIMESTAMP(6)
                FROM (SELECT CONVERT(? USING utf8mb4) AS topic, CONVERT(? USING utf8mb4) AS blocked, ? AS shard, ? AS seq,
                             CONVERT(? USING utf8mb4) AS event_id, ? AS reason, ? AS error, ? AS sent_later) given
                WHERE NOT EXISTS (SELECT 1 FROM `eventbus_blocked_key` b
                                  WHERE b.aggregatetype = given.topic AND b.aggregateid = given.blocked
                                    AND b.reason <> 'UNBLOCKED')
                ON DUPLICATE KEY UPDATE shard = VALUES(shard), seq = VALUES(seq), event_id = VALUES(event_id),
                                        reason = VALUES(reason), error = VALUES(error), sent_later = VALUES(sent_later),
                                        since = VALUES(since)
                """);
    }

    @Override
    public String countBlockedKeys() {
        return names.in("""
                SELECT shard, reason, count(*) FROM `eventbus_blocked_key`
                WHERE reason <> 'UNBLOCKED' AND shard IN (SELECT shard FROM `eventbus_relay_lease` WHERE owner = ?)
                GROUP BY shard, reason
                """);
    }

    @Override
    public String unblockedSince() {
        return names.in("""
                SELECT seq FROM `eventbus_blocked_key`
                WHERE aggregatetype = ? AND aggregateid = CONVERT(? USING utf8mb4) AND seq >= ? AND reason = 'UNBLOCKED'
                """);
    }

    @Override
    public String now() {
        return """
                SELECT UTC_TIMESTAMP(6)
                """;
    }

    @Override
    public AdminSql admin() {
        return new MariaDbAdminSql(names);
    }

    @Override
    public Map<String, String> sessionSettings(Duration lease) {
        return MariaDbSessionSql.settings(lease);
    }

    @Override
    public String exchange(Connection session, String setting, String value) throws SQLException {
        return MariaDbSessionSql.exchange(session, setting, value);
    }
}
