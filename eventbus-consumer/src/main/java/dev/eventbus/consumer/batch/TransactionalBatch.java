package dev.eventbus.consumer.batch;

import java.sql.Connection;

/**
 * A list of events whose effects and whose marks in the inbox commit together.
 *
 * <pre>{@code
 * (events, tx) -> ledger.bookAll(tx.connection(), events)
 * }</pre>
 */
public interface TransactionalBatch extends Batch {

    /**
     * The transaction. Whatever is written through it is committed with the marks of all events of the list, exactly once, or not at
     * all. The runner commits and closes it; the handler does neither.
     */
    Connection connection();
}
