package dev.eventbus.it.consumer;

import static dev.eventbus.it.Events.ASSET_UPDATED;
import static dev.eventbus.it.consumer.Blame.THE_EVENT;
import static dev.eventbus.it.consumer.Blame.THE_INFRASTRUCTURE;
import static dev.eventbus.it.consumer.Blame.assertInfrastructureBlamedFor;
import static dev.eventbus.it.consumer.Blame.execute;
import static org.assertj.core.api.Assertions.assertThat;

import com.zaxxer.hikari.HikariConfig;
import com.zaxxer.hikari.HikariDataSource;
import dev.eventbus.consumer.AfterRetries;
import dev.eventbus.consumer.ConsumerRunner;
import dev.eventbus.consumer.deadletter.DeadLetter;
import dev.eventbus.consumer.inbox.JdbcInbox;
import dev.eventbus.consumer.inbox.Mark;
import dev.eventbus.embedded.EmbeddedPostgres;
import dev.eventbus.embedded.PostgresServer;
import dev.eventbus.embedded.ServersExtension;
import dev.eventbus.faults.wire.LoopbackProxy;
import dev.eventbus.it.Events.AssetUpdated;
import dev.eventbus.it.Eventually;
import dev.eventbus.testkit.FakeEventBus;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.postgresql.ds.PGSimpleDataSource;

/** Whose fault it is, asked of a real PostgreSQL and its driver. */
@ExtendWith(ServersExtension.class)
class PostgresFaultsIT {

    private final PostgresServer postgres;
    private final String url;

    PostgresFaultsIT(PostgresServer postgres) {
        this.postgres = postgres;
        this.url = postgres.createDatabase(postgres.uniqueName("faults"));
    }

    @BeforeEach
    void table() throws SQLException {
        try (Connection connection = connect()) {
            execute(
                    connection,
                    "CREATE TABLE account (id int PRIMARY KEY, n int)",
                    "INSERT INTO account VALUES (1, 0), (2, 0)");
        }
    }

    @Test
    void F11_a_statement_time_out_is_the_events_own_fault() {
        assertThat(blame("SET statement_timeout = '20ms'", "SELECT pg_sleep(60)"))
                .isEqualTo(THE_EVENT);
    }

    @Test
    void F11_a_limit_of_temporary_files_is_the_events_own_fault() {
        assertThat(blame(
                        "SET temp_file_limit = '100kB'",
                        "SET work_mem = '64kB'",
                        "SELECT g FROM generate_series(1, 100000) g ORDER BY g % 77, g DESC"))
                .isEqualTo(THE_EVENT);
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "INSERT INTO account VALUES (1, 0)",
                "SELECT 1 / 0",
                "SELECT FROM nothing",
                "SELEC",
                "DO $$ BEGIN RAISE 'no such account'; END $$"
            })
    void what_a_statement_does_wrong_is_the_events_own_fault(String sql) {
        assertThat(blame(sql)).isEqualTo(THE_EVENT);
    }

    /** Nobody's input is any better at another attempt: after the last one it is a dead letter, and the next event of the key goes on. */
    @Test
    void what_no_column_takes_ends_as_a_dead_letter_whose_attempts_are_exhausted() throws SQLException {
        try (Connection connection = connect()) {
            execute(connection, "CREATE TABLE named (name varchar(10))");
            assertThat(lettersOf(connection, "a\u0000b", "22021")).containsExactly("ATTEMPTS_EXHAUSTED");
            assertThat(lettersOf(connection, "longer than ten", "22001")).containsExactly("ATTEMPTS_EXHAUSTED");
        }
    }

    /** Reasons of the dead letters of a handler that binds this text, which the database refuses with this state. */
    private static List<String> lettersOf(Connection connection, String text, String state) {
        List<String> states = new ArrayList<>();
        try (FakeEventBus bus = FakeEventBus.create()) {
            bus.start(ConsumerRunner.builder(bus.kafka(), "ledger")
                    .on(ASSET_UPDATED, (event, delivery) -> {
                        try (PreparedStatement insert = connection.prepareStatement("INSERT INTO named VALUES (?)")) {
                            insert.setString(1, event.key().equals("alice") ? text : "fits");
                            insert.executeUpdate();
                        } catch (SQLException e) {
                            states.add(e.getSQLState());
                            throw e;
                        }
                    })
                    .afterRetries(AfterRetries.deadLetter("dlq.events"))
                    .build());
            bus.publish(ASSET_UPDATED, AssetUpdated.amount("alice", 1), AssetUpdated.amount("bob", 1));
            bus.runUntilIdle();
            assertThat(states).containsExactly(state, state, state, state);
            return bus.deadLetters().stream()
                    .map(DeadLetter::origin)
                    .map(origin -> String.valueOf(origin.reason()))
                    .toList();
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"53000", "53100", "57P02", "57P03", "58000", "58030"})
    void what_cannot_be_brought_about_here_is_raised(String state) {
        assertThat(blame("DO $$ BEGIN RAISE 'as if' USING ERRCODE = '" + state + "'; END $$"))
                .isEqualTo(THE_INFRASTRUCTURE);
    }

    @ParameterizedTest
    @ValueSource(booleans = {true, false})
    void F11_our_idle_limit_is_not_the_events_fault_at_the_next_statement_and_at_commit(boolean commit) {
        assertThat(Blame.forFailureOf(() -> {
                    try (Connection connection = connect()) {
                        connection.setAutoCommit(false);
                        execute(connection, "SET idle_in_transaction_session_timeout = '20ms'");
                        int pid = pid(connection);
                        Eventually.holds(() -> !isThere(pid), () -> "the session is still there");
                        if (commit) {
                            connection.commit();
                        } else {
                            execute(connection, "SELECT 1");
                        }
                    }
                }))
                .isEqualTo(THE_INFRASTRUCTURE);
    }

    @Test
    void F11_our_idle_limit_is_not_the_events_fault_in_an_inbox_transaction_either() throws SQLException {
        PGSimpleDataSource database = new PGSimpleDataSource();
        database.setUrl(url);
        database.setUser(postgres.user());
        database.setPassword(postgres.password());
        JdbcInbox.createTables(database);
        Mark mark = new Mark("ledger", "evt-1", new byte[0], "asset.events", 0, 0);
        assertThat(Blame.forFailureOf(() -> JdbcInbox.postgres(database).run(mark, transaction -> {
                    execute(transaction, "SET LOCAL idle_in_transaction_session_timeout = '20ms'");
                    int pid = pid(transaction);
                    Eventually.holds(() -> !isThere(pid), () -> "the session is still there");
                })))
                .isEqualTo(THE_INFRASTRUCTURE);
    }

    @Test
    void a_session_that_was_ended_because_it_was_idle_is_not_the_events_fault() {
        assertInfrastructureBlamedFor("57P05/0", () -> {
            try (Connection connection = connect()) {
                int pid = pid(connection);
                execute(connection, "SET idle_session_timeout = '20ms'");
                Eventually.holds(() -> !isThere(pid), () -> "the session is still there");
                execute(connection, "SELECT 1");
            }
        });
    }

    @Test
    void a_user_without_a_connection_left_and_a_database_that_is_not_there_are_not_the_events_fault()
            throws SQLException {
        String user = postgres.uniqueName("one");
        try (Connection admin = connect()) {
            execute(admin, "CREATE ROLE \"%s\" LOGIN PASSWORD 'secret' CONNECTION LIMIT 0".formatted(user));
            assertInfrastructureBlamedFor("53300/0", () -> DriverManager.getConnection(url, user, "secret"));
            execute(admin, "DROP ROLE \"%s\"".formatted(user));
        }
        assertInfrastructureBlamedFor("3D000/0", () -> connect(url.replaceFirst("/[^/]*$", "/nothing")));
    }

    @Test
    void F11_a_lock_time_out_is_not_the_events_fault() throws SQLException {
        try (Connection holder = connect()) {
            holder.setAutoCommit(false);
            execute(holder, "UPDATE account SET n = 1 WHERE id = 1");
            assertThat(blame("SET lock_timeout = '20ms'", "UPDATE account SET n = 2 WHERE id = 1"))
                    .isEqualTo(THE_INFRASTRUCTURE);
            assertThat(blame("SELECT FROM account WHERE id = 1 FOR UPDATE NOWAIT"))
                    .isEqualTo(THE_INFRASTRUCTURE);
        }
    }

    @Test
    void a_deadlock_is_not_the_events_fault() {
        assertThat(Blame.forFailureOf(() -> {
                    try (Connection one = connect();
                            Connection other = connect()) {
                        execute(one, "SET deadlock_timeout = '50ms'");
                        execute(other, "SET deadlock_timeout = '60s'"); // so it is the first that loses
                        int pid = pid(other);
                        Blame.deadlock(
                                one,
                                other,
                                "UPDATE account SET n = 1 WHERE id = 1",
                                "UPDATE account SET n = 1 WHERE id = 2",
                                () -> Eventually.holds(() -> waits(pid), () -> "the other does not wait"));
                    }
                }))
                .isEqualTo(THE_INFRASTRUCTURE);
    }

    @Test
    void a_serialization_failure_is_not_the_events_fault() {
        assertThat(Blame.forFailureOf(() -> {
                    try (Connection one = connect();
                            Connection other = connect()) {
                        one.setAutoCommit(false);
                        one.setTransactionIsolation(Connection.TRANSACTION_SERIALIZABLE);
                        execute(one, "SELECT n FROM account");
                        execute(other, "UPDATE account SET n = 1 WHERE id = 1");
                        execute(one, "UPDATE account SET n = 2 WHERE id = 1");
                    }
                }))
                .isEqualTo(THE_INFRASTRUCTURE);
    }

    @Test
    void F11_a_server_that_has_become_read_only_is_not_the_events_fault() {
        assertThat(blame("SET default_transaction_read_only = on", "UPDATE account SET n = 1"))
                .isEqualTo(THE_INFRASTRUCTURE);
    }

    @Test
    void a_session_that_was_terminated_is_not_the_events_fault() {
        assertThat(Blame.forFailureOf(() -> {
                    try (Connection connection = connect();
                            Connection admin = connect()) {
                        execute(admin, "SELECT pg_terminate_backend(" + pid(connection) + ")");
                        execute(connection, "SELECT 1");
                    }
                }))
                .isEqualTo(THE_INFRASTRUCTURE);
    }

    @Test
    void a_connection_that_breaks_is_not_the_events_fault() {
        String address = url.replaceFirst("jdbc:postgresql://([^/]+)/.*", "$1");
        assertThat(Blame.forFailureOf(() -> {
                    try (LoopbackProxy proxy = LoopbackProxy.open().forwardTo(address);
                            Connection connection = connect(url.replace(address, proxy.address()))) {
                        proxy.reset();
                        execute(connection, "SELECT 1");
                    }
                }))
                .isEqualTo(THE_INFRASTRUCTURE);
    }

    @Test
    void a_server_that_was_killed_and_one_that_is_not_there_are_not_the_events_fault() {
        try (EmbeddedPostgres own = EmbeddedPostgres.start()) {
            assertThat(Blame.forFailureOf(() -> {
                        try (Connection connection =
                                DriverManager.getConnection(own.jdbcUrl(), own.user(), own.password())) {
                            own.kill();
                            execute(connection, "SELECT 1");
                        }
                    }))
                    .isEqualTo(THE_INFRASTRUCTURE);
            assertThat(Blame.forFailureOf(() -> DriverManager.getConnection(own.jdbcUrl(), own.user(), own.password())))
                    .isEqualTo(THE_INFRASTRUCTURE);
        }
    }

    @Test
    void F11_a_pool_that_is_exhausted_is_not_the_events_fault() {
        try (HikariDataSource pool = pool(postgres.password());
                Connection only = pool.getConnection()) {
            assertThat(only.isClosed()).isFalse();
            assertThat(Blame.forFailureOf(pool::getConnection)).isEqualTo(THE_INFRASTRUCTURE);
        } catch (SQLException e) {
            throw new AssertionError(e);
        }
    }

    @Test
    void a_pool_whose_password_was_changed_is_not_the_events_fault() {
        try (HikariDataSource pool = pool("not the password")) {
            assertThat(Blame.forFailureOf(pool::getConnection)).isEqualTo(THE_INFRASTRUCTURE);
        }
    }

    private HikariDataSource pool(String password) {
        HikariConfig config = new HikariConfig();
        config.setJdbcUrl(url);
        config.setUsername(postgres.user());
        config.setPassword(password);
        config.setMaximumPoolSize(1);
        config.setInitializationFailTimeout(-1);
        config.setConnectionTimeout(3_000);
        return new HikariDataSource(config);
    }

    private Blame blame(String... statements) {
        return Blame.forFailureOf(() -> {
            try (Connection connection = connect()) {
                execute(connection, statements);
            }
        });
    }

    private Connection connect() throws SQLException {
        return connect(url);
    }

    private Connection connect(String to) throws SQLException {
        return DriverManager.getConnection(to, postgres.user(), postgres.password());
    }

    private static int pid(Connection connection) throws SQLException {
        return number(connection, "SELECT pg_backend_pid()");
    }

    private boolean isThere(int pid) throws SQLException {
        try (Connection connection = connect()) {
            return number(connection, "SELECT count(*) FROM pg_stat_activity WHERE pid = " + pid) > 0;
        }
    }

    private boolean waits(int pid) throws SQLException {
        try (Connection connection = connect()) {
            return number(
                            connection,
                            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND pid = " + pid)
                    > 0;
        }
    }

    private static int number(Connection connection, String sql) throws SQLException {
        try (Statement statement = connection.createStatement();
                ResultSet row = statement.executeQuery(sql)) {
            row.next();
            return row.getInt(1);
        }
    }
}
