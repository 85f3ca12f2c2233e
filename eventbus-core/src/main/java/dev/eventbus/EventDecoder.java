package dev.eventbus;

import static java.nio.charset.StandardCharsets.UTF_8;

import dev.eventbus.internal.Checks;
import dev.eventbus.internal.Iso8601;
import dev.eventbus.internal.Utf8;
import java.time.DateTimeException;
import java.time.Instant;
import java.util.Arrays;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.Consumer;
import java.util.function.UnaryOperator;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.header.Header;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Reads records as events, strictly: size, UTF-8, JSON within limits, envelope, a closed set of types, key, payload. Thread-safe.
 *
 * <p>The id and the name of the type are taken from the record's headers, or else from the JSON; where both have them, they must
 * agree. {@code timestamp} and the key's property stand in the JSON. In the payload unknown properties are ignored and a missing
 * one is null; nothing is converted: neither {@code "12"} to a number nor {@code 42} to a text.
 *
 * <p>A record of a type with a {@link Codec}, and a tombstone of a type that takes them, have no envelope: see there.
 *
 * <p>A JSON key that stands there twice is read leniently: the last one counts. Such records are counted by type, and the first of
 * each type is logged.
 */
public final class EventDecoder {

    private static final Logger LOG = LoggerFactory.getLogger(EventDecoder.class);

    private final Map<String, PayloadBinding<?>> bindings = new HashMap<>();

    /** One counter per known type, so their number is bounded whatever the records say. */
    private final Map<String, AtomicLong> duplicateKeys = new LinkedHashMap<>();

    private final Set<String> wanted;

    private final Set<String> names = new HashSet<>();
    private final PlainRecords plain;

    /**
     * @param types the only types this decoder knows
     * @throws IllegalArgumentException if two have one name
     */
    public EventDecoder(Collection<? extends EventType<?>> types) {
        this(types, topic -> topic);
    }

    /**
     * As {@link #EventDecoder(Collection)}, for topics with a cluster's prefix.
     *
     * @param logicalTopic the name that types know a record's topic by
     */
    public EventDecoder(Collection<? extends EventType<?>> types, UnaryOperator<String> logicalTopic) {
        this.plain = new PlainRecords(types, logicalTopic);
        Set<String> properties = new HashSet<>(JsonEnvelope.NAMES);
        for (EventType<?> type : types) {
            if (!names.add(type.name())) {
                throw new IllegalArgumentException(
                        "event type %s was given twice; a name stands for one payload class".formatted(type.name()));
            }
            if (type.codec() != null) {
                continue;
            }
            PayloadBinding<?> binding = new PayloadBinding<>(type);
            bindings.put(type.name(), binding);
            duplicateKeys.put(type.name(), new AtomicLong());
            properties.add(type.keyProperty());
            properties.addAll(binding.primitives());
        }
        this.wanted = Set.copyOf(properties);
    }

    /**
     * Decodes a record.
     *
     * @throws DecodeException if it is no event of a known type; the reason says at which step it failed. Nothing else is thrown,
     *     whatever the record holds
     */
    public Event<?> decode(ConsumerRecord<byte[], byte[]> record) {
        return decode(record, type -> {});
    }

    /**
     * As {@link #decode(ConsumerRecord)}.
     *
     * @param doubled hears the type's name if a JSON key stands twice in the record, whether it is an event or not
     */
    public Event<?> decode(ConsumerRecord<byte[], byte[]> record, Consumer<? super String> doubled) {
        Header[] headers = record.headers().toArray();
        JsonDocument document = null;
        try {
            EventType<?> type = plain.typeOf(record, headers);
            if (type != null) {
                return plain.event(type, record, headers);
            }
            document = document(record, headers);
            return event(record, headers, document, doubled);
        } catch (DecodeException e) {
            throw e.about(readableId(headers, document), readableType(headers, document));
        } catch (Error e) { // of a payload's class or a codec, which are the user's
            if (e instanceof VirtualMachineError && !(e instanceof StackOverflowError)) {
                throw e;
            }
            throw refused(
                            FailureReason.BAD_VALUE,
                            "reading it failed with " + e.getClass().getName())
                    .about(readableId(headers, document), readableType(headers, document));
        }
    }

    /** What is no JSON may be an event of a type that others know. */
    private JsonDocument document(ConsumerRecord<byte[], byte[]> record, Header[] headers) {
        try {
            return JsonDocument.read(record.value(), wanted, likelyBinding(headers));
        } catch (DecodeException e) {
            String type = readableType(headers, null);
            throw type == null || names.contains(type) ? e : unknown(type);
        }
    }

    /** Of the type that a header names, whatever is wrong with it or contradicts it; null if there is none such. */
    private @Nullable PayloadBinding<?> likelyBinding(Header[] headers) {
        for (Header header : headers) {
            if (header.key().equals(EventHeaders.EVENT_TYPE) && header.value() != null) {
                return bindings.get(new String(header.value(), UTF_8));
            }
        }
        return null;
    }

    /** How many records of each type had a JSON key twice; types without any are left out. */
    public Map<String, Long> duplicateKeys() {
        Map<String, Long> counts = new LinkedHashMap<>();
        duplicateKeys.forEach((type, count) -> {
            if (count.get() > 0) {
                counts.put(type, count.get());
            }
        });
        return counts;
    }

    private Event<?> event(
            ConsumerRecord<byte[], byte[]> record,
            Header[] headers,
            JsonDocument document,
            Consumer<? super String> doubled) {
        String type = type(headers, document);
        PayloadBinding<?> binding = bindings.get(type);
        if (binding == null) {
            // before anything else of the envelope: what an event of a foreign type holds is for those who know it
            throw unknown(type);
        }
        if (document.hasDoubledKeys()) {
            noteDoubledKeys(type, record, document);
            doubled.accept(type);
        }
        String id = id(headers, document);
        Instant timestamp = timestamp(document);
        String key = key(binding.type().keyProperty(), record.key(), document);
        return binding.event(id, key, timestamp, RecordHeaderReader.own(headers), document);
    }

    private DecodeException unknown(String type) {
        return refused(
                FailureReason.UNKNOWN_TYPE,
                "its type '%s' is not one of the %d known here".formatted(Checks.printable(type), names.size()));
    }

    private static String type(Header[] headers, @Nullable JsonDocument document) {
        return eitherText(headers, EventHeaders.EVENT_TYPE, document, JsonEnvelope.EVENT_TYPE, Integer.MAX_VALUE);
    }

    private static String id(Header[] headers, @Nullable JsonDocument document) {
        return eitherText(headers, EventHeaders.ID, document, JsonEnvelope.EVENT_ID, EventLimits.MAX_ID_BYTES);
    }

    /** A text from its header or its property; if both are there they must be equal. */
    private static String eitherText(
            Header[] headers, String header, @Nullable JsonDocument document, String property, int maxBytes) {
        String inHeader = RecordHeaderReader.text(headers, header);
        if (inHeader == null) {
            return text(document, property, maxBytes);
        }
        checkText("header", header, inHeader, maxBytes);
        if (document != null
                && document.has(property)
                && !inHeader.equals(document.text(property))
                && !inHeader.equals(text(document, property, maxBytes))) {
            throw refused(
                    FailureReason.BAD_ENVELOPE,
                    "its header '%s' contradicts its property '%s'".formatted(header, property));
        }
        return inHeader;
    }

    private static String text(@Nullable JsonDocument document, String property, int maxBytes) {
        String text = document == null ? null : document.text(property);
        if (text == null) {
            boolean illTyped = document != null && document.has(property);
            throw refused(
                    FailureReason.BAD_ENVELOPE,
                    "its property '%s' is %s".formatted(property, illTyped ? "no string" : "missing"));
        }
        checkText("property", property, text, maxBytes);
        return text;
    }

    /** @param name of that header or property; null if there is only one */
    static void checkText(String what, @Nullable String name, String text, int maxBytes) {
        int bytes = Utf8.length(text);
        boolean blank = text.isBlank();
        if (bytes >= 0 && bytes <= maxBytes && !blank && text.indexOf('\0') < 0) {
            return;
        }
        String whole = name == null ? what : what + " '" + name + "'";
        if (bytes < 0) {
            throw refused(FailureReason.BAD_ENCODING, "its %s has half a surrogate pair".formatted(whole));
        }
        String fault = blank ? "is blank" : bytes > maxBytes ? "is too long" : "has a NUL character";
        throw refused(FailureReason.BAD_ENVELOPE, "its %s %s".formatted(whole, fault));
    }

    private static Instant timestamp(JsonDocument document) {
        String text = text(document, JsonEnvelope.TIMESTAMP, EventLimits.MAX_READ_BYTES);
        try {
            return Iso8601.parse(text);
        } catch (DateTimeException e) {
            throw refused(
                    FailureReason.BAD_ENVELOPE,
                    "its property '%s' is no ISO-8601 instant such as 2025-01-15T10:35:00Z"
                            .formatted(JsonEnvelope.TIMESTAMP));
        }
    }

    private static String key(String property, byte @Nullable [] recordKey, JsonDocument document) {
        String key = text(document, property, EventLimits.MAX_KEY_BYTES);
        if (recordKey != null && !Arrays.equals(recordKey, key.getBytes(UTF_8))) {
            throw refused(FailureReason.KEY_MISMATCH, "its property '%s' is not the record's key".formatted(property));
        }
        return key;
    }

    private void noteDoubledKeys(String type, ConsumerRecord<?, ?> record, JsonDocument document) {
        AtomicLong count = duplicateKeys.get(type);
        if (count != null && count.getAndIncrement() == 0) {
            LOG.warn(
                    "An event {} has a JSON key twice ({}-{}@{}, byte {}): the last one counts. Mend its producer; further ones are"
                            + " counted, not logged",
                    type,
                    record.topic(),
                    record.partition(),
                    record.offset(),
                    document.doubledAt());
        }
    }

    /** A refused record's id; null if that, too, is unreadable. */
    private static @Nullable String readableId(Header[] headers, @Nullable JsonDocument document) {
        try {
            return id(headers, document);
        } catch (DecodeException unreadable) {
            return null;
        }
    }

    /** A refused record's type, cut to what a type's name may be; null if that, too, is unreadable. */
    private static @Nullable String readableType(Header[] headers, @Nullable JsonDocument document) {
        try {
            String type = type(headers, document);
            return type.substring(0, Math.min(type.length(), EventLimits.MAX_TYPE_LENGTH));
        } catch (DecodeException unreadable) {
            return null;
        }
    }

    private static DecodeException refused(FailureReason reason, String fault) {
        return new DecodeException(reason, "The record is no event: " + fault + ".", null, null);
    }
}
