package dev.eventbus.outbox.internal;

import dev.eventbus.EncodedEvent;
import dev.eventbus.ErrorCode;
import dev.eventbus.PublishFailedException;
import dev.eventbus.PublishRefusedException;
import dev.eventbus.outbox.sql.DatabaseFault;
import java.sql.Connection;
import java.sql.SQLException;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * What the caller of a publisher asked for, done on a borrowed connection, and the words of its failure. The publisher of the test kit has it too, so both
 * refuse the same connections and the same connection sources.
 *
 * @param events to be published; empty if keys are to be locked
 * @param keys how many are to be locked; keys themselves reach no text
 */
public record PublishRequest(List<EncodedEvent> events, int keys) {

    /** What is done with the borrowed connection. */
    @FunctionalInterface
    public interface Work {
        void on(Connection connection) throws SQLException;
    }

    /**
     * Does the work once, in the calling thread, on a connection that is in a transaction.
     *
     * @param source runs what it is given with the connection of the transaction
     * @param table for the words of a failure
     * @throws PublishRefusedException if the connection is closed or in auto-commit mode, or if the source lends none, runs the work twice
     *     or returns while it runs; also whatever the work throws, should the source have kept that to itself
     * @throws PublishFailedException if the connection does not answer, or the work fails by a {@link SQLException}
     */
    public void borrow(Consumer<Consumer<Connection>> source, String table, Work work) {
        AtomicInteger runs = new AtomicInteger();
        CompletableFuture<@Nullable Void> end = new CompletableFuture<>();
        source.accept(connection -> {
            if (runs.incrementAndGet() != 1) {
                throw refused(
                        ErrorCode.NO_TRANSACTION,
                        "the connection source ran the work twice, or after it had returned; the second run wrote nothing, the first stands or falls with its transaction. Run it once, before with() returns.");
            }
            try {
                run(connection, table, work);
                end.complete(null);
            } catch (RuntimeException | Error e) {
                end.completeExceptionally(e);
                throw e;
            }
        });
        checkEnded(runs.getAndSet(1), end);
    }

    /** The source may have kept a failure to itself, or given the work to another thread. */
    private void checkEnded(int begun, CompletableFuture<@Nullable Void> end) {
        if (begun != 0 && !end.isDone()) { // asked first: it may fail between two looks
            throw refused(
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
            throw refused(
                    ErrorCode.NO_TRANSACTION,
                    "the connection source did not lend a connection: no transaction is active in this thread. Nothing was written; an event outside your transaction would survive its rollback. Publish inside the transaction, or pass its connection: outbox.within(connection).");
        }
    }

    private void run(Connection connection, String table, Work work) {
        try {
            if (connection.isClosed()) {
                throw refused(
                        ErrorCode.NO_TRANSACTION,
                        "its connection is closed. Nothing was written; publish before the transaction ends.");
            }
            if (connection.getAutoCommit()) {
                throw refused(
                        ErrorCode.AUTO_COMMIT,
                        "its connection is in auto-commit mode, where an event would be kept even if your change failed and a lock would end with its statement. Nothing was written; call setAutoCommit(false) before your first statement, or publish inside your framework's transaction.");
            }
            work.on(connection);
        } catch (SQLException e) {
            throw failed(table, e);
        }
    }

    /** The refusal of this request: the keys were not locked, or the events not published, and why. */
    public PublishRefusedException refused(ErrorCode code, String why) {
        return new PublishRefusedException(code, type(), "%s: %s".formatted(notDone(), why));
    }

    private PublishFailedException failed(String table, SQLException error) {
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
