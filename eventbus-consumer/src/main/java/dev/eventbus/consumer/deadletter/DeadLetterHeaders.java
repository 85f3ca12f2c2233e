package dev.eventbus.consumer.deadletter;

import static java.nio.charset.StandardCharsets.UTF_8;

import dev.eventbus.EventHeaders;
import dev.eventbus.EventLimits;
import dev.eventbus.FailureReason;
import dev.eventbus.internal.Checks;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.time.DateTimeException;
import java.time.Instant;
import java.util.List;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.Headers;
import org.apache.kafka.common.header.internals.RecordHeaders;
import org.jspecify.annotations.Nullable;

/**
 * The headers that a dead letter has in addition to the original's: their names, writing and reading. Public contract. Values
 * are UTF-8 text: times in ISO-8601, numbers in decimal. They are written once: a letter that fails again loses its old ones, so
 * it stays constant in size however often it goes round.
 */
final class DeadLetterHeaders {

    static final String PREFIX = "eventbus-dlq-";

    static final String TOPIC = "eventbus-dlq-topic";
    static final String PARTITION = "eventbus-dlq-partition";
    static final String OFFSET = "eventbus-dlq-offset";
    static final String TIMESTAMP = "eventbus-dlq-timestamp";
    static final String GROUP = "eventbus-dlq-group";
    static final String EVENT_ID = "eventbus-dlq-event-id";
    static final String ATTEMPTS = "eventbus-dlq-attempts";
    static final String FIRST_FAILED_AT = "eventbus-dlq-first-failed-at";
    static final String FAILED_AT = "eventbus-dlq-failed-at";
    static final String REASON = "eventbus-dlq-reason";
    static final String EXCEPTION = "eventbus-dlq-exception";
    static final String MESSAGE = "eventbus-dlq-message";
    static final String REDRIVES = "eventbus-dlq-redrives";

    /** Only on a letter that was too large: what of the original is missing, {@code headers} or {@code headers,value} or {@code headers,value,key}. */
    static final String OMITTED = "eventbus-dlq-omitted";

    private static final int MAX_GROUP_BYTES = 255;
    private static final int MAX_CLASS_BYTES = 255;
    private static final int MAX_NUMBER_BYTES = 19;
    private static final int MAX_TIME_BYTES = 40;
    private static final int MAX_REASON_BYTES = 40;
    private static final Instant FIRST_TIME = Instant.ofEpochMilli(Long.MIN_VALUE);
    private static final Instant LAST_TIME = Instant.ofEpochMilli(Long.MAX_VALUE);
    private static final int MAX_KEPT_BYTES = 512;

    private static final List<String> KEPT_WHEN_CUT = List.of(
            EventHeaders.ID,
            EventHeaders.EVENT_TYPE,
            EventHeaders.CONTENT_TYPE,
            EventHeaders.TRACEPARENT,
            EventHeaders.TRACESTATE);

    private DeadLetterHeaders() {}

    /** The original's headers in their order, then ours. */
    static Headers all(Headers original, Origin origin) {
        RecordHeaders headers = new RecordHeaders();
        for (Header header : original) {
            if (!header.key().startsWith(PREFIX)) {
                headers.add(header);
            }
        }
        return write(headers, origin);
    }

    /** Of the original's headers only those that every event has, then ours. */
    static Headers cut(Headers original, Origin origin, String omitted) {
        RecordHeaders headers = new RecordHeaders();
        for (String name : KEPT_WHEN_CUT) {
            Header header = original.lastHeader(name);
            if (header != null && header.value() != null && header.value().length <= MAX_KEPT_BYTES) {
                headers.add(header);
            }
        }
        write(headers, origin);
        add(headers, OMITTED, omitted, MAX_REASON_BYTES);
        return headers;
    }

    private static Headers write(RecordHeaders headers, Origin origin) {
        add(headers, TOPIC, origin.topic(), Integer.MAX_VALUE);
        add(headers, PARTITION, Integer.toString(origin.partition()), MAX_NUMBER_BYTES);
        add(headers, OFFSET, Long.toString(origin.offset()), MAX_NUMBER_BYTES);
        add(headers, TIMESTAMP, origin.timestamp().toString(), MAX_TIME_BYTES);
        add(headers, GROUP, origin.group(), MAX_GROUP_BYTES);
        add(headers, EVENT_ID, origin.eventId(), EventLimits.MAX_ID_BYTES);
        add(headers, ATTEMPTS, Integer.toString(origin.attempts()), MAX_NUMBER_BYTES);
        add(headers, FIRST_FAILED_AT, origin.firstFailedAt().toString(), MAX_TIME_BYTES);
        add(headers, FAILED_AT, origin.failedAt().toString(), MAX_TIME_BYTES);
        add(headers, REASON, origin.reason().name(), MAX_REASON_BYTES);
        add(headers, EXCEPTION, origin.exception(), MAX_CLASS_BYTES);
        add(headers, MESSAGE, origin.message(), FailureText.MAX_BYTES);
        add(headers, REDRIVES, Integer.toString(origin.redrives()), MAX_NUMBER_BYTES);
        return headers;
    }

    /** What is too long is left out: half an id would be another one. */
    private static void add(RecordHeaders headers, String name, @Nullable String value, int maxBytes) {
        if (value != null) {
            byte[] bytes = value.getBytes(UTF_8);
            if (bytes.length <= maxBytes) {
                headers.add(name, bytes);
            }
        }
    }

    /** What the headers say; null if one is missing that every letter has, or one is out of range. Never throws. */
    static @Nullable Origin read(Headers headers) {
        try {
            return new Origin(
                    Checks.topicName(TOPIC, required(headers, TOPIC, 249)),
                    number(headers, PARTITION),
                    Long.parseLong(digits(headers, OFFSET)),
                    time(headers, TIMESTAMP),
                    required(headers, GROUP, MAX_GROUP_BYTES),
                    anyText(headers, EVENT_ID, EventLimits.MAX_ID_BYTES), // an id may hold what no line of a log may
                    number(headers, ATTEMPTS),
                    time(headers, FIRST_FAILED_AT),
                    time(headers, FAILED_AT),
                    FailureReason.valueOf(required(headers, REASON, MAX_REASON_BYTES)),
                    text(headers, EXCEPTION, MAX_CLASS_BYTES),
                    text(headers, MESSAGE, FailureText.MAX_BYTES),
                    number(headers, REDRIVES));
        } catch (IllegalArgumentException | DateTimeException e) {
            return null; // anybody can write to the topic; the letter is still a record with its bytes
        }
    }

    private static int number(Headers headers, String name) {
        return Integer.parseInt(digits(headers, name));
    }

    private static String digits(Headers headers, String name) {
        String digits = required(headers, name, MAX_NUMBER_BYTES);
        if (!digits.chars().allMatch(c -> c >= '0' && c <= '9')) {
            throw new IllegalArgumentException(name + " must be a number");
        }
        return digits;
    }

    private static Instant time(Headers headers, String name) {
        Instant time = Instant.parse(required(headers, name, MAX_TIME_BYTES));
        if (time.isBefore(FIRST_TIME) || time.isAfter(LAST_TIME)) {
            throw new IllegalArgumentException(name + " must be a time that Kafka can hold");
        }
        return time;
    }

    private static String required(Headers headers, String name, int maxBytes) {
        String text = text(headers, name, maxBytes);
        if (text == null || text.isEmpty()) {
            throw new IllegalArgumentException(name + " must be there");
        }
        return text;
    }

    private static @Nullable String text(Headers headers, String name, int maxBytes) {
        String text = anyText(headers, name, maxBytes);
        if (text != null && text.chars().anyMatch(Character::isISOControl)) {
            throw new IllegalArgumentException(name + " must not have control characters");
        }
        return text;
    }

    private static @Nullable String anyText(Headers headers, String name, int maxBytes) {
        Header header = headers.lastHeader(name);
        if (header == null || header.value() == null) {
            return null;
        }
        if (header.value().length > maxBytes) {
            throw new IllegalArgumentException("%s must be at most %d bytes".formatted(name, maxBytes));
        }
        try {
            return UTF_8.newDecoder().decode(ByteBuffer.wrap(header.value())).toString();
        } catch (CharacterCodingException e) {
            throw new IllegalArgumentException(name + " must be UTF-8", e);
        }
    }
}
