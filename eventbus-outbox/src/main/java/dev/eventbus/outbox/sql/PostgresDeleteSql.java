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

    /** The version that finds the members of a list in one walk of an index, and always does. */
    private static final int LOOKS_UP_ALL_AT_ONCE = 17;

    PreparedStatement delete(Connection connection, Collection<RowKey> rows) throws SQLException {
        return connection.getMetaData().getDatabaseMajorVersion() >= LOOKS_UP_ALL_AT_ONCE
                ? deleteAtOnce(connection, rows)
                : deleteOneByOne(connection, rows);
    }

    /**
     * One walk of the index for all rows; the text tells a row from another of its number.
     * Before 17 the planner may check the numbers on every row of the shard instead.
     */
    private PreparedStatement deleteAtOnce(Connection connection, Collection<RowKey> rows) throws SQLException {
        String sql = names.in("""
                WITH gone AS (
                  DELETE FROM "eventbus_outbox"
                  WHERE shard = ANY (?::smallint[]) AND seq = ANY (?::bigint[])
                    AND shard || ':' || seq || ':' || id = ANY (?::varchar[])
                  RETURNING 1)
                SELECT count(*), pg_current_xact_id()::text::bigint, set_config('synchronous_commit', 'off', true) FROM gone
                """);
        return bind(connection.prepareStatement(sql), rows, row -> row.shard() + ":" + row.seq() + ":" + row.id());
    }

    /**
     * Each row is looked up by its number whatever the statistics say: right after a backlog they say that the outbox is empty, and a
     * join would read all of it once for each row.
     */
    private PreparedStatement deleteOneByOne(Connection connection, Collection<RowKey> rows) throws SQLException {
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
        return bind(connection.prepareStatement(sql), rows, RowKey::id);
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
        return bind(connection.prepareStatement(sql), rows, RowKey::id);
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

    /** Binds shards, numbers and a text of each row, in this order. */
    private static PreparedStatement bind(
            PreparedStatement statement, Collection<RowKey> rows, Function<RowKey, String> text) throws SQLException {
        Connection connection = statement.getConnection();
        statement.setArray(1, shards(connection, rows, RowKey::shard));
        statement.setArray(2, longs(connection, rows, RowKey::seq));
        statement.setArray(3, strings(connection, rows, text));
        return statement;
    }
}
