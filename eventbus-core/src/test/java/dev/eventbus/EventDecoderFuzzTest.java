package dev.eventbus;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.internal.Utf8;
import java.util.Arrays;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;

/** Whatever the bytes: an event or a {@link DecodeException}, never anything else, and no value in a message. */
class EventDecoderFuzzTest {

    private static final long SEED = 20_261_121;
    private static final int ROUNDS = 10_000;
    private static final String CANARY = "S3CR3T";

    private final EventDecoder decoder = Samples.decoder();
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

    private void attack(ConsumerRecord<byte[], byte[]> record) {
        try {
            Event<?> event = decoder.decode(record);
            assertThat(Utf8.length(event.id())).isBetween(1, EventLimits.MAX_ID_BYTES);
            assertThat(event.key()).isEqualTo(new String(record.key(), UTF_8));
            events++;
        } catch (DecodeException e) {
            refusals.merge(e.reason(), 1, Integer::sum);
            assertThat(e).message().matches("[ -~]{1,400}");
            if (e.reason() != FailureReason.UNKNOWN_TYPE) { // which names the type, escaped
                assertThat(e).message().doesNotContain(CANARY).doesNotContain("73337001");
            }
            assertThat(e.getCause()).isNull();
            assertNothingLong(e.eventType());
        }
    }

    private static void assertNothingLong(@Nullable String type) {
        assertThat(type == null ? 0 : type.length()).isLessThanOrEqualTo(EventLimits.MAX_TYPE_LENGTH);
    }
}
