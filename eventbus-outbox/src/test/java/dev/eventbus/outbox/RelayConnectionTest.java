package dev.eventbus.outbox;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.eventbus.StartRefusedException;
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

    @Test
    void a_relay_does_not_start_where_shards_have_no_lease() {
        database.update("DELETE FROM \"eventbus_relay_lease\" WHERE shard = 3");
        assertThatThrownBy(() -> connection(database.outbox).get())
                .isInstanceOf(StartRefusedException.class)
                .hasMessageContaining("has rows for 15 shards, not 16");
    }

    @Test
    void one_that_works_connects_again_for_the_shards_that_are_left() throws SQLException {
        RelayConnection connection = connection(database.outbox);
        connection.get();
        database.update("DELETE FROM \"eventbus_relay_lease\" WHERE shard = 3");
        connection.drop(new SQLException("connection reset", "08006"));
        assertThat(connection.get().isClosed()).isFalse();
        connection.close();
    }

    /** Their relays would share the leases, and each would send what lies in its own part of the shards. */
    @Test
    void a_relay_does_not_start_in_the_schema_of_another_outbox() throws SQLException {
        JdbcOutbox other = JdbcOutbox.h2().table("billing");
        other.createTables(database.dataSource);
        RelayConnection first = connection(database.outbox);
        first.get();
        first.close();
        assertThatThrownBy(() -> connection(other).get())
                .isInstanceOf(StartRefusedException.class)
                .hasMessageContaining("events are in eventbus_outbox, this one's are in billing");
    }

    private RelayConnection connection(JdbcOutbox outbox) {
        return new RelayConnection(database.dataSource, new H2OutboxSql(outbox.names()), Duration.ofSeconds(10));
    }

    @Test
    void the_largest_request_has_room_for_the_largest_event_whatever_limit_is_said() {
        assertThat(FailStopProducer.settings(100)).containsEntry("max.request.size", 1024 * 1024);
        assertThat(FailStopProducer.settings(1024 * 1024)).containsEntry("max.request.size", 1024 * 1024 + 65_536);
        assertThat(FailStopProducer.settings(Integer.MAX_VALUE)).containsEntry("max.request.size", Integer.MAX_VALUE);
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
