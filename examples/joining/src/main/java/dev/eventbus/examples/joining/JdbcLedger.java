package dev.eventbus.examples.joining;

import dev.eventbus.EventPublisher;
import dev.eventbus.EventType;
import dev.eventbus.outbox.Outbox;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import javax.sql.DataSource;

/** A table that is only ever added to has no row to hold: keys are locked instead. */
public final class JdbcLedger {

    public record Booked(String userId, Long amount) {}

    public static final EventType<Booked> BOOKED =
            EventType.of("BOOKED", Booked.class).topic("ledger.events").key(Booked::userId);

    private final DataSource dataSource;
    private final Outbox outbox;

    public JdbcLedger(DataSource dataSource, Outbox outbox) {
        this.dataSource = dataSource;
        this.outbox = outbox;
    }

    // region: lockKeys
    public void transfer(String from, String to, long amount) throws SQLException {
        try (Connection tx = dataSource.getConnection()) {
            tx.setAutoCommit(false);
            try {
                EventPublisher events = outbox.within(tx);
                events.lockKeys(from, to); // all of the transaction at once, before anything is read or written
                book(tx, from, -amount);
                book(tx, to, amount);
                events.publish(BOOKED, new Booked(from, -amount));
                events.publish(BOOKED, new Booked(to, amount));
                tx.commit();
            } catch (Throwable e) {
                tx.rollback();
                throw e;
            }
        }
    }
    // end: lockKeys

    private static void book(Connection tx, String user, long amount) throws SQLException {
        try (PreparedStatement book = tx.prepareStatement("INSERT INTO ledger (user_id, amount) VALUES (?, ?)")) {
            book.setString(1, user);
            book.setLong(2, amount);
            book.executeUpdate();
        }
    }
}
