package dev.eventbus.examples.homestarter;

import dev.eventbus.examples.homestarter.Events.ItemType;
import dev.eventbus.examples.homestarter.Events.OwnerType;
import dev.eventbus.examples.homestarter.Events.Summary;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/** Asset's tables, within the caller's transaction. */
final class AssetStore {

    /** Something a user has, owes, gets or spends. */
    record Item(
            @Nullable OwnerType ownerType,
            @Nullable ItemType itemType,
            @Nullable Long amount) {}

    private AssetStore() {}

    /** Counts a change of a user; the row lock that this takes makes the user's transactions follow each other. */
    static long lock(Connection tx, String user) throws SQLException {
        try (PreparedStatement statement = tx.prepareStatement("""
                INSERT INTO asset_owner AS o VALUES (?, 1)
                ON CONFLICT (user_id) DO UPDATE SET revision = o.revision + 1 RETURNING revision""")) {
            statement.setString(1, user);
            try (ResultSet row = statement.executeQuery()) {
                row.next();
                return row.getLong(1);
            }
        }
    }

    static @Nullable Item find(Connection tx, String user, String itemId) throws SQLException {
        try (PreparedStatement statement = tx.prepareStatement(
                "SELECT owner_type, item_type, amount FROM asset_item WHERE user_id = ? AND item_id = ?")) {
            statement.setString(1, user);
            statement.setString(2, itemId);
            try (ResultSet row = statement.executeQuery()) {
                return row.next()
                        ? new Item(
                                OwnerType.valueOf(row.getString(1)), ItemType.valueOf(row.getString(2)), row.getLong(3))
                        : null;
            }
        }
    }

    static void put(Connection tx, String user, String itemId, Item item) throws SQLException {
        try (PreparedStatement statement = tx.prepareStatement("""
                INSERT INTO asset_item VALUES (?, ?, ?, ?, ?)
                ON CONFLICT (user_id, item_id)
                DO UPDATE SET owner_type = excluded.owner_type, item_type = excluded.item_type, amount = excluded.amount""")) {
            statement.setString(1, user);
            statement.setString(2, itemId);
            statement.setString(3, Objects.requireNonNull(item.ownerType()).name());
            statement.setString(4, Objects.requireNonNull(item.itemType()).name());
            statement.setLong(5, Objects.requireNonNull(item.amount()));
            statement.executeUpdate();
        }
    }

    static void delete(Connection tx, String user, String itemId) throws SQLException {
        try (PreparedStatement statement =
                tx.prepareStatement("DELETE FROM asset_item WHERE user_id = ? AND item_id = ?")) {
            statement.setString(1, user);
            statement.setString(2, itemId);
            statement.executeUpdate();
        }
    }

    static Summary summary(Connection tx, String user) throws SQLException {
        try (PreparedStatement statement = tx.prepareStatement("""
                SELECT COALESCE(sum(CASE item_type WHEN 'ASSET' THEN amount WHEN 'LOAN' THEN -amount END), 0),
                       COALESCE(sum(amount) FILTER (WHERE item_type = 'INCOME'), 0),
                       COALESCE(sum(amount) FILTER (WHERE item_type = 'EXPENSE'), 0)
                FROM asset_item WHERE user_id = ?""")) {
            statement.setString(1, user);
            try (ResultSet row = statement.executeQuery()) {
                row.next();
                return new Summary(row.getLong(1), row.getLong(2), row.getLong(3), row.getLong(2) - row.getLong(3));
            }
        }
    }

    static void noteChange(Connection tx, String user, long revision, String eventId) throws SQLException {
        try (PreparedStatement statement =
                tx.prepareStatement("INSERT INTO asset_change (user_id, revision, event_id) VALUES (?, ?, ?)")) {
            statement.setString(1, user);
            statement.setLong(2, revision);
            statement.setString(3, eventId);
            statement.executeUpdate();
        }
    }
}
