package dev.eventbus.outbox;

import java.time.Instant;
import java.util.Set;

/**
 * Hears what a relay does: for meters, alarms and tests. Every method does nothing unless it is overridden.
 *
 * <p>Called on the relay's thread, which waits meanwhile: be quick. What a listener throws is logged and changes nothing.
 */
public interface RelayListener {

    /** Kafka has acknowledged this many events and their rows are deleted. */
    default void relayed(int events) {}

    /**
     * An event was not acknowledged. Its row is still there and will be sent again, in order.
     *
     * @param error what the Kafka client said
     */
    default void sendFailed(String eventId, String topic, Exception error) {}

    /**
     * The broker refuses an event for good, so its key waits; its events stay in the outbox, other keys go on.
     *
     * @param reason as in the table {@code eventbus_blocked_key}
     */
    default void keyBlocked(String eventId, String topic, String reason) {}

    /** A topic cannot be written to; its events wait in the outbox, other topics go on. */
    default void topicWaits(String topic, String problem, Instant retryAt) {}

    /** A topic that waited can be written to again. */
    default void topicResumed(String topic) {}

    /** This relay's shards are now these. */
    default void shardsChanged(Set<Integer> owned) {}

    /**
     * Rows that Kafka acknowledged to this relay had been deleted by somebody else. The leases are looked at again at once.
     *
     * @param rows how many
     */
    default void deletedByOthers(int rows) {}
}
