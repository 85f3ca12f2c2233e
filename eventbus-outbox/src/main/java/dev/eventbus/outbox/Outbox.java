package dev.eventbus.outbox;

import dev.eventbus.EventPublisher;
import java.sql.Connection;

/**
 * Where a service publishes: what code under test takes, so that a test can hand it a recording one.
 *
 * <pre>{@code
 * try (Connection tx = dataSource.getConnection()) {
 *   tx.setAutoCommit(false);
 *   try {
 *     assets.update(tx, asset);
 *     outbox.within(tx).publish(ASSET_UPDATED, new AssetUpdated(userId, ITEM_ADDED, amount));
 *     tx.commit();
 *   } catch (Throwable e) {
 *     tx.rollback();
 *     throw e;
 *   }
 * }
 * }</pre>
 *
 * <p>Thread-safe. A publisher of {@link #within} is not, it belongs to its connection; one of {@link #joining} is as safe as its
 * connection source.
 */
public interface Outbox {

    /**
     * A publisher that writes through this connection, as part of its transaction. It never commits, rolls back or closes it. A
     * connection in auto-commit mode is refused when publishing.
     */
    EventPublisher within(Connection connection);

    /**
     * A publisher that borrows the connection of the transaction around each call: Spring, JPA, jOOQ. One for the whole service will
     * do, if its connection source finds the transaction of the calling thread.
     */
    EventPublisher joining(ConnectionSource connections);

    /**
     * Tells a relay in this process that a transaction has committed: it looks at once, or once it has paused
     * for 10 ms at most after a look that found events. Optional; without it the relay finds the
     * commit by looking, first 0.5 ms after the publish, then less and less often, at last every 100 ms. Harmless if nothing was
     * committed.
     */
    void committed();
}
