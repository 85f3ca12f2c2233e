package dev.eventbus.outbox;

import dev.eventbus.Event;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import javax.sql.DataSource;
import org.h2.jdbcx.JdbcDataSource;

/** A database in memory of its own, with the outbox's tables. */
final class TestDatabase {

    private static final AtomicInteger COUNT = new AtomicInteger();

    final JdbcOutbox outbox;
    final DataSource dataSource;

    TestDatabase() {
        this(JdbcOutbox.h2(), "");
    }

    TestDatabase(JdbcOutbox outbox, String settings) {
        JdbcDataSource h2 = new JdbcDataSource();
        h2.setURL("jdbc:h2:mem:outbox-%d;DB_CLOSE_DELAY=-1%s".formatted(COUNT.incrementAndGet(), settings));
        this.dataSource = h2;
        this.outbox = outbox;
        try {
            outbox.createTables(h2);
        } catch (SQLException e) {
            throw new IllegalStateException(e);
        }
    }

    /** A connection in a transaction. */
    Connection begin() throws SQLException {
        Connection connection = dataSource.getConnection();
        connection.setAutoCommit(false);
        return connection;
    }

    void publish(Event<?>... events) {
        try (Connection connection = begin()) {
            outbox.within(connection).publishAll(List.of(events));
            connection.commit();
        } catch (SQLException e) {
            throw new IllegalStateException(e);
        }
    }

    /** Event ids in the outbox, in publish order. */
    List<String> ids() {
        return strings("SELECT id FROM %s ORDER BY seq".formatted(outbox.names().qualifiedEvents()));
    }

    List<String> strings(String query) {
        try (Connection connection = dataSource.getConnection();
                Statement statement = connection.createStatement();
                ResultSet rows = statement.executeQuery(query)) {
            List<String> found = new ArrayList<>();
            while (rows.next()) {
                found.add(rows.getString(1));
            }
            return found;
        } catch (SQLException e) {
            throw new IllegalStateException(e);
        }
    }

    int update(String statement) {
        try (Connection connection = dataSource.getConnection();
                Statement update = connection.createStatement()) {
            return update.executeUpdate(statement);
        } catch (SQLException e) {
            throw new IllegalStateException(e);
        }
    }
}
