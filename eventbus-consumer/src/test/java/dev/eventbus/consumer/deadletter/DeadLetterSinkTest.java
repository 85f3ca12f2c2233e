package dev.eventbus.consumer.deadletter;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.eventbus.FailureReason;
import dev.eventbus.KafkaAccessException;
import java.security.MessageDigest;
import java.time.Duration;
import java.time.Instant;
import java.util.HexFormat;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.stream.StreamSupport;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.InvalidRecordException;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.errors.InterruptException;
import org.apache.kafka.common.errors.OutOfOrderSequenceException;
import org.apache.kafka.common.errors.ProducerFencedException;
import org.apache.kafka.common.errors.RecordBatchTooLargeException;
import org.apache.kafka.common.errors.RecordTooLargeException;
import org.apache.kafka.common.errors.SaslAuthenticationException;
import org.apache.kafka.common.errors.TimeoutException;
import org.apache.kafka.common.errors.TopicAuthorizationException;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.Headers;
import org.apache.kafka.common.header.internals.RecordHeaders;
import org.apache.kafka.common.record.TimestampType;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;

class DeadLetterSinkTest {

    private static final byte[] KEY = "bob".getBytes(UTF_8);
    private static final byte[] VALUE = {'{', (byte) 0xff, 0, '}'};

    private final OneProducerAtATime kafka = new OneProducerAtATime(true);

    @Test
    void key_value_and_headers_go_untouched_to_the_physical_topic_followed_by_ours() {
        ConsumerRecord<byte[], byte[]> original = original(
                KEY,
                VALUE,
                new RecordHeaders().add("id", "evt-1".getBytes(UTF_8)).add("x", null));
        try (DeadLetterSink sink = new DeadLetterSink(kafka, "dlq.events")) {
            assertThat(sent(sink, original)).isCompleted();
        }
        ProducerRecord<byte[], byte[]> letter = kafka.only().history().get(0);
        assertThat(letter.topic()).isEqualTo("test.dlq.events");
        assertThat(letter.key()).isEqualTo(KEY);
        assertThat(letter.value()).isEqualTo(VALUE);
        assertThat(names(letter.headers()))
                .startsWith("id", "x", "eventbus-dlq-topic")
                .hasSize(2 + 10);
        assertThat(letter.partition()).as("left to the key's hash").isNull();
        assertThat(letter.timestamp()).as("the time of sending").isNull();
    }

    @Test
    void a_null_key_and_a_tombstone_are_letters_like_others() {
        DeadLetterSink sink = new DeadLetterSink(kafka, "dlq.events");
        assertThat(sent(sink, original(null, null, new RecordHeaders()))).isCompleted();
        ProducerRecord<byte[], byte[]> letter = kafka.only().history().get(0);
        assertThat(letter.key()).isNull();
        assertThat(letter.value()).isNull();
    }

    @Test
    void nothing_is_opened_before_the_first_letter_and_one_producer_carries_all() {
        DeadLetterSink sink = new DeadLetterSink(kafka, "dlq.events");
        assertThat(kafka.opened()).isEmpty();
        assertThat(sent(sink, original(KEY, VALUE, new RecordHeaders()))).isCompleted();
        assertThat(sent(sink, original(KEY, VALUE, new RecordHeaders()))).isCompleted();
        assertThat(kafka.only().history()).hasSize(2);
        assertThat(kafka.settings())
                .containsEntry("acks", "all")
                .containsEntry("enable.idempotence", true)
                .containsEntry("delivery.timeout.ms", 10_000)
                .containsEntry("max.block.ms", 250);
        sink.close();
        assertThat(kafka.only().closed()).isTrue();
    }

    @Test
    void it_is_acknowledged_only_when_the_broker_has_done_so() {
        OneProducerAtATime slow = new OneProducerAtATime(false);
        DeadLetterSink sink = new DeadLetterSink(slow, "dlq.events");
        CompletableFuture<Void> acknowledged = sent(sink, original(KEY, VALUE, new RecordHeaders()));
        assertThat(acknowledged).isNotDone();
        slow.only().completeNext();
        assertThat(acknowledged).isCompleted();
    }

    @Test
    void a_refusal_says_what_failed_what_happens_now_and_what_to_do_but_no_value() {
        OneProducerAtATime slow = new OneProducerAtATime(false);
        DeadLetterSink sink = new DeadLetterSink(slow, "dlq.events");
        CompletableFuture<Void> acknowledged = sent(sink, original(KEY, VALUE, new RecordHeaders()));
        TimeoutException cause = new TimeoutException("Topic test.dlq.events not present in metadata");
        slow.only().errorNext(cause);
        assertThatThrownBy(acknowledged::join)
                .isInstanceOf(CompletionException.class)
                .cause()
                .isInstanceOf(KafkaAccessException.class)
                .hasCause(cause)
                .hasMessageContaining("asset.events/2@7")
                .hasMessageContaining("test.dlq.events")
                .hasMessageContaining("its key waits")
                .hasMessageContaining("Check that the topic exists")
                .hasMessageNotContaining("bob");
    }

    @Test
    void after_what_passes_or_concerns_one_record_the_same_producer_goes_on_and_after_what_is_fatal_another_one() {
        OneProducerAtATime slow = new OneProducerAtATime(false);
        DeadLetterSink sink = new DeadLetterSink(slow, "dlq.events");
        for (RuntimeException passing : List.of(
                new TimeoutException("slow"),
                new InterruptException("stop"),
                new OutOfOrderSequenceException("gap"),
                new InvalidRecordException("a compacted topic wants a key"),
                new TopicAuthorizationException("no"))) {
            assertThat(sent(sink, original(KEY, VALUE, new RecordHeaders()))).isNotDone();
            slow.last().errorNext(passing);
            assertThat(slow.opened()).hasSize(1);
        }
        Thread.interrupted(); // Kafka's exception sets it
        int opened = 1;
        for (RuntimeException fatal : List.of(
                new ProducerFencedException("another"),
                new SaslAuthenticationException("no"),
                new KafkaException("in an error state"),
                new IllegalStateException("closed"))) {
            assertThat(sent(sink, original(KEY, VALUE, new RecordHeaders()))).isNotDone();
            assertThat(slow.opened()).hasSize(opened);
            slow.last().errorNext(fatal);
            assertThat(slow.last().closed()).isTrue();
            opened++;
        }
        CompletableFuture<Void> acknowledged = sent(sink, original(KEY, VALUE, new RecordHeaders()));
        slow.last().completeNext();
        assertThat(acknowledged).isCompleted();
    }

    @Test
    void a_producer_that_cannot_be_opened_or_throws_fails_the_stage_and_not_the_caller() {
        OneProducerAtATime broken = new OneProducerAtATime(true);
        broken.failToOpen(new IllegalArgumentException("no such mechanism"));
        DeadLetterSink sink = new DeadLetterSink(broken, "dlq.events");
        assertThat(sent(sink, original(KEY, VALUE, new RecordHeaders()))).isCompletedExceptionally();

        DeadLetterSink throwing = new DeadLetterSink(kafka, "dlq.events");
        assertThat(sent(throwing, original(KEY, VALUE, new RecordHeaders()))).isCompleted();
        kafka.only().sendException = new IllegalStateException("fatal state");
        assertThat(sent(throwing, original(KEY, VALUE, new RecordHeaders()))).isCompletedExceptionally();
        assertThat(kafka.only().closed()).isTrue();
    }

    @Test
    void after_closing_letters_are_refused_and_nothing_is_opened() {
        DeadLetterSink sink = new DeadLetterSink(kafka, "dlq.events");
        sink.close();
        sink.close(Duration.ofSeconds(1));
        assertThat(sent(sink, original(KEY, VALUE, new RecordHeaders()))).isCompletedExceptionally();
        assertThat(kafka.opened()).isEmpty();
    }

    // --- too large
    // ----------------------------------------------------------------------------------------------------

    /** A topic's {@code segment.bytes} may be smaller than its {@code max.message.bytes}; a batch is no larger than a segment. */
    @Test
    void so_does_one_whose_batch_is_larger_than_a_segment() {
        DeadLetterSink sink = new DeadLetterSink(kafka, "dlq.events");
        kafka.refuseOver(5_000);
        kafka.refuseWith(new RecordBatchTooLargeException("larger than a segment"));
        Headers large = new RecordHeaders().add("x", new byte[100_000]);
        assertThat(sent(sink, original(KEY, VALUE, large))).isCompleted();
        assertThat(text(kafka.only().history().get(0).headers(), "eventbus-dlq-omitted"))
                .isEqualTo("headers");
    }

    @Test
    void a_letter_that_is_too_large_goes_first_without_the_originals_own_headers() {
        DeadLetterSink sink = new DeadLetterSink(kafka, "dlq.events");
        kafka.refuseOver(5_000);
        Headers many = new RecordHeaders()
                .add("eventType", "ASSET_UPDATED".getBytes(UTF_8))
                .add("x", new byte[100_000])
                .add("id", "evt-1".getBytes(UTF_8));
        assertThat(sent(sink, original(KEY, VALUE, many))).isCompleted();
        ProducerRecord<byte[], byte[]> letter = kafka.only().history().get(0);
        assertThat(letter.key()).isEqualTo(KEY);
        assertThat(letter.value()).isEqualTo(VALUE);
        assertThat(names(letter.headers()))
                .startsWith("id", "eventType", "eventbus-dlq-topic")
                .doesNotContain("x");
        assertThat(text(letter.headers(), "eventbus-dlq-omitted")).isEqualTo("headers");
    }

    @Test
    void then_as_a_stub_that_lets_one_find_the_original_and_know_it_again() throws Exception {
        DeadLetterSink sink = new DeadLetterSink(kafka, "dlq.events");
        kafka.refuseOver(5_000);
        byte[] large = new byte[100_000];
        assertThat(sent(sink, original(KEY, large, new RecordHeaders()))).isCompleted();
        ProducerRecord<byte[], byte[]> letter = kafka.only().history().get(0);
        String hash =
                HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(large));
        assertThat(new String(letter.value(), UTF_8))
                .isEqualTo("{\"omitted\":\"value\",\"topic\":\"asset.events\",\"partition\":2,\"offset\":7,"
                        + "\"size\":100000,\"sha256\":\"" + hash + "\"}");
        assertThat(letter.key()).isEqualTo(KEY);
        assertThat(text(letter.headers(), "eventbus-dlq-omitted")).isEqualTo("headers,value");
    }

    @Test
    void a_key_that_would_not_fit_even_then_is_left_out() {
        DeadLetterSink sink = new DeadLetterSink(kafka, "dlq.events");
        kafka.refuseOver(5_000);
        Headers hostile = new RecordHeaders().add("id", new byte[100_000]);
        assertThat(sent(sink, original(new byte[100_000], new byte[100_000], hostile)))
                .isCompleted();
        ProducerRecord<byte[], byte[]> letter = kafka.only().history().get(0);
        assertThat(letter.key()).isNull();
        assertThat(text(letter.headers(), "eventbus-dlq-omitted")).isEqualTo("headers,value,key");
    }

    @Test
    void it_is_tried_in_three_sizes_and_never_in_a_loop() {
        OneProducerAtATime strict = new OneProducerAtATime(true);
        strict.refuseOver(0);
        CompletableFuture<Void> acknowledged =
                sent(new DeadLetterSink(strict, "dlq.events"), original(KEY, VALUE, new RecordHeaders()));
        assertThat(acknowledged).isCompletedExceptionally();
        assertThat(strict.only().refused()).isEqualTo(3);
        assertThat(strict.only().closed()).as("the producer is well").isFalse();
        assertThatThrownBy(acknowledged::join)
                .cause()
                .hasMessageContaining("max.message.bytes")
                .hasCauseInstanceOf(RecordTooLargeException.class);
    }

    // --- nothing leaks
    // ------------------------------------------------------------------------------------------------

    @Test
    void no_value_of_the_event_gets_into_a_header_of_ours() {
        String canary = "CANARY-4711";
        RuntimeException failure = new IllegalStateException("cannot book " + canary, new Error(canary));
        Origin origin = Origin.of(
                        original(canary.getBytes(UTF_8), canary.getBytes(UTF_8), new RecordHeaders()),
                        "calculator",
                        FailureReason.ATTEMPTS_EXHAUSTED,
                        Instant.EPOCH)
                .withEventId("evt-1")
                .withFailure(failure, 4, Instant.EPOCH);
        DeadLetterSink sink = new DeadLetterSink(kafka, "dlq.events");
        kafka.refuseOver(2_000);
        sink.send(
                original(
                        canary.getBytes(UTF_8),
                        new byte[100_000],
                        new RecordHeaders().add("h", canary.getBytes(UTF_8))),
                origin);
        ProducerRecord<byte[], byte[]> stub = kafka.only().history().get(0);
        assertThat(new String(stub.value(), UTF_8)).doesNotContain(canary);
        assertThat(stub.headers())
                .allSatisfy(
                        header -> assertThat(new String(header.value(), UTF_8)).doesNotContain(canary));
        assertThat(text(stub.headers(), "eventbus-dlq-exception")).isEqualTo("java.lang.IllegalStateException");
        assertThat(text(stub.headers(), "eventbus-dlq-attempts")).isEqualTo("4");
    }

    private static CompletableFuture<Void> sent(DeadLetterSink sink, ConsumerRecord<byte[], byte[]> original) {
        Origin origin = Origin.of(original, "calculator.asset.events", FailureReason.UNKNOWN_TYPE, Instant.EPOCH);
        return sink.send(original, origin).toCompletableFuture();
    }

    private static ConsumerRecord<byte[], byte[]> original(
            byte @Nullable [] key, byte @Nullable [] value, Headers headers) {
        return new ConsumerRecord<>(
                "asset.events",
                2,
                7,
                1_736_937_300_000L,
                TimestampType.CREATE_TIME,
                0,
                0,
                key,
                value,
                headers,
                Optional.empty());
    }

    private static List<String> names(Headers headers) {
        return StreamSupport.stream(headers.spliterator(), false)
                .map(Header::key)
                .toList();
    }

    private static String text(Headers headers, String name) {
        return new String(headers.lastHeader(name).value(), UTF_8);
    }
}
