package dev.eventbus.consumer;

import static dev.eventbus.consumer.MockKafka.LETTERS;
import static dev.eventbus.consumer.MockKafka.P0;
import static dev.eventbus.consumer.MockKafka.TOPIC;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.Codec;
import dev.eventbus.EventType;
import dev.eventbus.internal.RunLoop;
import io.github.resilience4j.retry.RetryConfig;
import java.net.ConnectException;
import java.time.Duration;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import org.apache.kafka.common.errors.SerializationException;
import org.apache.kafka.common.header.Headers;
import org.apache.kafka.common.serialization.Deserializer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** A runner that reads what others write. */
class RunnerWithCodecTest extends SteppedRunner {

    private boolean registryIsAway;

    private final EventType<String> note = EventType.of("NOTE", String.class, Codec.reading(this::text))
            .topic(TOPIC)
            .key(text -> text.split(" ")[0]);

    private String text(String topic, byte[] bytes) {
        if (registryIsAway) {
            throw new SerializationException("no schema", new ConnectException());
        }
        String text = new String(bytes, UTF_8);
        if (text.isBlank()) {
            throw new SerializationException("nothing");
        }
        return text;
    }

    @Test
    void a_record_whose_schema_is_out_of_reach_waits_without_using_an_attempt() {
        ConsumerRunner runner = started(false);
        registryIsAway = true;
        kafka.record(P0, "alice", "alice says no");
        kafka.record(P0, "alice", "alice says yes");
        settle(runner);
        for (int i = 0; i < 20; i++) {
            jump(runner);
        }
        assertThat(runner.health().problems())
                .anySatisfy(problem -> assertThat(problem).contains("ConnectException"));
        assertThat(kafka.letters.history()).isEmpty();
        registryIsAway = false;
        jump(runner);
        assertThat(handled).containsExactly("alice says no", "alice says yes");
        assertThat(kafka.committed(P0)).isEqualTo(2);
    }

    /** As a registry does that neither answers nor refuses. */
    @Test
    void a_codec_that_does_not_return_holds_its_own_key_only_and_is_told() {
        CountDownLatch never = new CountDownLatch(1);
        EventType<String> hanging = EventType.of("NOTE", String.class, Codec.<String>reading((topic, bytes) -> {
                    String text = new String(bytes, UTF_8);
                    if (text.equals("hangs")) {
                        RunLoop.await(Duration.ofSeconds(60), () -> never.getCount() == 0);
                    }
                    return text;
                }))
                .topic(TOPIC)
                .key(text -> text);
        Set<String> seen = ConcurrentHashMap.newKeySet();
        ConsumerRunner runner = ConsumerRunner.builder(kafka, "g")
                .onBatch(hanging, 200, (events, batch) -> events.forEach(event -> seen.add(event.payload())))
                .concurrency(4)
                .afterRetries(AfterRetries.deadLetter(LETTERS))
                .build();
        for (int i = 0; i < 40; i++) {
            String key = i == 20 ? "hangs" : "k" + i;
            kafka.record(P0, key, key);
        }
        try {
            kafka.assign(P0);
            runner.start();
            assertThat(RunLoop.await(Duration.ofSeconds(20), () -> seen.size() == 39))
                    .isTrue();
            assertThat(RunLoop.await(Duration.ofSeconds(20), () -> {
                        kafka.advance(Duration.ofSeconds(10));
                        return runner.health().problems().stream().anyMatch(one -> one.startsWith("EB-3004 1 records"));
                    }))
                    .isTrue();
            never.countDown();
            assertThat(RunLoop.await(Duration.ofSeconds(20), () -> seen.size() == 40))
                    .isTrue();
        } finally {
            never.countDown();
            runner.close(Duration.ofSeconds(5));
        }
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void an_unreadable_record_dies_in_its_place_also_where_events_are_handled_together(boolean together) {
        ConsumerRunner runner = started(together);
        kafka.record(P0, "alice", "alice 1");
        kafka.record(P0, "alice", " ");
        kafka.record(P0, "alice", "alice 2");
        settle(runner);
        assertThat(handled).containsExactly("alice 1", "alice 2");
        assertThat(letterReasons()).containsExactly("BAD_VALUE");
        assertThat(kafka.committed(P0)).isEqualTo(3);
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void a_letter_has_the_headers_of_its_record_though_a_deserializer_takes_them_away(boolean fails) {
        EventType<String> typed = EventType.of("NOTE", String.class, Codec.reading(new TypeRemover(fails)))
                .topic(TOPIC)
                .key(text -> text);
        ConsumerRunner runner = ConsumerRunner.builder(kafka, "g")
                .on(typed, (event, delivery) -> {
                    throw new IllegalStateException("no luck");
                })
                .retry(RetryConfig.custom().maxAttempts(1).build())
                .afterRetries(AfterRetries.deadLetter(LETTERS))
                .build();
        kafka.assign(P0);
        runner.runOnce();
        kafka.record(P0, "alice", "alice 1").headers().add("__TypeId__", "note".getBytes(UTF_8));
        settle(runner);
        assertThat(kafka.letters.history())
                .singleElement()
                .satisfies(letter -> assertThat(
                                letter.headers().lastHeader("__TypeId__").value())
                        .asString()
                        .isEqualTo("note"));
    }

    /** As some frameworks' deserializers do. */
    private record TypeRemover(boolean fails) implements Deserializer<String> {

        @Override
        public String deserialize(String topic, byte[] bytes) {
            return new String(bytes, UTF_8);
        }

        @Override
        public String deserialize(String topic, Headers headers, byte[] bytes) {
            headers.remove("__TypeId__");
            if (fails) {
                throw new SerializationException("after that");
            }
            return deserialize(topic, bytes);
        }
    }

    private ConsumerRunner started(boolean together) {
        ConsumerRunnerBuilder builder = ConsumerRunner.builder(kafka, "g");
        ConsumerRunner runner = (together
                        ? builder.onBatch(
                                note, 10, (events, batch) -> events.forEach(event -> handled.add(event.payload())))
                        : builder.on(note, (event, delivery) -> handled.add(event.payload())))
                .afterRetries(AfterRetries.deadLetter(LETTERS))
                .build();
        kafka.assign(P0);
        runner.runOnce();
        return runner;
    }
}
