package dev.eventbus;

import dev.eventbus.internal.Checks;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * An event as it lies in the outbox and travels to Kafka.
 *
 * @param id event id
 * @param type name of the event type
 * @param topic logical topic
 * @param key whose order it keeps
 * @param value the record's value; null for a tombstone
 * @param contentType of the value, for example {@code application/json}
 * @param traceparent W3C trace context, unchanged
 * @param tracestate W3C trace state, unchanged
 * @param headers the user's own headers, trace context not included
 */
@SuppressWarnings("ArrayRecordComponent") // a carrier between table and wire; never compared
public record EncodedEvent(
        String id,
        String type,
        String topic,
        String key,
        byte @Nullable [] value,
        String contentType,
        @Nullable String traceparent,
        @Nullable String tracestate,
        Map<String, String> headers) {

    /** Without value, key and headers: these never reach a log. */
    @Override
    public String toString() {
        return "%s %s".formatted(type, Checks.printable(id));
    }
}
