package dev.eventbus.examples.joining;

import dev.eventbus.EventBusException;
import dev.eventbus.outbox.Outbox;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import java.sql.Savepoint;
import java.util.LinkedHashMap;
import java.util.Map;
import javax.sql.DataSource;

/** Plain JDBC: the connection is yours, so the publisher is made of it. */
public final class JdbcAssets implements Assets, Assets.Import {

    private final DataSource dataSource;
    private final Outbox outbox;

    public JdbcAssets(DataSource dataSource, Outbox outbox) {
        this.dataSource = dataSource;
        this.outbox = outbox;
    }

    // region: set
    @Override
    public void set(String user, long amount) throws SQLException {
        inTransaction(tx -> set(tx, user, amount));
    }

    private void set(Connection tx, String user, long amount) throws SQLException {
        try (PreparedStatement set = tx.prepareStatement(SET)) { // holds the user's row from here on
            set.setString(1, user);
            set.setLong(2, amount);
            set.executeUpdate();
        }
        outbox.within(tx).publish(ASSET_UPDATED, new AssetUpdated(user, amount));
    }

    private void inTransaction(Work work) throws SQLException {
        try (Connection tx = dataSource.getConnection()) {
            tx.setAutoCommit(false);
            try {
                work.in(tx);
                tx.commit();
            } catch (Throwable e) {
                tx.rollback();
                throw e;
            }
        }
        outbox.committed(); // optional: the relay looks at once instead of within milliseconds
    }
    // end: set

    // region: savepoint
    @Override
    public Map<String, Exception> setAll(Map<String, Long> amounts) throws SQLException {
        Map<String, Exception> leftOut = new LinkedHashMap<>();
        inTransaction(tx -> {
            for (Map.Entry<String, Long> one : amounts.entrySet()) {
                Savepoint savepoint = tx.setSavepoint();
                try {
                    set(tx, one.getKey(), one.getValue());
                } catch (SQLException | EventBusException e) {
                    tx.rollback(savepoint); // takes the event along
                    leftOut.put(one.getKey(), e);
                }
            }
        });
        return leftOut;
    }
    // end: savepoint

    private interface Work {
        void in(Connection tx) throws SQLException;
    }
}
