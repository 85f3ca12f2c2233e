package dev.eventbus.it.consumer;

import static dev.eventbus.it.Events.ASSET_UPDATED;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.consumer.AfterRetries;
import dev.eventbus.consumer.ConsumerRunner;
import dev.eventbus.consumer.RunnerHealth;
import dev.eventbus.consumer.RunnerListener;
import dev.eventbus.embedded.KafkaServer;
import dev.eventbus.embedded.ServersExtension;
import dev.eventbus.it.Eventually;
import dev.eventbus.topics.KafkaCluster;
import dev.eventbus.topics.TopicSpec;
import dev.eventbus.topics.Topics;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.stream.LongStream;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.consumer.Consumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.Producer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.parallel.Isolated;

/** What operators, retention and other people's transactions do to a group's offsets. */
@ExtendWith(ServersExtension.class)
@Isolated("looks at all threads or sessions there are")
class OffsetsIT {

    private final List<Long> handled = new CopyOnWriteArrayList<>();
    private final List<RunnerListener.OffsetGap> gaps = new CopyOnWriteArrayList<>();

    private KafkaCluster kafka;
    private TopicPartition partition;
    private String group;
    private Admin admin;

    @BeforeEach
    void topics(KafkaServer server) {
        kafka = KafkaCluster.at(server.bootstrapServers()).topicPrefix(server.uniqueName("offsets") + ".");
        Topics.of(kafka, spec("asset.events"), spec("dlq.events")).provision();
        partition = new TopicPartition(kafka.physicalTopic("asset.events"), 0);
        group = server.uniqueName("offsets");
        admin = kafka.admin();
    }

    @AfterEach
    void closeAdmin() {
        admin.close();
    }

    @Test
    void an_operator_may_set_the_group_back_forward_or_to_nothing_while_it_is_stopped() throws Exception {
        publish(0, 10);
        runUntilCommitted(10);
        assertThat(handled).containsExactlyElementsOf(numbers(0, 10));

        admin.alterConsumerGroupOffsets(group, Map.of(partition, new OffsetAndMetadata(4)))
                .all()
                .get();
        runUntilCommitted(10);
        assertThat(handled).as("set back").containsExactlyElementsOf(numbers(4, 10));

        publish(10, 15);
        admin.alterConsumerGroupOffsets(group, Map.of(partition, new OffsetAndMetadata(13)))
                .all()
                .get();
        runUntilCommitted(15);
        assertThat(handled).as("set forward").containsExactlyElementsOf(numbers(13, 15));

        admin.deleteConsumerGroupOffsets(group, Set.of(partition)).all().get();
        runUntilCommitted(15);
        assertThat(handled).as("nothing committed: the earliest").containsExactlyElementsOf(numbers(0, 15));
        assertThat(gaps).isEmpty();
    }

    @Test
    void records_that_retention_has_passed_are_a_loud_gap_and_so_is_an_offset_behind_the_end() throws Exception {
        publish(0, 3);
        runUntilCommitted(3);
        publish(3, 10);
        admin.deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(6)))
                .all()
                .get();
        runUntilCommitted(10);
        assertThat(gaps).containsExactly(new RunnerListener.OffsetGap("asset.events", 0, 3, 6));
        assertThat(handled).containsExactlyElementsOf(numbers(6, 10));

        gaps.clear();
        admin.alterConsumerGroupOffsets(group, Map.of(partition, new OffsetAndMetadata(1_000)))
                .all()
                .get();
        runUntilCommitted(10);
        assertThat(gaps).containsExactly(new RunnerListener.OffsetGap("asset.events", 0, 1_000, 6));
        assertThat(handled).containsExactlyElementsOf(numbers(6, 10));
    }

    @Test
    void K_10_where_the_policy_stops_a_gap_is_stopped_at_until_an_operator_says_where_to_go_on() throws Exception {
        publish(0, 3);
        runUntilCommitted(3);
        publish(3, 10);
        admin.deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(6)))
                .all()
                .get();
        handled.clear();
        AfterRetries stops = AfterRetries.stopPartition("dlq.events");
        for (int life = 1; life <= 2; life++) {
            gaps.clear();
            try (ConsumerRunner runner = runner(stops).start()) {
                Eventually.holds(() -> runner.health().status() == RunnerHealth.Status.DOWN, runner::health);
                assertThat(runner.health().problems())
                        .anySatisfy(problem -> assertThat(problem).contains("offset 3 of", "begins at 6"));
            }
            assertThat(gaps).containsExactly(new RunnerListener.OffsetGap("asset.events", 0, 3, 6));
            assertThat(handled).isEmpty();
            assertThat(committed()).isEqualTo(3);
        }
        admin.alterConsumerGroupOffsets(group, Map.of(partition, new OffsetAndMetadata(6)))
                .all()
                .get();
        runUntilCommitted(10);
        assertThat(handled).containsExactlyElementsOf(numbers(6, 10));
    }

    @Test
    void aborted_records_and_markers_are_passed_and_leave_no_lag_at_the_end() throws Exception {
        try (Producer<byte[], byte[]> producer = kafka.producer(Map.of("transactional.id", group))) {
            producer.initTransactions();
            for (int n = 0; n < 9; n++) {
                producer.beginTransaction();
                producer.send(event(n)).get();
                if (n % 3 == 1) {
                    producer.abortTransaction();
                } else {
                    producer.commitTransaction();
                }
            }
        }
        publish(9, 10); // so that all before is stable
        long end = 19; // with a marker behind each of nine, the last of which may still come
        Eventually.holds(() -> end() == end, this::end);
        runUntilCommitted(end);
        assertThat(handled).containsExactly(0L, 2L, 3L, 5L, 6L, 8L, 9L);

        try (Producer<byte[], byte[]> producer = kafka.producer(Map.of("transactional.id", group))) {
            producer.initTransactions();
            producer.beginTransaction();
            producer.send(event(10)).get();
            producer.commitTransaction();
        }
        runUntilCommitted(end + 2);
        assertThat(handled).containsExactly(10L);
    }

    @Test
    void starting_and_stopping_many_times_leaves_no_thread_behind() throws Exception {
        publish(0, 1);
        runUntilCommitted(1); // what is made once is made
        Set<Thread> before = Thread.getAllStackTraces().keySet();
        for (int i = 1; i <= 15; i++) {
            publish(i, i + 1);
            runUntilCommitted(i + 1);
        }
        Eventually.holds(() -> newThreads(before).isEmpty(), () -> newThreads(before));
    }

    private static List<String> newThreads(Set<Thread> before) {
        return Thread.getAllStackTraces().keySet().stream()
                .filter(thread -> !before.contains(thread))
                .map(Thread::getName)
                .filter(name -> name.contains("offsets") || name.contains("kafka"))
                .toList();
    }

    /** Runs a runner until the group has committed this offset. */
    private void runUntilCommitted(long offset) throws Exception {
        handled.clear();
        try (ConsumerRunner runner = runner().start()) {
            Eventually.holds(
                    () -> runner.health().partitions().stream().anyMatch(p -> p.committed() == offset),
                    () -> handled + " " + gaps + " " + runner.health());
            runner.close(Duration.ofSeconds(10));
        }
        assertThat(committed()).isEqualTo(offset);
    }

    private long committed() throws Exception {
        OffsetAndMetadata committed = admin.listConsumerGroupOffsets(group)
                .partitionsToOffsetAndMetadata()
                .get()
                .get(partition);
        return Objects.requireNonNull(committed).offset();
    }

    private ConsumerRunner runner() {
        return runner(AfterRetries.deadLetter("dlq.events"));
    }

    private ConsumerRunner runner(AfterRetries afterRetries) {
        return ConsumerRunner.builder(kafka, group)
                .on(ASSET_UPDATED, (event, delivery) -> {
                    Long n = event.payload().newAmount();
                    handled.add(n == null ? -1 : n);
                })
                .afterRetries(afterRetries)
                .listener(new RunnerListener() {
                    @Override
                    public void offsetGap(OffsetGap gap) {
                        gaps.add(gap);
                    }
                })
                .build();
    }

    private void publish(int from, int to) throws Exception {
        try (Producer<byte[], byte[]> producer = kafka.producer(Map.of())) {
            for (int n = from; n < to; n++) {
                producer.send(event(n)).get();
            }
        }
    }

    /** All of one user, so that they are handled in order. */
    private ProducerRecord<byte[], byte[]> event(int n) {
        return new ProducerRecord<>(
                partition.topic(), "alice".getBytes(UTF_8), """
                {"eventId":"e%d","eventType":"ASSET_UPDATED","timestamp":"2030-01-01T00:00:00Z","userId":"alice","newAmount":%d}""".formatted(n, n).getBytes(UTF_8));
    }

    private long end() {
        try (Consumer<byte[], byte[]> consumer = kafka.consumer(Map.of())) {
            return consumer.endOffsets(Set.of(partition)).values().iterator().next();
        }
    }

    private static List<Long> numbers(int from, int to) {
        return LongStream.range(from, to).boxed().toList();
    }

    private static TopicSpec spec(String topic) {
        return TopicSpec.of(topic, 1).replicationFactor(1).minInsyncReplicas(1);
    }
}
