package dev.eventbus.examples.plainjdbc;

import dev.eventbus.EventType;
import dev.eventbus.outbox.Outbox;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import javax.sql.DataSource;

/** The publisher: changes what a user owns and says so, in one transaction. */
final class Assets {

    /** A user owns more by this amount. */
    record AssetAdded(String userId, Long amount) {}

    static final EventType<AssetAdded> ASSET_ADDED =
            EventType.of("ASSET_ADDED", AssetAdded.class).topic("asset.events").key(AssetAdded::userId);

    private static final long MOST = 1_000;

    /** Waits for whoever changes the same user, and holds the row until the end: so the user's events are in order of the commits. */
    private static final String ADD = """
            INSERT INTO asset AS a (user_id, amount) VALUES (?, ?)
            ON CONFLICT (user_id) DO UPDATE SET amount = a.amount + excluded.amount
            RETURNING a.amount""";

    private final DataSource dataSource;
    private final Outbox outbox;

    Assets(DataSource dataSource, Outbox outbox) {
        this.dataSource = dataSource;
        this.outbox = outbox;
    }

    /** Returns false, with everything rolled back, if the user would own more than {@value #MOST}. */
    boolean add(String user, long amount) throws SQLException {
        try (Connection tx = dataSource.getConnection()) {
            tx.setAutoCommit(false);
            try {
                long owned = change(tx, user, amount);
                outbox.within(tx).publish(ASSET_ADDED, new AssetAdded(user, amount));
                if (owned > MOST) { // asked late on purpose: the roll-back takes the event along
                    tx.rollback();
                    return false;
                }
                tx.commit();
            } catch (Throwable e) {
                tx.rollback();
                throw e;
            }
        }
        outbox.committed(); // optional: the relay looks at once instead of within milliseconds
        return true;
    }

    private static long change(Connection tx, String user, long amount) throws SQLException {
        try (PreparedStatement add = tx.prepareStatement(ADD)) {
            add.setString(1, user);
            add.setLong(2, amount);
            try (ResultSet row = add.executeQuery()) {
                row.next();
                return row.getLong(1);
            }
        }
    }
}
