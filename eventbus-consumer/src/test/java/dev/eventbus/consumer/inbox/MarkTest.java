package dev.eventbus.consumer.inbox;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.security.MessageDigest;
import java.util.stream.Stream;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

class MarkTest {

    @Test
    void a_record_is_known_by_its_event_id_and_the_hash_of_its_value() throws Exception {
        Mark mark = Mark.of("group", "evt-1", record("asset.events", "value"));
        assertThat(mark.eventId()).isEqualTo("evt-1");
        assertThat(mark.payloadHash())
                .isEqualTo(MessageDigest.getInstance("SHA-256").digest("value".getBytes(UTF_8)));
        assertThat(mark.topic()).isEqualTo("asset.events");
        assertThat(mark.partition()).isEqualTo(3);
        assertThat(mark.offset()).isEqualTo(42);
    }

    @Test
    void a_record_without_a_value_is_not_one_with_an_empty_value() {
        assertThat(Mark.of("group", "evt-1", record("asset.events", null)).payloadHash())
                .isEmpty();
        assertThat(Mark.of("group", "evt-1", record("asset.events", "")).payloadHash())
                .hasSize(32);
    }

    @Test
    void a_record_without_an_id_is_known_by_its_origin() {
        assertThat(Mark.of("group", null, record("asset.events", "v")).eventId())
                .isEqualTo("asset.events/3/42");
    }

    static Stream<String> idsThatNoInboxCanHold() {
        return Stream.of("", "x".repeat(129), "\u00e9".repeat(65), "evt\0", "evt\ud800", "\udc00");
    }

    @ParameterizedTest
    @MethodSource("idsThatNoInboxCanHold")
    void an_id_that_cannot_be_held_is_never_cut_or_changed(String id) {
        assertThat(Mark.of("group", id, record("asset.events", "v")).eventId()).isEqualTo("asset.events/3/42");
        assertThatThrownBy(() -> new Mark("group", id, new byte[0], "asset.events", 3, 42))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageStartingWith("eventId must");
    }

    @Test
    void its_text_is_one_line_whatever_the_id_is() {
        Mark mark = Mark.of("group", "evt\r\nERROR all is lost", record("asset.events", "v"));
        assertThat(mark.toString()).doesNotContain("\r", "\n").contains("evt", "asset.events/3@42");
    }

    @Test
    void ids_of_128_bytes_are_taken_whole() {
        String ascii = "x".repeat(128);
        String wide = "\u00e9".repeat(64);
        assertThat(Mark.of("group", ascii, record("asset.events", "v")).eventId())
                .isEqualTo(ascii);
        assertThat(Mark.of("group", wide, record("asset.events", "v")).eventId())
                .isEqualTo(wide);
    }

    @Test
    void the_origin_fits_whatever_the_topic_is_called_and_tells_topics_apart() {
        Mark first = Mark.of("group", null, record("t".repeat(248) + "1", "v"));
        Mark second = Mark.of("group", null, record("t".repeat(248) + "2", "v"));
        assertThat(first.eventId())
                .endsWith("/3/42")
                .hasSizeLessThanOrEqualTo(128)
                .isNotEqualTo(second.eventId());
    }

    @Test
    void group_topic_and_hash_are_checked_by_name() {
        byte[] hash = new byte[32];
        assertThatThrownBy(() -> new Mark("", "evt-1", hash, "t", 0, 0)).hasMessage("group must not be empty");
        assertThatThrownBy(() -> new Mark("g".repeat(256), "evt-1", hash, "t", 0, 0))
                .hasMessage("group must be at most 255 bytes of UTF-8, has 256 characters");
        assertThatThrownBy(() -> new Mark("g", "evt-1", hash, "t".repeat(250), 0, 0))
                .hasMessageStartingWith("topic must");
        assertThatThrownBy(() -> new Mark("g", "evt-1", new byte[65], "t", 0, 0))
                .hasMessage("payloadHash must be at most 64 bytes, was 65");
    }

    private static ConsumerRecord<byte[], byte[]> record(String topic, @Nullable String value) {
        return new ConsumerRecord<>(topic, 3, 42, "key".getBytes(UTF_8), value == null ? null : value.getBytes(UTF_8));
    }
}
