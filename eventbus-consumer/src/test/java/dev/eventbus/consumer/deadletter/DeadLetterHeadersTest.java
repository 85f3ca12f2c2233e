package dev.eventbus.consumer.deadletter;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.FailureReason;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.Headers;
import org.apache.kafka.common.header.internals.RecordHeaders;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.FieldSource;
import org.junit.jupiter.params.provider.MethodSource;

class DeadLetterHeadersTest {

    private static final Instant SENT = Instant.parse("2025-01-15T10:35:00Z");
    private static final Instant FIRST = Instant.parse("2025-01-15T10:35:01.250Z");
    private static final Instant LAST = Instant.parse("2025-01-15T10:35:09Z");

    private static final Origin ORIGIN = new Origin(
            "asset.events",
            2,
            1234567890123L,
            SENT,
            "calculator.asset.events",
            "evt-1",
            4,
            FIRST,
            LAST,
            FailureReason.ATTEMPTS_EXHAUSTED,
            "java.lang.IllegalStateException",
            "java.lang.IllegalStateException at com.example.Calculator.evict:41",
            1);

    static final List<String> REQUIRED = List.of(
            "eventbus-dlq-topic",
            "eventbus-dlq-partition",
            "eventbus-dlq-offset",
            "eventbus-dlq-timestamp",
            "eventbus-dlq-group",
            "eventbus-dlq-attempts",
            "eventbus-dlq-first-failed-at",
            "eventbus-dlq-failed-at",
            "eventbus-dlq-reason",
            "eventbus-dlq-redrives");

    /** Names, order and form are public contract. */
    @Test
    void a_letter_carries_exactly_these_headers_after_the_originals() {
        Headers original = new RecordHeaders()
                .add("id", "evt-1".getBytes(UTF_8))
                .add("tenant", "eu".getBytes(UTF_8))
                .add("tenant", null);
        assertThat(lines(DeadLetterHeaders.all(original, ORIGIN)))
                .containsExactly(
                        "id=evt-1",
                        "tenant=eu",
                        "tenant=null",
                        "eventbus-dlq-topic=asset.events",
                        "eventbus-dlq-partition=2",
                        "eventbus-dlq-offset=1234567890123",
                        "eventbus-dlq-timestamp=2025-01-15T10:35:00Z",
                        "eventbus-dlq-group=calculator.asset.events",
                        "eventbus-dlq-event-id=evt-1",
                        "eventbus-dlq-attempts=4",
                        "eventbus-dlq-first-failed-at=2025-01-15T10:35:01.250Z",
                        "eventbus-dlq-failed-at=2025-01-15T10:35:09Z",
                        "eventbus-dlq-reason=ATTEMPTS_EXHAUSTED",
                        "eventbus-dlq-exception=java.lang.IllegalStateException",
                        "eventbus-dlq-message=java.lang.IllegalStateException at com.example.Calculator.evict:41",
                        "eventbus-dlq-redrives=1");
    }

    @Test
    void the_original_is_not_touched_and_its_bytes_are_the_same() {
        byte[] noText = {(byte) 0xff, 0, 13};
        Headers original = new RecordHeaders().add("bin", noText);
        Headers letter = DeadLetterHeaders.all(original, ORIGIN);
        assertThat(original).hasSize(1);
        assertThat(letter.lastHeader("bin").value()).isSameAs(noText);
    }

    @Test
    void what_is_written_is_read() {
        assertThat(DeadLetterHeaders.read(DeadLetterHeaders.all(new RecordHeaders(), ORIGIN)))
                .isEqualTo(ORIGIN);
        Origin bare = Origin.of(new ConsumerRecord<>("t", 0, 0, null, null), "g", FailureReason.EMPTY, LAST);
        assertThat(DeadLetterHeaders.read(DeadLetterHeaders.all(new RecordHeaders(), bare)))
                .isEqualTo(bare);
    }

    @ParameterizedTest
    @MethodSource("stamps")
    void every_time_stamp_that_kafka_can_hold_survives(long stamp) {
        Origin origin = at(Instant.ofEpochMilli(stamp));
        assertThat(DeadLetterHeaders.read(DeadLetterHeaders.all(new RecordHeaders(), origin)))
                .isEqualTo(origin);
    }

    static Stream<Long> stamps() {
        return Stream.of(-1L, 0L, Long.MAX_VALUE, Long.MIN_VALUE);
    }

    @Test
    void a_letter_that_fails_again_and_again_stays_constant_in_number_and_size() {
        Headers headers = new RecordHeaders().add("id", "evt-1".getBytes(UTF_8));
        List<String> first = lines(DeadLetterHeaders.all(headers, ORIGIN));
        for (int round = 0; round < 20; round++) {
            headers = DeadLetterHeaders.all(headers, ORIGIN);
        }
        assertThat(lines(headers)).isEqualTo(first);
    }

    @Test
    void forged_headers_of_ours_are_replaced_and_other_headers_kept_in_order() {
        Headers forged = new RecordHeaders()
                .add("a", new byte[] {1})
                .add("eventbus-dlq-topic", "__consumer_offsets".getBytes(UTF_8))
                .add("eventbus-dlq-unheard-of", new byte[10_000])
                .add("b", new byte[] {2});
        Headers letter = DeadLetterHeaders.all(forged, ORIGIN);
        assertThat(letter.headers("eventbus-dlq-topic")).hasSize(1);
        assertThat(DeadLetterHeaders.read(letter)).isEqualTo(ORIGIN);
        assertThat(lines(letter)).noneMatch(line -> line.contains("unheard-of") || line.contains("__consumer"));
        assertThat(StreamSupport.stream(letter.spliterator(), false).map(Header::key))
                .startsWith("a", "b", "eventbus-dlq-topic");
    }

    @Test
    void no_value_of_ours_grows_beyond_its_limit() {
        Origin large = new Origin(
                "t".repeat(249),
                0,
                0,
                SENT,
                "g".repeat(255),
                "\u00e9".repeat(65),
                1,
                FIRST,
                LAST,
                FailureReason.TOO_DEEP,
                "x".repeat(100_000),
                "m".repeat(100_000),
                0);
        Headers letter = DeadLetterHeaders.all(new RecordHeaders(), large);
        assertThat(letter).allMatch(header -> header.value().length <= 1024);
        assertThat(letter.lastHeader("eventbus-dlq-event-id"))
                .as("half an id would be another one")
                .isNull();
        assertThat(DeadLetterHeaders.read(letter)).isNotNull();
    }

    // --- hostile headers
    // ----------------------------------------------------------------------------------------------

    @ParameterizedTest
    @FieldSource("REQUIRED")
    void a_letter_without_one_of_its_headers_has_no_origin(String name) {
        Headers headers = DeadLetterHeaders.all(new RecordHeaders(), ORIGIN);
        headers.remove(name);
        assertThat(DeadLetterHeaders.read(headers)).isNull();
    }

    @ParameterizedTest
    @FieldSource("REQUIRED")
    void nothing_in_a_header_makes_reading_fail(String name) {
        List<byte @Nullable []> hostile = new ArrayList<>();
        hostile.add(null);
        for (String text : List.of(
                "",
                " ",
                "-1",
                "+1",
                "1e3",
                "0x1f",
                "99999999999999999999",
                "\u0661",
                "NaN",
                "9".repeat(1_000_000),
                "+1000000000-12-31T23:59:59.999999999Z",
                "2025-13-01T00:00:00Z",
                "NO_SUCH_REASON",
                "../../etc",
                "a\r\nb",
                "\u001b[31m",
                "\0")) {
            hostile.add(text.getBytes(UTF_8));
        }
        hostile.add(new byte[] {(byte) 0xc0, (byte) 0xaf});
        hostile.add(new byte[] {(byte) 0xed, (byte) 0xa0, (byte) 0x80});
        for (byte @Nullable [] value : hostile) {
            Headers headers = DeadLetterHeaders.all(new RecordHeaders(), ORIGIN);
            headers.remove(name).add(name, value);
            Origin read = DeadLetterHeaders.read(headers);
            if (read != null) {
                assertThat(read.toString()).doesNotContainPattern("\\p{Cntrl}").hasSizeLessThan(1_000);
                assertThat(read.partition()).isNotNegative();
                assertThat(read.offset()).isNotNegative();
                assertThat(read.attempts()).isNotNegative();
                assertThat(read.redrives()).isNotNegative();
            }
        }
    }

    @Test
    void an_ordinary_record_is_a_letter_of_unknown_origin() {
        ConsumerRecord<byte[], byte[]> record = new ConsumerRecord<>("dlq", 0, 0, new byte[] {(byte) 0xff}, null);
        DeadLetter letter = DeadLetter.of(record);
        assertThat(letter.origin()).isNull();
        assertThat(letter.value()).isNull();
        assertThat(letter.keyText()).isEqualTo("\ufffd");
        assertThat(DeadLetter.of(new ConsumerRecord<>("dlq", 0, 0, null, null)).keyText())
                .isEmpty();
        assertThat(DeadLetter.of(new ConsumerRecord<>("dlq", 0, 0, "bob".getBytes(UTF_8), null))
                        .keyText())
                .isEqualTo("bob");
    }

    @Test
    void printing_a_letter_shows_no_key_value_or_header() {
        Headers headers = DeadLetterHeaders.all(new RecordHeaders().add("h", "CANARY".getBytes(UTF_8)), ORIGIN);
        ConsumerRecord<byte[], byte[]> record = new ConsumerRecord<>(
                "dlq",
                0,
                0,
                0,
                org.apache.kafka.common.record.TimestampType.CREATE_TIME,
                0,
                0,
                "CANARY".getBytes(UTF_8),
                "CANARY".getBytes(UTF_8),
                headers,
                java.util.Optional.empty());
        assertThat(DeadLetter.of(record).toString())
                .doesNotContain("CANARY")
                .contains("asset.events/2@1234567890123", "ATTEMPTS_EXHAUSTED");
    }

    private static Origin at(Instant timestamp) {
        return new Origin(
                "asset.events", 2, 7, timestamp, "g", null, 0, FIRST, LAST, FailureReason.EMPTY, null, null, 0);
    }

    private static List<String> lines(Headers headers) {
        List<String> lines = new ArrayList<>();
        for (Header header : headers) {
            lines.add(header.key() + "=" + (header.value() == null ? "null" : new String(header.value(), UTF_8)));
        }
        return lines;
    }
}
