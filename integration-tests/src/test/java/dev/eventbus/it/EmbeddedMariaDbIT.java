package dev.eventbus.it;

import static java.nio.charset.StandardCharsets.US_ASCII;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.eventbus.embedded.EmbeddedMariaDb;
import dev.eventbus.embedded.EmbeddedServerException;
import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.URI;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.concurrent.CompletableFuture;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

@Tag("mariadb")
class EmbeddedMariaDbIT {

    private static EmbeddedMariaDb mariaDb;

    @BeforeAll
    static void start() {
        mariaDb = EmbeddedMariaDb.start();
    }

    @AfterAll
    static void close() {
        mariaDb.close();
        assertThat(mariaDb.isAlive()).isFalse();
    }

    @Test
    void a_killed_server_keeps_every_committed_row_and_its_address() throws SQLException {
        String url = mariaDb.createDatabase(mariaDb.uniqueName("killed"));
        try (Connection open = connect(url);
                Statement statement = open.createStatement()) {
            statement.execute("CREATE TABLE t (id int PRIMARY KEY)");
            statement.execute("INSERT INTO t VALUES (1), (2), (3)");
            open.setAutoCommit(false);
            statement.execute("INSERT INTO t VALUES (4)");
            mariaDb.kill();
            assertThat(mariaDb.isAlive()).isFalse();
            mariaDb.restart();
            assertThatThrownBy(open::commit).isInstanceOf(SQLException.class);
        }
        assertThat(string(url, "SELECT count(*) FROM t")).isEqualTo("3");
    }

    @Test
    void another_server_on_its_port_is_not_taken_for_it() throws Exception {
        int port = URI.create(mariaDb.jdbcUrl().substring("jdbc:".length())).getPort();
        mariaDb.kill();
        try (ServerSocket another = new ServerSocket(port, 50, InetAddress.getByName("127.0.0.1"))) {
            CompletableFuture<@Nullable Void> greeting = CompletableFuture.runAsync(() -> greetAll(another));
            assertThatThrownBy(mariaDb::restart).hasMessageContaining("Address already in use");
            assertThat(greeting).isNotDone();
        } finally {
            mariaDb.restart();
        }
        assertThat(string(mariaDb.jdbcUrl(), "SELECT 1")).isEqualTo("1");
    }

    /** Until the socket is closed. */
    private static void greetAll(ServerSocket socket) {
        while (true) {
            try (Socket client = socket.accept()) {
                client.getOutputStream().write("Y...11.4.5-MariaDB-log and what comes after it".getBytes(US_ASCII));
            } catch (IOException closed) {
                return;
            }
        }
    }

    @Test
    void a_restarted_server_keeps_its_rows() throws SQLException {
        String url = mariaDb.createDatabase(mariaDb.uniqueName("restarted"));
        string(url, "CREATE TABLE t AS SELECT 7 AS id");
        long pid = mariaDb.pid();
        mariaDb.restart();
        assertThat(mariaDb.pid()).isNotEqualTo(pid);
        assertThat(string(url, "SELECT id FROM t")).isEqualTo("7");
    }

    @Test
    void a_commit_waits_for_the_disk_and_text_is_compared_without_regard_to_case() throws SQLException {
        assertThat(string(mariaDb.jdbcUrl(), "SELECT @@innodb_flush_log_at_trx_commit"))
                .isEqualTo("1");
        assertThat(string(mariaDb.jdbcUrl(), "SELECT 'a' = 'A'")).isEqualTo("1");
        assertThat(string(mariaDb.jdbcUrl(), "SELECT VERSION()")).startsWith(mariaDb.version());
    }

    @Test
    void nobody_else_is_let_in() {
        assertThatThrownBy(() -> DriverManager.getConnection(mariaDb.jdbcUrl(), mariaDb.user(), "wrong"))
                .isInstanceOfSatisfying(
                        SQLException.class, e -> assertThat(e.getSQLState()).isEqualTo("28000"));
        assertThatThrownBy(() -> DriverManager.getConnection(mariaDb.jdbcUrl(), "root", ""))
                .isInstanceOf(SQLException.class);
    }

    @Test
    void the_same_database_is_not_created_twice() {
        String name = mariaDb.uniqueName("twice");
        mariaDb.createDatabase(name);
        assertThatThrownBy(() -> mariaDb.createDatabase(name))
                .isInstanceOf(EmbeddedServerException.class)
                .hasMessageContaining(name);
    }

    private static String string(String url, String sql) throws SQLException {
        try (Connection connection = connect(url);
                Statement statement = connection.createStatement()) {
            if (!statement.execute(sql)) {
                return "";
            }
            try (ResultSet rows = statement.getResultSet()) {
                rows.next();
                return rows.getString(1);
            }
        }
    }

    private static Connection connect(String url) throws SQLException {
        return DriverManager.getConnection(url, mariaDb.user(), mariaDb.password());
    }
}
