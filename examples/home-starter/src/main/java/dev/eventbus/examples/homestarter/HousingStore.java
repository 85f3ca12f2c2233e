package dev.eventbus.examples.homestarter;

import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import java.sql.Types;
import org.jspecify.annotations.Nullable;

/** Housing's tables, within the caller's transaction. */
final class HousingStore {

    /** What is said of a home; what is not said stays as it is. */
    record Home(
            @Nullable Long price,
            @Nullable String location,
            @Nullable String target) {}

    private HousingStore() {}

    static void put(Connection tx, String user, String homeId, Home home) throws SQLException {
        try (PreparedStatement statement = tx.prepareStatement("""
                INSERT INTO housing AS h VALUES (?, ?, ?, ?, ?)
                ON CONFLICT (user_id, housing_id)
                DO UPDATE SET price = COALESCE(excluded.price, h.price),
                              location = COALESCE(excluded.location, h.location),
                              target = COALESCE(excluded.target, h.target)""")) {
            statement.setString(1, user);
            statement.setString(2, homeId);
            statement.setObject(3, home.price(), Types.BIGINT);
            statement.setString(4, home.location());
            statement.setString(5, home.target());
            statement.executeUpdate();
        }
    }

    /** The user's transactions must follow each other, or two would count the same. */
    static void noteChange(Connection tx, String user, String eventId) throws SQLException {
        try (PreparedStatement statement = tx.prepareStatement("""
                INSERT INTO housing_change (user_id, revision, event_id)
                SELECT ?, COALESCE(max(revision), 0) + 1, ? FROM housing_change WHERE user_id = ?""")) {
            statement.setString(1, user);
            statement.setString(2, eventId);
            statement.setString(3, user);
            statement.executeUpdate();
        }
    }
}
