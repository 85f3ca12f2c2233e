package dev.eventbus;

import static dev.eventbus.FailureReason.BAD_ENCODING;
import static dev.eventbus.FailureReason.BAD_ENVELOPE;
import static dev.eventbus.FailureReason.BAD_VALUE;
import static dev.eventbus.FailureReason.HEADER_LIMIT;
import static dev.eventbus.FailureReason.KEY_MISMATCH;
import static dev.eventbus.FailureReason.MALFORMED_JSON;
import static dev.eventbus.FailureReason.UNKNOWN_TYPE;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.math.BigDecimal;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Envelope, types, headers, and what a refusal tells. */
class EventDecoderTest extends DecoderFixture {

    @ParameterizedTest
    @ValueSource(strings = {"eventId", "eventType", "timestamp", "userId"})
    void each_field_of_the_envelope_must_be_a_text(String field) {
        for (String wrong : List.of("42", "4.2", "true", "{}", "{\"a\":\"b\"}", "[\"e\"]", "null", "\"\"", "\"  \"")) {
            String replaced = thing("\"count\":1").replaceFirst("(\"%s\":)\"[^\"]*\"".formatted(field), "$1" + wrong);
            assertThat(reasonOf(Samples.record(null, replaced))).as(wrong).isEqualTo(BAD_ENVELOPE);
        }
        String missing = thing("\"count\":1").replaceFirst("\"%s\"".formatted(field), "\"other\"");
        assertThat(refusalOf(Samples.record(null, missing)))
                .returns(BAD_ENVELOPE, DecodeException::reason)
                .hasMessageContaining("'%s'".formatted(field))
                .hasMessageContaining("missing");
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "yesterday",
                "2025-01-15",
                "2025-01-15T10:35:00",
                "2025-13-15T10:35:00Z",
                "1736937300000",
                "${jndi:ldap://x}"
            })
    void a_timestamp_that_is_no_instant_is_a_bad_envelope(String timestamp) {
        assertThat(reasonOf(thing("\"count\":1").replace("2025-01-15T10:35:00Z", timestamp)))
                .isEqualTo(BAD_ENVELOPE);
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "2025-01-15T10:35:00.123456789Z",
                "2025-01-15T19:35:00+09:00",
                "-0044-03-15T12:00:00Z",
                "+10000-01-01T00:00:00Z"
            })
    void any_instant_is_taken_for_a_timestamp(String timestamp) {
        assertThat(reasonOf(thing("\"count\":1").replace("2025-01-15T10:35:00Z", timestamp)))
                .isNull();
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "\"text\":42",
                "\"text\":4.2",
                "\"text\":true",
                "\"text\":{}",
                "\"text\":[\"a\"]",
                "\"colour\":0",
                "\"shape\":\"SQUARE\"",
                "\"shape\":\"round\"",
                "\"shape\":0",
                "\"shape\":\"\"",
                "\"more\":[]",
                "\"more\":\"\"",
                "\"chosen\":{\"@class\":\"java.lang.ProcessBuilder\"}",
                "\"chosen\":{\"@class\":\"dev.eventbus.DecoderFixture$AnyChosen\",\"count\":1}"
            })
    void nothing_is_converted_and_no_class_is_taken_from_a_record(String property) {
        assertThat(reasonOf(thing("\"count\":1," + property))).isEqualTo(BAD_VALUE);
    }

    @Test
    void an_unknown_enum_constant_is_the_default_one_where_there_is_one() {
        Thing thing = (Thing) decoder.decode(Samples.record("u", thing("\"count\":1,\"colour\":\"MAUVE\"")))
                .payload();

        assertThat(thing.colour()).isEqualTo(Colour.OTHER);
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "\"count\":1,\"count\":2",
                "\"count\":true,\"count\":2",
                "\"count\":1,\"\\u0063ount\":2",
                "\"count\":2,\"more\":{\"a\":1,\"a\":1}",
                "\"count\":2,\"any\":[{\"a\":1,\"a\":2}]",
                "\"count\":2,\"unknown\":[{\"a\":1,\"a\":2}]",
                "\"count\":2,\"eventId\":\"e-1\"",
                "\"count\":2,\"userId\":\"u\""
            })
    void of_a_doubled_key_the_last_counts(String properties) {
        Event<?> event = decoder.decode(Samples.record("u", thing(properties)));

        assertThat(((Thing) event.payload()).count()).isEqualTo(2);
        assertThat(decoder.duplicateKeys()).containsExactly(Map.entry("THING", 1L));
    }

    @Test
    void a_key_that_stands_there_10_000_times_is_read() {
        assertThat(reasonOf(thing("\"count\":1,".repeat(10_000) + "\"count\":2")))
                .isNull();
    }

    @Test
    void equal_names_in_different_objects_are_no_doubled_keys() {
        decoder.decode(Samples.record("u", thing("\"count\":1,\"more\":{\"count\":1,\"more\":{\"count\":1}}")));

        assertThat(decoder.duplicateKeys()).isEmpty();
    }

    @Test
    void the_last_of_a_doubled_envelope_field_is_checked() {
        assertThat(reasonOf(thing("\"count\":1,\"userId\":\"somebody else\""))).isEqualTo(KEY_MISMATCH);
        assertThat(reasonOf(thing("\"count\":1,\"eventId\":7"))).isEqualTo(BAD_ENVELOPE);
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "thing",
                "THING ",
                "TH\u0406NG",
                "THING.v2",
                "java.lang.ProcessBuilder",
                "../../x",
                "${jndi:ldap://x}",
                "TH\\r\\nNG"
            })
    void a_type_that_nobody_declared_is_unknown_whatever_else_the_record_holds(String type) {
        DecodeException whole =
                refusalOf(Samples.record("u", thing("\"count\":1").replace("THING", type)));
        DecodeException keyless =
                refusalOf(Samples.record("k", "{\"eventId\":\"e-1\",\"eventType\":\"%s\"}".formatted(type)));

        assertThat(List.of(whole, keyless)).allSatisfy(refusal -> {
            assertThat(refusal.reason()).isEqualTo(UNKNOWN_TYPE);
            assertThat(refusal.eventId()).isEqualTo("e-1");
            assertThat(refusal.eventType()).isEqualTo(type.replace("\\r\\n", "\r\n"));
            assertThat(refusal).message().matches("[ -~]*");
        });
    }

    @Test
    void a_huge_type_is_unknown_and_cut() {
        ConsumerRecord<byte[], byte[]> record = Samples.record("u", "{\"eventId\":\"e-1\"}");
        record.headers().add("eventType", "T".repeat(900_000).getBytes(UTF_8));

        DecodeException refusal = refusalOf(record);

        assertThat(refusal.reason()).isEqualTo(UNKNOWN_TYPE);
        assertThat(refusal.eventType()).hasSize(EventLimits.MAX_TYPE_LENGTH);
        assertThat(refusal.getMessage()).hasSizeLessThan(300);
    }

    @Test
    void the_pass_that_reads_a_value_binds_its_payload_too_unless_there_is_fault_to_find() {
        PayloadBinding<Thing> things = new PayloadBinding<>(THING);
        PayloadBinding<Bean> beans = new PayloadBinding<>(BEAN);
        JsonDocument good = JsonDocument.read(thing("\"count\":1").getBytes(UTF_8), Set.of(), things);
        JsonDocument faulty = JsonDocument.read(thing("\"count\":\"1\"").getBytes(UTF_8), Set.of(), things);
        JsonDocument doubled =
                JsonDocument.read(thing("\"count\":1,\"count\":2").getBytes(UTF_8), Set.of(), things);

        assertThat(good.payload(things)).isNotNull();
        assertThat(good.payload(beans)).isNull();
        assertThat(faulty.payload(things)).isNull();
        assertThat(doubled.payload(things)).isNull();
    }

    /** A payload's own deserializer may catch what the parser throws, and ask for the next token. */
    @ParameterizedTest
    @ValueSource(strings = {"\"count\":x,\"a\":1", "\"count\":1e999999999,\"a\":1", "\"a\":[1,x,2]"})
    void no_deserializer_gets_past_what_is_at_fault(String properties) {
        PayloadBinding<Lenient> lenient = new PayloadBinding<>(
                EventType.of("THING", Lenient.class).topic("t").key(any -> "u"));
        byte[] value = thing(properties).getBytes(UTF_8);

        assertThatThrownBy(() -> JsonDocument.read(value, Set.of(), lenient)).isInstanceOf(DecodeException.class);
        assertThatThrownBy(() -> JsonDocument.read(value, Set.of())).isInstanceOf(DecodeException.class);
    }

    @Test
    void a_negative_zero_stays_one() {
        ConsumerRecord<byte[], byte[]> record = Samples.record("u", thing("\"count\":1,\"ratio\":-0.0"));
        record.headers().add("eventType", "THING".getBytes(UTF_8));

        assertThat(((Thing) decoder.decode(record).payload()).ratio()).isEqualTo(Double.valueOf(-0.0));
    }

    @Test
    void two_types_of_one_name_are_refused() {
        EventType<Loop> other = EventType.of("THING", Loop.class).topic("x").key(loop -> "u");

        assertThatThrownBy(() -> new EventDecoder(List.of(THING, other)))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("THING");
    }

    @Test
    void the_key_property_must_be_the_records_key_byte_for_byte() {
        assertThat(reasonOf(Samples.record("U", thing("\"count\":1")))).isEqualTo(KEY_MISMATCH);
        assertThat(reasonOf(Samples.record("", thing("\"count\":1")))).isEqualTo(KEY_MISMATCH);
        assertThat(reasonOf(new ConsumerRecord<>(
                        "t",
                        0,
                        0,
                        new byte[] {(byte) 0xFF},
                        thing("\"count\":1").getBytes(UTF_8))))
                .isEqualTo(KEY_MISMATCH);
    }

    @Test
    void ids_and_keys_are_bounded_well_formed_and_without_nul() {
        String event = thing("\"count\":1");
        for (String field : List.of("\"userId\":\"u\"", "\"eventId\":\"e-1\"")) {
            String name = field.substring(0, field.indexOf(':') + 1);
            assertThat(reasonOf(Samples.record(null, event.replace(field, name + "\"a\\u0000b\""))))
                    .isEqualTo(BAD_ENVELOPE);
            assertThat(reasonOf(Samples.record(null, event.replace(field, name + "\"" + "\u00e9".repeat(512) + "\""))))
                    .isEqualTo(BAD_ENVELOPE);
            assertThat(reasonOf(Samples.record(null, event.replace(field, name + "\"a\\uD800\""))))
                    .isEqualTo(BAD_ENCODING);
        }
        String longest = "\u00e9".repeat(EventLimits.MAX_KEY_BYTES / 2);
        assertThat(decoder.decode(Samples.record(longest, event.replace("\"u\"", "\"" + longest + "\"")))
                        .key())
                .isEqualTo(longest);
    }

    @Test
    void id_and_type_are_taken_from_headers_where_the_json_has_none() {
        ConsumerRecord<byte[], byte[]> record =
                Samples.record("u", "{\"timestamp\":\"2025-01-15T10:35:00Z\",\"userId\":\"u\",\"count\":1}");
        record.headers().add("id", "e-9".getBytes(UTF_8)).add("eventType", "THING".getBytes(UTF_8));

        assertThat(decoder.decode(record)).returns("e-9", Event::id).returns(THING, Event::type);
    }

    @Test
    void a_header_that_contradicts_the_json_or_itself_is_a_bad_envelope() {
        for (String name : List.of("id", "eventType")) {
            assertThat(reasonOf(withHeader(name, "other"))).isEqualTo(BAD_ENVELOPE);
            assertThat(reasonOf(withHeader(name, ""))).isEqualTo(BAD_ENVELOPE);
            ConsumerRecord<byte[], byte[]> twice = withHeader(name, name.equals("id") ? "e-1" : "THING");
            assertThat(reasonOf(twice)).isNull();
            twice.headers().add(name, "other".getBytes(UTF_8));
            assertThat(reasonOf(twice)).isEqualTo(BAD_ENVELOPE);
        }
    }

    @Test
    void a_header_id_or_type_that_is_no_text_is_a_bad_encoding() {
        for (String name : List.of("id", "eventType")) {
            ConsumerRecord<byte[], byte[]> record = Samples.record("u", thing("\"count\":1"));
            record.headers().add(name, new byte[] {(byte) 0xFF});
            assertThat(reasonOf(record)).isEqualTo(BAD_ENCODING);
        }
    }

    @Test
    void a_header_without_value_counts_as_absent() {
        ConsumerRecord<byte[], byte[]> record = Samples.record("u", thing("\"count\":1"));
        record.headers().add("id", null).add("eventType", null).add("tenant", null);

        assertThat(decoder.decode(record).headers()).isEmpty();
    }

    @Test
    void an_event_has_the_users_own_headers_and_none_of_ours() {
        ConsumerRecord<byte[], byte[]> record = Samples.record("u", thing("\"count\":1"));
        record.headers()
                .add("id", "e-1".getBytes(UTF_8))
                .add("contentType", "application/json".getBytes(UTF_8))
                .add("eventbus-dlq-topic", "__consumer_offsets".getBytes(UTF_8))
                .add("traceparent", "00-1-2-01".getBytes(UTF_8))
                .add("tenant", "eu".getBytes(UTF_8))
                .add("tenant", "us\r\n".getBytes(UTF_8))
                .add("broken", new byte[] {(byte) 0xFF})
                .add("", "nameless".getBytes(UTF_8));

        assertThat(decoder.decode(record).headers())
                .isEqualTo(Map.of("traceparent", "00-1-2-01", "tenant", "us\r\n", "", "nameless"));
    }

    @Test
    void more_headers_than_an_event_may_have_are_refused() {
        ConsumerRecord<byte[], byte[]> record = Samples.record("u", thing("\"count\":1"));
        for (int i = 0; i < EventLimits.MAX_HEADERS; i++) {
            record.headers().add("h" + i, new byte[0]);
        }
        assertThat(reasonOf(record)).isNull();
        record.headers().add("one more", new byte[0]);
        assertThat(reasonOf(record)).isEqualTo(HEADER_LIMIT);

        assertThat(reasonOf(withHeader("h", "v".repeat(EventLimits.MAX_HEADERS_BYTES - 1))))
                .isNull();
        assertThat(reasonOf(withHeader("h", "v".repeat(EventLimits.MAX_HEADERS_BYTES))))
                .isEqualTo(HEADER_LIMIT);
        assertThat(reasonOf(withHeader("eventbus-forged", "v".repeat(900_000)))).isNull();
    }

    @Test
    void a_refusal_carries_what_could_be_read() {
        ConsumerRecord<byte[], byte[]> broken = Samples.record("u", "{\"eventId\":\"e-1\"");
        broken.headers().add("id", "e-1".getBytes(UTF_8)).add("eventType", "THING".getBytes(UTF_8));

        assertThat(refusalOf(broken))
                .returns(MALFORMED_JSON, DecodeException::reason)
                .returns("e-1", DecodeException::eventId)
                .returns("THING", DecodeException::eventType);
        assertThat(refusalOf(Samples.record("k", thing("\"count\":1"))))
                .returns("e-1", DecodeException::eventId)
                .returns("THING", DecodeException::eventType);
        assertThat(refusalOf(withHeader("id", "e-2")))
                .returns(null, DecodeException::eventId)
                .returns("THING", DecodeException::eventType);
    }

    @Test
    void a_refusal_names_the_property_and_the_place() {
        assertThat(refusalOf(Samples.record("u", thing("\"count\":1,\"amount\":\"12\""))))
                .hasMessageContaining("'amount'")
                .hasMessageContaining("byte");
        assertThat(refusalOf(Samples.record("u", thing("\"count\":1,\"more\":{\"secret\":1"))))
                .hasMessageContaining("byte")
                .hasMessageNotContaining("secret");
    }

    @Test
    void a_payload_class_that_refuses_its_values_is_a_bad_value() {
        EventDecoder picky = new EventDecoder(
                List.of(EventType.of("THING", Picky.class).topic("t").key(p -> "u")));

        assertThatThrownBy(() -> picky.decode(Samples.record("u", thing("\"text\":\"x\""))))
                .isInstanceOfSatisfying(
                        DecodeException.class, e -> assertThat(e.reason()).isEqualTo(BAD_VALUE))
                .hasMessageNotContaining("S3CR3T");
    }

    @Test
    void a_payload_that_exhausts_the_stack_is_a_bad_value() {
        EventDecoder endless = new EventDecoder(
                List.of(EventType.of("THING", Endless.class).topic("t").key(p -> "u")));

        assertThatThrownBy(() -> endless.decode(Samples.record("u", thing("\"text\":\"x\""))))
                .isInstanceOfSatisfying(
                        DecodeException.class, e -> assertThat(e.reason()).isEqualTo(BAD_VALUE));
    }

    @Test
    void a_name_that_comes_from_the_record_is_in_no_refusal() {
        EventDecoder counts = new EventDecoder(
                List.of(EventType.of("THING", Counts.class).topic("t").key(c -> "u")));

        assertThatThrownBy(() -> counts.decode(Samples.record("u", thing("\"S3CR3T\":\"x\""))))
                .isInstanceOf(DecodeException.class)
                .hasMessageNotContaining("S3CR3T");
    }

    @Test
    void a_decimal_beside_a_doubled_key_keeps_its_scale() {
        Thing thing = (Thing) decoder.decode(Samples.record("u", thing("\"count\":1,\"count\":2,\"price\":1.50")))
                .payload();

        assertThat(thing.price()).isEqualTo(new BigDecimal("1.50"));
    }
}
