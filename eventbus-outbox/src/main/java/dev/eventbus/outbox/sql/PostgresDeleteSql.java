package dev.eventbus.outbox.sql;

import java.sql.Array;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import java.util.Collection;
import java.util.function.Function;
import java.util.function.ToIntFunction;
import java.util.function.ToLongFunction;

/** How rows are named to PostgreSQL, to be deleted or counted, and lists as values of one parameter each. */
record PostgresDeleteSql(TableNames names) {

    /**
     * Each row is looked up where it was when it was read, and deleted if it is the one that was read. Whatever the statistics say, the
     * list comes first: without a scan of the whole table, which the session turns off, there is no other way to begin.
     */
    PreparedStatement deleteAtPlaces(Connection connection, Collection<OutboxRow> rows) throws SQLException {
        String sql = names.in("""
                WITH gone AS (
                  DELETE FROM "eventbus_outbox" o
                  USING unnest(?::tid[], ?::bigint[], ?::varchar[]) AS acked (place, seq, id)
                  WHERE o.ctid = acked.place AND o.seq = acked.seq AND o.id = acked.id
                  RETURNING 1)
                SELECT count(*), pg_current_xact_id()::text::bigint, set_config('synchronous_commit', 'off', true) FROM gone
                """);
        PreparedStatement delete = connection.prepareStatement(sql);
        delete.setArray(
                1,
                connection.createArrayOf(
                        "tid", rows.stream().map(OutboxRow::place).toArray()));
        delete.setArray(2, longs(connection, rows, row -> row.key().seq()));
        delete.setArray(3, strings(connection, rows, row -> row.key().id()));
        return delete;
    }

    /**
     * Each row is looked up by its number whatever the statistics say: right after a backlog they say that the outbox is empty, and a
     * join would read all of it once for each row.
     */
    PreparedStatement delete(Connection connection, Collection<RowKey> rows) throws SQLException {
        String sql = names.in("""
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
                SELECT count(*), pg_current_xact_id()::text::bigint, set_config('synchronous_commit', 'off', true) FROM gone
                """);
        return bind(connection.prepareStatement(sql), rows);
    }

    PreparedStatement count(Connection connection, Collection<RowKey> rows) throws SQLException {
        String sql = names.in("""
                SELECT count(*)
                FROM unnest(?::smallint[], ?::bigint[], ?::varchar[]) AS named (shard, seq, id)
                CROSS JOIN LATERAL (
                  SELECT 1 FROM "eventbus_outbox" o
                  WHERE o.shard = named.shard AND o.seq = named.seq AND o.id = named.id
                  LIMIT 1) found
                """);
        return bind(connection.prepareStatement(sql), rows);
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
