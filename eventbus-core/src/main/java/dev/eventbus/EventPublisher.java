package dev.eventbus;

import java.util.Collection;

/**
 * Publishes events as part of a database transaction: an event exists if and only if that transaction commits.
 *
 * <pre>{@code
 * outbox.within(connection).publish(ASSET_UPDATED, new AssetUpdated(userId, ITEM_ADDED, amount));
 * }</pre>
 *
 * <p>Events of one key are delivered in publish order if their transactions serialise on that key, for instance by a row lock
 * that is held before {@code publish}. A publisher is used by one thread at a time, as its connection is.
 *
 * <p>Throws {@link PublishRefusedException} before any SQL for all that can be known without asking anyone, and
 * {@link PublishFailedException} if the database refuses the row.
 */
public interface EventPublisher {

    /**
     * Publishes a payload under a new UUIDv7 and the current time.
     *
     * @return the event's id
     */
    <P> String publish(EventType<P> type, P payload);

    /** Publishes a whole event: own id, own time, headers. */
    void publish(Event<?> event);

    /** Publishes events in the order of the collection, in as few statements as the database allows. */
    void publishAll(Collection<? extends Event<?>> events);
}
