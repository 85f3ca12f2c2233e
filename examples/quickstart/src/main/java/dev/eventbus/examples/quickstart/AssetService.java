package dev.eventbus.examples.quickstart;

import static dev.eventbus.examples.quickstart.Events.ASSET_UPDATED;

import dev.eventbus.examples.quickstart.Events.AssetUpdated;
import dev.eventbus.outbox.Outbox;
import java.sql.Connection;
import java.sql.SQLException;
import javax.sql.DataSource;

/** Changes a user's assets and says so, in one transaction. */
final class AssetService {

    private final DataSource dataSource;
    private final Outbox outbox;

    AssetService(DataSource dataSource, Outbox outbox) {
        this.dataSource = dataSource;
        this.outbox = outbox;
    }

    /** Returns the event's id. */
    // region: publish
    String add(String user, long amount) throws SQLException {
        AssetUpdated added = new AssetUpdated(user, "ITEM_ADDED", "ASSET", amount);
        try (Connection tx = dataSource.getConnection()) {
            tx.setAutoCommit(false);
            try {
                int change = Tables.lockAndCount(tx, "assets", user);
                String id = outbox.within(tx).publish(ASSET_UPDATED, added);
                Tables.noteChange(tx, id, ASSET_UPDATED.topic(), user, change);
                tx.commit();
                return id;
            } catch (Throwable e) {
                tx.rollback(); // close() alone need not
                throw e;
            }
        }
    }
    // end: publish

    /** Changes, publishes, and then thinks better of it. */
    String addAndRollBack(String user, long amount) throws SQLException {
        try (Connection tx = dataSource.getConnection()) {
            tx.setAutoCommit(false);
            Tables.lockAndCount(tx, "assets", user);
            String id = outbox.within(tx).publish(ASSET_UPDATED, new AssetUpdated(user, "ITEM_ADDED", "ASSET", amount));
            tx.rollback();
            return id;
        }
    }
}
