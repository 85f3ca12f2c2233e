package dev.eventbus.consumer.inbox;

import static java.nio.charset.StandardCharsets.UTF_8;

import dev.eventbus.EventHeaders;
import dev.eventbus.EventLimits;
import dev.eventbus.EventRecords;
import dev.eventbus.internal.Checks;
import dev.eventbus.internal.Utf8;
import java.nio.CharBuffer;
import java.nio.charset.CharacterCodingException;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.header.Header;
import org.jspecify.annotations.Nullable;

/**
 * One event as one group meets it. Group, id and topic are compared as the bytes of their UTF-8; what would not fit or could not
 * be stored as it is, is refused here, never cut.
 *
 * @param group consumer group, 1 to 255 bytes
 * @param eventId event id, 1 to 128 bytes; for a record without a readable one, its origin {@code topic/partition/offset}
 * @param payloadHash SHA-256 of the record's value, empty for a record without one; another hash under a known id is a conflict
 * @param topic physical topic, 1 to 249 bytes
 * @param partition partition
 * @param offset offset
 */
@SuppressWarnings("ArrayRecordComponent") // goes into a statement; never compared as a record
public record Mark(String group, String eventId, byte[] payloadHash, String topic, int partition, long offset) {

    private static final int MAX_GROUP_BYTES = 255;
    private static final int MAX_TOPIC_BYTES = 249;
    private static final int MAX_HASH_BYTES = 64;

    /** @throws IllegalArgumentException naming the component that is too long, empty, no well-formed text, or has a NUL */
    public Mark {
        storable("group", group, MAX_GROUP_BYTES);
        storable("eventId", eventId, EventLimits.MAX_ID_BYTES);
        storable("topic", topic, MAX_TOPIC_BYTES);
        if (payloadHash.length > MAX_HASH_BYTES) {
            throw new IllegalArgumentException(
                    "payloadHash must be at most %d bytes, was %d".formatted(MAX_HASH_BYTES, payloadHash.length));
        }
    }

    /**
     * The mark of a record.
     *
     * @param eventId as read from the record; if it is null, or none that an inbox can hold (over 128 bytes, not well-formed, with
     *     a NUL), the record is known by its origin instead
     */
    public static Mark of(String group, @Nullable String eventId, ConsumerRecord<byte[], byte[]> record) {
        String id = eventId != null && problemOf(eventId, EventLimits.MAX_ID_BYTES) == null
                ? eventId
                : EventRecords.placeOf(record);
        return new Mark(group, id, hashOf(record.value()), record.topic(), record.partition(), record.offset());
    }

    /** The id in the header of a record that is not read; null if there is none that an inbox can hold. */
    public static @Nullable String idOf(ConsumerRecord<byte[], byte[]> record) {
        Header header = record.headers().lastHeader(EventHeaders.ID);
        String id = header == null || header.value() == null ? null : Utf8.decode(header.value());
        return id == null || problemOf(id, EventLimits.MAX_ID_BYTES) != null ? null : id;
    }

    /** Without the hash: one line, safe to print. */
    @Override
    public String toString() {
        return "event %s of group %s at %s/%d@%d".formatted(Checks.printable(eventId), group, topic, partition, offset);
    }

    private static byte[] hashOf(byte @Nullable [] value) {
        return value == null ? new byte[0] : sha256(value);
    }

    private static byte[] sha256(byte[] bytes) {
        try {
            return MessageDigest.getInstance("SHA-256").digest(bytes);
        } catch (NoSuchAlgorithmException e) {
            throw new AssertionError("every Java platform has SHA-256", e);
        }
    }

    private static void storable(String name, String value, int maxBytes) {
        String problem = problemOf(value, maxBytes);
        if (problem != null) {
            throw new IllegalArgumentException(name + " " + problem);
        }
    }

    /** The value itself comes from outside and is not repeated. */
    private static @Nullable String problemOf(String value, int maxBytes) {
        if (value.isEmpty()) {
            return "must not be empty";
        }
        if (value.length() > maxBytes) {
            return "must be at most %d bytes of UTF-8, has %d characters".formatted(maxBytes, value.length());
        }
        if (value.indexOf('\0') >= 0) {
            return "must not have a NUL, which PostgreSQL cannot store";
        }
        try {
            int bytes = UTF_8.newEncoder().encode(CharBuffer.wrap(value)).remaining();
            return bytes <= maxBytes ? null : "must be at most %d bytes of UTF-8, was %d".formatted(maxBytes, bytes);
        } catch (CharacterCodingException e) {
            return "must be well-formed text, has half a surrogate pair";
        }
    }
}
