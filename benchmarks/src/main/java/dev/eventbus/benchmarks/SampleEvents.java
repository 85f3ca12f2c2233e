package dev.eventbus.benchmarks;

import static java.nio.charset.StandardCharsets.US_ASCII;

import dev.eventbus.outbox.sql.Shards;
import java.util.stream.IntStream;

/**
 * The events that all contestants move: JSON of 500 bytes, numbered from 0, with 10,000 keys that take turns. The number stands in
 * the value, so that a reader can tell order and repeats whoever has sent it.
 */
final class SampleEvents {

    static final int KEYS = 10_000;
    static final int BYTES = 500;
    static final String TYPE = "ITEM_ADDED";

    private static final byte[] NUMBER = "\"n\":\"".getBytes(US_ASCII);
    private static final int DIGITS = 10;

    /** What is alike in all of them, about half; so they compress as JSON does. */
    private static final String ALIKE =
            "\"currency\":\"EUR\",\"category\":\"household\",\"warehouse\":\"north-west-2\","
                    + "\"delivery\":{\"carrier\":\"parcel\",\"express\":false,\"insured\":true,\"country\":\"DE\"},\"origin\":\"mobile-app\","
                    + "\"campaign\":null,\"channel\":\"retail\",\"schema\":\"asset-updated.v3\",\"note\":\"";

    private static final String HEAD = "{\"n\":\"%010d\",\"userId\":\"%s\",".formatted(0, key(0));
    private static final int DIFFERENT = BYTES - HEAD.length() - ALIKE.length() - "\"}".length();

    private SampleEvents() {}

    static String key(long number) {
        return "user-%05d".formatted(number % KEYS);
    }

    static int keyIndex(long number) {
        return (int) (number % KEYS);
    }

    /** An event's number as its payload has it. */
    static String digits(long number) {
        return "%010d".formatted(number);
    }

    /** Text that differs from event to event. */
    static String filler(long number, int length) {
        String hex = Long.toHexString(number * 0x9E3779B97F4A7C15L) + Long.toHexString(~number * 0xC2B2AE3D27D4EB4FL);
        return hex.repeat(length / hex.length() + 1).substring(0, length);
    }

    /** A whole event, made in Java. */
    static String value(long number) {
        return "{\"n\":\"%s\",\"userId\":\"%s\",".formatted(digits(number), key(number)) + ALIKE
                + filler(number, DIFFERENT) + "\"}";
    }

    /** The shard of each key, for rows that are made within the database. */
    static Short[] shards() {
        return IntStream.range(0, KEYS)
                .mapToObj(index -> (short) Shards.of(key(index)))
                .toArray(Short[]::new);
    }

    /** An SQL expression for the key of event {@code n}. */
    static String keySql() {
        return "'user-' || lpad((n %% %d)::text, 5, '0')".formatted(KEYS);
    }

    /** An SQL expression for the value of event {@code n}. */
    static String valueSql() {
        return """
                convert_to('{"n":"' || lpad(n::text, %d, '0') || '","userId":"' || %s || '",' || '%s'
                           || substr(encode(sha512(n::text::bytea), 'hex') || encode(sha512((-n)::text::bytea), 'hex'), 1, %d)
                           || '"}', 'UTF8')
                """.formatted(DIGITS, keySql(), ALIKE, DIFFERENT);
    }

    /** The number of an event, wherever in its value it stands. */
    static long numberOf(byte[] value) {
        int at = 0;
        int matched = 0;
        while (matched < NUMBER.length) {
            if (at == value.length) {
                throw new IllegalArgumentException("a record without a number was in the topic");
            }
            matched = value[at] == NUMBER[matched] ? matched + 1 : value[at] == NUMBER[0] ? 1 : 0;
            at++;
        }
        long number = 0;
        for (int end = at + DIGITS; at < end; at++) {
            number = number * 10 + value[at] - '0';
        }
        return number;
    }
}
