package dev.eventbus.it;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.eventbus.FailureReason;
import dev.eventbus.KafkaAccessException;
import dev.eventbus.consumer.deadletter.DeadLetter;
import dev.eventbus.consumer.deadletter.DeadLetterSink;
import dev.eventbus.consumer.deadletter.Origin;
import dev.eventbus.embedded.KafkaServer;
import dev.eventbus.embedded.ServersExtension;
import dev.eventbus.topics.KafkaCluster;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.Consumer;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Headers;
import org.apache.kafka.common.header.internals.RecordHeaders;
import org.apache.kafka.common.record.TimestampType;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

/** Dead letters on a real broker, which has limits of its own. */
@ExtendWith(ServersExtension.class)
class DeadLetterSinkIT {

    @Test
    void a_letter_over_the_topics_limit_arrives_in_the_largest_size_that_fits(KafkaServer server) throws Exception {
        String topic = server.uniqueName("dlq");
        KafkaCluster kafka = KafkaCluster.at(server.bootstrapServers());
        create(kafka, topic, Map.of("max.message.bytes", "4000"));
        try (DeadLetterSink sink = new DeadLetterSink(kafka, topic)) {
            sendUntilItArrives(sink, "first");
            List<CompletableFuture<Void>> sent = List.of(
                    send(sink, "small", noise(10), new RecordHeaders().add("own", noise(10))),
                    send(sink, "headers", noise(10), new RecordHeaders().add("own", noise(20_000))),
                    send(sink, "value", noise(20_000), new RecordHeaders().add("id", "evt-1".getBytes(UTF_8))));
            for (CompletableFuture<Void> letter : sent) {
                letter.get(30, TimeUnit.SECONDS);
            }
        }
        assertThat(read(kafka, topic, 4).stream()
                        .map(DeadLetter::of)
                        .filter(letter -> !"first".equals(letter.keyText())))
                .allSatisfy(letter -> assertThat(letter.origin()).isNotNull())
                .extracting(letter -> letter.keyText() + " omitted " + omitted(letter.headers()))
                .containsExactlyInAnyOrder("small omitted -", "headers omitted headers", "value omitted headers,value");
    }

    @Test
    void without_its_topic_a_letter_is_refused_in_time_and_accepted_once_the_topic_is_there(KafkaServer server)
            throws Exception {
        String topic = server.uniqueName("dlq");
        KafkaCluster kafka = KafkaCluster.at(server.bootstrapServers());
        try (DeadLetterSink sink = new DeadLetterSink(kafka, topic)) {
            CompletableFuture<Void> refused = send(sink, "bob", noise(10), new RecordHeaders());
            assertThatThrownBy(() -> refused.get(15, TimeUnit.SECONDS))
                    .cause()
                    .isInstanceOf(KafkaAccessException.class)
                    .hasMessageContaining(topic)
                    .hasMessageContaining("Check that the topic exists");
            create(kafka, topic, Map.of());
            sendUntilItArrives(sink, "bob");
        }
        assertThat(read(kafka, topic, 1)).hasSize(1);
    }

    /** As its callers do: a letter that Kafka's client could not take, because it does not know the topic yet, is given to it again. */
    private static void sendUntilItArrives(DeadLetterSink sink, String key) {
        AtomicReference<Throwable> refusal = new AtomicReference<>();
        Eventually.holds(
                () -> {
                    try {
                        send(sink, key, noise(10), new RecordHeaders()).get(30, TimeUnit.SECONDS);
                        return true;
                    } catch (ExecutionException e) {
                        refusal.set(e);
                        return false;
                    }
                },
                refusal::get);
    }

    private static CompletableFuture<Void> send(DeadLetterSink sink, String key, byte[] value, Headers headers) {
        ConsumerRecord<byte[], byte[]> original = new ConsumerRecord<>(
                "asset.events",
                2,
                7,
                0,
                TimestampType.CREATE_TIME,
                0,
                0,
                key.getBytes(UTF_8),
                value,
                headers,
                Optional.empty());
        return sink.send(original, Origin.of(original, "calculator", FailureReason.UNKNOWN_TYPE, Instant.EPOCH))
                .toCompletableFuture();
    }

    /** Nothing compresses it. */
    private static byte[] noise(int bytes) {
        byte[] noise = new byte[bytes];
        new Random(bytes).nextBytes(noise);
        return noise;
    }

    private static String omitted(Headers headers) {
        var header = headers.lastHeader("eventbus-dlq-omitted");
        return header == null ? "-" : new String(header.value(), UTF_8);
    }

    private static void create(KafkaCluster kafka, String topic, Map<String, String> settings) throws Exception {
        try (Admin admin = kafka.admin()) {
            admin.createTopics(List.of(new NewTopic(topic, 1, (short) 1).configs(settings)))
                    .all()
                    .get(30, TimeUnit.SECONDS);
        }
    }

    private static List<ConsumerRecord<byte[], byte[]>> read(KafkaCluster kafka, String topic, int atLeast) {
        TopicPartition partition = new TopicPartition(topic, 0);
        List<ConsumerRecord<byte[], byte[]>> records = new ArrayList<>();
        try (Consumer<byte[], byte[]> consumer = kafka.consumer(Map.of())) {
            consumer.assign(List.of(partition));
            consumer.seekToBeginning(List.of(partition));
            for (int looks = 0; looks < 30 && records.size() < atLeast; looks++) {
                consumer.poll(Duration.ofSeconds(1)).forEach(records::add);
            }
        }
        return records;
    }
}
