package dev.eventbus.it.consumer;

import static dev.eventbus.it.Events.ASSET_UPDATED;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.consumer.AfterRetries;
import dev.eventbus.consumer.ConsumerRunner;
import dev.eventbus.consumer.RunnerHealth.Status;
import dev.eventbus.embedded.EmbeddedKafka;
import dev.eventbus.embedded.KafkaServer;
import dev.eventbus.embedded.ServersExtension;
import dev.eventbus.it.Eventually;
import dev.eventbus.topics.KafkaCluster;
import dev.eventbus.topics.TopicSpec;
import dev.eventbus.topics.Topics;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CopyOnWriteArrayList;
import org.apache.kafka.clients.producer.Producer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.parallel.Execution;
import org.junit.jupiter.api.parallel.ExecutionMode;

/** A runner that cannot work says why within seconds, and works as soon as it can. */
@ExtendWith(ServersExtension.class)
@Execution(ExecutionMode.CONCURRENT)
class RunnerFaultsIT {

    private static final Duration SECONDS = Duration.ofSeconds(20);

    private final List<String> handled = new CopyOnWriteArrayList<>();

    @Test
    void topics_that_are_missing_are_named_and_reading_begins_when_they_are_there(KafkaServer server) throws Exception {
        KafkaCluster kafka = KafkaCluster.at(server.bootstrapServers()).topicPrefix(server.uniqueName("missing") + ".");
        try (ConsumerRunner runner = runner(kafka).start()) {
            Eventually.holds(
                    SECONDS,
                    () -> runner.health().problems().stream()
                            .anyMatch(problem -> problem.contains(kafka.physicalTopic("asset.events"))
                                    && problem.contains(kafka.physicalTopic("dlq.events"))
                                    && problem.contains("does not have the topic")),
                    runner::health);
            assertThat(runner.health().status()).isEqualTo(Status.DEGRADED);

            Topics.of(kafka, spec("asset.events"), spec("dlq.events")).provision();
            try (Producer<byte[], byte[]> producer = kafka.producer(Map.of())) {
                var unused = producer.send(new ProducerRecord<>(
                        kafka.physicalTopic("asset.events"), "alice".getBytes(UTF_8), """
                        {"eventId":"a1","eventType":"ASSET_UPDATED","timestamp":"2030-01-01T00:00:00Z","userId":"alice"}""".getBytes(UTF_8)));
            }
            Eventually.holds(() -> handled.contains("a1"), runner::health);
            Eventually.holds(SECONDS, () -> runner.health().status() == Status.UP, runner::health);
        }
    }

    @Test
    void of_a_missing_topic_it_is_said_which_one_may_be_meant(KafkaServer server) throws Exception {
        KafkaCluster kafka = KafkaCluster.at(server.bootstrapServers()).topicPrefix(server.uniqueName("missing") + ".");
        Topics.of(kafka, spec("asset.evnts"), spec("dlq.events")).provision();
        try (ConsumerRunner runner = runner(kafka).start()) {
            Eventually.holds(
                    SECONDS,
                    () -> runner.health().problems().stream()
                            .anyMatch(problem -> problem.contains("'%s'".formatted(kafka.physicalTopic("asset.events")))
                                    && problem.contains("but it has '%s', which may be meant"
                                            .formatted(kafka.physicalTopic("asset.evnts")))),
                    runner::health);
        }
    }

    /** Topics are there and the broker answers, but Kafka's clients look for a coordinator in silence. */
    @Test
    void a_group_without_a_coordinator_is_said_after_a_minute_under_both_protocols() throws Exception {
        try (EmbeddedKafka server = EmbeddedKafka.builder()
                .property("offsets.topic.replication.factor", "3")
                .start()) {
            KafkaCluster classic = KafkaCluster.at(server.bootstrapServers());
            KafkaCluster consumer = KafkaCluster.of(
                    Map.of("bootstrap.servers", server.bootstrapServers(), "group.protocol", "consumer"));
            Topics.of(classic, spec("asset.events"), spec("dlq.events")).provision();
            try (ConsumerRunner one = runner(classic).start();
                    ConsumerRunner other = runner(consumer).start()) {
                Eventually.holds(
                        Duration.ofMinutes(2),
                        () -> saysNoCoordinator(one) && saysNoCoordinator(other),
                        () -> one.health() + "\n" + other.health());
            }
        }
    }

    private static boolean saysNoCoordinator(ConsumerRunner runner) {
        return runner.health().status() == Status.DEGRADED
                && runner.health().problems().stream().anyMatch(problem -> problem.contains("__consumer_offsets"));
    }

    @Test
    void a_port_where_nobody_listens_is_named_and_closing_is_quick() throws Exception {
        int port;
        try (ServerSocket free = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            port = free.getLocalPort();
        }
        ConsumerRunner runner = runner(KafkaCluster.at("127.0.0.1:" + port)).start();
        try {
            Eventually.holds(
                    SECONDS,
                    () -> runner.health().problems().stream()
                            .anyMatch(problem ->
                                    problem.contains("127.0.0.1:" + port) && problem.contains("connection is refused")),
                    runner::health);
        } finally {
            runner.close(Duration.ofSeconds(10));
        }
        assertThat(runner.health().status()).isEqualTo(Status.STOPPED);
    }

    private ConsumerRunner runner(KafkaCluster kafka) {
        return ConsumerRunner.builder(kafka, "calculator." + kafka.physicalTopic("asset.events"))
                .on(ASSET_UPDATED, (event, delivery) -> handled.add(event.id()))
                .afterRetries(AfterRetries.deadLetter("dlq.events"))
                .build();
    }

    private static TopicSpec spec(String topic) {
        return TopicSpec.of(topic, 1).replicationFactor(1).minInsyncReplicas(1);
    }
}
