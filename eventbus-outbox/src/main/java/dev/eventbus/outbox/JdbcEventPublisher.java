package dev.eventbus.outbox;

import dev.eventbus.EncodedEvent;
import dev.eventbus.ErrorCode;
import dev.eventbus.Event;
import dev.eventbus.EventEncoder;
import dev.eventbus.EventPublisher;
import dev.eventbus.EventType;
import dev.eventbus.outbox.internal.PublishRequest;
import java.sql.Connection;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;

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
        PublishRequest request = new PublishRequest(encoded, 0);
        borrow(request, connection -> {
            if (!outbox.insert(connection, encoded)) {
                throw request.refused(
                        ErrorCode.UNSAFE_SESSION, outbox.store().sql().unsafeSession());
            }
        });
        outbox.published();
    }

    @Override
    public void lockKeys(String... keys) {
        List<String> asked = EventEncoder.checkedKeys(keys);
        if (asked.isEmpty()) {
            return;
        }
        PublishRequest request = new PublishRequest(List.of(), asked.size());
        borrow(request, connection -> {
            if (!outbox.store().lockKeys(connection, asked)) {
                throw request.refused(ErrorCode.UNSAFE_SESSION, notLocked(connection));
            }
        });
    }

    private String notLocked(Connection connection) throws SQLException {
        return connection.getTransactionIsolation() > outbox.store().sql().lockingIsolation()
                ? "at its isolation level this transaction would go on reading what was committed before it waited for a lock, and could publish that behind newer events. Nothing was locked; begin it at READ COMMITTED, or update a row of each key in place of lockKeys, so that the database fails the transaction that comes second (SQLSTATE 40001)."
                : "this transaction has locked other keys before, and two transactions that lock in two steps can wait for each other for ever. Nothing was locked; name all keys of the transaction in one call. (Had it locked none, the rows of eventbus_key_lock would be missing, which verify() says.)";
    }

    private void borrow(PublishRequest request, PublishRequest.Work work) {
        request.borrow(connections::with, outbox.names().qualifiedEvents(), work);
    }
}
