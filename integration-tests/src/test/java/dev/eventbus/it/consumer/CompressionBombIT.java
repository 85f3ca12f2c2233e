package dev.eventbus.it.consumer;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.FailureReason;
import dev.eventbus.consumer.deadletter.DeadLetter;
import dev.eventbus.embedded.KafkaServer;
import dev.eventbus.embedded.PostgresServer;
import dev.eventbus.embedded.ServersExtension;
import dev.eventbus.it.Eventually;
import dev.eventbus.it.Scene;
import dev.eventbus.topics.TopicSpec;
import dev.eventbus.topics.Topics;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.apache.kafka.clients.producer.Producer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.parallel.Execution;
import org.junit.jupiter.api.parallel.ExecutionMode;

/** A few bytes that become many when Kafka's client unpacks them, before anybody can see how many. */
@ExtendWith(ServersExtension.class)
@Execution(ExecutionMode.CONCURRENT)
class CompressionBombIT {

    private static final int BOMB = 64 * 1024 * 1024;

    /** The weakest of the four makes a twentieth of it. */
    private static final int PACKED_AT_MOST = BOMB / 16;

    @Test
    void a_batch_that_becomes_64_MB_is_dead_lettered_as_too_large_in_a_heap_of_256_and_the_process_goes_on(
            KafkaServer kafka, PostgresServer postgres) throws Exception {
        List<String> compressions = List.of("gzip", "snappy", "lz4", "zstd");
        try (Scene scene = Scene.create(kafka, postgres, "dlq.events:1")) {
            provision(scene);
            scene.execute("CREATE TABLE effect (event varchar(128))");
            List<String> handled = new ArrayList<>();
            try (ConsumerProcess process =
                    ConsumerProcess.start(scene, scene.group("ledger"), ConsumerProcess.MISSED_LATE, "-Xmx256m")) {
                for (String compression : compressions) {
                    sendBomb(scene, compression);
                    scene.sendRaw("asset.events", "mallory", """
                            {"eventId":"after-%s","eventType":"ASSET_UPDATED","timestamp":"2030-01-01T00:00:00Z","userId":"mallory"}
                            """.formatted(compression));
                    handled.add("after-" + compression);
                    Eventually.holds(() -> process.started().equals(handled), () -> process);
                }
                Eventually.holds(
                        () -> scene.committed(scene.group("ledger"), "asset.events") == 2L * compressions.size(),
                        () -> process);
                assertThat(process.isAlive()).as("%s", process).isTrue();
            }
            assertThat(scene.strings("SELECT event FROM effect")).containsExactlyInAnyOrderElementsOf(handled);
            assertThat(scene.records("dlq.events").stream().map(DeadLetter::of))
                    .hasSameSizeAs(compressions)
                    .allMatch(letter -> Objects.requireNonNull(letter.origin()).reason() == FailureReason.TOO_LARGE)
                    .allMatch(letter -> new String(letter.value(), UTF_8).contains("\"size\":" + BOMB));
        }
    }

    @Test
    void in_a_heap_that_cannot_hold_it_the_runner_ends_says_so_and_has_committed_nothing(
            KafkaServer kafka, PostgresServer postgres) throws Exception {
        try (Scene scene = Scene.create(kafka, postgres, "dlq.events:1")) {
            provision(scene);
            sendBomb(scene, "zstd");
            try (ConsumerProcess process =
                    ConsumerProcess.start(scene, scene.group("ledger"), ConsumerProcess.MISSED_LATE, "-Xmx100m")) {
                Eventually.holds(
                        () -> process.status().equals("DOWN")
                                && process.toString()
                                        .contains("the JVM itself has failed (java.lang.OutOfMemoryError)"),
                        () -> process.status() + " " + process);
            }
            assertThat(scene.committed(scene.group("ledger"), "asset.events")).isZero();
            assertThat(scene.records("dlq.events")).isEmpty();
        }
    }

    /** A topic that keeps what a producer has made: with the default the broker would pack everything anew, in one form. */
    private static void provision(Scene scene) {
        Topics.of(
                        scene.kafka(),
                        TopicSpec.of("asset.events", 1)
                                .replicationFactor(1)
                                .minInsyncReplicas(1)
                                .compression("producer")
                                .maxMessageBytes(PACKED_AT_MOST))
                .provision();
    }

    private static void sendBomb(Scene scene, String compression) throws Exception {
        Map<String, Object> wide =
                Map.of("compression.type", compression, "max.request.size", 2 * BOMB, "buffer.memory", 4L * BOMB);
        try (Producer<byte[], byte[]> producer = scene.kafka().producer(wide)) {
            producer.send(new ProducerRecord<>(
                            scene.kafka().physicalTopic("asset.events"), "mallory".getBytes(UTF_8), new byte[BOMB]))
                    .get();
        }
    }
}
