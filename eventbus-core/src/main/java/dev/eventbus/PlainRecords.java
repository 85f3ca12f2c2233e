package dev.eventbus;

import dev.eventbus.internal.Utf8;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import java.util.function.Predicate;
import java.util.function.UnaryOperator;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.header.Header;
import org.jspecify.annotations.Nullable;

/**
 * Reads records without an envelope: the bytes of a codec, and tombstones, which have none. Their type is named by a header, or is the
 * only one of their topic; their id is in a header, or is their place; their time is the record's. Thread-safe.
 */
final class PlainRecords {

    private final Map<String, EventType<?>> byName = new HashMap<>();
    private final Map<String, List<EventType<?>>> byTopic = new HashMap<>();
    private final UnaryOperator<String> logicalTopic;
    private final boolean any;

    PlainRecords(Collection<? extends EventType<?>> types, UnaryOperator<String> logicalTopic) {
        for (EventType<?> type : types) {
            byName.put(type.name(), type);
            byTopic.computeIfAbsent(type.topic(), topic -> new ArrayList<>()).add(type);
        }
        this.logicalTopic = logicalTopic;
        this.any = types.stream().anyMatch(type -> type.codec() != null || type.tombstone() != null);
    }

    /**
     * The type of a record without an envelope; null if the record should have one.
     *
     * @throws DecodeException if the header that names the type is unreadable
     */
    @Nullable
    EventType<?> typeOf(ConsumerRecord<byte[], byte[]> record, Header[] headers) {
        if (!any) {
            return null;
        }
        boolean tombstone = record.value() == null;
        String name = RecordHeaderReader.text(headers, EventHeaders.EVENT_TYPE);
        Predicate<EventType<?>> isPlain = type -> type.codec() != null || tombstone && type.tombstone() != null;
        if (name != null) {
            EventType<?> named = byName.get(name);
            return named != null && isPlain.test(named) ? named : null;
        }
        List<EventType<?>> here = byTopic.getOrDefault(logicalTopic.apply(record.topic()), List.of());
        if (tombstone) {
            here = here.stream().filter(type -> type.tombstone() != null).toList();
        }
        return here.size() == 1 && isPlain.test(here.get(0)) ? here.get(0) : null;
    }

    /**
     * Reads a record of a type from {@link #typeOf}.
     *
     * @throws DecodeException if it is no such event
     */
    <P> Event<P> event(EventType<P> type, ConsumerRecord<byte[], byte[]> record, Header[] headers) {
        String id = RecordHeaderReader.text(headers, EventHeaders.ID);
        if (id == null) {
            id = EventRecords.placeOf(record);
        } else {
            EventDecoder.checkText("header", EventHeaders.ID, id, EventLimits.MAX_ID_BYTES);
        }
        Instant timestamp = Instant.ofEpochMilli(Math.max(0, record.timestamp()));
        Map<String, String> own = RecordHeaderReader.own(headers);
        byte[] value = record.value();
        if (value == null) {
            String key = keyText(record.key());
            return new Event<>(id, type, key, timestamp, tombstone(type, key), own);
        }
        if (value.length > EventLimits.MAX_READ_BYTES) {
            throw refused(type, FailureReason.TOO_LARGE, "its value has %d bytes".formatted(value.length));
        }
        Codec<P> codec = type.codec();
        if (codec == null) {
            throw new IllegalStateException("a record with a value, of a type without a codec");
        }
        P payload = codec.read(record, type);
        return new Event<>(id, type, keyOf(type, payload), timestamp, payload, own);
    }

    private static <P> P tombstone(EventType<P> type, String key) {
        Function<? super String, ? extends P> tombstone = type.tombstone();
        if (tombstone == null) {
            throw refused(type, FailureReason.EMPTY, "it has no value, and its type takes no tombstones");
        }
        P payload;
        try {
            payload = tombstone.apply(key);
        } catch (RuntimeException e) {
            throw refused(
                    type,
                    FailureReason.BAD_VALUE,
                    "its tombstone cannot be read (%s)".formatted(e.getClass().getName()));
        }
        if (payload == null) {
            throw refused(type, FailureReason.BAD_VALUE, "its tombstone is read as null");
        }
        return payload;
    }

    private static <P> String keyOf(EventType<P> type, P payload) {
        String key;
        try {
            key = type.keyOf(payload);
        } catch (RuntimeException e) {
            throw refused(
                    type,
                    FailureReason.BAD_ENVELOPE,
                    "its payload has no key (%s)".formatted(e.getClass().getName()));
        }
        EventDecoder.checkText("payload's key", null, key, EventLimits.MAX_KEY_BYTES);
        return key;
    }

    /** As text if it is some, else in hexadecimal digits. */
    private static String keyText(byte @Nullable [] key) {
        String text = key == null ? "" : Utf8.decode(key);
        if (key != null && (text == null || text.chars().anyMatch(Character::isISOControl))) {
            text = HexFormat.of().formatHex(key);
        }
        EventDecoder.checkText("key", null, text == null ? "" : text, EventLimits.MAX_KEY_BYTES);
        return text == null ? "" : text;
    }

    private static DecodeException refused(EventType<?> type, FailureReason reason, String fault) {
        return new DecodeException(reason, "The record is no event %s: %s.".formatted(type, fault), null, null);
    }
}
