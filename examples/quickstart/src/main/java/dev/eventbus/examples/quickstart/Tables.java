package dev.eventbus.examples.quickstart;

import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;

/** The example's own tables. {@code change} notes what was committed and {@code effect} what was done about it, to be compared. */
final class Tables {

    private Tables() {}

    static void create(Connection connection) throws SQLException {
        try (Statement statement = connection.createStatement()) {
            statement.execute("CREATE TABLE assets (user_id varchar(40) PRIMARY KEY, changes integer NOT NULL)");
            statement.execute("CREATE TABLE housing (user_id varchar(40) PRIMARY KEY, changes integer NOT NULL)");
            statement.execute(
                    "CREATE TABLE cached_result (user_id varchar(40) PRIMARY KEY, result varchar(40) NOT NULL)");
            statement.execute("""
                    CREATE TABLE change (
                      event_id varchar(128) PRIMARY KEY, topic varchar(249) NOT NULL, user_id varchar(40) NOT NULL, n integer NOT NULL)""");
            statement.execute("""
                    CREATE TABLE effect (
                      ord bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, topic varchar(249) NOT NULL, event_id varchar(128) NOT NULL)""");
        }
    }

    /** Counts a user's change; the row lock that this takes makes the user's transactions follow each other. */
    static int lockAndCount(Connection tx, String table, String user) throws SQLException {
        String sql = table.equals("assets") ? """
                  INSERT INTO assets AS a VALUES (?, 1)
                  ON CONFLICT (user_id) DO UPDATE SET changes = a.changes + 1 RETURNING changes""" : """
                  INSERT INTO housing AS h VALUES (?, 1)
                  ON CONFLICT (user_id) DO UPDATE SET changes = h.changes + 1 RETURNING changes""";
        try (PreparedStatement statement = tx.prepareStatement(sql)) {
            statement.setString(1, user);
            try (ResultSet row = statement.executeQuery()) {
                row.next();
                return row.getInt(1);
            }
        }
    }

    static void noteChange(Connection tx, String eventId, String topic, String user, int n) throws SQLException {
        try (PreparedStatement statement = tx.prepareStatement("INSERT INTO change VALUES (?, ?, ?, ?)")) {
            statement.setString(1, eventId);
            statement.setString(2, topic);
            statement.setString(3, user);
            statement.setInt(4, n);
            statement.executeUpdate();
        }
    }

    static void dropCachedResult(Connection tx, String user) throws SQLException {
        try (PreparedStatement statement = tx.prepareStatement("DELETE FROM cached_result WHERE user_id = ?")) {
            statement.setString(1, user);
            statement.executeUpdate();
        }
    }

    static void noteEffect(Connection tx, String topic, String eventId) throws SQLException {
        try (PreparedStatement statement = tx.prepareStatement("INSERT INTO effect (topic, event_id) VALUES (?, ?)")) {
            statement.setString(1, topic);
            statement.setString(2, eventId);
            statement.executeUpdate();
        }
    }
}
