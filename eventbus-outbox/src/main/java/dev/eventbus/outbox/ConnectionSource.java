package dev.eventbus.outbox;

import java.sql.Connection;
import java.util.function.Consumer;

/**
 * Lends the connection of the transaction around the caller for the length of one call: a callback, since a getter would leak a
 * connection outside a transaction.
 */
@FunctionalInterface
public interface ConnectionSource {

    /** Runs {@code work} once, before it returns, with the connection of the current transaction. */
    void with(Consumer<Connection> work);
}
