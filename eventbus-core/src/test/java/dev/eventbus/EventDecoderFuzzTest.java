package dev.eventbus;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import com.sun.management.ThreadMXBean;
import dev.eventbus.Samples.AssetUpdated;
import dev.eventbus.Samples.Summary;
import dev.eventbus.internal.Utf8;
import java.lang.management.ManagementFactory;
import java.time.Instant;
import java.util.Arrays;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.header.Header;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.parallel.Execution;
import org.junit.jupiter.api.parallel.ExecutionMode;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Whatever the bytes: an event or a {@link DecodeException}, never anything else, no value in a message, and no more memory than the
 * size of the record allows. And whatever the event: what is written is read.
 */
@Timeout(120)
@Execution(ExecutionMode.CONCURRENT)
class EventDecoderFuzzTest {

    private static final long SEED = 20_261_121;
    private static final int ROUNDS = 10_000;
    private static final String CANARY = "S3CR3T";

    /**
     * All that one decode allocates, most of it garbage at once: this, and so much for each byte. The dearest bytes that were found are
     * those of {@code {},{},} where a payload takes anything and a fault stands behind them, so that it is read twice: 83 each; without a
     * fault 59, one map for three of them; next come those of distinct names, 41, since a name that comes twice is to be noticed. Limits of
     * size and tokens make the most of all of it: 16 MB were not found.
     */
    private static final long ALLOWED = 64 * 1024;

    private static final long ALLOWED_OF_A_BYTE = 110;
    private static final long ALLOWED_AT_MOST = 16 * 1024 * 1024;

    private static final ThreadMXBean THREADS = (ThreadMXBean) ManagementFactory.getThreadMXBean();

    /** Of one to four bytes of UTF-8, and what JSON escapes. */
    private static final int[] LETTERS =
            "abcXYZ019-_.:/{}[],\"\\ \b\f\n\r\t\u0001\u007f\u0085\u00e9\u2028\u202e\ufffd\uffff\ud83d\ude80"
                    .codePoints()
                    .toArray();

    record Open(String userId, @Nullable Object more) {}

    private static final EventType<Open> OPEN =
            EventType.of("OPEN", Open.class).topic("asset.events").key(Open::userId);

    private final EventDecoder decoder =
            new EventDecoder(List.of(Samples.ASSET_UPDATED, Samples.HOUSING_UPDATED, OPEN));
    private final OnePass onePass = new OnePass(Samples.ASSET_UPDATED, Samples.HOUSING_UPDATED, OPEN);
    private final Map<FailureReason, Integer> refusals = new EnumMap<>(FailureReason.class);
    private int events;

    @Test
    void every_prefix_of_a_good_event_is_refused() {
        byte[] event = Samples.ASSET.strip().getBytes(UTF_8);

        for (int length = 0; length < event.length; length++) {
            attack(Samples.record("user-id", Arrays.copyOf(event, length)));
        }

        assertThat(events).isZero();
        assertThat(refusals)
                .containsOnly(
                        Map.entry(FailureReason.EMPTY, 1), Map.entry(FailureReason.MALFORMED_JSON, event.length - 1));
    }

    @Test
    void a_flipped_bit_makes_another_event_or_none() {
        Random random = new Random(SEED);
        byte[] event =
                Samples.ASSET.replace("item-id", "it\u00e9m-\ud83d\ude80").getBytes(UTF_8);

        for (int i = 0; i < ROUNDS; i++) {
            byte[] flipped = event.clone();
            flipped[random.nextInt(flipped.length)] ^= (byte) (1 << random.nextInt(8));
            attack(Samples.record("user-id", flipped));
        }

        assertThat(events).isPositive();
        assertThat(refusals)
                .containsKeys(
                        FailureReason.MALFORMED_JSON,
                        FailureReason.BAD_ENCODING,
                        FailureReason.BAD_ENVELOPE,
                        FailureReason.KEY_MISMATCH,
                        FailureReason.UNKNOWN_TYPE);
    }

    @Test
    void random_bytes_are_refused() {
        Random random = new Random(SEED);

        for (int i = 0; i < ROUNDS; i++) {
            byte[] value = new byte[random.nextInt(300)];
            random.nextBytes(value);
            ConsumerRecord<byte[], byte[]> record = Samples.record("user-id", value);
            byte[] header = new byte[random.nextInt(20)];
            random.nextBytes(header);
            record.headers().add(random.nextBoolean() ? "id" : "eventType", header);
            attack(record);
        }

        assertThat(events).isZero();
    }

    /** The value is good; what anybody wrote beside it decides. */
    @Test
    void a_good_event_beside_headers_of_any_bytes_is_read_or_refused() {
        Random random = new Random(SEED);
        List<String> names = List.of(
                EventHeaders.ID,
                EventHeaders.EVENT_TYPE,
                EventHeaders.TRACEPARENT,
                EventHeaders.TRACESTATE,
                "tenant",
                "\u00e9",
                "");
        byte[][] good = {
            "ASSET_UPDATED".getBytes(UTF_8), "00-0af7-01".getBytes(UTF_8), "evt-1".getBytes(UTF_8), new byte[0]
        };

        for (int i = 0; i < ROUNDS; i++) {
            ConsumerRecord<byte[], byte[]> record = Samples.record("user-id", Samples.ASSET);
            for (int n = random.nextInt(4); n >= 0; n--) {
                byte[] value = new byte[random.nextInt(10) == 0 ? random.nextInt(20_000) : random.nextInt(20)];
                random.nextBytes(value);
                byte[] flipped = good[random.nextInt(good.length)].clone();
                if (flipped.length > 0 && random.nextBoolean()) {
                    flipped[random.nextInt(flipped.length)] ^= (byte) (1 << random.nextInt(8));
                }
                record.headers().add(names.get(random.nextInt(names.size())), random.nextBoolean() ? value : flipped);
            }
            attack(record);
        }

        assertThat(events).isPositive();
        assertThat(refusals).isNotEmpty();
    }

    @Test
    void pieces_of_json_in_any_order_are_read_or_refused() {
        Random random = new Random(SEED);
        List<String> pieces = List.of(
                "{",
                "}",
                "[",
                "]",
                ",",
                ":",
                "\"eventId\"",
                "\"eventType\"",
                "\"timestamp\"",
                "\"userId\"",
                "\"summary\"",
                "\"previousAmount\"",
                "null",
                "true",
                "1",
                "-0",
                "-0.0",
                "1e9",
                "1e999999999",
                "9".repeat(40),
                "\"user-id\"",
                "\"ASSET_UPDATED\"",
                "\"2025-01-15T10:35:00Z\"",
                "\"\\u0000\"",
                "\"\\uD800\"",
                "\"\"",
                "\u00e9",
                "\0",
                " ");

        for (int i = 0; i < ROUNDS; i++) {
            StringBuilder value = new StringBuilder(random.nextBoolean() ? "{" : Samples.ASSET.strip());
            for (int n = random.nextInt(12); n > 0; n--) {
                int at = random.nextInt(value.length() + 1);
                value.insert(at, pieces.get(random.nextInt(pieces.size())));
            }
            attack(Samples.record("user-id", value.toString()));
        }

        assertThat(refusals).isNotEmpty();
    }

    @Test
    void no_value_reaches_a_message() {
        Random random = new Random(SEED);
        String event = Samples.ASSET
                .replace("item-id", CANARY)
                .replace("user-id", CANARY + "-user")
                .replace("10000000", "73337001")
                .replace("\"summary\":{", "\"summary\":{\"" + CANARY + "-name\":\"" + CANARY + "\",");
        List<String> tokens = List.of(
                "\"" + CANARY + "\"",
                "{\"" + CANARY + "\":1}",
                "[\"" + CANARY + "\"]",
                "73337001",
                "73337001.5",
                CANARY,
                "\"" + CANARY + "\":",
                "\"" + CANARY + "\":\"" + CANARY + "\",",
                "\"\\u0053" + CANARY + "\\x\"");
        List<String> fields =
                List.of("eventId", "timestamp", "userId", "previousAmount", "itemId", "summary", "totalNetAssets");

        for (int i = 0; i < ROUNDS; i++) {
            String token = tokens.get(random.nextInt(tokens.size()));
            String field = fields.get(random.nextInt(fields.size()));
            int at = random.nextInt(event.length());
            attack(Samples.record(
                    CANARY + "-user",
                    random.nextBoolean()
                            ? event.replace(
                                    "\"" + field + "\":",
                                    "\"" + field + "\":" + token + (random.nextBoolean() ? ",\"x\":" : ""))
                            : event.substring(0, at) + token + event.substring(at)));
        }

        assertThat(events).isPositive();
        assertThat(refusals)
                .containsKeys(FailureReason.BAD_VALUE, FailureReason.BAD_ENVELOPE, FailureReason.MALFORMED_JSON);
    }

    /** Where nobody declared it, and where a payload takes it whole. */
    @ParameterizedTest
    @ValueSource(ints = {300, 3_000, 30_000, 190_000, EventLimits.MAX_READ_BYTES})
    void what_is_read_costs_memory_by_its_size_whatever_is_in_it(int size) {
        String ignored = Samples.ASSET.strip().replaceAll("}}$", "},\"x\":[");
        String taken = ignored.replace("ASSET_UPDATED", "OPEN").replace("\"x\"", "\"more\"");
        List<String> pieces = List.of(
                "1,",
                "\"\",",
                "[],",
                "{},",
                "{\"a\":1},",
                "[[[[]]]],",
                "\"\\u00e9\\n\",",
                "1234567890123456789,",
                "1.5e10,",
                "\"" + "t".repeat(100) + "\",",
                " ");

        for (String head : List.of(ignored, taken)) {
            for (String piece : pieces) {
                int times = Math.max(0, size - head.length() - 3) / piece.length();
                for (String value : List.of(head + piece.repeat(times) + "1]}", head + piece.repeat(times))) {
                    attack(Samples.record("user-id", value));
                    attack(withTypesHeader(value, head.contains("OPEN") ? "OPEN" : "ASSET_UPDATED"));
                }
            }
            StringBuilder names = new StringBuilder(head).append('{');
            for (int i = 0; names.length() < size - 20; i++) {
                names.append("\"k").append(i).append("\":1,");
            }
            attack(Samples.record("user-id", names + "\"k\":1}]}"));
        }

        assertThat(events).isPositive();
        assertThat(refusals).containsKeys(FailureReason.MALFORMED_JSON);
    }

    /** As our relay writes it: then the payload is bound in the pass that reads the value. */
    private static ConsumerRecord<byte[], byte[]> withTypesHeader(String value, String type) {
        ConsumerRecord<byte[], byte[]> record = Samples.record("user-id", value);
        record.headers().add(EventHeaders.EVENT_TYPE, type.getBytes(UTF_8));
        return record;
    }

    @Test
    void what_is_written_is_read() {
        Random random = new Random(SEED);
        EventEncoder encoder = new EventEncoder();

        for (int i = 0; i < ROUNDS; i++) {
            Event<?> event = event(random);
            ProducerRecord<byte[], byte[]> sent = EventRecords.of(encoder.encode(event), "t", 0);
            ConsumerRecord<byte[], byte[]> read = new ConsumerRecord<>("t", 0, i, sent.key(), sent.value());
            sent.headers().forEach(read.headers()::add);
            assertThat(decoder.decode(read)).isEqualTo(event);
        }
    }

    private static Event<AssetUpdated> event(Random random) {
        AssetUpdated payload = new AssetUpdated(
                text(random, EventLimits.MAX_KEY_BYTES),
                payloadText(random),
                payloadText(random),
                payloadText(random),
                payloadText(random),
                random.nextInt(4) == 0 ? null : random.nextLong(),
                random.nextInt(4) == 0 ? null : (long) random.nextInt(),
                random.nextBoolean()
                        ? null
                        : new Summary(random.nextLong(), random.nextLong(), random.nextLong(), random.nextLong()));
        Instant years0To9999 = Instant.ofEpochSecond(
                random.nextLong(-62_167_219_200L, 253_402_300_800L), random.nextInt(1_000_000_000));
        Event<AssetUpdated> event =
                Event.of(Samples.ASSET_UPDATED, text(random, EventLimits.MAX_ID_BYTES), years0To9999, payload);
        for (int n = random.nextInt(5); n > 0; n--) {
            event = event.withHeader(text(random, 40), random.nextInt(5) == 0 ? "" : text(random, 200));
        }
        return random.nextBoolean() ? event : event.withHeader(EventHeaders.TRACEPARENT, "00-" + "0af7".repeat(8));
    }

    /** At least one letter that is no blank, and at most so many bytes. */
    private static String text(Random random, int mostBytes) {
        StringBuilder text = new StringBuilder("x");
        for (int n = random.nextInt(mostBytes); n > 4; n -= 4) {
            text.appendCodePoint(LETTERS[random.nextInt(LETTERS.length)]);
        }
        return text.toString();
    }

    /** Null, letters, or any 16 bits: halves of pairs and NUL too. */
    private static @Nullable String payloadText(Random random) {
        return switch (random.nextInt(4)) {
            case 0 -> null;
            case 1 -> text(random, 1_000);
            default ->
                random.ints(random.nextInt(60), 0, 1 << 16)
                        .collect(StringBuilder::new, (all, c) -> all.append((char) c), StringBuilder::append)
                        .toString();
        };
    }

    private void attack(ConsumerRecord<byte[], byte[]> record) {
        onePass.check(record.value());
        long before = THREADS.getCurrentThreadAllocatedBytes();
        try {
            Event<?> event = decoder.decode(record);
            assertCheap(record, before);
            assertThat(Utf8.length(event.id())).isBetween(1, EventLimits.MAX_ID_BYTES);
            assertThat(event.key()).isEqualTo(new String(record.key(), UTF_8));
            events++;
        } catch (DecodeException e) {
            assertCheap(record, before);
            refusals.merge(e.reason(), 1, Integer::sum);
            assertThat(e).message().matches("[ -~]{1,400}");
            if (e.reason() != FailureReason.UNKNOWN_TYPE) { // which names the type, escaped
                assertThat(e).message().doesNotContain(CANARY).doesNotContain("73337001");
            }
            assertThat(e.getCause()).isNull();
            assertNothingLong(e.eventType());
        }
    }

    /** Looks again if need be: what is loaded for a record the first time is no cost of that record. */
    private void assertCheap(ConsumerRecord<byte[], byte[]> record, long before) {
        long allocated = THREADS.getCurrentThreadAllocatedBytes() - before;
        long size = record.value() == null ? 0 : record.value().length;
        for (Header header : record.headers()) {
            size += header.key().length() + header.value().length;
        }
        long allowed = Math.min(ALLOWED + ALLOWED_OF_A_BYTE * size, ALLOWED_AT_MOST);
        if (allocated > allowed) {
            allocated = allocatedAgain(record);
        }
        assertThat(allocated).as("bytes for a record of %d", size).isBetween(1L, allowed);
    }

    private long allocatedAgain(ConsumerRecord<byte[], byte[]> record) {
        long before = THREADS.getCurrentThreadAllocatedBytes();
        try {
            decoder.decode(record);
        } catch (DecodeException seenBefore) {
            // judged by who attacks
        }
        return THREADS.getCurrentThreadAllocatedBytes() - before;
    }

    private static void assertNothingLong(@Nullable String type) {
        assertThat(type == null ? 0 : type.length()).isLessThanOrEqualTo(EventLimits.MAX_TYPE_LENGTH);
    }
}
