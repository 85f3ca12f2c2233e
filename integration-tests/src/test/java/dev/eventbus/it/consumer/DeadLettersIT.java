package dev.eventbus.it.consumer;

import static dev.eventbus.it.Events.ASSET_UPDATED;
import static java.nio.charset.StandardCharsets.UTF_8;
import static java.util.stream.Collectors.toMap;
import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.consumer.AfterRetries;
import dev.eventbus.consumer.ConsumerRunner;
import dev.eventbus.consumer.RunnerHealth.Status;
import dev.eventbus.consumer.deadletter.DeadLetter;
import dev.eventbus.embedded.KafkaServer;
import dev.eventbus.embedded.PostgresServer;
import dev.eventbus.embedded.ServersExtension;
import dev.eventbus.faults.wire.KafkaWire;
import dev.eventbus.it.Eventually;
import dev.eventbus.it.Scene;
import dev.eventbus.it.faults.FaultyKafka;
import dev.eventbus.it.faults.FaultyKafkaExtension;
import dev.eventbus.topics.KafkaCluster;
import dev.eventbus.topics.TopicSpec;
import dev.eventbus.topics.Topics;
import io.github.resilience4j.retry.RetryConfig;
import java.nio.ByteBuffer;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.CopyOnWriteArrayList;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.config.TopicConfig;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.protocol.Errors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

/** Events that die, on real brokers. */
@ExtendWith({ServersExtension.class, FaultyKafkaExtension.class})
class DeadLettersIT {

    private final List<String> handled = new CopyOnWriteArrayList<>();
    private final List<String> failed = new CopyOnWriteArrayList<>();

    @Test
    void X02_while_the_dead_letter_topic_is_missing_the_key_waits_and_nothing_is_skipped(
            KafkaServer server, PostgresServer postgres) throws Exception {
        try (Scene scene = Scene.create(server, postgres, "asset.events:1")) {
            sendEvents(scene);
            ConsumerRunner runner = scene.start(runner(scene, scene.kafka()));
            waitsForItsLetter(scene, runner);
            Topics.of(
                            scene.kafka(),
                            TopicSpec.of("dlq.events", 1).replicationFactor(1).minInsyncReplicas(1))
                    .provision();
            goesOn(scene, runner);
        }
    }

    @Test
    void X02_while_too_few_replicas_are_in_sync_the_key_waits_and_nothing_is_skipped(
            FaultyKafka faulty, PostgresServer postgres) throws Exception {
        try (Scene scene = faulty.scene(postgres, "asset.events:1", "dlq.events:1")) {
            sendEvents(scene);
            faulty.wire().when(batch -> true, KafkaWire.Fate.refused(Errors.NOT_ENOUGH_REPLICAS));
            ConsumerRunner runner = scene.start(runner(scene, faulty.asRunner(scene)));
            waitsForItsLetter(scene, runner);
            faulty.heal();
            goesOn(scene, runner);
        }
    }

    @Test
    void X02_while_writing_the_dead_letter_topic_is_forbidden_the_key_waits_and_nothing_is_skipped(
            FaultyKafka faulty, PostgresServer postgres) throws Exception {
        try (Scene scene = faulty.scene(postgres, "asset.events:1", "dlq.events:1")) {
            faulty.revoke(scene, "dlq.events");
            sendEvents(scene);
            ConsumerRunner runner = scene.start(runner(scene, faulty.asRunner(scene)));
            waitsForItsLetter(scene, runner);
            faulty.grant(scene, "dlq.events");
            goesOn(scene, runner);
        }
    }

    @Test
    void H11_a_compacted_dead_letter_topic_is_a_problem_with_its_fix_until_that_is_done(
            KafkaServer server, PostgresServer postgres) throws Exception {
        try (Scene scene = Scene.create(server, postgres, "asset.events:1", "dlq.events:1");
                Admin admin = scene.kafka().admin()) {
            ConfigResource letters =
                    new ConfigResource(ConfigResource.Type.TOPIC, scene.kafka().physicalTopic("dlq.events"));
            setCleanup(admin, letters, "compact");
            ConsumerRunner runner = scene.start(runner(scene, scene.kafka()));
            Eventually.holds(() -> runner.health().status() == Status.DEGRADED, runner::health);
            assertThat(runner.health().problems())
                    .singleElement()
                    .asString()
                    .contains(letters.name(), "cleanup.policy=compact", "set cleanup.policy=delete");

            setCleanup(admin, letters, "delete");
            Eventually.holds(() -> runner.health().status() == Status.UP, runner::health);
        }
    }

    private static void setCleanup(Admin admin, ConfigResource topic, String policy) throws Exception {
        ConfigEntry entry = new ConfigEntry(TopicConfig.CLEANUP_POLICY_CONFIG, policy);
        admin.incrementalAlterConfigs(Map.of(topic, List.of(new AlterConfigOp(entry, AlterConfigOp.OpType.SET))))
                .all()
                .get();
        Eventually.holds(() -> isCleanedUpBy(admin, topic, policy), () -> "not " + policy);
    }

    private static boolean isCleanedUpBy(Admin admin, ConfigResource topic, String policy) throws Exception {
        Map<ConfigResource, Config> configs =
                admin.describeConfigs(List.of(topic)).all().get();
        return configs.values().stream()
                .map(config -> config.get(TopicConfig.CLEANUP_POLICY_CONFIG).value())
                .allMatch(policy::equals);
    }

    @Test
    void X03_a_record_as_large_as_its_topic_takes_is_dead_lettered_in_the_largest_size_that_fits(
            KafkaServer server, PostgresServer postgres) throws Exception {
        try (Scene scene = Scene.create(server, postgres, "asset.events:1", "dlq.events:1")) {
            scene.start(runner(scene, scene.kafka()));
            byte[] noise =
                    new byte[1024 * 1024 - 200]; // with what Kafka adds it is just below the 1 MiB of both topics
            new Random(7).nextBytes(noise);
            scene.sendRaw("asset.events", "whole", noise);
            byte[] less = new byte[1024 * 1024 - 5_000];
            new Random(8).nextBytes(less);
            ProducerRecord<byte[], byte[]> withHeaders =
                    new ProducerRecord<>(scene.kafka().physicalTopic("asset.events"), "headers".getBytes(UTF_8), less);
            byte[] header = new byte[4_500];
            new Random(9).nextBytes(header);
            withHeaders.headers().add("own", header);
            scene.send(withHeaders);
            scene.flush();
            Eventually.holds(() -> scene.endOffsets("dlq.events") == 2, () -> "no letters");
            Map<String, ConsumerRecord<byte[], byte[]>> letters = scene.records("dlq.events").stream()
                    .collect(toMap(letter -> DeadLetter.of(letter).keyText(), letter -> letter));
            assertThat(letters).containsOnlyKeys("whole", "headers");
            assertThat(letters.get("whole")).satisfies(stub -> {
                assertThat(text(stub, "eventbus-dlq-omitted")).isEqualTo("headers,value");
                assertThat(new String(stub.value(), UTF_8))
                        .contains("\"size\":" + noise.length, "\"sha256\"", "\"offset\":0");
            });
            assertThat(letters.get("headers")).satisfies(cut -> {
                assertThat(text(cut, "eventbus-dlq-omitted")).isEqualTo("headers");
                assertThat(ByteBuffer.wrap(cut.value())).isEqualTo(ByteBuffer.wrap(less));
            });
        }
    }

    @Test
    void X05_an_event_that_is_put_back_ten_times_and_dies_each_time_stays_as_large_as_it_was(
            KafkaServer server, PostgresServer postgres) throws Exception {
        try (Scene scene = Scene.create(server, postgres, "asset.events:1", "dlq.events:1")) {
            scene.start(runner(scene, scene.kafka()));
            scene.sendRaw("asset.events", "bob", event("bob", "fails"));
            for (int round = 1; round <= 10; round++) {
                int letters = round;
                scene.flush();
                Eventually.holds(() -> scene.endOffsets("dlq.events") == letters, () -> "no letter " + letters);
                ConsumerRecord<byte[], byte[]> letter =
                        scene.records("dlq.events").get(round - 1);
                scene.send(new ProducerRecord<>(
                        scene.kafka().physicalTopic("asset.events"),
                        0,
                        letter.key(),
                        letter.value(),
                        letter.headers()));
            }
            List<ConsumerRecord<byte[], byte[]>> letters = scene.records("dlq.events");
            assertThat(letters.stream()
                            .map(letter -> letter.headers().toArray().length)
                            .distinct())
                    .hasSize(1);
            assertThat(letters.stream().map(DeadLettersIT::sizeWithoutOffset).distinct())
                    .hasSize(1);
        }
    }

    @Test
    void T06_forged_headers_of_ours_change_nothing(KafkaServer server, PostgresServer postgres) throws Exception {
        try (Scene scene = Scene.create(server, postgres, "asset.events:1", "dlq.events:1")) {
            scene.start(runner(scene, scene.kafka()));
            for (String forged : List.of("2147483647", "-1", "abc", "9999-12-31T23:59:59Z", "x".repeat(900_000))) {
                ProducerRecord<byte[], byte[]> record = new ProducerRecord<>(
                        scene.kafka().physicalTopic("asset.events"),
                        "bob".getBytes(UTF_8),
                        event("bob", "fails").getBytes(UTF_8));
                for (String name : List.of("attempts", "redrives", "failed-at", "first-failed-at", "topic")) {
                    if (forged.length() < 100 || name.equals("attempts")) {
                        record.headers().add("eventbus-dlq-" + name, forged.getBytes(UTF_8));
                    }
                }
                scene.send(record);
            }
            scene.flush();
            Eventually.holds(() -> scene.endOffsets("dlq.events") == 5, () -> "no letters");
            assertThat(failed).as("each has its two attempts, and no more").hasSize(10);
            assertThat(scene.records("dlq.events"))
                    .extracting(letter -> text(letter, "eventbus-dlq-attempts") + " "
                            + text(letter, "eventbus-dlq-redrives") + " " + text(letter, "eventbus-dlq-topic"))
                    .containsOnly("2 0 " + scene.kafka().physicalTopic("asset.events"));
        }
    }

    private static void sendEvents(Scene scene) {
        scene.sendRaw("asset.events", "bob", event("bob", "fails"));
        scene.sendRaw("asset.events", "bob", event("bob", "b2"));
        scene.sendRaw("asset.events", "alice", event("alice", "a1"));
        scene.flush();
    }

    private void waitsForItsLetter(Scene scene, ConsumerRunner runner) {
        Eventually.holds(
                () -> runner.health().status() == Status.DEGRADED
                        && runner.health().problems().stream()
                                .anyMatch(
                                        problem -> problem.contains("dead-letter topic dlq.events cannot be written")),
                runner::health);
        assertThat(handled).as("other keys go on, its own waits").containsExactly("a1");
        assertThat(failed).as("two attempts, and none for the letter").hasSize(2);
        assertThat(scene.committed(scene.group("calculator"), "asset.events"))
                .as("nothing is skipped")
                .isZero();
    }

    private void goesOn(Scene scene, ConsumerRunner runner) {
        Eventually.holds(() -> handled.contains("b2"), runner::health);
        Eventually.holds(() -> scene.committed(scene.group("calculator"), "asset.events") == 3, runner::health);
        Eventually.holds(() -> runner.health().status() == Status.UP, runner::health);
        assertThat(failed).as("its handler never ran again").hasSize(2);
        assertThat(scene.records("dlq.events"))
                .isNotEmpty()
                .allSatisfy(
                        letter -> assertThat(new String(letter.value(), UTF_8)).isEqualTo(event("bob", "fails")));
    }

    private ConsumerRunner runner(Scene scene, KafkaCluster kafka) {
        return ConsumerRunner.builder(kafka, scene.group("calculator"))
                .on(ASSET_UPDATED, (event, delivery) -> {
                    if (event.id().startsWith("fails")) {
                        failed.add(event.id());
                        throw new IllegalStateException();
                    }
                    handled.add(event.id());
                })
                .retry(RetryConfig.custom()
                        .maxAttempts(2)
                        .intervalFunction(attempt -> 10L)
                        .build())
                .afterRetries(AfterRetries.deadLetter("dlq.events"))
                .build();
    }

    private static String event(String user, String id) {
        return "{\"eventId\":\"%s\",\"eventType\":\"ASSET_UPDATED\",\"timestamp\":\"2025-01-15T10:35:00Z\",\"userId\":\"%s\"}"
                .formatted(id, user);
    }

    private static String text(ConsumerRecord<byte[], byte[]> letter, String name) {
        Header header = letter.headers().lastHeader(name);
        return header == null ? "-" : new String(header.value(), UTF_8);
    }

    /** Of the headers; offset and time may have a digit more or less. */
    private static int sizeWithoutOffset(ConsumerRecord<byte[], byte[]> letter) {
        int size = 0;
        for (Header header : letter.headers()) {
            boolean varies = header.key().endsWith("-offset")
                    || header.key().endsWith("-at")
                    || header.key().endsWith("-timestamp");
            size += header.key().length() + (varies ? 0 : header.value().length);
        }
        return size;
    }
}
