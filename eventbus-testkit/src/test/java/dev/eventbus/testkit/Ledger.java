package dev.eventbus.testkit;

import dev.eventbus.consumer.inbox.JdbcInbox;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.List;
import java.util.UUID;
import javax.sql.DataSource;
import org.h2.jdbcx.JdbcConnectionPool;

/** A database with an inbox and one table of effects. */
public final class Ledger implements AutoCloseable {

    private final DataSource database;
    private final Runnable dispose;

    private Ledger(DataSource database, Runnable dispose) {
        this.database = database;
        this.dispose = dispose;
    }

    /** In memory, of nobody else. */
    static Ledger create() throws SQLException {
        JdbcConnectionPool database =
                JdbcConnectionPool.create("jdbc:h2:mem:%s;DB_CLOSE_DELAY=-1".formatted(UUID.randomUUID()), "sa", "");
        return on(database, database::dispose);
    }

    /** In an empty database. */
    public static Ledger on(DataSource database, Runnable dispose) throws SQLException {
        JdbcInbox.createTables(database);
        try (Connection connection = database.getConnection();
                Statement statement = connection.createStatement()) {
            statement.execute("CREATE TABLE ledger (line bigint GENERATED ALWAYS AS IDENTITY, entry varchar(100))");
        }
        return new Ledger(database, dispose);
    }

    /** Where it is. */
    public DataSource database() {
        return database;
    }

    /** Writes an effect in a handler's transaction. */
    void book(Connection transaction, String entry) throws SQLException {
        try (PreparedStatement insert = transaction.prepareStatement("INSERT INTO ledger (entry) VALUES (?)")) {
            insert.setString(1, entry);
            insert.executeUpdate();
        }
    }

    /** The committed effects, in order. */
    List<String> booked() throws SQLException {
        List<String> entries = new ArrayList<>();
        try (Connection connection = database.getConnection();
                Statement statement = connection.createStatement();
                ResultSet rows = statement.executeQuery("SELECT entry FROM ledger ORDER BY line")) {
            while (rows.next()) {
                entries.add(rows.getString(1));
            }
        }
        return entries;
    }

    @Override
    public void close() {
        dispose.run();
    }
}
