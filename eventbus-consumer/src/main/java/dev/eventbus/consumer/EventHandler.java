package dev.eventbus.consumer;

import dev.eventbus.Event;

/**
 * What a service does about an event.
 *
 * <pre>{@code
 * EventHandler<AssetUpdated, Delivery> evict = (event, delivery) -> redis.del("asset:" + event.key());
 * }</pre>
 *
 * <p>Events of one key of one topic come one at a time and in order; handlers of different keys run at the same time on
 * different threads. Whatever a handler throws is a failure: the event is tried again, later events of its key wait, those of
 * other keys do not.
 *
 * <p>While it runs, the MDC of its thread names the event ({@code eventbus.eventId}, {@code eventbus.eventType}, {@code
 * eventbus.topic}, {@code eventbus.partition}, {@code eventbus.offset}, {@code eventbus.group}, {@code eventbus.attempt}) and has the
 * record's {@code traceparent} and {@code tracestate}; afterwards it is as it was.
 *
 * @param <P> payload
 * @param <D> {@link Delivery} for effects at least once, {@link TransactionalDelivery} for effects once
 */
@FunctionalInterface
public interface EventHandler<P, D extends Delivery> {

    /**
     * Handles one event.
     *
     * @throws Exception to have it tried again
     */
    void handle(Event<P> event, D delivery) throws Exception;
}
