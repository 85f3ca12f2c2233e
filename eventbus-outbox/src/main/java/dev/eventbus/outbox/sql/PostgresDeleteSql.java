package dev.eventbus.outbox.sql;

import java.sql.Array;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import java.util.Collection;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.function.Function;
import java.util.function.ToIntFunction;
import java.util.function.ToLongFunction;

/**
 * How rows are named to PostgreSQL, to be deleted or counted, and lists as values of one parameter each.
 *
 * <p>What is looked up by name, is so row by row, in a subquery with a {@code LIMIT}, whatever the statistics say: a join may be planned
 * as a walk over the whole outbox for each row of the list while they say that the outbox is empty, as they do right after a backlog.
 * Rows are locked in the order of their places: two relays that both think a shard theirs must not wait for each other.
 */
record PostgresDeleteSql(TableNames names) {

    /** Of what Kafka has. A crash may undo it. */
    private static final String ACKED = """
            SELECT count(*), pg_current_xact_id()::text::bigint, set_config('synchronous_commit', 'off', true) FROM gone
            """;

    /**
     * Each row is looked up where it was when it was read. All are deleted if all are still those that were read, otherwise none. Both
     * looks are of one snapshot, which keeps a place from being taken by another row meanwhile; either goes through places in their
     * order, whatever that of the list, so the rows are compared as a whole: row by row that takes half as long again.
     */
    PreparedStatement deleteAtPlaces(Connection connection, Collection<OutboxRow> rows) throws SQLException {
        SortedMap<Long, OutboxRow> byPlace = new TreeMap<>();
        rows.forEach(row -> byPlace.put(address(row.place()), row));
        PreparedStatement delete = connection.prepareStatement(names.in("""
                WITH gone AS (
                  DELETE FROM "eventbus_outbox"
                  WHERE ctid = ANY (?::tid[])
                    AND (SELECT array_agg(o.seq) = ?::bigint[] AND array_agg(o.id) = ?::varchar[]
                         FROM "eventbus_outbox" o WHERE o.ctid = ANY (?::tid[]))
                  RETURNING 1)
                """) + ACKED);
        Collection<OutboxRow> inOrder = byPlace.values();
        Array places = connection.createArrayOf(
                "tid", inOrder.stream().map(OutboxRow::place).toArray());
        delete.setArray(1, places);
        delete.setArray(2, longs(connection, inOrder, row -> row.key().seq()));
        delete.setArray(3, strings(connection, inOrder, row -> row.key().id()));
        delete.setArray(4, places);
        return delete;
    }

    /** Of a place as the database writes it: {@code (block,item)}. */
    private static long address(String place) {
        int comma = place.indexOf(',');
        long block = Long.parseLong(place, 1, comma, 10);
        return block << Short.SIZE | Long.parseLong(place, comma + 1, place.length() - 1, 10);
    }

    /** Each row is looked up by its number. */
    PreparedStatement delete(Connection connection, Collection<RowKey> rows) throws SQLException {
        return bind(connection.prepareStatement(deleteNamed() + ACKED), rows);
    }

    /**
     * Each row is looked up by its number, by the index: a plan that was made while the table was empty would read all of it, and what
     * transactions before have left there, for each row. So three statements go in one round trip, of which the last one leaves
     * the session as it was.
     */
    PreparedStatement deleteOwn(Connection connection, Collection<RowKey> rows) throws SQLException {
        return bind(connection.prepareStatement("""
                SELECT set_config('eventbus.enable_seqscan', current_setting('enable_seqscan'), true),
                       set_config('enable_seqscan', 'off', true);
                %s
                SELECT count(*) FROM gone;
                SELECT set_config('enable_seqscan', current_setting('eventbus.enable_seqscan'), true)
                """.formatted(deleteNamed())), rows);
    }

    private String deleteNamed() {
        return names.in("""
                WITH gone AS (
                  DELETE FROM "eventbus_outbox"
                  WHERE ctid = ANY (ARRAY (
                    SELECT found.ctid
                    FROM unnest(?::smallint[], ?::bigint[], ?::varchar[]) AS acked (shard, seq, id)
                    CROSS JOIN LATERAL (
                      SELECT o.ctid FROM "eventbus_outbox" o
                      WHERE o.shard = acked.shard AND o.seq = acked.seq AND o.id = acked.id
                      LIMIT 1) found))
                  RETURNING 1)
                """);
    }

    PreparedStatement lockUnlocked(Connection connection, Collection<RowKey> rows) throws SQLException {
        return bind(connection.prepareStatement(find("FOR UPDATE SKIP LOCKED")), rows);
    }

    PreparedStatement find(Connection connection, Collection<RowKey> rows) throws SQLException {
        return bind(connection.prepareStatement(find("")), rows);
    }

    private String find(String lock) {
        return names.in("""
                SELECT found.shard, found.seq
                FROM unnest(?::smallint[], ?::bigint[], ?::varchar[]) AS named (shard, seq, id)
                CROSS JOIN LATERAL (
                  SELECT o.shard, o.seq FROM "eventbus_outbox" o
                  WHERE o.shard = named.shard AND o.seq = named.seq AND o.id = named.id
                  LIMIT 1 %s) found
                """).formatted(lock);
    }

    static <T> Array shards(Connection connection, Collection<T> of, ToIntFunction<T> shard) throws SQLException {
        return connection.createArrayOf(
                "int2", of.stream().map(one -> (short) shard.applyAsInt(one)).toArray(Short[]::new));
    }

    static <T> Array longs(Connection connection, Collection<T> of, ToLongFunction<T> value) throws SQLException {
        return connection.createArrayOf(
                "int8", of.stream().map(value::applyAsLong).toArray(Long[]::new));
    }

    static <T> Array strings(Connection connection, Collection<T> of, Function<T, String> value) throws SQLException {
        return connection.createArrayOf("varchar", of.stream().map(value).toArray(String[]::new));
    }

    private static PreparedStatement bind(PreparedStatement statement, Collection<RowKey> rows) throws SQLException {
        Connection connection = statement.getConnection();
        statement.setArray(1, shards(connection, rows, RowKey::shard));
        statement.setArray(2, longs(connection, rows, RowKey::seq));
        statement.setArray(3, strings(connection, rows, RowKey::id));
        return statement;
    }
}
