package dev.eventbus.it.consumer;

import static dev.eventbus.it.consumer.Blame.THE_EVENT;
import static dev.eventbus.it.consumer.Blame.THE_INFRASTRUCTURE;
import static dev.eventbus.it.consumer.Blame.execute;
import static org.assertj.core.api.Assertions.assertThat;

import com.zaxxer.hikari.HikariConfig;
import com.zaxxer.hikari.HikariDataSource;
import dev.eventbus.embedded.EmbeddedMariaDb;
import dev.eventbus.faults.wire.LoopbackProxy;
import dev.eventbus.it.Eventually;
import dev.eventbus.it.MariaDbExtension;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Whose fault it is, asked of a real MariaDB and its driver. */
@Tag("mariadb")
@ExtendWith(MariaDbExtension.class)
class MariaDbFaultsIT {

    static final String LONG =
            "SELECT count(*) FROM information_schema.columns a, information_schema.columns b, information_schema.columns c";

    private final EmbeddedMariaDb mariaDb;
    private final String url;

    MariaDbFaultsIT(EmbeddedMariaDb mariaDb) {
        this.mariaDb = mariaDb;
        this.url = mariaDb.createDatabase(mariaDb.uniqueName("faults"));
    }

    @BeforeEach
    void table() throws SQLException {
        try (Connection connection = connect()) {
            execute(
                    connection,
                    "CREATE TABLE account (id int PRIMARY KEY, n int) ENGINE InnoDB",
                    "INSERT INTO account VALUES (1, 0), (2, 0)");
        }
    }

    @Test
    void F11_a_statement_time_out_is_the_events_own_fault() {
        assertThat(blame("SET max_statement_time = 0.05", LONG)).isEqualTo(THE_EVENT);
    }

    @Test
    void a_query_that_somebody_has_killed_is_the_events_own_fault() {
        assertThat(Blame.forFailureOf(() -> {
                    try (Connection connection = connect();
                            Connection admin = connect()) {
                        long id = id(connection);
                        CompletableFuture<Void> killed = CompletableFuture.runAsync(() -> {
                            Eventually.holds(() -> number(admin, runs(id)) > 0, () -> "does not run");
                            uncheck(() -> execute(admin, "KILL QUERY " + id));
                        });
                        try {
                            execute(connection, LONG);
                        } finally {
                            killed.get(30, TimeUnit.SECONDS);
                        }
                    }
                }))
                .isEqualTo(THE_EVENT);
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "INSERT INTO account VALUES (1, 0)",
                "SELECT * FROM nothing",
                "SELEC",
                "SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'no such account'"
            })
    void what_a_statement_does_wrong_is_the_events_own_fault(String sql) {
        assertThat(blame(sql)).isEqualTo(THE_EVENT);
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "'HY000' SET MYSQL_ERRNO = 1021", // disk full
                "'HY000' SET MYSQL_ERRNO = 1836", // a server whose InnoDB is read-only
                "'HY000' SET MYSQL_ERRNO = 3572", // NOWAIT, as MySQL says it
                "'HY000' SET MYSQL_ERRNO = 4031" // an idle session that MySQL has ended
            })
    void what_cannot_be_brought_about_here_is_raised(String signal) {
        assertThat(blame("SIGNAL SQLSTATE " + signal)).isEqualTo(THE_INFRASTRUCTURE);
    }

    @Test
    void F11_our_idle_limit_is_not_the_events_fault() {
        assertThat(Blame.forFailureOf(() -> {
                    try (Connection connection = connect();
                            Connection other = connect()) {
                        long id = id(connection);
                        connection.setAutoCommit(false);
                        execute(connection, "SET idle_transaction_timeout = 1", "UPDATE account SET n = 1");
                        Eventually.holds(
                                () -> number(
                                                other,
                                                "SELECT count(*) FROM information_schema.processlist WHERE id = " + id)
                                        == 0,
                                () -> "the session is still there");
                        execute(connection, "SELECT 1");
                    }
                }))
                .isEqualTo(THE_INFRASTRUCTURE);
    }

    @Test
    void F11_a_lock_time_out_is_not_the_events_fault() throws SQLException {
        try (Connection holder = connect()) {
            holder.setAutoCommit(false);
            execute(holder, "UPDATE account SET n = 1 WHERE id = 1");
            assertThat(blame("SET innodb_lock_wait_timeout = 1", "UPDATE account SET n = 2 WHERE id = 1"))
                    .isEqualTo(THE_INFRASTRUCTURE);
            assertThat(blame("SELECT * FROM account WHERE id = 1 FOR UPDATE NOWAIT"))
                    .isEqualTo(THE_INFRASTRUCTURE);
        }
    }

    @Test
    void a_deadlock_is_not_the_events_fault() {
        assertThat(Blame.forFailureOf(() -> {
                    try (Connection one = connect();
                            Connection other = connect()) {
                        // the one that has written less loses
                        execute(other, "CREATE TABLE more (n int)");
                        other.setAutoCommit(false);
                        execute(other, "INSERT INTO more VALUES (1), (2), (3), (4), (5), (6), (7), (8), (9)");
                        Blame.deadlock(
                                one,
                                other,
                                "UPDATE account SET n = n + 1 WHERE id = 1",
                                "UPDATE account SET n = n + 1 WHERE id = 2");
                    }
                }))
                .isEqualTo(THE_INFRASTRUCTURE);
    }

    @Test
    void a_row_that_has_changed_since_the_snapshot_is_not_the_events_fault() {
        assertThat(Blame.forFailureOf(() -> {
                    try (Connection one = connect();
                            Connection other = connect()) {
                        execute(one, "SET innodb_snapshot_isolation = ON");
                        one.setAutoCommit(false);
                        execute(one, "SELECT n FROM account");
                        execute(other, "UPDATE account SET n = n + 1 WHERE id = 1");
                        execute(one, "UPDATE account SET n = n + 1 WHERE id = 1");
                    }
                }))
                .isEqualTo(THE_INFRASTRUCTURE);
    }

    @Test
    void F11_a_read_only_transaction_is_not_the_events_fault() {
        assertThat(blame("SET SESSION TRANSACTION READ ONLY", "UPDATE account SET n = 1"))
                .isEqualTo(THE_INFRASTRUCTURE);
    }

    @Test
    void a_connection_that_was_killed_is_not_the_events_fault() {
        assertThat(Blame.forFailureOf(() -> {
                    try (Connection connection = connect();
                            Connection admin = connect()) {
                        execute(admin, "KILL CONNECTION " + id(connection));
                        execute(connection, "SELECT 1");
                    }
                }))
                .isEqualTo(THE_INFRASTRUCTURE);
        assertThat(Blame.forFailureOf(() -> {
                    try (Connection connection = connect();
                            Connection admin = connect()) {
                        long id = id(connection);
                        CompletableFuture<Void> killed = CompletableFuture.runAsync(() -> {
                            Eventually.holds(() -> number(admin, runs(id)) > 0, () -> "does not run");
                            uncheck(() -> execute(admin, "KILL CONNECTION " + id));
                        });
                        try {
                            execute(connection, LONG);
                        } finally {
                            killed.get(30, TimeUnit.SECONDS);
                        }
                    }
                }))
                .isEqualTo(THE_INFRASTRUCTURE);
    }

    @Test
    void F11_a_pool_that_is_exhausted_is_not_the_events_fault() throws SQLException {
        HikariConfig config = new HikariConfig();
        config.setJdbcUrl(url);
        config.setUsername(mariaDb.user());
        config.setPassword(mariaDb.password());
        config.setMaximumPoolSize(1);
        config.setConnectionTimeout(3_000);
        try (HikariDataSource pool = new HikariDataSource(config);
                Connection only = pool.getConnection()) {
            assertThat(only.isClosed()).isFalse();
            assertThat(Blame.forFailureOf(pool::getConnection)).isEqualTo(THE_INFRASTRUCTURE);
        }
    }

    @Test
    void a_connection_that_breaks_or_falls_silent_is_not_the_events_fault() {
        String address = url.replaceFirst("jdbc:mariadb://([^/]+)/.*", "$1");
        for (Consumer<LoopbackProxy> damage :
                List.<Consumer<LoopbackProxy>>of(LoopbackProxy::reset, LoopbackProxy::blackHole)) {
            assertThat(Blame.forFailureOf(() -> {
                        try (LoopbackProxy proxy = LoopbackProxy.open().forwardTo(address);
                                Connection connection = DriverManager.getConnection(
                                        url.replace(address, proxy.address()) + "?socketTimeout=200",
                                        mariaDb.user(),
                                        mariaDb.password())) {
                            damage.accept(proxy);
                            execute(connection, "SELECT 1");
                        }
                    }))
                    .isEqualTo(THE_INFRASTRUCTURE);
        }
    }

    @Test
    void a_password_that_was_changed_is_not_the_events_fault() {
        assertThat(Blame.forFailureOf(() -> DriverManager.getConnection(url, mariaDb.user(), "not the password")))
                .isEqualTo(THE_INFRASTRUCTURE);
    }

    @Test
    void a_server_that_is_not_there_is_not_the_events_fault() {
        assertThat(Blame.forFailureOf(() -> DriverManager.getConnection("jdbc:mariadb://127.0.0.1:1/none", "u", "p")))
                .isEqualTo(THE_INFRASTRUCTURE);
    }

    private Blame blame(String... statements) {
        return Blame.forFailureOf(() -> {
            try (Connection connection = connect()) {
                execute(connection, statements);
            }
        });
    }

    private Connection connect() throws SQLException {
        return DriverManager.getConnection(url, mariaDb.user(), mariaDb.password());
    }

    private static long id(Connection connection) throws SQLException {
        return number(connection, "SELECT connection_id()");
    }

    static String runs(long id) {
        return "SELECT count(*) FROM information_schema.processlist WHERE command = 'Query' AND id = " + id;
    }

    private static long number(Connection connection, String sql) throws SQLException {
        try (Statement statement = connection.createStatement();
                ResultSet row = statement.executeQuery(sql)) {
            row.next();
            return row.getLong(1);
        }
    }

    private static void uncheck(Blame.Work work) {
        try {
            work.run();
        } catch (Exception e) {
            throw new IllegalStateException(e);
        }
    }
}
