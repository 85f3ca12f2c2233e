package dev.eventbus.outbox;

import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.outbox.sql.H2OutboxSql;
import dev.eventbus.outbox.sql.RelayConnection;
import dev.eventbus.outbox.sql.TableNames;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Proxy;
import java.sql.Connection;
import java.sql.SQLException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import javax.sql.DataSource;
import org.junit.jupiter.api.Test;

/** How a pool gets the relay's connection back. */
class RelayConnectionTest {

    private final TestDatabase database = new TestDatabase();

    /** What was done to the connection since it was dropped. */
    private final List<String> calls = new ArrayList<>();

    private boolean restoreFails;

    @Test
    void after_an_ordinary_error_it_is_given_back_as_it_was() throws SQLException {
        Connection real = open(new SQLException("no such table", "42S02"));
        assertThat(calls)
                .containsSubsequence(
                        "rollback", "setTransactionIsolation 8", "setAutoCommit true", "setNetworkTimeout", "close");
        assertThat(real.isClosed()).isTrue();
    }

    @Test
    void after_a_lost_connection_nothing_more_is_said_to_the_database() throws SQLException {
        open(new SQLException("connection reset", "08006"));
        assertThat(calls).containsExactly("close");
        calls.clear();
        open(new SQLException("terminating connection", "57P01"));
        assertThat(calls).containsExactly("close");
    }

    @Test
    void one_that_cannot_be_given_back_as_it_was_is_aborted() throws SQLException {
        restoreFails = true;
        open(new SQLException("no such table", "42S02"));
        assertThat(calls).containsSubsequence("abort", "close");
    }

    /** Opens a connection of a pool whose isolation is SERIALIZABLE, begins a transaction and drops it. */
    private Connection open(SQLException error) throws SQLException {
        Connection real = database.dataSource.getConnection();
        real.setTransactionIsolation(Connection.TRANSACTION_SERIALIZABLE);
        Connection watched = (Connection) Proxy.newProxyInstance(
                getClass().getClassLoader(), new Class<?>[] {Connection.class}, (proxy, method, arguments) -> {
                    String name = method.getName();
                    if (!name.startsWith("get")) {
                        calls.add(
                                name.endsWith("Isolation") || name.endsWith("Commit")
                                        ? name + " " + arguments[0]
                                        : name);
                    }
                    if (restoreFails && calls.contains("rollback")) {
                        throw new SQLException("gone");
                    }
                    try {
                        return method.invoke(real, arguments);
                    } catch (InvocationTargetException e) {
                        throw e.getCause();
                    }
                });
        DataSource pool = (DataSource) Proxy.newProxyInstance(
                getClass().getClassLoader(), new Class<?>[] {DataSource.class}, (proxy, method, arguments) -> watched);
        RelayConnection connection =
                new RelayConnection(pool, new H2OutboxSql(TableNames.defaults()), Duration.ofSeconds(10));
        connection.get().setAutoCommit(false);
        calls.clear();
        connection.drop(error);
        return real;
    }
}
