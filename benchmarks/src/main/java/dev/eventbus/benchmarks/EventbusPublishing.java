package dev.eventbus.benchmarks;

import dev.eventbus.EventType;
import dev.eventbus.outbox.JdbcOutbox;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.SQLException;

/** Us: a business row, then {@code publish} on the same connection. */
final class EventbusPublishing implements Publishing {

    /** As large as the others when the envelope is around it. */
    record ItemAdded(String n, String userId, String currency, String category, String note) {

        static ItemAdded of(long number) {
            return new ItemAdded(
                    SampleEvents.digits(number),
                    SampleEvents.key(number),
                    "EUR",
                    "household",
                    SampleEvents.filler(number, NOTE_BYTES));
        }
    }

    /** What is left of 500 bytes beside the envelope and the other properties. */
    private static final int NOTE_BYTES = 273;

    private final Connection connection;
    private final JdbcOutbox outbox;
    private final EventType<ItemAdded> type;
    private final Runnable afterCommit;
    private final PreparedStatement business;

    EventbusPublishing(Connection connection, JdbcOutbox outbox, String topic, Runnable afterCommit)
            throws SQLException {
        this.connection = connection;
        this.outbox = outbox;
        this.type =
                EventType.of(SampleEvents.TYPE, ItemAdded.class).topic(topic).key(ItemAdded::userId);
        this.afterCommit = afterCommit;
        connection.setAutoCommit(false);
        this.business = connection.prepareStatement(BarePublishing.BUSINESS_ROW);
    }

    @Override
    public void publish(long number) throws SQLException {
        ItemAdded event = ItemAdded.of(number);
        business.setString(1, event.userId());
        business.setLong(2, number);
        business.executeUpdate();
        outbox.within(connection).publish(type, event);
        connection.commit();
        afterCommit.run();
    }

    @Override
    public void close() throws SQLException {
        connection.close();
    }
}
