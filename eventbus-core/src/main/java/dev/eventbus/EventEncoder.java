package dev.eventbus;

import com.fasterxml.jackson.core.JsonGenerator;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.core.util.ByteArrayBuilder;
import com.fasterxml.jackson.databind.util.TokenBuffer;
import dev.eventbus.internal.Checks;
import dev.eventbus.internal.Utf8;
import java.io.IOException;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * Writes events as one flat JSON object: {@code eventId}, {@code eventType}, {@code timestamp} and the key, then the payload's own
 * properties; or, for a type with a {@link Codec}, its bytes. Refuses what a reader, a database column or Kafka could not take: what it has written it reads again with the
 * decoder's limits. Thread-safe.
 */
public final class EventEncoder {

    /** Longest {@code traceparent}, as its column is wide. */
    private static final int MAX_TRACEPARENT = 64;

    /** Longest {@code tracestate}, as its column is wide. */
    private static final int MAX_TRACESTATE = 512;

    /**
     * Encodes an event.
     *
     * @throws PublishRefusedException if the event breaks a rule; the message has the fix
     */
    public EncodedEvent encode(Event<?> event) {
        checkText(event, "event id", event.id(), EventLimits.MAX_ID_BYTES);
        checkText(event, "key", event.key(), EventLimits.MAX_KEY_BYTES);
        Map<String, String> headers = checkedHeaders(event);
        String traceparent = headers.remove(EventHeaders.TRACEPARENT);
        String tracestate = headers.remove(EventHeaders.TRACESTATE);
        checkTrace(event, EventHeaders.TRACEPARENT, traceparent, MAX_TRACEPARENT);
        checkTrace(event, EventHeaders.TRACESTATE, tracestate, MAX_TRACESTATE);
        Codec<?> codec = event.type().codec();
        return new EncodedEvent(
                event.id(),
                event.type().name(),
                event.type().topic(),
                event.key(),
                codec == null ? json(event) : encoded(event),
                codec == null ? JsonEnvelope.CONTENT_TYPE : codec.contentType(),
                traceparent,
                tracestate,
                headers);
    }

    private static <P> byte @Nullable [] encoded(Event<P> event) {
        Codec<P> codec = Objects.requireNonNull(event.type().codec());
        byte[] value = codec.write(event);
        if (value != null && !event.type().keyOf(event.payload()).equals(event.key())) {
            throw refused(
                    event,
                    "its key is not the one that its type takes from the payload, as its readers do. Make it by Event.of(...), or mend the type's key.");
        }
        if (value != null && value.length > EventLimits.MAX_READ_BYTES) {
            throw refused(
                    ErrorCode.EVENT_TOO_LARGE,
                    event,
                    "no consumer could read it: its codec wrote %d bytes, %d are the limit. Make the payload smaller, or send a reference."
                            .formatted(value.length, EventLimits.MAX_READ_BYTES));
        }
        return value;
    }

    private static byte[] json(Event<?> event) {
        byte[] json;
        try (TokenBuffer payload = new TokenBuffer(StrictJson.MAPPER, false)) {
            StrictJson.MAPPER.writeValue(payload, event.payload());
            json = write(event, payload);
        } catch (IOException | StackOverflowError e) {
            throw new PublishRefusedException(
                    ErrorCode.PAYLOAD_UNWRITABLE,
                    event.type().name(),
                    "%s was not published: its payload %s cannot be written as JSON (%s). Mend the class or put a Jackson module for it on the class path. Nothing was written to the outbox."
                            .formatted(
                                    event,
                                    event.payload().getClass().getName(),
                                    e.getClass().getSimpleName()),
                    e);
        }
        checkReadable(event, json);
        return json;
    }

    private static byte[] write(Event<?> event, TokenBuffer payload) throws IOException {
        try (ByteArrayBuilder out = new ByteArrayBuilder()) {
            try (JsonGenerator json = StrictJson.MAPPER.createGenerator(out);
                    JsonParser properties = payload.asParser()) {
                if (properties.nextToken() != JsonToken.START_OBJECT) {
                    throw refused(event, "its payload is no JSON object. Publish a record or a class with properties.");
                }
                json.writeStartObject();
                json.writeStringField(JsonEnvelope.EVENT_ID, event.id());
                json.writeStringField(JsonEnvelope.EVENT_TYPE, event.type().name());
                json.writeStringField(JsonEnvelope.TIMESTAMP, event.timestamp().toString());
                json.writeStringField(event.type().keyProperty(), event.key());
                copyProperties(event, properties, json);
                json.writeEndObject();
            }
            return out.toByteArray();
        }
    }

    private static void copyProperties(Event<?> event, JsonParser properties, JsonGenerator json) throws IOException {
        while (properties.nextToken() == JsonToken.FIELD_NAME) {
            String name = properties.currentName();
            properties.nextToken();
            if (name.equals(event.type().keyProperty())) {
                checkKeyProperty(event, properties);
            } else if (JsonEnvelope.NAMES.contains(name)) {
                throw refused(
                        event,
                        "its payload has a property '%s', which belongs to the envelope. Rename it.".formatted(name));
            } else {
                json.writeFieldName(name);
                json.copyCurrentStructureExact(properties);
            }
        }
    }

    /** The key's property is written once, by the envelope; a payload may carry it too, with the same value. */
    private static void checkKeyProperty(Event<?> event, JsonParser properties) throws IOException {
        if (properties.currentToken() != JsonToken.VALUE_STRING
                || !properties.getText().equals(event.key())) {
            throw refused(
                    event,
                    "its payload has a property '%s' that is not the event's key. Take the key from that property, or name another property for the key: .key(\"name\", ...)."
                            .formatted(event.type().keyProperty()));
        }
    }

    /** A row that no consumer could decode would only travel to the dead letters. */
    private static void checkReadable(Event<?> event, byte[] json) {
        JsonDocument document;
        try {
            document = JsonDocument.read(json, Set.of());
        } catch (DecodeException e) {
            throw refused(
                    event,
                    "no consumer could read it (%s). %s Make the payload smaller or flatter, or send a reference."
                            .formatted(e.reason(), e.getMessage()));
        }
        if (document.hasDoubledKeys()) {
            throw refused(event, "its payload writes a property twice. Give each property one getter.");
        }
    }

    private static Map<String, String> checkedHeaders(Event<?> event) {
        Map<String, String> headers = new LinkedHashMap<>(event.headers());
        long bytes = 0;
        for (Map.Entry<String, String> header : headers.entrySet()) {
            if (header.getKey() == null || header.getValue() == null) {
                throw refused(event, "the name or value of a header is null. Leave it out.");
            }
            String name = Checks.printable(header.getKey());
            if (EventHeaders.isReserved(header.getKey())) {
                throw refused(event, "the header name '%s' belongs to the library. Choose another.".formatted(name));
            }
            int nameBytes = Utf8.length(header.getKey());
            int valueBytes = Utf8.length(header.getValue());
            if (nameBytes < 0 || valueBytes < 0) {
                throw refused(event, "its header '%s' is not well-formed Unicode. Encode it.".formatted(name));
            }
            bytes += nameBytes + valueBytes;
        }
        if (headers.size() > EventLimits.MAX_HEADERS || bytes > EventLimits.MAX_HEADERS_BYTES) {
            throw refused(
                    event,
                    "it has %d headers of %d bytes in all; %d and %d are the limits. Put data into the payload."
                            .formatted(headers.size(), bytes, EventLimits.MAX_HEADERS, EventLimits.MAX_HEADERS_BYTES));
        }
        return headers;
    }

    private static void checkText(Event<?> event, String what, String text, int maxBytes) {
        String fault = fault(text, maxBytes);
        if (fault != null) {
            // without the id: it may be what is wrong
            throw new PublishRefusedException(
                    ErrorCode.EVENT_INVALID,
                    event.type().name(),
                    "%s was not published: its %s %s; 1 to %d bytes of UTF-8 are allowed. Use a shorter, stable identifier. Nothing was written to the outbox."
                            .formatted(event.type(), what, fault, maxBytes));
        }
    }

    private static @Nullable String fault(String text, int maxBytes) {
        int bytes = Utf8.length(text);
        return text.isBlank()
                ? "is blank"
                : bytes < 0 || text.indexOf('\0') >= 0
                        ? "is not well-formed Unicode without NUL"
                        : bytes > maxBytes ? "has %d bytes".formatted(bytes) : null;
    }

    /**
     * The keys, if events can have them.
     *
     * @throws PublishRefusedException if one is no event's key; it does not say which, since keys reach no text
     */
    public static List<String> checkedKeys(String... keys) {
        for (String key : keys) {
            String fault = key == null ? "is null" : fault(key, EventLimits.MAX_KEY_BYTES);
            if (fault != null) {
                throw new PublishRefusedException(
                        ErrorCode.EVENT_INVALID,
                        "",
                        "%d keys of events were not locked: one of them %s, and no event has such a key; 1 to %d bytes of UTF-8 are allowed. Nothing was locked; pass the keys that the events will have."
                                .formatted(keys.length, fault, EventLimits.MAX_KEY_BYTES));
            }
        }
        return List.of(keys);
    }

    private static void checkTrace(Event<?> event, String name, @Nullable String text, int most) {
        if (text != null && (text.length() > most || !text.chars().allMatch(c -> c >= ' ' && c < 127))) {
            throw refused(
                    event,
                    "its header %s must be at most %d printable ASCII characters (W3C Trace Context), it has %d. Leave it out or shorten it."
                            .formatted(name, most, text.length()));
        }
    }

    private static PublishRefusedException refused(Event<?> event, String why) {
        return refused(ErrorCode.EVENT_INVALID, event, why);
    }

    private static PublishRefusedException refused(ErrorCode code, Event<?> event, String why) {
        return new PublishRefusedException(
                code,
                event.type().name(),
                "%s was not published: %s Nothing was written to the outbox.".formatted(event, why));
    }
}
