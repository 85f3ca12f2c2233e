package dev.eventbus;

import static dev.eventbus.Samples.ASSET_UPDATED;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.tuple;

import com.fasterxml.jackson.annotation.JsonAnyGetter;
import com.fasterxml.jackson.annotation.JsonAnySetter;
import com.fasterxml.jackson.annotation.JsonProperty;
import com.fasterxml.jackson.annotation.JsonRawValue;
import com.fasterxml.jackson.annotation.JsonValue;
import dev.eventbus.Samples.AssetUpdated;
import dev.eventbus.Samples.Summary;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.time.Duration;
import java.time.Instant;
import java.time.LocalDate;
import java.time.OffsetDateTime;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.header.Header;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class EventEncoderTest {

    enum Kind {
        ONE
    }

    record Everything(
            String userId,
            long amount,
            @Nullable BigDecimal price,
            @Nullable BigInteger big,
            double ratio,
            float small,
            boolean yes,
            @Nullable String text,
            Kind kind,
            UUID uuid,
            byte[] bytes,
            Instant instant,
            LocalDate date,
            OffsetDateTime at,
            Duration took,
            List<Map<String, List<@Nullable String>>> nested,
            Map<String, Object> open) {}

    record Anything(@JsonProperty("value") @Nullable Object value) {}

    static final class Open {
        private final Map<String, Object> properties = new LinkedHashMap<>();

        @JsonAnyGetter
        public Map<String, Object> properties() {
            return properties;
        }

        @JsonAnySetter
        public void put(String name, Object value) {
            properties.put(name, value);
        }
    }

    record Raw(@JsonRawValue String json) {}

    record Scalar(@JsonValue String text) {}

    static final class Endless {
        public Endless getNext() {
            return this;
        }
    }

    static final class Failing {
        public String getText() {
            throw new IllegalStateException("no text");
        }
    }

    private static final Instant WHEN = Instant.parse("2025-01-15T10:35:00Z");

    private final EventEncoder encoder = new EventEncoder();

    // ---- wire format ---------------------------------------------------------------------------------------------

    @Test
    void writes_an_event_byte_for_byte_so() {
        Event<AssetUpdated> event = Event.of(
                        ASSET_UPDATED,
                        "0190a0b0-0000-7000-8000-000000000001",
                        WHEN,
                        new AssetUpdated(
                                "user-\u00e9",
                                "ITEM_ADDED",
                                "SELF",
                                "ASSET",
                                "item \"1\" \ud83d\ude80",
                                10000000L,
                                null,
                                new Summary(85000000L, 5500000L, 2500000L, 3000000L)))
                .withHeader("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
                .withHeader("tenant", "eu");

        EncodedEvent encoded = encoder.encode(event);
        ProducerRecord<byte[], byte[]> record = EventRecords.of(encoded, "staging.asset.events", 2);

        assertThat(record.value())
                .asString(UTF_8)
                .isEqualTo(
                        "{\"eventId\":\"0190a0b0-0000-7000-8000-000000000001\",\"eventType\":\"ASSET_UPDATED\",\"timestamp\":\"2025-01-15T10:35:00Z\",\"userId\":\"user-\u00e9\",\"changeType\":\"ITEM_ADDED\",\"ownerType\":\"SELF\",\"itemType\":\"ASSET\",\"itemId\":\"item \\\"1\\\" \ud83d\ude80\",\"previousAmount\":10000000,\"newAmount\":null,\"summary\":{\"totalNetAssets\":85000000,\"totalMonthlyIncome\":5500000,\"totalMonthlyExpense\":2500000,\"monthlyAvailableFunds\":3000000}}");
        assertThat(record.key()).asString(UTF_8).isEqualTo("user-\u00e9");
        assertThat(record.topic()).isEqualTo("staging.asset.events");
        assertThat(record.partition()).isEqualTo(2);
        assertThat(record.timestamp()).as("the time of sending").isNull();
        assertThat(record.headers())
                .extracting(Header::key, header -> new String(header.value(), UTF_8))
                .containsExactly(
                        tuple("id", "0190a0b0-0000-7000-8000-000000000001"),
                        tuple("eventType", "ASSET_UPDATED"),
                        tuple("contentType", "application/json"),
                        tuple("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
                        tuple("tenant", "eu"));
    }

    @Test
    void half_a_surrogate_pair_in_a_payload_arrives_as_it_is() {
        Event<Anything> event = anything("half \ud83d a pair");

        assertThat(roundTrip(event)).isEqualTo(event);
    }

    @Test
    void names_the_topic_as_declared_and_keeps_values_out_of_texts() {
        EncodedEvent encoded = encoder.encode(Event.of(ASSET_UPDATED, "e-1", WHEN, asset("S3CR3T")));

        assertThat(encoded.topic()).isEqualTo("asset.events");
        assertThat(encoded.contentType()).isEqualTo("application/json");
        assertThat(encoded).hasToString("ASSET_UPDATED e-1");
    }

    @Test
    void a_decoded_event_is_the_one_that_was_encoded() {
        EventType<Everything> type =
                EventType.of("EVERYTHING", Everything.class).topic("t").key(Everything::userId);
        Map<String, Object> open = new HashMap<>();
        open.put("n", null);
        open.put("list", List.of(1, "two", List.of(true)));
        open.put("decimal", new BigDecimal("1.500"));
        for (String price : List.of("0", "0.00", "1.50", "-1E+5", "1E-300", "123456789012345678901234567890.123")) {
            Event<Everything> event = Event.of(
                            type,
                            "\u00e9vent",
                            Instant.parse("2025-01-15T10:35:00.123456789Z"),
                            new Everything(
                                    "\u7528\u6237\ud83d\ude80",
                                    Long.MIN_VALUE,
                                    new BigDecimal(price),
                                    new BigInteger("9".repeat(60)),
                                    Double.MIN_VALUE,
                                    Float.MAX_VALUE,
                                    true,
                                    "quote \" back \\ nul \0 line \r\n sep \u2028 rocket \ud83d\ude80",
                                    Kind.ONE,
                                    new UUID(1, 2),
                                    new byte[] {0, -1, 1},
                                    Instant.MIN,
                                    LocalDate.of(2024, 2, 29),
                                    OffsetDateTime.parse("2025-01-15T10:35:00.5+09:00"),
                                    Duration.ofNanos(1_500_000_001),
                                    List.of(Map.of("a", List.of("b")), Map.of()),
                                    open))
                    .withHeader("tracestate", "a=b")
                    .withHeader("tenant", "\u00e9u");

            Event<?> decoded = roundTrip(event);

            assertThat(decoded).usingRecursiveComparison().isEqualTo(event);
            assertThat(((Everything) decoded.payload()).price()).isEqualTo(new BigDecimal(price));
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"userId", "orderId"})
    void a_payload_of_open_properties_gets_back_none_of_the_envelopes(String keyProperty) {
        EventType<Open> type = EventType.of("OPEN", Open.class)
                .topic("t")
                .key(keyProperty, open -> String.valueOf(open.properties().get(keyProperty)));
        Open open = new Open();
        open.put(keyProperty, "u");
        open.put("a", List.of(Map.of("eventId", "nested ones are the payload's own")));

        Event<?> decoded = roundTrip(Event.of(type, "e-1", WHEN, open));

        assertThat(((Open) decoded.payload()).properties()).isEqualTo(open.properties());
    }

    @Test
    void a_payload_that_is_a_map_gets_back_none_of_the_envelopes() {
        @SuppressWarnings("rawtypes")
        EventType<Map> type = EventType.of("MAP", Map.class).topic("t").key(map -> String.valueOf(map.get("userId")));

        Event<?> decoded = roundTrip(Event.of(type, "e-1", WHEN, Map.of("userId", "u", "a", 1)));

        assertThat(decoded.payload()).isEqualTo(Map.of("userId", "u", "a", 1));
    }

    @Test
    void the_key_stands_in_the_property_that_the_type_names() {
        EventType<Anything> type =
                EventType.of("ANYTHING", Anything.class).topic("t").key("orderId", any -> "o-1");

        assertThat(encoder.encode(Event.of(type, "e-1", WHEN, new Anything(null)))
                        .value())
                .asString(UTF_8)
                .isEqualTo(
                        "{\"eventId\":\"e-1\",\"eventType\":\"ANYTHING\",\"timestamp\":\"2025-01-15T10:35:00Z\",\"orderId\":\"o-1\",\"value\":null}");
    }

    // ---- refusals ------------------------------------------------------------------------------------------------

    @Test
    void refuses_an_id_or_key_that_no_column_could_take() {
        for (String bad : List.of("", " ", "nul\0", "half \ud83d", "\u00e9".repeat(128))) {
            assertRefused(
                    Event.of(ASSET_UPDATED, bad + (bad.isBlank() ? "" : "x"), WHEN, asset("u")),
                    "event id",
                    "identifier");
            assertRefused(new Event<>("e-1", ASSET_UPDATED, bad, WHEN, asset("u"), Map.of()), "key", "identifier");
        }
        assertThatThrownBy(() -> Event.of(ASSET_UPDATED, "e-1", WHEN, asset("")))
                .isInstanceOf(PublishRefusedException.class)
                .hasMessageContaining("'userId' is missing")
                .hasMessageContaining("Set it");
    }

    @Test
    void refuses_a_key_that_is_not_the_key_property() {
        assertRefused(
                new Event<>("e-1", ASSET_UPDATED, "somebody else", WHEN, asset("u"), Map.of()), "'userId'", ".key(");
        record Numbered(long userId) {}
        EventType<Numbered> numbered =
                EventType.of("NUMBERED", Numbered.class).topic("t").key(n -> String.valueOf(n.userId()));
        assertRefused(Event.of(numbered, "e-1", WHEN, new Numbered(7)), "'userId'", ".key(\"name\"");
    }

    @Test
    void refuses_a_payload_that_is_no_json_object() {
        assertRefused(anything(Scalar.class, new Scalar("x")), "no JSON object", "Publish a record");
        assertRefused(anything(Object.class, List.of()), "no JSON object", "Publish a record");
        assertRefused(anything(Object.class, "text"), "no JSON object", "Publish a record");
    }

    @Test
    void refuses_a_property_of_the_envelopes_found_only_when_writing() {
        Open open = new Open();
        open.put("eventType", "other");

        assertRefused(anything(Open.class, open), "'eventType'", "Rename it");
    }

    @Test
    void refuses_what_cannot_be_written() {
        assertRefused(anything(Endless.class, new Endless()), "cannot be written as JSON", "Mend the class");
        assertRefused(anything(Failing.class, new Failing()), "cannot be written as JSON", "Mend the class");
        assertRefused(anything(new Object()), "cannot be written as JSON", "Mend the class");
    }

    @Test
    void refuses_what_no_consumer_could_read() {
        assertUnreadable("x".repeat(JsonDocument.MAX_STRING_LENGTH + 1), "TOO_LARGE");
        assertUnreadable("x".repeat(EventLimits.MAX_READ_BYTES), "TOO_LARGE");
        assertUnreadable(Map.of("n".repeat(JsonDocument.MAX_NAME_LENGTH + 1), 1), "TOO_LARGE");
        assertUnreadable(new int[JsonDocument.MAX_TOKENS], "TOO_LARGE");
        assertUnreadable(new BigDecimal("1e999999999"), "BAD_VALUE");
        assertUnreadable(new BigInteger("9".repeat(JsonDocument.MAX_NUMBER_LENGTH + 1)), "BAD_VALUE");
        Object deep = 1;
        for (int i = 0; i < JsonDocument.MAX_DEPTH; i++) {
            deep = List.of(deep);
        }
        assertUnreadable(deep, "TOO_DEEP");
        assertRefused(anything(Raw.class, new Raw("{\"a\":1,\"a\":2}")), "twice", "one getter");
        assertRefused(anything(Raw.class, new Raw("{\"a\":")), "no consumer could read it", "MALFORMED_JSON");
    }

    @Test
    void refuses_a_header_without_a_value_or_a_name() {
        Map<String, String> noValue = new HashMap<>();
        noValue.put("tenant", null);
        Map<String, String> noName = new HashMap<>();
        noName.put(null, "eu");
        for (Map<String, String> headers : List.of(noValue, noName)) {
            assertRefused(new Event<>("e-1", ASSET_UPDATED, "u", WHEN, asset("u"), headers), "is null", "Leave it out");
        }
    }

    @Test
    void refuses_headers_over_the_budget_or_of_ours_or_that_are_no_text() {
        Event<AssetUpdated> event = Event.of(ASSET_UPDATED, "e-1", WHEN, asset("u"));
        Map<String, String> many = new HashMap<>();
        for (int i = 0; i <= EventLimits.MAX_HEADERS; i++) {
            many.put("h" + i, "");
        }
        assertRefused(new Event<>("e-1", ASSET_UPDATED, "u", WHEN, asset("u"), many), "65 headers", "into the payload");
        assertRefused(event.withHeader("h", "\u00e9".repeat(8192)), "16385 bytes", "into the payload");
        for (String ours : List.of("id", "eventType", "contentType", "eventbus-dlq-topic", "eventbus-")) {
            assertRefused(event.withHeader(ours, "x"), "'" + ours + "'", "Choose another");
        }
        assertRefused(event.withHeader("h", "half \ud83d"), "'h' is not well-formed", "Encode it");
        assertRefused(event.withHeader("half \ud83d", "x"), "is not well-formed", "Encode it");
        assertRefused(event.withHeader("traceparent", "0".repeat(65)), "traceparent", "shorten");
        assertRefused(event.withHeader("tracestate", "0".repeat(513)), "tracestate", "shorten");
        assertRefused(event.withHeader("tracestate", "nul\0"), "tracestate", "ASCII");
        assertThat(encoder.encode(event.withHeader("h", "x".repeat(EventLimits.MAX_HEADERS_BYTES - 1)))
                        .headers())
                .hasSize(1);
    }

    @Test
    void no_value_reaches_the_text_of_a_refusal() {
        for (Object value : List.of("S3CR3T".repeat(100_000), Map.of("S3CR3T".repeat(100), 1))) {
            assertThatThrownBy(() -> encoder.encode(anything(value)))
                    .isInstanceOf(PublishRefusedException.class)
                    .hasMessageNotContaining("S3CR3T");
        }
        assertThatThrownBy(() -> encoder.encode(new Event<>(
                        "e-1", ASSET_UPDATED, "S3CR3T\0", WHEN, asset("S3CR3T"), Map.of("h\r\n", "S3CR3T"))))
                .hasMessageNotContaining("S3CR3T");
    }

    @Test
    void an_id_from_outside_is_escaped_in_the_text_of_an_event() {
        Event<AssetUpdated> event = Event.of(ASSET_UPDATED, "e\r\n\u001b[31m\u202e", WHEN, asset("u"));

        assertThat(event).hasToString("ASSET_UPDATED e\\u000d\\u000a\\u001b[31m\\u202e");
        assertThat(encoder.encode(event)).hasToString(event.toString());
    }

    private void assertUnreadable(Object value, String reason) {
        assertRefused(anything(value), "no consumer could read it (" + reason, "Make the payload smaller");
    }

    private void assertRefused(Event<?> event, String fault, String fix) {
        assertThatThrownBy(() -> encoder.encode(event))
                .isInstanceOfSatisfying(
                        PublishRefusedException.class,
                        e -> assertThat(e.eventType()).isEqualTo(event.type().name()))
                .hasMessageContaining(event.type().name())
                .hasMessageContaining("was not published")
                .hasMessageContaining(fault)
                .hasMessageContaining(fix)
                .hasMessageContaining("Nothing was written to the outbox");
    }

    private Event<?> roundTrip(Event<?> event) {
        ProducerRecord<byte[], byte[]> sent = EventRecords.of(encoder.encode(event), "t", 0);
        ConsumerRecord<byte[], byte[]> read = new ConsumerRecord<>("t", 0, 0, sent.key(), sent.value());
        sent.headers().forEach(read.headers()::add);
        return new EventDecoder(List.of(event.type())).decode(read);
    }

    private static Event<Anything> anything(@Nullable Object value) {
        return anything(Anything.class, new Anything(value));
    }

    private static <P> Event<P> anything(Class<P> type, P payload) {
        EventType<P> eventType = EventType.of("ANYTHING", type).topic("t").key(any -> "u");
        return Event.of(eventType, "e-1", WHEN, payload);
    }

    private static AssetUpdated asset(String userId) {
        return new AssetUpdated(userId, null, null, null, null, null, null, null);
    }
}
