package dev.eventbus.consumer;

import java.time.Instant;
import org.apache.kafka.common.header.Headers;

/**
 * How an event came to its handler. Valid while the handler runs.
 *
 * <pre>{@code
 * (event, delivery) -> cache.evict(event.key(), delivery.attempt())
 * }</pre>
 *
 * <p>An interface, so that a unit test may hand its own to a handler.
 */
public interface Delivery {

    /** The consumer group. */
    String group();

    /** The logical topic, without the cluster's prefix. */
    String topic();

    int partition();

    long offset();

    /** 1 for the first run of the handler; failures that count no attempt (an outage) do not raise it. */
    int attempt();

    /** The record's own time stamp: when it was sent, not when the event happened. */
    Instant timestamp();

    /** The record's headers, as they are; a copy, so changing it changes nothing. */
    Headers headers();
}
