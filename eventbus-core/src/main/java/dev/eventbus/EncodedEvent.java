package dev.eventbus;

import static java.nio.charset.StandardCharsets.UTF_8;

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

    /** A batch of one record, and the names of the library's five headers with their lengths, is about 170 bytes. */
    private static final int FRAME = 240;

    /** Of a header's name and value, as Kafka writes them. */
    private static final int LENGTHS = 6;

    /** Value, key, id, type and the user's headers together, in bytes: what {@code maxEventBytes} limits. */
    public int sizeInBytes() {
        int bytes = (value == null ? 0 : value.length) + bytesOf(key) + bytesOf(id) + bytesOf(type);
        for (Map.Entry<String, String> header : headers.entrySet()) {
            bytes += bytesOf(header.getKey()) + bytesOf(header.getValue());
        }
        return bytes;
    }

    /** What a batch of this one record has beside, at most, in bytes: its frame, the library's own headers, the lengths of the user's. */
    public int overheadInBytes() {
        return FRAME + bytesOf(contentType) + bytesOf(traceparent) + bytesOf(tracestate) + LENGTHS * headers.size();
    }

    private static int bytesOf(@Nullable String text) {
        return text == null ? 0 : text.getBytes(UTF_8).length;
    }

    /** Without value, key and headers: these never reach a log. */
    @Override
    public String toString() {
        return "%s %s".formatted(type, Checks.printable(id));
    }
}
