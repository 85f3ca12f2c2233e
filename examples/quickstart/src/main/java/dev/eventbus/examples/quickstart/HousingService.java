package dev.eventbus.examples.quickstart;

import static dev.eventbus.examples.quickstart.Events.HOUSING_UPDATED;

import dev.eventbus.examples.quickstart.Events.HousingUpdated;
import dev.eventbus.outbox.Outbox;
import java.sql.Connection;
import java.sql.SQLException;
import javax.sql.DataSource;

/** Changes what a user would like to buy, and says so, in one transaction. */
final class HousingService {

    private final DataSource dataSource;
    private final Outbox outbox;

    HousingService(DataSource dataSource, Outbox outbox) {
        this.dataSource = dataSource;
        this.outbox = outbox;
    }

    /** Returns the event's id. */
    String changePrice(String user, String housing) throws SQLException {
        HousingUpdated changed = new HousingUpdated(user, housing, "PRICE_CHANGED");
        try (Connection tx = dataSource.getConnection()) {
            tx.setAutoCommit(false);
            try {
                int change = Tables.lockAndCount(tx, "housing", user);
                String id = outbox.within(tx).publish(HOUSING_UPDATED, changed);
                Tables.noteChange(tx, id, HOUSING_UPDATED.topic(), user, change);
                tx.commit();
                return id;
            } catch (Throwable e) {
                tx.rollback();
                throw e;
            }
        }
    }
}
