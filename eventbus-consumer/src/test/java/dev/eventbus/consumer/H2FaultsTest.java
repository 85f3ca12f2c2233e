package dev.eventbus.consumer;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Whose fault it is, asked of H2 itself. */
class H2FaultsTest {

    private final String url = "jdbc:h2:mem:" + UUID.randomUUID() + ";DB_CLOSE_DELAY=-1";

    /** What a handler does. */
    private interface Work {
        void run() throws Exception;
    }

    @BeforeEach
    void table() throws SQLException {
        try (Connection connection = connect()) {
            execute(connection, "CREATE TABLE account (id int PRIMARY KEY, n int)");
            execute(connection, "INSERT INTO account VALUES (1, 0), (2, 0)");
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"INSERT INTO account VALUES (1, 0)", "SELECT 1 / 0", "SELECT * FROM nothing", "SELEC"})
    void what_a_statement_does_wrong_is_the_events_own_fault(String sql) {
        assertThat(blamesTheEvent(() -> {
                    try (Connection connection = connect()) {
                        execute(connection, sql);
                    }
                }))
                .isTrue();
    }

    @Test
    void F11_a_statement_time_out_is_the_events_own_fault() {
        assertThat(blamesTheEvent(() -> {
                    try (Connection connection = connect()) {
                        execute(connection, "SET QUERY_TIMEOUT 20");
                        execute(
                                connection,
                                "SELECT sum(a.x * b.x) FROM system_range(1, 100000) a, system_range(1, 100000) b");
                    }
                }))
                .isTrue();
    }

    @Test
    void F11_a_lock_time_out_is_not_the_events_fault() throws SQLException {
        try (Connection holder = connect()) {
            holder.setAutoCommit(false);
            execute(holder, "UPDATE account SET n = 1 WHERE id = 1");
            assertThat(blamesTheEvent(() -> {
                        try (Connection connection = connect()) {
                            execute(connection, "SET LOCK_TIMEOUT 20");
                            execute(connection, "UPDATE account SET n = 2 WHERE id = 1");
                        }
                    }))
                    .isFalse();
        }
    }

    @Test
    void a_deadlock_is_not_the_events_fault() {
        assertThat(blamesTheEvent(() -> {
                    try (Connection one = connect();
                            Connection other = connect()) {
                        one.setAutoCommit(false);
                        other.setAutoCommit(false);
                        execute(one, "SET LOCK_TIMEOUT 10000");
                        execute(other, "SET LOCK_TIMEOUT 10000");
                        execute(one, "UPDATE account SET n = 1 WHERE id = 1");
                        execute(other, "UPDATE account SET n = 1 WHERE id = 2");
                        CountDownLatch begun = new CountDownLatch(1);
                        CompletableFuture<Void> crosswise = CompletableFuture.runAsync(() -> {
                            try {
                                begun.countDown();
                                execute(other, "UPDATE account SET n = 1 WHERE id = 1");
                            } catch (SQLException e) {
                                throw new IllegalStateException(e); // one of the two loses
                            }
                        });
                        begun.await(10, TimeUnit.SECONDS);
                        execute(one, "UPDATE account SET n = 1 WHERE id = 2");
                        one.rollback();
                        crosswise.get(20, TimeUnit.SECONDS);
                    }
                }))
                .isFalse();
    }

    @Test
    void a_database_that_was_shut_down_is_not_the_events_fault() {
        assertThat(blamesTheEvent(() -> {
                    try (Connection connection = connect();
                            Connection admin = connect()) {
                        execute(admin, "SHUTDOWN IMMEDIATELY");
                        execute(connection, "SELECT 1");
                    }
                }))
                .isFalse();
    }

    @Test
    void a_server_that_is_not_there_is_not_the_events_fault() {
        assertThat(blamesTheEvent(() -> DriverManager.getConnection("jdbc:h2:tcp://127.0.0.1:1/none")))
                .isFalse();
    }

    @Test
    void a_database_that_may_only_be_read_is_not_the_events_fault(@TempDir Path folder) throws SQLException {
        String file = "jdbc:h2:file:" + folder.resolve("orders");
        try (Connection connection = DriverManager.getConnection(file)) {
            execute(connection, "CREATE TABLE account (id int PRIMARY KEY, n int)");
        }
        assertNotTheEventsFault(90097, () -> {
            try (Connection connection = DriverManager.getConnection(file + ";ACCESS_MODE_DATA=r")) {
                execute(connection, "INSERT INTO account VALUES (1, 0)");
            }
        });
    }

    @Test
    void files_that_cannot_be_read_or_written_are_not_the_events_fault(@TempDir Path folder) throws IOException {
        Path noFolder = Files.writeString(folder.resolve("no-folder"), "a file");
        assertNotTheEventsFault(90031, () -> DriverManager.getConnection("jdbc:h2:file:" + noFolder.resolve("orders")));
    }

    @Test
    void a_database_that_was_closed_with_its_session_is_not_the_events_fault() throws SQLException {
        String closesWithItsLast = "jdbc:h2:mem:" + UUID.randomUUID();
        try (Connection connection = DriverManager.getConnection(closesWithItsLast)) {
            assertNotTheEventsFault(90121, () -> {
                execute(connection, "SHUTDOWN");
                execute(connection, "SELECT 1");
            });
        }
    }

    private static void assertNotTheEventsFault(int code, Work work) {
        assertThatThrownBy(work::run).isInstanceOfSatisfying(SQLException.class, said -> {
            assertThat(said.getErrorCode()).as("%s", said).isEqualTo(code);
            assertThat(FailurePolicy.isInfrastructure(said)).isTrue();
        });
    }

    private static boolean blamesTheEvent(Work work) {
        try {
            work.run();
        } catch (Exception e) {
            return !FailurePolicy.isInfrastructure(e);
        }
        throw new AssertionError("it did not fail");
    }

    private Connection connect() throws SQLException {
        return DriverManager.getConnection(url);
    }

    private static void execute(Connection connection, String sql) throws SQLException {
        try (Statement statement = connection.createStatement()) {
            statement.execute(sql);
        }
    }
}
