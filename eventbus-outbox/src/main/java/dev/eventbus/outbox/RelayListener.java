package dev.eventbus.outbox;

import java.time.Duration;
import java.time.Instant;
import java.util.Set;
import java.util.function.Supplier;

/**
 * Hears what a relay does: for meters, alarms and tests. Every method does nothing unless it is overridden.
 *
 * <p>Called on the relay's thread, which waits meanwhile: be quick. What an {@link OutboxAdmin} does is told on the thread that asks
 * for it. What a listener throws is logged and changes nothing.
 */
public interface RelayListener {

    /**
     * What became of some events of one topic that were handed to Kafka's client.
     *
     * @param topic logical name
     * @param error class of what the client said, without its package; empty if the events are acknowledged
     * @param events how many; 1 if it failed
     * @param longestSend of them, from handing over to the answer
     * @param longestLatency of them, from publishing to the answer, by the database's clock and this host's; zero if it failed
     */
    record Sent(String topic, String error, int events, Duration longestSend, Duration longestLatency) {}

    /** Events were acknowledged, told once a round and topic; or one failed. For meters. */
    default void sent(Sent sent) {}

    /**
     * A relay starts that tells this listener what it does. Told once, on the thread that starts it; never of a relay whose rounds are
     * made by hand.
     *
     * @param health as {@link OutboxRelay#health()}: any thread, also while the relay's own is held and tells nothing
     */
    default void relayStarts(Supplier<RelayHealth> health) {}

    /** Kafka has acknowledged this many events and their rows are deleted. */
    default void relayed(int events) {}

    /**
     * An event was not acknowledged. Its row is still there and will be sent again, in order.
     *
     * @param error what the Kafka client said
     */
    default void sendFailed(String eventId, String topic, Exception error) {}

    /**
     * An event is refused for good, or too old to be sent unasked, so its key waits; its events stay in the outbox, other keys go on.
     *
     * @param reason as in the table {@code eventbus_blocked_key}
     */
    default void keyBlocked(String eventId, String topic, String reason) {}

    /** Somebody has unblocked the key that waited for this event; its events are sent, in order. */
    default void keyUnblocked(String eventId, String topic) {}

    /**
     * Somebody has taken an event out of the outbox that its key waited for; the later events of the key are sent.
     *
     * @param reason as given
     */
    default void eventDiscarded(String eventId, String topic, String reason) {}

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
