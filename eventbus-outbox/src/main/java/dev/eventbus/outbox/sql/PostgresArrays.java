package dev.eventbus.outbox.sql;

import java.sql.Array;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import java.util.Collection;
import java.util.function.Function;
import java.util.function.ToIntFunction;
import java.util.function.ToLongFunction;

/** Lists as values of one parameter each. */
final class PostgresArrays {

    private PostgresArrays() {}

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
    static PreparedStatement bind(PreparedStatement statement, Collection<RowKey> rows, Function<RowKey, String> text)
            throws SQLException {
        Connection connection = statement.getConnection();
        statement.setArray(1, shards(connection, rows, RowKey::shard));
        statement.setArray(2, longs(connection, rows, RowKey::seq));
        statement.setArray(3, strings(connection, rows, text));
        return statement;
    }
}
