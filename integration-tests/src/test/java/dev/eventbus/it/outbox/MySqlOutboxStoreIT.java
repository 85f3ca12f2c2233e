package dev.eventbus.it.outbox;

import dev.eventbus.outbox.JdbcOutbox;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.UUID;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.parallel.Isolated;

/**
 * On a MySQL that somebody else runs: {@code -Deventbus.mysql.url=jdbc:mysql://host:port/}, {@code eventbus.mysql.user} and
 * {@code eventbus.mysql.password}, of a user who may create databases and set global variables.
 */
@Tag("mysql")
@Isolated("sets the time zone of the process")
class MySqlOutboxStoreIT extends MariaDbOutboxContract {

    private final String name = "eventbus_" + UUID.randomUUID().toString().substring(0, 8);

    @BeforeEach
    @Override
    void open() throws SQLException {
        execute("CREATE DATABASE " + name);
        super.open();
    }

    @AfterEach
    void drop() throws SQLException {
        execute("DROP DATABASE " + name);
    }

    @Override
    Connection connect() throws SQLException {
        Connection connection = server();
        connection.setCatalog(name);
        return connection;
    }

    @Override
    JdbcOutbox outbox() {
        return JdbcOutbox.mySql();
    }

    private static void execute(String sql) throws SQLException {
        try (Connection connection = server();
                Statement statement = connection.createStatement()) {
            statement.execute(sql);
        }
    }

    private static Connection server() throws SQLException {
        return DriverManager.getConnection(
                System.getProperty("eventbus.mysql.url"),
                System.getProperty("eventbus.mysql.user"),
                System.getProperty("eventbus.mysql.password"));
    }
}
