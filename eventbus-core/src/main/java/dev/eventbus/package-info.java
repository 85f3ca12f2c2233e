/**
 * Events, their wire format, and the interface a service publishes them through.
 *
 * <p>Read in this order: {@link dev.eventbus.EventType} declares what happened, where it goes and whose order it keeps;
 * {@link dev.eventbus.EventPublisher} takes payloads of it; {@link dev.eventbus.EventEncoder} and
 * {@link dev.eventbus.EventDecoder} turn events into Kafka records and back; {@link dev.eventbus.FailureReason} is the closed
 * list of what can be wrong with a record. Every exception is an {@link dev.eventbus.EventBusException}.
 */
@NullMarked
package dev.eventbus;

import org.jspecify.annotations.NullMarked;
