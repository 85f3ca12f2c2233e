package dev.eventbus.it.consumer;

import static dev.eventbus.it.consumer.Blame.THE_INFRASTRUCTURE;
import static dev.eventbus.it.consumer.Blame.assertInfrastructureBlamedFor;
import static dev.eventbus.it.consumer.Blame.execute;
import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.embedded.EmbeddedMariaDb;
import dev.eventbus.it.Eventually;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;

/** What a real MariaDB says that is full, read-only, shut down or has no connection left: on a server of its own, which has little. */
@Tag("mariadb")
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class MariaDbLimitsIT {

    private static final int CONNECTIONS = 10;

    private final Deque<Connection> open = new ArrayDeque<>();
    private final EmbeddedMariaDb mariaDb = EmbeddedMariaDb.start(
            "--max-connections=" + CONNECTIONS,
            "--max-user-connections=1",
            "--innodb-file-per-table=0",
            "--innodb-data-file-path=ibdata1:12M:autoextend:max:16M");
    private String url = "";

    @BeforeAll
    void users() throws SQLException {
        url = mariaDb.createDatabase("limits");
        try (Connection admin = admin()) {
            execute(
                    admin,
                    "CREATE TABLE account (id int PRIMARY KEY, n int, text longtext) ENGINE InnoDB",
                    "INSERT INTO account VALUES (1, 0, '')",
                    "CREATE USER service IDENTIFIED BY 'secret' WITH MAX_USER_CONNECTIONS 100",
                    "CREATE USER one IDENTIFIED BY 'secret' WITH MAX_USER_CONNECTIONS 1",
                    "CREATE USER as_all IDENTIFIED BY 'secret'");
            for (String user : List.of("service", "one", "as_all")) {
                execute(admin, "GRANT ALL ON limits.* TO " + user);
            }
        }
    }

    @AfterEach
    void disconnect() throws SQLException {
        while (!open.isEmpty()) {
            open.pop().close();
        }
    }

    @AfterAll
    void close() {
        mariaDb.close();
    }

    @Test
    void F11_a_server_that_has_become_read_only_is_not_the_events_fault() throws SQLException {
        Connection service = connect("service");
        try (Connection admin = admin()) {
            execute(admin, "SET GLOBAL read_only = ON");
            try {
                assertInfrastructureBlamedFor("HY000/1290", () -> execute(service, "UPDATE account SET n = 1"));
            } finally {
                execute(admin, "SET GLOBAL read_only = OFF");
            }
        }
    }

    @Test
    void a_server_without_a_connection_left_is_not_the_events_fault() {
        assertInfrastructureBlamedFor("08004/1040", () -> {
            for (int n = 0; n <= CONNECTIONS; n++) { // it has one more for whoever may mend it
                connect("service");
            }
        });
    }

    @Test
    void a_user_without_a_connection_left_is_not_the_events_fault() {
        assertInfrastructureBlamedFor("42000/1226", () -> {
            connect("one");
            connect("one");
        });
        assertInfrastructureBlamedFor("42000/1203", () -> {
            connect("as_all");
            connect("as_all");
        });
    }

    @Test
    void F11_a_full_disk_is_not_the_events_fault() throws SQLException {
        Connection service = connect("service");
        service.setAutoCommit(false);
        assertInfrastructureBlamedFor(
                "HY000/1114", () -> execute(service, "UPDATE account SET text = repeat('x', 16000000)"));
        service.rollback();
    }

    @Test
    void a_shutdown_is_not_the_events_fault_while_a_statement_runs_nor_afterwards() throws Exception {
        Connection service = connect("service");
        long id = number(service, "SELECT connection_id()");
        CompletableFuture<Void> down = CompletableFuture.runAsync(() -> shutDownOnce(id));
        try {
            assertThat(Blame.forFailureOf(() -> execute(service, MariaDbFaultsIT.LONG)))
                    .isEqualTo(THE_INFRASTRUCTURE);
            down.get(60, TimeUnit.SECONDS);
            assertThat(Blame.forFailureOf(() -> execute(service, "SELECT 1"))).isEqualTo(THE_INFRASTRUCTURE);
            Eventually.holds(() -> !mariaDb.isAlive(), () -> "still up");
            assertThat(Blame.forFailureOf(() -> connect("service"))).isEqualTo(THE_INFRASTRUCTURE);
        } finally {
            mariaDb.restart();
        }
    }

    private void shutDownOnce(long runs) {
        try (Connection admin = admin()) {
            Eventually.holds(() -> number(admin, MariaDbFaultsIT.runs(runs)) > 0, () -> "does not run");
            execute(admin, "SHUTDOWN");
        } catch (SQLException e) {
            throw new IllegalStateException(e);
        }
    }

    @Test
    void a_server_that_was_killed_is_not_the_events_fault() throws SQLException {
        Connection service = connect("service");
        mariaDb.kill();
        try {
            assertThat(Blame.forFailureOf(() -> execute(service, "SELECT 1"))).isEqualTo(THE_INFRASTRUCTURE);
        } finally {
            mariaDb.restart();
        }
    }

    private Connection connect(String user) throws SQLException {
        Connection connection = DriverManager.getConnection(url, user, "secret");
        open.push(connection);
        return connection;
    }

    private Connection admin() throws SQLException {
        return DriverManager.getConnection(url, mariaDb.user(), mariaDb.password());
    }

    private static long number(Connection connection, String sql) throws SQLException {
        try (Statement statement = connection.createStatement();
                ResultSet row = statement.executeQuery(sql)) {
            row.next();
            return row.getLong(1);
        }
    }
}
