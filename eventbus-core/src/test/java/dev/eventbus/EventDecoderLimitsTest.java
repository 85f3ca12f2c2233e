package dev.eventbus;

import static dev.eventbus.FailureReason.BAD_ENCODING;
import static dev.eventbus.FailureReason.BAD_ENVELOPE;
import static dev.eventbus.FailureReason.BAD_VALUE;
import static dev.eventbus.FailureReason.EMPTY;
import static dev.eventbus.FailureReason.MALFORMED_JSON;
import static dev.eventbus.FailureReason.TOO_DEEP;
import static dev.eventbus.FailureReason.TOO_LARGE;
import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static java.nio.charset.StandardCharsets.UTF_16;
import static java.nio.charset.StandardCharsets.UTF_16BE;
import static java.nio.charset.StandardCharsets.UTF_16LE;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.fasterxml.jackson.annotation.JsonAlias;
import java.math.BigDecimal;
import java.nio.charset.Charset;
import java.util.List;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What is no document, no text, or more than is read. */
class EventDecoderLimitsTest extends DecoderFixture {

    @ParameterizedTest
    @ValueSource(strings = {"", " ", "\r\n\t  ", "null", " null ", "\uFEFF", "\uFEFF "})
    void an_empty_value_is_empty(String value) {
        assertThat(reasonOf(value)).isEqualTo(EMPTY);
    }

    @Test
    void a_tombstone_is_empty_with_or_without_a_key() {
        assertThat(reasonOf(Samples.record("u", (byte[]) null))).isEqualTo(EMPTY);
        assertThat(reasonOf(Samples.record(null, (byte[]) null))).isEqualTo(EMPTY);
    }

    @Test
    void a_record_without_key_takes_it_from_the_json() {
        assertThat(decoder.decode(Samples.record(null, thing("\"count\":1"))).key())
                .isEqualTo("u");
    }

    @ParameterizedTest
    @ValueSource(strings = {"[]", "[1]", "\"text\"", "1", "1.5", "true", "{}"})
    void a_document_that_is_no_envelope_is_a_bad_envelope(String value) {
        assertThat(reasonOf(value)).isEqualTo(BAD_ENVELOPE);
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "{",
                "}",
                "xyz",
                "{'a':1}",
                "{a:1}",
                "{\"a\":1,}",
                "{\"a\":NaN}",
                "{\"a\":01}",
                "{\"a\":+1}",
                "{\"a\":0x1F}",
                "{\"a\":.5}",
                "{\"a\":1 /* one */}",
                "{\"a\":\"line\nfeed\"}",
                "{\"a\":1}{}",
                "{\"a\":1} xyz",
                "{\"a\":1}[]",
                "{\"a\":\"\\x\"}"
            })
    void what_is_not_one_json_document_is_malformed(String value) {
        assertThat(reasonOf(value)).isEqualTo(MALFORMED_JSON);
    }

    @Test
    void trailing_content_behind_a_good_event_is_malformed() {
        assertThat(reasonOf(thing("\"count\":1") + "{}")).isEqualTo(MALFORMED_JSON);
        assertThat(reasonOf(thing("\"count\":1") + "x")).isEqualTo(MALFORMED_JSON);
    }

    @Test
    void nesting_is_read_to_64_and_refused_at_65() {
        assertThat(decoder.decode(Samples.record("u", thing("\"count\":1,\"x\":" + "[".repeat(63) + "]".repeat(63))))
                        .id())
                .isEqualTo("e-1");
        assertThat(reasonOf(thing("\"count\":1,\"x\":" + "[".repeat(64) + "]".repeat(64))))
                .isEqualTo(TOO_DEEP);
        assertThat(reasonOf("{\"x\":" + "[".repeat(100_000))).isEqualTo(TOO_DEEP);
        assertThat(reasonOf("{\"a\":".repeat(65))).isEqualTo(TOO_DEEP);
    }

    @Test
    void a_value_of_1_MiB_is_read_and_one_byte_more_is_refused_unread() {
        String event = thing("\"count\":1,\"text\":\"ok\"");
        String padded = event + " ".repeat(EventLimits.MAX_READ_BYTES - event.length());

        assertThat(decoder.decode(Samples.record("u", padded)).id()).isEqualTo("e-1");
        assertThat(reasonOf(padded + " ")).isEqualTo(TOO_LARGE);
        assertThat(reasonOf(Samples.record("u", new byte[8 * 1024 * 1024]))).isEqualTo(TOO_LARGE);
    }

    @Test
    void names_strings_and_tokens_are_read_up_to_their_limits() {
        String name = "n".repeat(JsonDocument.MAX_NAME_LENGTH);
        String text = "t".repeat(JsonDocument.MAX_STRING_LENGTH);
        String tokens = "1,".repeat(JsonDocument.MAX_TOKENS - 20);

        assertThat(reasonOf(thing("\"count\":1,\"%s\":1".formatted(name)))).isNull();
        assertThat(reasonOf(thing("\"count\":1,\"%sn\":1".formatted(name)))).isEqualTo(TOO_LARGE);
        assertThat(reasonOf(thing("\"count\":1,\"%s\":1".formatted("n".repeat(60_000)))))
                .isEqualTo(TOO_LARGE);
        assertThat(reasonOf(thing("\"count\":1,\"text\":\"%s\"".formatted(text))))
                .isNull();
        assertThat(reasonOf(thing("\"count\":1,\"text\":\"%st\"".formatted(text))))
                .isEqualTo(TOO_LARGE);
        assertThat(reasonOf(thing("\"count\":1,\"unknown\":\"%st\"".formatted(text))))
                .isEqualTo(TOO_LARGE);
        assertThat(reasonOf(thing("\"count\":1,\"x\":[%s1]".formatted(tokens)))).isNull();
        assertThat(reasonOf(thing("\"count\":1,\"x\":[%s%s1]".formatted(tokens, "1,".repeat(20)))))
                .isEqualTo(TOO_LARGE);
    }

    @Test
    void keys_of_one_hash_are_read_like_any_other() {
        StringBuilder keys = new StringBuilder("\"count\":1");
        for (int i = 0; i < 1 << 12; i++) {
            StringBuilder name = new StringBuilder();
            for (int bit = 0; bit < 12; bit++) {
                name.append((i >> bit & 1) == 0 ? "Aa" : "BB");
            }
            keys.append(",\"").append(name).append("\":1");
        }
        assertThat(reasonOf(thing(keys.toString()))).isNull();
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "\"amount\":9223372036854775808",
                "\"amount\":1.0",
                "\"amount\":1e3",
                "\"amount\":\"12\"",
                "\"amount\":\"\"",
                "\"amount\":true",
                "\"amount\":[1]",
                "\"price\":\"12.50\"",
                "\"price\":1e400",
                "\"price\":1e999999999",
                "\"price\":1e-999999999",
                "\"price\":1e99999999999999999999",
                "\"ratio\":1e309",
                "\"ratio\":\"1.5\"",
                "\"any\":1e999999999",
                "\"more\":{\"a\":[1e999999999]}",
                "\"unknown\":1e999999999"
            })
    void a_number_that_its_type_cannot_hold_is_a_bad_value(String property) {
        assertThat(reasonOf(thing("\"count\":1," + property))).isEqualTo(BAD_VALUE);
    }

    @Test
    void a_number_of_64_characters_is_read_and_a_longer_one_is_not() {
        assertThat(reasonOf(thing("\"count\":1,\"any\":" + "9".repeat(64)))).isNull();
        assertThat(reasonOf(thing("\"count\":1,\"any\":" + "9".repeat(65)))).isEqualTo(BAD_VALUE);
        assertThat(reasonOf(thing("\"count\":1,\"any\":" + "9".repeat(500_000))))
                .isEqualTo(BAD_VALUE);
        assertThat(reasonOf(thing("\"count\":1,\"any\":0." + "9".repeat(65)))).isEqualTo(BAD_VALUE);
    }

    @Test
    void a_number_keeps_its_scale_and_its_digits() {
        Thing thing = (Thing) decoder.decode(Samples.record(
                        "u", thing("\"count\":1,\"price\":1.50,\"amount\":9007199254740993,\"ratio\":-0")))
                .payload();

        assertThat(thing.price()).isEqualTo(new BigDecimal("1.50"));
        assertThat(thing.amount()).isEqualTo(9007199254740993L);
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "\"count\":null", "\"count\":\"1\"", "\"count\":1.5", "\"count\":2147483648"})
    void a_primitive_that_is_missing_null_or_ill_typed_is_a_bad_value(String property) {
        assertThat(reasonOf(thing(property))).isEqualTo(BAD_VALUE);
        assertThat(reasonOf(thing(property).replace("THING", "BEAN").replace("userId", "ownerId")))
                .isEqualTo(BAD_VALUE);
    }

    /** Set property by property, one of them under either of two names. */
    static final class Renamed {
        @JsonAlias("oldCount")
        public int count;

        public @Nullable Coin coin;

        public @Nullable Purse purse;
    }

    record Coin(int worth) {}

    static final class Purse {
        public int coins = 3;
    }

    @Test
    void a_primitive_with_an_alias_is_missing_if_none_of_its_names_is_there() {
        assertThat(renamed("\"count\":1").count).isEqualTo(1);
        assertThat(renamed("\"oldCount\":1").count).isEqualTo(1);
        assertThatThrownBy(() -> renamed("\"other\":1"))
                .isInstanceOf(DecodeException.class)
                .hasMessageContaining("payload property 'count' is missing");
    }

    @Test
    void within_a_payload_a_primitive_of_a_constructor_is_missed_and_one_that_is_set_is_as_its_class_makes_it() {
        assertThatThrownBy(() -> renamed("\"count\":1,\"coin\":{}"))
                .isInstanceOfSatisfying(
                        DecodeException.class, e -> assertThat(e.reason()).isEqualTo(BAD_VALUE));
        assertThat(renamed("\"count\":1,\"purse\":{}").purse)
                .isNotNull()
                .extracting(purse -> purse.coins)
                .isEqualTo(3);
    }

    private static Renamed renamed(String properties) {
        EventType<Renamed> type =
                EventType.of("RENAMED", Renamed.class).topic("t").key(renamed -> "u");
        return (Renamed) new EventDecoder(List.of(type))
                .decode(Samples.record("u", thing(properties).replace("THING", "RENAMED")))
                .payload();
    }

    @Test
    void a_missing_property_is_null_and_an_unknown_one_is_ignored() {
        Event<?> event = decoder.decode(Samples.record(
                "u", thing("\"count\":7,\"new\":{\"@class\":\"java.lang.ProcessBuilder\"},\"@class\":\"x\"")));

        assertThat(event.payload()).isEqualTo(new Thing(null, 7, null, null, null, null, null, null, null, null));
    }

    @Test
    void only_well_formed_utf_8_is_read() {
        assertThat(reasonOf(withBytes(0xFF))).isEqualTo(BAD_ENCODING);
        assertThat(reasonOf(withBytes(0xC3))).isEqualTo(BAD_ENCODING); // cut in the middle of a letter
        assertThat(reasonOf(withBytes(0xC0, 0x80))).isEqualTo(BAD_ENCODING); // overlong NUL
        assertThat(reasonOf(withBytes(0xE0, 0x80, 0xAF))).isEqualTo(BAD_ENCODING); // overlong slash
        assertThat(reasonOf(withBytes(0xED, 0xA0, 0x80))).isEqualTo(BAD_ENCODING); // a surrogate's bytes
        assertThat(reasonOf(withBytes(0xF5, 0x80, 0x80, 0x80))).isEqualTo(BAD_ENCODING); // beyond Unicode
        assertThat(reasonOf("\uFEFF" + thing("\"count\":1"))).isEqualTo(BAD_ENCODING);
        for (Charset other : List.of(UTF_16, UTF_16LE, UTF_16BE, Charset.forName("UTF-32"), ISO_8859_1)) {
            byte[] value = thing("\"count\":1,\"text\":\"\u00e4\u00f6\"").getBytes(other);
            assertThat(reasonOf(Samples.record("u", value))).as(other.name()).isEqualTo(BAD_ENCODING);
        }
    }

    @Test
    void text_beyond_ascii_is_kept() {
        Thing thing =
                (Thing) decoder.decode(Samples.record("u", thing("\"count\":1,\"text\":\"\u00e4\u4e2d\ud83d\ude80\"")))
                        .payload();

        assertThat(thing.text()).isEqualTo("\u00e4\u4e2d\ud83d\ude80");
    }
}
