package dev.eventbus.consumer;

import java.sql.Connection;

/**
 * A delivery whose effect and whose mark in the inbox commit together.
 *
 * <pre>{@code
 * (event, tx) -> ledger.book(tx.connection(), event.payload())
 * }</pre>
 */
public interface TransactionalDelivery extends Delivery {

    /**
     * The transaction. Whatever is written through it is committed with the mark, exactly once, or not at all. The runner
     * commits and closes it; the handler does neither.
     */
    Connection connection();
}
