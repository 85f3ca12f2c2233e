package dev.eventbus.outbox;

import dev.eventbus.EncodedEvent;
import dev.eventbus.Event;
import dev.eventbus.EventPublisher;
import dev.eventbus.EventType;
import dev.eventbus.PublishFailedException;
import dev.eventbus.PublishRefusedException;
import dev.eventbus.outbox.sql.DatabaseFault;
import java.sql.Connection;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;

/** Writes events through a borrowed connection. Everything that can be refused is refused before the first statement. */
final class JdbcEventPublisher implements EventPublisher {

    private final JdbcOutbox outbox;
    private final ConnectionSource connections;

    JdbcEventPublisher(JdbcOutbox outbox, ConnectionSource connections) {
        this.outbox = outbox;
        this.connections = connections;
    }

    @Override
    public <P> String publish(EventType<P> type, P payload) {
        Event<P> event = Event.of(type, outbox.newId(), outbox.now(), payload);
        publish(event);
        return event.id();
    }

    @Override
    public void publish(Event<?> event) {
        publishAll(List.of(event));
    }

    @Override
    public void publishAll(Collection<? extends Event<?>> events) {
        List<EncodedEvent> encoded = new ArrayList<>(events.size());
        for (Event<?> event : events) {
            encoded.add(outbox.encode(event));
        }
        if (encoded.isEmpty()) {
            return;
        }
        borrow(encoded);
        outbox.published();
    }

    private void borrow(List<EncodedEvent> events) {
        AtomicInteger runs = new AtomicInteger();
        connections.with(connection -> {
            if (runs.incrementAndGet() != 1) {
                throw refused(
                        events,
                        "the connection source ran the work twice, or after it had returned; the second run wrote nothing, the first stands or falls with its transaction. Run it once, before with() returns.");
            }
            insert(connection, events);
        });
        if (runs.getAndSet(1) == 0) {
            throw refused(
                    events,
                    "the connection source did not lend a connection: no transaction is active in this thread. Nothing was written; an event outside your transaction would survive its rollback. Publish inside the transaction, or pass its connection: outbox.within(connection).");
        }
    }

    private void insert(Connection connection, List<EncodedEvent> events) {
        try {
            checkUsable(connection, events);
            if (!outbox.store().insert(connection, events)) {
                throw refused(
                        events,
                        "this session commits asynchronously (synchronous_commit = off). A crash could undo your transaction after its event was relayed; nothing was written. Set synchronous_commit to local, on or higher for this role or session.");
            }
        } catch (SQLException e) {
            EncodedEvent first = events.get(0);
            throw new PublishFailedException(
                    first.type(),
                    first.id(),
                    "%s%s was not published: the database refused the row in %s (SQLSTATE %s). Roll the transaction back, as after any failed statement; nothing of it is kept."
                            .formatted(first, others(events), outbox.names().qualifiedEvents(), e.getSQLState()),
                    DatabaseFault.withoutValues(e));
        }
    }

    private static void checkUsable(Connection connection, List<EncodedEvent> events) throws SQLException {
        if (connection.isClosed()) {
            throw refused(
                    events, "its connection is closed. Nothing was written; publish before the transaction ends.");
        }
        if (connection.getAutoCommit()) {
            throw refused(
                    events,
                    "its connection is in auto-commit mode, so the event would be kept even if your change failed. Nothing was written; call setAutoCommit(false) before your first statement, or publish inside your framework's transaction.");
        }
    }

    private static PublishRefusedException refused(List<EncodedEvent> events, String why) {
        EncodedEvent first = events.get(0);
        return new PublishRefusedException(
                first.type(), "%s%s was not published: %s".formatted(first, others(events), why));
    }

    private static String others(List<EncodedEvent> events) {
        return events.size() == 1 ? "" : " and %d more".formatted(events.size() - 1);
    }
}
