package dev.eventbus;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.EOFException;
import java.net.ConnectException;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.ServiceConfigurationError;
import java.util.stream.Stream;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.errors.SerializationException;
import org.apache.kafka.common.header.Headers;
import org.apache.kafka.common.header.internals.RecordHeaders;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.serialization.Deserializer;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Types whose records are no JSON of ours: bytes of a codec, and tombstones. */
class CodecTest {

    private static final Codec<String> TEXT = Codec.of("text/plain", new StringSerializer(), new StringDeserializer());

    private static final EventType<String> NOTE = EventType.of("NOTE", String.class, TEXT)
            .topic("notes")
            .key(note -> note.isBlank() ? null : note.split(" ")[0]);

    private static final EventType<String> NOTE_OR_NOTHING = NOTE.tombstones(key -> key + " is gone");

    record Order(String userId) {}

    private static final EventType<Order> ORDERED =
            EventType.of("ORDERED", Order.class).topic("orders").key(Order::userId);

    @Test
    void a_record_of_a_stranger_is_an_event_of_its_topics_only_type_known_by_its_place() {
        Event<?> event = decode(record("notes", "k".getBytes(UTF_8), "alice says no"), NOTE, ORDERED);
        assertThat(event.type()).isSameAs(NOTE);
        assertThat(event.id()).isEqualTo("notes/3/7");
        assertThat(event.key())
                .as("from the payload, whatever the record's key is")
                .isEqualTo("alice");
        assertThat(event.payload()).isEqualTo("alice says no");
        assertThat(event.timestamp()).isEqualTo(Instant.ofEpochMilli(1_000));
    }

    @Test
    void the_place_is_the_physical_topics_and_the_type_the_logical_ones() {
        Event<?> event = new EventDecoder(List.of(NOTE), topic -> topic.replace("prod.", ""))
                .decode(record("prod.notes", null, "alice says no"));
        assertThat(event.id()).isEqualTo("prod.notes/3/7");
    }

    @Test
    void bytes_of_a_type_that_only_others_know_are_of_an_unknown_type_and_no_broken_json() {
        ConsumerRecord<byte[], byte[]> others = record("orders", "k".getBytes(UTF_8), "\u0000 no JSON");
        others.headers().add("eventType", "OTHERS".getBytes(UTF_8));
        assertThatThrownBy(() -> decode(others, NOTE, ORDERED)).isInstanceOfSatisfying(DecodeException.class, e -> {
            assertThat(e.reason()).isEqualTo(FailureReason.UNKNOWN_TYPE);
            assertThat(e.eventType()).isEqualTo("OTHERS");
        });
    }

    static Stream<Error> errorsOfUsers() {
        return Stream.of(
                new NoClassDefFoundError("Generated"),
                new AssertionError(),
                new ServiceConfigurationError("no module"),
                new StackOverflowError());
    }

    @ParameterizedTest
    @MethodSource("errorsOfUsers")
    void what_a_deserializer_throws_makes_the_record_unreadable_and_nothing_else(Error thrown) {
        Deserializer<String> broken = (topic, bytes) -> {
            throw thrown;
        };
        EventType<String> type = EventType.of("NOTE", String.class, Codec.reading(broken))
                .topic("notes")
                .key(note -> note);
        assertThatThrownBy(() -> decode(record("notes", null, "alice"), type))
                .isInstanceOfSatisfying(
                        DecodeException.class, e -> assertThat(e.reason()).isEqualTo(FailureReason.BAD_VALUE));
    }

    /** A prefix is of the cluster, which the publisher does not know. */
    @Test
    void who_writes_and_reads_knows_the_types_topic_on_both_sides_and_who_reads_what_others_write_the_physical_one() {
        Codec<String> bound = Codec.of(
                "text/plain", (topic, text) -> (topic + ":" + text).getBytes(UTF_8), CodecTest::boundToItsTopic);
        EventType<String> ours =
                EventType.of("NOTE", String.class, bound).topic("notes").key(note -> "k");
        byte[] value = new EventEncoder()
                .encode(Event.of(ours, "note-1", Instant.EPOCH, "hi"))
                .value();
        EventType<String> others = EventType.of("NOTE", String.class, Codec.reading(CodecTest::boundToItsTopic))
                .topic("notes")
                .key(note -> "k");
        for (String prefix : List.of("", "p.")) {
            assertThat(new EventDecoder(List.of(ours), topic -> topic.substring(prefix.length()))
                            .decode(record(prefix + "notes", null, value))
                            .payload())
                    .isEqualTo("hi");
            assertThat(new EventDecoder(List.of(others), topic -> topic.substring(prefix.length()))
                            .decode(record(prefix + "notes", null, prefix + "notes:hi"))
                            .payload())
                    .isEqualTo("hi");
        }
    }

    private static String boundToItsTopic(String topic, byte[] bytes) {
        String text = new String(bytes, UTF_8);
        if (!text.startsWith(topic + ":")) {
            throw new SerializationException("of another topic");
        }
        return text.substring(topic.length() + 1);
    }

    @Test
    void a_place_that_is_too_long_for_an_id_has_the_topics_hash() {
        assertThat(EventRecords.placeOf(record("t".repeat(200), null, "")))
                .hasSize(64 + "/3/7".length())
                .endsWith("/3/7");
    }

    @Test
    void headers_come_before_place_and_topic() {
        ConsumerRecord<byte[], byte[]> record = record("somewhere", null, "alice says no");
        record.headers().add("id", "note-1".getBytes(UTF_8)).add("eventType", "NOTE".getBytes(UTF_8));
        record.headers().add("tenant", "eu".getBytes(UTF_8));
        Event<?> event = decode(record, NOTE, ORDERED);
        assertThat(event.id()).isEqualTo("note-1");
        assertThat(event.headers()).containsOnlyKeys("tenant");
    }

    @Test
    void what_is_published_is_read_as_it_was() {
        Event<String> event =
                Event.of(NOTE, "note-1", Instant.EPOCH, "alice says no").withHeader("tenant", "eu");
        EncodedEvent encoded = new EventEncoder().encode(event);
        assertThat(encoded.contentType()).isEqualTo("text/plain");
        assertThat(encoded.value()).isEqualTo("alice says no".getBytes(UTF_8));
        var sent = EventRecords.of(encoded, "notes", 3);
        Event<?> read = decode(record("notes", sent.key(), sent.value(), sent.headers()), NOTE, ORDERED);
        assertThat(read.id()).isEqualTo("note-1");
        assertThat(read.key()).isEqualTo("alice");
        assertThat(read.payload()).isEqualTo("alice says no");
        assertThat(read.headers()).isEqualTo(event.headers());
    }

    @Test
    void a_type_beside_others_in_its_topic_is_named_by_the_header() {
        EventType<String> other =
                EventType.of("OTHER", String.class, TEXT).topic("notes").key(any -> "k");
        assertThatThrownBy(() -> decode(record("notes", null, "alice says no"), NOTE, other))
                .isInstanceOf(DecodeException.class);
        ConsumerRecord<byte[], byte[]> named = record("notes", null, "alice says no");
        named.headers().add("eventType", "OTHER".getBytes(UTF_8));
        assertThat(decode(named, NOTE, other).type()).isSameAs(other);
    }

    @Test
    void another_class_no_result_and_a_failure_are_bad_values_without_the_value_in_the_text() {
        for (Deserializer<Object> hostile : List.<Deserializer<Object>>of(
                (topic, bytes) -> 7, // of another class
                (topic, bytes) -> null,
                (topic, bytes) -> {
                    throw new SerializationException("secret", new EOFException("secret"));
                },
                (topic, bytes) -> {
                    throw new StackOverflowError();
                })) {
            assertThat(fault(record("notes", null, "secret"), reading(hostile))).satisfies(e -> {
                assertThat(e.reason()).isEqualTo(FailureReason.BAD_VALUE);
                assertThat(e.isForNow()).isFalse();
                assertThat(e.getMessage()).doesNotContain("secret");
                assertThat(e.getCause()).isNull();
            });
        }
    }

    @Test
    void a_registry_that_does_not_answer_is_not_the_records_fault() {
        DecodeException fault = fault(record("notes", null, "x"), reading((topic, bytes) -> {
            throw new SerializationException("no schema", new ConnectException("refused"));
        }));
        assertThat(fault.isForNow()).isTrue();
        assertThat(fault).hasCauseInstanceOf(ConnectException.class);
    }

    @Test
    void a_payload_without_a_key_is_no_event() {
        assertThat(fault(record("notes", null, " "), NOTE).reason()).isEqualTo(FailureReason.BAD_ENVELOPE);
    }

    @Test
    void a_value_that_is_too_large_is_not_given_to_the_codec() {
        assertThat(fault(record("notes", null, "x".repeat(EventLimits.MAX_READ_BYTES + 1)), NOTE)
                        .reason())
                .isEqualTo(FailureReason.TOO_LARGE);
    }

    @Test
    void a_tombstone_is_an_event_to_a_type_that_takes_them_and_empty_to_others() {
        ConsumerRecord<byte[], byte[]> tombstone = record("notes", "alice".getBytes(UTF_8), (byte[]) null);
        Event<?> event = decode(tombstone, NOTE_OR_NOTHING, ORDERED);
        assertThat(event.payload()).isEqualTo("alice is gone");
        assertThat(event.key()).isEqualTo("alice");
        assertThat(event.id()).isEqualTo("notes/3/7");
        assertThat(fault(tombstone, NOTE).reason()).isEqualTo(FailureReason.EMPTY);
        assertThat(fault(record("orders", "alice".getBytes(UTF_8), (byte[]) null), ORDERED)
                        .reason())
                .isEqualTo(FailureReason.EMPTY);
        assertThat(fault(record("notes", null, (byte[]) null), NOTE_OR_NOTHING).reason())
                .isEqualTo(FailureReason.BAD_ENVELOPE);
    }

    @Test
    void a_type_in_our_own_json_takes_tombstones_too() {
        EventType<Order> orders = ORDERED.tombstones(Order::new);
        assertThat(decode(record("orders", "alice".getBytes(UTF_8), (byte[]) null), orders, NOTE)
                        .payload())
                .isEqualTo(new Order("alice"));
        assertThat(decode(record("orders", "alice".getBytes(UTF_8), """
                                        {"eventId":"o1","eventType":"ORDERED","timestamp":"2030-01-01T00:00:00Z","userId":"alice"}"""), orders, NOTE)
                        .id())
                .isEqualTo("o1");
    }

    @Test
    void a_key_that_is_no_text_is_given_in_hexadecimal_digits() {
        byte[] avro = {0, 0, 0, 0, 1, 4, 'u', '1'};
        assertThat(decode(record("notes", avro, (byte[]) null), NOTE_OR_NOTHING).key())
                .isEqualTo("0000000001047531");
        byte[] latin = {(byte) 0xe9};
        assertThat(decode(record("notes", latin, (byte[]) null), NOTE_OR_NOTHING)
                        .key())
                .isEqualTo("e9");
    }

    @Test
    void a_type_that_others_write_is_not_published() {
        EventType<String> foreign = reading((topic, bytes) -> "x");
        assertThatThrownBy(() -> new EventEncoder().encode(Event.of(foreign, "id", Instant.EPOCH, "x")))
                .isInstanceOf(PublishRefusedException.class)
                .hasMessageContaining("reads only");
    }

    @Test
    void a_serializer_that_fails_or_writes_too_much_is_refused_before_anything_is_written() {
        for (Codec<String> codec : List.<Codec<String>>of(
                Codec.of(
                        "text/plain",
                        (topic, text) -> {
                            throw new SerializationException("secret");
                        },
                        new StringDeserializer()),
                Codec.of(
                        "text/plain",
                        (topic, text) -> new byte[EventLimits.MAX_READ_BYTES + 1],
                        new StringDeserializer()))) {
            EventType<String> type =
                    EventType.of("NOTE", String.class, codec).topic("notes").key(note -> "k");
            assertThatThrownBy(() -> new EventEncoder().encode(Event.of(type, "id", Instant.EPOCH, "x")))
                    .isInstanceOf(PublishRefusedException.class)
                    .hasMessageContaining("Nothing was written")
                    .hasMessageNotContaining("secret");
        }
    }

    @Test
    void a_registry_that_does_not_answer_while_publishing_is_not_the_payloads_fault() {
        Codec<String> codec = Codec.of(
                "text/plain",
                (topic, text) -> {
                    throw new SerializationException("secret", new ConnectException("secret"));
                },
                new StringDeserializer());
        EventType<String> type =
                EventType.of("NOTE", String.class, codec).topic("notes").key(note -> "k");
        assertThatThrownBy(() -> new EventEncoder().encode(Event.of(type, "id", Instant.EPOCH, "x")))
                .isInstanceOf(PublishRefusedException.class)
                .hasMessageContaining("out of reach (java.net.ConnectException)")
                .hasMessageContaining("Nothing was written")
                .hasMessageContaining("try the whole transaction again")
                .hasMessageNotContainingAny("Mend", "secret")
                .hasRootCauseInstanceOf(ConnectException.class);
    }

    /** Readers take the key from the payload, or, where there is none, from the record. */
    @Test
    void a_key_that_is_not_the_payloads_is_refused_unless_a_tombstone_is_published() {
        EventEncoder encoder = new EventEncoder();
        assertThatThrownBy(() -> encoder.encode(new Event<>("id", NOTE, "bob", Instant.EPOCH, "alice is in", Map.of())))
                .isInstanceOfSatisfying(
                        PublishRefusedException.class,
                        refused -> assertThat(refused.code()).isEqualTo(ErrorCode.EVENT_INVALID))
                .hasMessageContaining("its key is not the one that its type takes from the payload")
                .hasMessageNotContainingAny("bob", "alice");
        EventType<String> gone = EventType.of(
                        "NOTE", String.class, Codec.of("text/plain", (topic, text) -> null, new StringDeserializer()))
                .topic("notes")
                .key(note -> "k");
        assertThat(encoder.encode(new Event<>("id", gone, "bob", Instant.EPOCH, "x", Map.of()))
                        .key())
                .isEqualTo("bob");
    }

    @Test
    void a_serializer_that_writes_nothing_publishes_a_tombstone() {
        Codec<Optional<String>> codec = Codec.of(
                "text/plain",
                (topic, text) -> text.map(some -> some.getBytes(UTF_8)).orElse(null),
                (topic, bytes) -> Optional.of(new String(bytes, UTF_8)));
        @SuppressWarnings("unchecked") // there is no other way to a class of a generic type
        EventType<Optional<String>> type = EventType.of(
                        "NOTE", (Class<Optional<String>>) (Class<?>) Optional.class, codec)
                .topic("notes")
                .key(note -> "k");
        assertThat(new EventEncoder()
                        .encode(Event.of(type, "id", Instant.EPOCH, Optional.empty()))
                        .value())
                .isNull();
    }

    @SuppressWarnings("unchecked") // hostile: it says String and returns what it likes
    private static EventType<String> reading(Deserializer<?> deserializer) {
        return EventType.of("NOTE", String.class, Codec.reading((Deserializer<String>) deserializer))
                .topic("notes")
                .key(note -> note);
    }

    private static DecodeException fault(ConsumerRecord<byte[], byte[]> record, EventType<?>... types) {
        try {
            decode(record, types);
        } catch (DecodeException e) {
            return e;
        }
        throw new AssertionError("it was read");
    }

    private static Event<?> decode(ConsumerRecord<byte[], byte[]> record, EventType<?>... types) {
        return new EventDecoder(List.of(types)).decode(record);
    }

    private static ConsumerRecord<byte[], byte[]> record(String topic, byte @Nullable [] key, String value) {
        return record(topic, key, value.getBytes(UTF_8));
    }

    private static ConsumerRecord<byte[], byte[]> record(String topic, byte @Nullable [] key, byte @Nullable [] value) {
        return record(topic, key, value, new RecordHeaders());
    }

    private static ConsumerRecord<byte[], byte[]> record(
            String topic, byte @Nullable [] key, byte @Nullable [] value, Headers headers) {
        return new ConsumerRecord<>(
                topic, 3, 7, 1_000, TimestampType.CREATE_TIME, 0, 0, key, value, headers, Optional.empty());
    }
}
