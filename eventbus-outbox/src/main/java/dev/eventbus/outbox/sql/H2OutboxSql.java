package dev.eventbus.outbox.sql;

import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import java.time.Duration;
import java.util.Collection;
import java.util.Map;
import java.util.function.Function;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

/** H2 2.2 or later in any compatibility mode: for tests and demos. It gives no exact floor, so a shard is read from its beginning. */
public record H2OutboxSql(TableNames names) implements OutboxSql {

    /** Rows of one shard; a fetch has one of these for every owned shard. */
    private static final String ROWS_OF_A_SHARD = """
            (SELECT CAST(? AS integer) AS turn, o.*,
                    COALESCE(OCTET_LENGTH(o.payload), 0) + COALESCE(OCTET_LENGTH(o.headers), 0) AS size
             FROM "eventbus_outbox" o
             WHERE o.shard = ? AND o.seq > ?
               AND NOT (o.aggregatetype = ANY (?))
               AND o.aggregatetype = COALESCE(?, o.aggregatetype)
               AND NOT (o.seq = ANY (?))
               AND NOT EXISTS (SELECT 1 FROM "eventbus_blocked_key" b
                               WHERE b.aggregatetype = o.aggregatetype AND b.aggregateid = COALESCE(o.aggregateid, '')
                                 AND b.reason <> 'UNBLOCKED')
             ORDER BY o.seq
             LIMIT ?)
            """;

    @Override
    public String database() {
        return "h2";
    }

    @Override
    public String insert() {
        return names.in("""
                INSERT INTO "eventbus_outbox" (shard, id, aggregatetype, aggregateid, type, payload, headers, content_type,
                                               traceparent, tracestate, created_at)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, CURRENT_TIMESTAMP)
                """);
    }

    @Override
    public String unsafeSession() {
        throw new UnsupportedOperationException("H2 takes an event from every session");
    }

    @Override
    public int keyLocks() {
        return OutboxSchema.KEY_LOCKS;
    }

    @Override
    public PreparedStatement lockKeys(Connection connection, int[] locks) throws SQLException {
        String sql = names.in("""
                SELECT slot FROM "eventbus_key_lock" WHERE slot = ANY (?) ORDER BY slot FOR UPDATE
                """);
        PreparedStatement lock = connection.prepareStatement(sql);
        boolean readsBehindIt = connection.getTransactionIsolation() <= lockingIsolation();
        lock.setObject(1, readsBehindIt ? IntStream.of(locks).boxed().toArray() : new Object[0]);
        return lock;
    }

    /** SNAPSHOT lies above it. */
    @Override
    public int lockingIsolation() {
        return Connection.TRANSACTION_REPEATABLE_READ;
    }

    @Override
    public PreparedStatement fetch(Connection connection, FetchWindow window) throws SQLException {
        String shards =
                window.floors().stream().map(floor -> ROWS_OF_A_SHARD).collect(Collectors.joining(" UNION ALL "));
        String sql = names.in("""
                SELECT CAST(NULL AS bigint) AS snapshot_xmin, CAST(NULL AS bigint) AS head, shard, seq, id, aggregatetype,
                       aggregateid, type, payload, headers, content_type, traceparent, tracestate, created_at,
                       size AS bytes
                FROM (
                  SELECT page.*, SUM(page.size) OVER (ORDER BY page.turn, page.seq) - page.size AS bytes_before
                  FROM (SELECT * FROM (%s) ORDER BY turn, seq LIMIT ?) page)
                WHERE bytes_before < ?
                ORDER BY turn, seq
                """.formatted(shards));
        String[] excluded = window.excludedTopics().toArray(String[]::new);
        Map<Integer, Long[]> inFlight = window.inFlight().stream()
                .collect(Collectors.groupingBy(
                        RowKey::shard,
                        Collectors.collectingAndThen(
                                Collectors.mapping(RowKey::seq, Collectors.toList()),
                                all -> all.toArray(Long[]::new))));
        PreparedStatement fetch = connection.prepareStatement(sql);
        int at = 1;
        for (int turn = 0; turn < window.floors().size(); turn++) {
            FetchWindow.Floor floor = window.floors().get(turn);
            fetch.setInt(at++, turn);
            fetch.setInt(at++, floor.shard());
            fetch.setLong(at++, floor.seq());
            fetch.setObject(at++, excluded);
            fetch.setString(at++, window.onlyTopic());
            fetch.setObject(at++, inFlight.getOrDefault(floor.shard(), new Long[0]));
            fetch.setInt(at++, window.rowsPerShard());
        }
        fetch.setInt(at++, window.rows());
        fetch.setLong(at, window.bytes());
        return fetch;
    }

    @Override
    public PreparedStatement delete(Connection connection, Collection<RowKey> rows) throws SQLException {
        String sql = names.in("""
                SELECT count(*), CAST(0 AS bigint) FROM OLD TABLE (
                  MERGE INTO "eventbus_outbox" o
                  USING UNNEST(CAST(? AS smallint ARRAY), CAST(? AS bigint ARRAY), CAST(? AS varchar ARRAY))
                        AS acked (shard, seq, id)
                  ON o.shard = acked.shard AND o.seq = acked.seq AND o.id = acked.id
                  WHEN MATCHED THEN DELETE)
                """);
        return bind(connection.prepareStatement(sql), rows);
    }

    @Override
    public PreparedStatement lockUnlocked(Connection connection, Collection<RowKey> rows) throws SQLException {
        String sql = names.in("""
                SELECT shard, seq FROM "eventbus_outbox"
                WHERE (shard, seq, id) IN (
                  SELECT * FROM UNNEST(CAST(? AS smallint ARRAY), CAST(? AS bigint ARRAY), CAST(? AS varchar ARRAY)))
                FOR UPDATE SKIP LOCKED
                """);
        return bind(connection.prepareStatement(sql), rows);
    }

    @Override
    public PreparedStatement find(Connection connection, Collection<RowKey> rows) throws SQLException {
        String sql = names.in("""
                SELECT o.shard, o.seq
                FROM UNNEST(CAST(? AS smallint ARRAY), CAST(? AS bigint ARRAY), CAST(? AS varchar ARRAY))
                     AS named (shard, seq, id)
                JOIN "eventbus_outbox" o ON o.shard = named.shard AND o.seq = named.seq AND o.id = named.id
                """);
        return bind(connection.prepareStatement(sql), rows);
    }

    private static PreparedStatement bind(PreparedStatement statement, Collection<RowKey> rows) throws SQLException {
        statement.setObject(1, column(rows, RowKey::shard));
        statement.setObject(2, column(rows, RowKey::seq));
        statement.setObject(3, column(rows, RowKey::id));
        return statement;
    }

    @Override
    public String upsertMember() {
        return names.in("""
                MERGE INTO "eventbus_relay_member" (owner, lease_until)
                KEY (owner) VALUES (?, DATEADD('MILLISECOND', ?, CURRENT_TIMESTAMP))
                """);
    }

    @Override
    public String pruneMembers() {
        return names.in("""
                DELETE FROM "eventbus_relay_member"
                WHERE owner IN (SELECT owner FROM "eventbus_relay_member" WHERE lease_until < CURRENT_TIMESTAMP
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
                SELECT owner FROM "eventbus_relay_member" WHERE lease_until >= CURRENT_TIMESTAMP
                """);
    }

    @Override
    public String renewLeases() {
        return names.in("""
                UPDATE "eventbus_relay_lease"
                SET lease_until = DATEADD('MILLISECOND', ?, CURRENT_TIMESTAMP)
                WHERE owner = ? AND lease_until >= CURRENT_TIMESTAMP
                """);
    }

    @Override
    public String claimLease() {
        return names.in("""
                UPDATE "eventbus_relay_lease"
                SET owner = ?, epoch = epoch + 1, lease_until = DATEADD('MILLISECOND', ?, CURRENT_TIMESTAMP)
                WHERE shard = ? AND epoch = ? AND (owner IS NULL OR lease_until < CURRENT_TIMESTAMP)
                """);
    }

    @Override
    public String releaseLease() {
        return names.in("""
                UPDATE "eventbus_relay_lease" SET owner = NULL, lease_until = NULL WHERE shard = ? AND owner = ? AND epoch = ?
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
                SELECT shard,
                       CASE WHEN lease_until >= CURRENT_TIMESTAMP THEN owner END,
                       epoch,
                       GREATEST(0, COALESCE(DATEDIFF('MILLISECOND', CURRENT_TIMESTAMP, lease_until), 0))
                FROM "eventbus_relay_lease"
                ORDER BY shard
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
                MERGE INTO "eventbus_blocked_key" b
                USING (SELECT CAST(? AS varchar) AS topic, CAST(? AS varchar) AS blocked, CAST(? AS smallint) AS shard,
                              CAST(? AS bigint) AS seq, CAST(? AS varchar) AS event_id, CAST(? AS varchar) AS reason,
                              CAST(? AS varchar) AS error, CAST(? AS varchar) AS sent_later) AS given
                ON b.aggregatetype = given.topic AND b.aggregateid = given.blocked
                WHEN MATCHED AND b.reason = 'UNBLOCKED' THEN
                  UPDATE SET shard = given.shard, seq = given.seq, event_id = given.event_id, reason = given.reason,
                             error = given.error, sent_later = given.sent_later, since = CURRENT_TIMESTAMP
                WHEN NOT MATCHED THEN
                  INSERT (aggregatetype, aggregateid, shard, seq, event_id, reason, error, sent_later, since)
                  VALUES (given.topic, given.blocked, given.shard, given.seq, given.event_id, given.reason, given.error,
                          given.sent_later, CURRENT_TIMESTAMP)
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
                SELECT CURRENT_TIMESTAMP
                """;
    }

    @Override
    public AdminSql admin() {
        return new H2AdminSql(names);
    }

    @Override
    public Map<String, String> sessionSettings(Duration lease) {
        return Map.of();
    }

    private static Object[] column(Collection<RowKey> rows, Function<RowKey, Object> of) {
        return rows.stream().map(of).toArray();
    }
}
