package dev.eventbus.embedded;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.SocketTimeoutException;
import java.net.URI;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

class EmbeddedPostgresIT {

    private static final ExecutorService PUMPS = Executors.newCachedThreadPool();

    private static EmbeddedPostgres postgres;

    @BeforeAll
    static void start() {
        postgres = EmbeddedPostgres.builder().setting("work_mem", "8MB").start();
    }

    @AfterAll
    static void close() {
        postgres.close();
        PUMPS.shutdownNow();
        assertThat(postgres.isAlive()).isFalse();
    }

    @Test
    void a_killed_server_keeps_every_committed_row_and_its_address() throws Exception {
        String url = postgres.createDatabase(postgres.uniqueName("killed"));
        execute(url, "create table t (id int primary key)", "insert into t select generate_series(1, 1000)");
        try (Connection open = connect(url);
                Statement uncommitted = open.createStatement()) {
            open.setAutoCommit(false);
            uncommitted.execute("insert into t values (1001)");
            List<ProcessHandle> sessions =
                    ProcessHandle.of(postgres.pid()).orElseThrow().children().toList();
            assertThat(sessions).isNotEmpty();

            postgres.kill();
            assertThat(postgres.isAlive()).isFalse();
            assertThat(sessions).allMatch(ServerProcess::isGone);
            try (ServerSocket taken = new ServerSocket(port(url), 1, InetAddress.getLoopbackAddress())) {
                assertThatThrownBy(postgres::restart).hasMessageContaining("Address already in use");
                assertThat(taken.isBound()).isTrue();
            }
            postgres.restart();

            assertThatThrownBy(open::commit).isInstanceOf(SQLException.class);
        }
        assertThat(query(url, "select count(*) from t")).containsExactly("1000");
    }

    @Test
    void another_server_on_its_port_is_not_taken_for_it() throws Exception {
        try (EmbeddedPostgres other = EmbeddedPostgres.start();
                ServerSocket itsPort = takenFrom(postgres)) {
            CompletableFuture<@Nullable Void> forwarding =
                    CompletableFuture.runAsync(() -> forward(itsPort, port(other.jdbcUrl())), PUMPS);
            try {
                assertThatThrownBy(postgres::restart).hasMessageContaining("Address already in use");
                assertThat(forwarding).isNotDone();
            } finally {
                itsPort.close();
                postgres.restart();
            }
        }
        assertThat(query(postgres.jdbcUrl(), "show work_mem")).containsExactly("8MB");
    }

    private static ServerSocket takenFrom(EmbeddedPostgres server) throws IOException {
        server.kill();
        return new ServerSocket(port(server.jdbcUrl()), 50, InetAddress.getByName("127.0.0.1"));
    }

    /** Until the socket is closed. */
    private static void forward(ServerSocket from, int port) {
        while (true) {
            try {
                Socket client = from.accept();
                Socket server = new Socket("127.0.0.1", port);
                PUMPS.execute(() -> pump(client, server));
                PUMPS.execute(() -> pump(server, client));
            } catch (IOException closed) {
                return;
            }
        }
    }

    private static void pump(Socket from, Socket to) {
        try (from;
                to) {
            from.getInputStream().transferTo(to.getOutputStream());
        } catch (IOException closed) {
            // and so is the other end
        }
    }

    @Test
    void databases_that_cannot_be_dropped_are_named_and_the_others_are_dropped() throws Exception {
        JdbcPostgres known = new JdbcPostgres(postgres.jdbcUrl(), postgres.user(), postgres.password());
        List<String> names =
                List.of("a", "stays", "b").stream().map(postgres::uniqueName).toList();
        names.forEach(known::createDatabase);
        execute(postgres.jdbcUrl(), "alter database \"%s\" is_template true".formatted(names.get(1)));

        assertThatThrownBy(known::dropCreated)
                .isInstanceOf(EmbeddedServerException.class)
                .hasMessageContaining("[%s]".formatted(names.get(1)));
        assertThat(query(postgres.jdbcUrl(), "select datname from pg_database"))
                .contains(names.get(1))
                .doesNotContain(names.get(0), names.get(2));
    }

    @Test
    void a_restarted_server_keeps_its_rows() throws Exception {
        String url = postgres.createDatabase(postgres.uniqueName("restarted"));
        execute(url, "create table t as select 7 as id");
        long pid = postgres.pid();

        postgres.restart();

        assertThat(postgres.pid()).isNotEqualTo(pid);
        assertThat(query(url, "select id from t")).containsExactly("7");
    }

    @Test
    void a_frozen_server_answers_only_after_it_goes_on() throws Exception {
        Properties impatient = new Properties();
        impatient.setProperty("user", postgres.user());
        impatient.setProperty("password", postgres.password());
        impatient.setProperty("socketTimeout", "1");
        try (Connection patient = connect(postgres.jdbcUrl());
                Statement later = patient.createStatement();
                Connection open = DriverManager.getConnection(postgres.jdbcUrl(), impatient);
                Statement statement = open.createStatement()) {
            postgres.pause();
            assertThat(postgres.isAlive()).isTrue();
            assertThatThrownBy(() -> statement.execute("select 1"))
                    .hasRootCauseInstanceOf(SocketTimeoutException.class);
            postgres.resume();

            assertThat(later.execute("select 1")).isTrue();
        }
    }

    @Test
    void a_commit_waits_for_the_disk_and_a_setting_is_taken() throws Exception {
        assertThat(query(postgres.jdbcUrl(), "show synchronous_commit")).containsExactly("on");
        assertThat(query(postgres.jdbcUrl(), "show fsync")).containsExactly("on");
        assertThat(query(postgres.jdbcUrl(), "show max_connections")).containsExactly("200");
        assertThat(query(postgres.jdbcUrl(), "show work_mem")).containsExactly("8MB");
        assertThat(postgres.version()).startsWith("18.");
    }

    @Test
    void text_is_not_sorted_by_bytes() throws Exception {
        assertThat(query(postgres.jdbcUrl(), "select v from (values ('B'), ('a'), ('C')) as t(v) order by v"))
                .containsExactly("a", "B", "C");
    }

    @Test
    void a_wrong_password_is_refused() {
        assertThatThrownBy(() -> DriverManager.getConnection(postgres.jdbcUrl(), postgres.user(), "wrong"))
                .isInstanceOfSatisfying(
                        SQLException.class, e -> assertThat(e.getSQLState()).isEqualTo("28P01"));
    }

    @Test
    void the_same_database_is_not_created_twice() {
        String name = postgres.uniqueName("twice");
        assertThat(postgres.createDatabase(name)).isEqualTo(postgres.jdbcUrl(name));

        assertThatThrownBy(() -> postgres.createDatabase(name))
                .isInstanceOf(EmbeddedServerException.class)
                .hasMessageContaining(name);
    }

    private static int port(String url) {
        return URI.create(url.substring("jdbc:".length())).getPort();
    }

    private static void execute(String url, String... statements) throws SQLException {
        try (Connection connection = connect(url);
                Statement statement = connection.createStatement()) {
            for (String sql : statements) {
                statement.execute(sql);
            }
        }
    }

    private static List<String> query(String url, String sql) throws SQLException {
        try (Connection connection = connect(url);
                Statement statement = connection.createStatement();
                ResultSet rows = statement.executeQuery(sql)) {
            List<String> found = new ArrayList<>();
            while (rows.next()) {
                found.add(rows.getString(1));
            }
            return found;
        }
    }

    private static Connection connect(String url) throws SQLException {
        return DriverManager.getConnection(url, postgres.user(), postgres.password());
    }
}
