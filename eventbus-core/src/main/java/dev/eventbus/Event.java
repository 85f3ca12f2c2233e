package dev.eventbus;

import dev.eventbus.internal.Checks;
import java.time.Instant;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Objects;

/**
 * Something that happened: what a service publishes and a handler receives. Immutable.
 *
 * <pre>{@code
 * Event<AssetUpdated> event = Event.of(ASSET_UPDATED, orderId + "-assets", clock.instant(), payload).withHeader("tenant", "eu");
 * }</pre>
 *
 * @param id unique for ever: two events with one id are one event to an idempotent consumer; at most 128 bytes of UTF-8
 * @param type what happened
 * @param key whose order the event keeps; the record's key, at most 255 bytes of UTF-8
 * @param timestamp when it happened; any instant, it decides nothing
 * @param payload the event's own properties
 * @param headers the user's own headers, {@code traceparent} and {@code tracestate} included; at most 64 and 16 KiB
 */
public record Event<P>(
        String id, EventType<P> type, String key, Instant timestamp, P payload, Map<String, String> headers) {

    public Event {
        Objects.requireNonNull(id, "id");
        Objects.requireNonNull(type, "type");
        Objects.requireNonNull(key, "key");
        Objects.requireNonNull(timestamp, "timestamp");
        Objects.requireNonNull(payload, "payload");
        headers = Collections.unmodifiableMap(new LinkedHashMap<>(headers));
    }

    /** An event with an id and a time of the caller's own; the key is taken from the payload as its type says. */
    public static <P> Event<P> of(EventType<P> type, String id, Instant timestamp, P payload) {
        return new Event<>(id, type, type.keyOf(payload), timestamp, payload, Map.of());
    }

    /** This event with one header more, or with another value of it. */
    public Event<P> withHeader(String name, String value) {
        Map<String, String> more = new LinkedHashMap<>(headers);
        more.put(name, value);
        return new Event<>(id, type, key, timestamp, payload, more);
    }

    /** Without payload, key and headers: these never reach a log. */
    @Override
    public String toString() {
        return "%s %s".formatted(type.name(), Checks.printable(id));
    }
}
