package dev.eventbus.it.consumer;

import static dev.eventbus.it.Events.ASSET_UPDATED;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.consumer.AfterRetries;
import dev.eventbus.consumer.ConsumerRunner;
import dev.eventbus.consumer.RunnerHealth.Status;
import dev.eventbus.embedded.EmbeddedKafka;
import dev.eventbus.it.Eventually;
import dev.eventbus.topics.KafkaCluster;
import dev.eventbus.topics.TopicSpec;
import dev.eventbus.topics.Topics;
import io.github.resilience4j.retry.RetryConfig;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.Arrays;
import java.util.Deque;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.stream.IntStream;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.Producer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.TopicConfig;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.parallel.Execution;
import org.junit.jupiter.api.parallel.ExecutionMode;

/** Of three brokers one is killed, and comes back. One cluster for all tests, one after the other. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
@Execution(ExecutionMode.CONCURRENT)
class BrokersGoneIT {

    private static final int STAYS = 1;
    private static final int ALSO_STAYS = 2;
    private static final int LEAVES = 3;

    /** A lost broker is noticed after 2 s; a machine with much to do may take some times that. */
    private static final Duration PAUSE = Duration.ofSeconds(30);

    private final EmbeddedKafka servers = EmbeddedKafka.builder().nodes(3).start();
    private final Admin admin = KafkaCluster.at(servers.bootstrapServers()).admin();
    private final Deque<ConsumerRunner> running = new ArrayDeque<>();

    @AfterEach
    void stop() {
        while (!running.isEmpty()) {
            running.pop().close();
        }
    }

    @AfterAll
    void close() {
        admin.close();
        servers.close();
    }

    private KafkaCluster topicsBehind(String prefix) {
        return KafkaCluster.at(servers.bootstrapServers()).topicPrefix(prefix);
    }

    @Test
    @Execution(ExecutionMode.SAME_THREAD)
    void X02_while_a_replica_or_the_leader_of_the_dead_letter_topic_is_gone_the_key_waits_and_nothing_is_skipped()
            throws Exception {
        KafkaCluster kafka = topicsBehind("letters.");
        topic(kafka, "asset.events", 2, STAYS, ALSO_STAYS, LEAVES);
        topic(kafka, "short.letters", 2, STAYS, LEAVES);
        topic(kafka, "gone.letters", 1, LEAVES);
        List<Group> groups = List.of(new Group(kafka, "short.letters"), new Group(kafka, "gone.letters"));
        for (Group group : groups) {
            Eventually.holds(() -> group.runner.health().partitions().size() == 1, group.runner::health);
        }
        servers.kill(LEAVES);
        try {
            send(kafka, "bob fails", "bob b2", "alice a1");
            for (Group group : groups) {
                group.waitsForItsLetter();
            }
        } finally {
            servers.start(LEAVES);
        }
        for (Group group : groups) {
            group.goesOn();
        }
    }

    /** A runner whose dead letters go to a topic of its own. */
    private final class Group {

        private final KafkaCluster kafka;
        private final String letters;
        private final Queue<String> handled = new ConcurrentLinkedQueue<>();
        private final Queue<String> failed = new ConcurrentLinkedQueue<>();
        private final ConsumerRunner runner;

        private Group(KafkaCluster kafka, String letters) {
            this.kafka = kafka;
            this.letters = letters;
            this.runner = ConsumerRunner.builder(kafka, "of-" + letters)
                    .on(ASSET_UPDATED, (event, delivery) -> {
                        if (event.id().equals("fails")) {
                            failed.add(event.id());
                            throw new IllegalStateException();
                        }
                        handled.add(event.id());
                    })
                    .retry(RetryConfig.custom()
                            .maxAttempts(2)
                            .intervalFunction(attempt -> 10L)
                            .build())
                    .afterRetries(AfterRetries.deadLetter(letters))
                    .build();
            running.push(runner);
            runner.start();
        }

        private void waitsForItsLetter() throws Exception {
            Eventually.holds(
                    () -> runner.health().status() == Status.DEGRADED
                            && runner.health().problems().stream()
                                    .anyMatch(problem -> problem.contains(
                                            "dead-letter topic %s cannot be written".formatted(letters))),
                    runner::health);
            assertThat(handled).as("other keys go on, its own waits").containsExactly("a1");
            assertThat(failed).as("two attempts, and none for the letter").hasSize(2);
            assertThat(committed("of-" + letters)).as("nothing is skipped").isZero();
        }

        private void goesOn() throws Exception {
            Eventually.holds(() -> committed("of-" + letters) == 3, runner::health);
            Eventually.holds(() -> runner.health().status() == Status.UP, runner::health);
            assertThat(handled).containsExactly("a1", "b2");
            assertThat(failed).as("its handler never ran again").hasSize(2);
            assertThat(end(kafka, letters)).as("its letter").isPositive();
        }
    }

    @Test
    @Execution(ExecutionMode.SAME_THREAD)
    void K_22_a_group_whose_coordinator_is_killed_goes_on_within_half_a_minute_and_loses_nothing() throws Exception {
        KafkaCluster kafka = topicsBehind("coordinator.");
        int partitions = 4;
        Topics.of(kafka, spec("asset.events", partitions), spec("dlq.events", 1))
                .provision();
        Queue<String> handled = new ConcurrentLinkedQueue<>();
        List<ConsumerRunner> runners = List.of(member(kafka, handled), member(kafka, handled));
        Eventually.holds(
                () -> runners.stream()
                        .allMatch(runner -> runner.health().partitions().size() == partitions / 2),
                () -> runners.stream().map(ConsumerRunner::health).toList());
        send(kafka, events(0, 40));
        Eventually.holds(() -> committed("ledger") == 40, () -> handled);
        int coordinator = coordinatorOf("ledger");
        servers.kill(coordinator);
        long killed = System.nanoTime();
        try {
            send(kafka, events(40, 80));
            Eventually.holds(
                    PAUSE.minusNanos(System.nanoTime() - killed),
                    () -> runners.stream()
                                    .flatMap(runner -> runner.health().partitions().stream())
                                    .mapToLong(partition -> Math.max(0, partition.committed()))
                                    .sum()
                            == 80,
                    () -> runners.stream().map(ConsumerRunner::health).toList());
            System.out.printf(
                    "a group commits again %d ms after its coordinator was killed%n",
                    Duration.ofNanos(System.nanoTime() - killed).toMillis());
            assertThat(coordinatorOf("ledger")).isNotEqualTo(coordinator);
            assertThat(committed("ledger")).as("it has what was committed").isEqualTo(80);
        } finally {
            servers.start(coordinator);
        }
        assertThat(handled)
                .containsAll(IntStream.range(0, 80).mapToObj(n -> "evt-" + n).toList());
        assertThat(end(kafka, "dlq.events")).isZero();
    }

    private ConsumerRunner member(KafkaCluster kafka, Queue<String> handled) {
        ConsumerRunner runner = ConsumerRunner.builder(kafka, "ledger")
                .on(ASSET_UPDATED, (event, delivery) -> handled.add(event.id()))
                .afterRetries(AfterRetries.deadLetter("dlq.events"))
                .build();
        running.push(runner);
        return runner.start();
    }

    private int coordinatorOf(String group) throws Exception {
        return Objects.requireNonNull(admin.describeConsumerGroups(List.of(group))
                        .describedGroups()
                        .get(group))
                .get()
                .coordinator()
                .id();
    }

    // ------------------------------------------------------------------------------------------

    /** A topic of one partition on these brokers, the first of which leads it. */
    private void topic(KafkaCluster kafka, String name, int minInSync, Integer... brokers) throws Exception {
        NewTopic topic = new NewTopic(kafka.physicalTopic(name), Map.of(0, Arrays.asList(brokers)))
                .configs(Map.of(TopicConfig.MIN_IN_SYNC_REPLICAS_CONFIG, String.valueOf(minInSync)));
        admin.createTopics(List.of(topic)).all().get();
    }

    private static TopicSpec spec(String topic, int partitions) {
        return TopicSpec.of(topic, partitions).replicationFactor(3).minInsyncReplicas(2);
    }

    private static String[] events(int from, int to) {
        return IntStream.range(from, to)
                .mapToObj(n -> "user-%d evt-%d".formatted(n % 10, n))
                .toArray(String[]::new);
    }

    /** @param events user and id of each, which is acknowledged before the next is sent */
    private static void send(KafkaCluster kafka, String... events) throws Exception {
        try (Producer<byte[], byte[]> producer = kafka.producer(Map.of())) {
            for (String event : events) {
                String[] of = event.split(" ");
                producer.send(new ProducerRecord<>(
                                kafka.physicalTopic("asset.events"), of[0].getBytes(UTF_8), """
                        {"eventId":"%s","eventType":"ASSET_UPDATED","timestamp":"2030-01-01T00:00:00Z","userId":"%s"}""".formatted(of[1], of[0])
                                        .getBytes(UTF_8)))
                        .get();
            }
        }
    }

    private long committed(String group) throws Exception {
        return admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get().values().stream()
                .filter(Objects::nonNull)
                .mapToLong(OffsetAndMetadata::offset)
                .sum();
    }

    private long end(KafkaCluster kafka, String topic) throws Exception {
        TopicPartition partition = new TopicPartition(kafka.physicalTopic(topic), 0);
        return admin.listOffsets(Map.of(partition, OffsetSpec.latest()))
                .partitionResult(partition)
                .get()
                .offset();
    }
}
