package dev.eventbus.outbox;

import dev.eventbus.EncodedEvent;
import dev.eventbus.ErrorCode;
import dev.eventbus.Event;
import dev.eventbus.EventEncoder;
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
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.atomic.AtomicInteger;
import org.jspecify.annotations.Nullable;

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
        Request request = new Request(encoded, 0);
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
        Request request = new Request(List.of(), asked.size());
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

    /** What is done with the borrowed connection. */
    @FunctionalInterface
    private interface Work {
        void on(Connection connection) throws SQLException;
    }

    private void borrow(Request request, Work work) {
        AtomicInteger runs = new AtomicInteger();
        CompletableFuture<@Nullable Void> end = new CompletableFuture<>();
        connections.with(connection -> {
            if (runs.incrementAndGet() != 1) {
                throw request.refused(
                        ErrorCode.NO_TRANSACTION,
                        "the connection source ran the work twice, or after it had returned; the second run wrote nothing, the first stands or falls with its transaction. Run it once, before with() returns.");
            }
            try {
                run(request, connection, work);
                end.complete(null);
            } catch (RuntimeException | Error e) {
                end.completeExceptionally(e);
                throw e;
            }
        });
        checkEnded(request, runs.getAndSet(1), end);
    }

    /** The source may have kept a failure to itself, or given the work to another thread. */
    private static void checkEnded(Request request, int begun, CompletableFuture<@Nullable Void> end) {
        if (begun != 0 && !end.isDone()) { // asked first: it may fail between two looks
            throw request.refused(
                    ErrorCode.NO_TRANSACTION,
                    "the connection source returned while the work was still running, so it may be written in whatever transaction comes next, or in none. Roll yours back, and run the work in the calling thread, before with() returns.");
        }
        if (end.isCompletedExceptionally()) {
            Throwable kept = end.handle((done, e) -> e).join();
            if (kept instanceof Error error) {
                throw error;
            }
            throw (RuntimeException) kept;
        }
        if (begun == 0) {
            throw request.refused(
                    ErrorCode.NO_TRANSACTION,
                    "the connection source did not lend a connection: no transaction is active in this thread. Nothing was written; an event outside your transaction would survive its rollback. Publish inside the transaction, or pass its connection: outbox.within(connection).");
        }
    }

    private void run(Request request, Connection connection, Work work) {
        try {
            if (connection.isClosed()) {
                throw request.refused(
                        ErrorCode.NO_TRANSACTION,
                        "its connection is closed. Nothing was written; publish before the transaction ends.");
            }
            if (connection.getAutoCommit()) {
                throw request.refused(
                        ErrorCode.AUTO_COMMIT,
                        "its connection is in auto-commit mode, where an event would be kept even if your change failed and a lock would end with its statement. Nothing was written; call setAutoCommit(false) before your first statement, or publish inside your framework's transaction.");
            }
            work.on(connection);
        } catch (SQLException e) {
            throw request.failed(outbox.names().qualifiedEvents(), e);
        }
    }

    /**
     * What the caller asked for, and the words of its failure.
     *
     * @param events to be published; empty if keys were to be locked
     * @param keys how many were to be locked; keys themselves reach no text
     */
    private record Request(List<EncodedEvent> events, int keys) {

        PublishRefusedException refused(ErrorCode code, String why) {
            return new PublishRefusedException(code, type(), "%s: %s".formatted(notDone(), why));
        }

        PublishFailedException failed(String table, SQLException error) {
            return new PublishFailedException(
                    type(),
                    events.isEmpty() ? "" : events.get(0).id(),
                    "%s: the database refused it at %s (SQLSTATE %s). Roll the transaction back, as after any failed statement; nothing of it is kept."
                            .formatted(notDone(), table, error.getSQLState()),
                    DatabaseFault.withoutValues(error));
        }

        private String type() {
            return events.isEmpty() ? "" : events.get(0).type();
        }

        private String notDone() {
            if (events.isEmpty()) {
                return "%d keys of events were not locked".formatted(keys);
            }
            String others = events.size() == 1 ? "" : " and %d more".formatted(events.size() - 1);
            return "%s%s was not published".formatted(events.get(0), others);
        }
    }
}
