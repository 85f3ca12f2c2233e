package dev.eventbus.it.inbox;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.consumer.inbox.JdbcInbox;
import dev.eventbus.consumer.inbox.Mark;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import javax.sql.DataSource;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;

/** An inbox and a table of effects in a real database, fresh for each test; one small subclass per database and contract. */
public abstract class InboxDatabase {

    protected static final String GROUP = "ledger.asset.events";

    private final ExecutorService others = Executors.newCachedThreadPool();

    private DataSource dataSource;
    private JdbcInbox inbox;

    /** A database whose tables the contract may drop. */
    protected abstract DataSource openDatabase() throws SQLException;

    protected abstract JdbcInbox inboxOn(DataSource dataSource);

    @BeforeEach
    final void createTables() throws SQLException {
        dataSource = openDatabase();
        for (String table : List.of("redrive", "parked_event", "parked_key", "attempt", "inbox")) {
            execute("DROP TABLE IF EXISTS eventbus_" + table);
        }
        execute("DROP TABLE IF EXISTS effect");
        JdbcInbox.createTables(dataSource);
        execute("CREATE TABLE effect (id varchar(200), amount integer)");
        inbox = inboxOn(dataSource);
    }

    @AfterEach
    final void stopOthers() throws InterruptedException {
        others.shutdownNow();
        assertThat(others.awaitTermination(10, TimeUnit.SECONDS)).isTrue();
    }

    protected final DataSource dataSource() {
        return dataSource;
    }

    protected final JdbcInbox inbox() {
        return inbox;
    }

    /** Threads of other owners. */
    protected final ExecutorService others() {
        return others;
    }

    // ------------------------------------------------------------------------------------------

    protected static Mark mark(String eventId) {
        return new Mark(GROUP, eventId, new byte[] {1}, "asset.events", 0, 7);
    }

    protected static JdbcInbox.Work book(String id) {
        return transaction -> {
            try (PreparedStatement statement =
                    transaction.prepareStatement("INSERT INTO effect (id, amount) VALUES (?, 1)")) {
                statement.setString(1, id);
                assertThat(statement.executeUpdate()).isEqualTo(1);
            }
        };
    }

    /** Does something with a statement. */
    @FunctionalInterface
    protected interface WithStatement {
        void run(Statement statement) throws SQLException;
    }

    protected static void statement(Connection connection, WithStatement work) throws SQLException {
        try (Statement statement = connection.createStatement()) {
            work.run(statement);
        }
    }

    protected final void execute(String sql) throws SQLException {
        try (Connection connection = dataSource.getConnection();
                Statement statement = connection.createStatement()) {
            statement.execute(sql);
        }
    }

    protected final List<String> effects() throws SQLException {
        try (Connection connection = dataSource.getConnection();
                Statement statement = connection.createStatement();
                ResultSet rows = statement.executeQuery("SELECT id FROM effect")) {
            List<String> ids = new ArrayList<>();
            while (rows.next()) {
                ids.add(rows.getString(1));
            }
            return ids;
        }
    }

    protected final int count(String table) throws SQLException {
        try (Connection connection = dataSource.getConnection();
                Statement statement = connection.createStatement();
                ResultSet rows = statement.executeQuery("SELECT count(*) FROM " + table)) {
            rows.next();
            return rows.getInt(1);
        }
    }

    /** Read as a user of the table would; ids are text or bytes. */
    protected final String outcome(String eventId) throws SQLException {
        try (Connection connection = dataSource.getConnection();
                Statement statement = connection.createStatement();
                ResultSet rows = statement.executeQuery("SELECT event_id, outcome FROM eventbus_inbox")) {
            while (rows.next()) {
                Object id = rows.getObject(1);
                String text = id instanceof byte[] bytes ? new String(bytes, UTF_8) : String.valueOf(id);
                if (text.equals(eventId)) {
                    return rows.getString(2);
                }
            }
            return "none";
        }
    }

    protected static void await(CountDownLatch latch) throws InterruptedException {
        assertThat(latch.await(10, TimeUnit.SECONDS)).as("the other side came").isTrue();
    }
}
