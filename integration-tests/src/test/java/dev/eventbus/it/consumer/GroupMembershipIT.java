package dev.eventbus.it.consumer;

import static dev.eventbus.it.Events.ASSET_UPDATED;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.consumer.AfterRetries;
import dev.eventbus.consumer.ConsumerRunner;
import dev.eventbus.consumer.RunnerHealth.BlockedOffset;
import dev.eventbus.consumer.RunnerHealth.Status;
import dev.eventbus.consumer.RunnerListener;
import dev.eventbus.embedded.KafkaServer;
import dev.eventbus.embedded.ServersExtension;
import dev.eventbus.it.Eventually;
import dev.eventbus.topics.KafkaCluster;
import dev.eventbus.topics.TopicSpec;
import dev.eventbus.topics.Topics;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.RemoveMembersFromConsumerGroupOptions;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.Producer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Members that a group throws out, and two that say they are one. */
@ExtendWith(ServersExtension.class)
class GroupMembershipIT {

    private final Queue<String> handled = new ConcurrentLinkedQueue<>();
    private final AtomicInteger slowCalls = new AtomicInteger();
    private final Semaphore slowMayEnd = new Semaphore(0);
    private final AtomicInteger assignments = new AtomicInteger();
    private final AtomicInteger losses = new AtomicInteger();
    private final List<AutoCloseable> open = new ArrayList<>();

    private KafkaCluster kafka;
    private String group;
    private Admin admin;
    private Producer<byte[], byte[]> producer;

    @BeforeEach
    void connect(KafkaServer server) {
        kafka = KafkaCluster.at(server.bootstrapServers()).topicPrefix(server.uniqueName("members") + ".");
        group = server.uniqueName("members");
        admin = kafka.admin();
        producer = kafka.producer(Map.of());
        open.addAll(List.of(admin, producer));
    }

    private void topics(int partitions, Map<String, String> membersHave) {
        Topics.of(kafka, spec("asset.events", partitions), spec("dlq.events", 1))
                .provision();
        Map<String, String> all = new HashMap<>(membersHave);
        all.put("bootstrap.servers", kafka.bootstrapServers());
        kafka = KafkaCluster.of(all).topicPrefix(kafka.physicalTopic(""));
    }

    @AfterEach
    void close() throws Exception {
        slowMayEnd.release(100);
        for (int i = open.size() - 1; i >= 0; i--) {
            open.get(i).close();
        }
    }

    @Test
    void K_09_what_ends_two_epochs_late_is_not_taken_for_the_same_record_of_now() throws Exception {
        topics(2, Map.of("heartbeat.interval.ms", "200"));
        ConsumerRunner runner = start();
        send(0, "slow", "slow-0");
        Eventually.holds(() -> slowCalls.get() == 1, runner::health);
        for (int i = 1; i <= 2; i++) {
            int epochs = i;
            var unused = admin.removeMembersFromConsumerGroup(group, new RemoveMembersFromConsumerGroupOptions())
                    .all()
                    .get();
            Eventually.holds(() -> losses.get() == 2 * epochs && assignments.get() == 2 * (epochs + 1), runner::health);
            Eventually.holds(() -> stateAt0(runner) == BlockedOffset.State.HELD, runner::health);
        }
        send(0, "other", "other-1");
        Eventually.holds(() -> handled.contains("other-1"), runner::health);
        assertThat(slowCalls).as("the record of now waits for its namesake").hasValue(1);

        slowMayEnd.release();
        Eventually.holds(() -> slowCalls.get() == 2, runner::health);
        Eventually.holds(() -> stateAt0(runner) == BlockedOffset.State.RUNNING, runner::health);
        send(1, "third", "third-1"); // what is committed after it is committed with it
        Eventually.holds(() -> committed(1) == 1, runner::health);
        assertThat(committed(0)).as("what has ended was of another epoch").isZero();

        slowMayEnd.release();
        Eventually.holds(() -> committed(0) == 2, runner::health);
        assertThat(handled).containsExactlyInAnyOrder("slow-0", "other-1", "third-1", "slow-0");
    }

    private static BlockedOffset.State stateAt0(ConsumerRunner runner) {
        return runner.explain("asset.events", 0)
                .filter(blocked -> blocked.offset() == 0)
                .map(BlockedOffset::state)
                .orElse(BlockedOffset.State.QUEUED);
    }

    @ParameterizedTest
    @ValueSource(strings = {"classic", "consumer"})
    void K_24_of_two_runners_with_one_instance_id_one_goes_on_and_the_other_says_that_it_may_not(String protocol)
            throws Exception {
        topics(1, Map.of("group.instance.id", "host-1", "group.protocol", protocol));
        ConsumerRunner first = start();
        send(0, "user", "evt-1");
        Eventually.holds(() -> committed(0) == 1, first::health); // or the second may repeat it
        ConsumerRunner second = start();
        Eventually.holds(() -> isShutOut(first) || isShutOut(second), () -> first.health() + " " + second.health());
        int before = assignments.get();
        for (int n = 2; n < 30; n++) {
            String id = "evt-" + n;
            send(0, "user", id);
            Eventually.holds(() -> handled.contains(id), () -> first.health() + " " + second.health());
        }
        ConsumerRunner loser = isShutOut(first) ? first : second;
        ConsumerRunner winner = loser == first ? second : first;
        assertThat(isShutOut(loser)).isTrue();
        Eventually.holds(() -> winner.health().status() == Status.UP, winner::health);
        Eventually.holds(() -> committed(0) == 29, winner::health);
        assertThat(assignments.get() - before)
                .as("they do not take it from each other again and again")
                .isLessThanOrEqualTo(1);
        assertThat(handled).as("one after the other").doesNotHaveDuplicates();
    }

    private static boolean isShutOut(ConsumerRunner runner) {
        return runner.health().status() != Status.UP
                && runner.health().problems().stream().anyMatch(problem -> problem.contains("group.instance.id"));
    }

    // ------------------------------------------------------------------------------------------

    private ConsumerRunner start() {
        ConsumerRunner runner = ConsumerRunner.builder(kafka, group)
                .on(ASSET_UPDATED, (event, delivery) -> {
                    if (event.key().equals("slow")) {
                        slowCalls.incrementAndGet();
                        assertThat(slowMayEnd.tryAcquire(2, TimeUnit.MINUTES)).isTrue();
                    }
                    handled.add(event.id());
                })
                .afterRetries(AfterRetries.deadLetter("dlq.events"))
                .listener(new RunnerListener() {
                    @Override
                    public void rebalanced(int assigned, int revoked, int lost) {
                        assignments.addAndGet(assigned);
                        losses.addAndGet(lost);
                    }
                })
                .build();
        open.add(runner);
        return runner.start();
    }

    private void send(int partition, String user, String id) throws Exception {
        producer.send(new ProducerRecord<>(
                        kafka.physicalTopic("asset.events"), partition, user.getBytes(UTF_8), """
                {"eventId":"%s","eventType":"ASSET_UPDATED","timestamp":"2030-01-01T00:00:00Z","userId":"%s"}""".formatted(id, user)
                                .getBytes(UTF_8)))
                .get();
    }

    private long committed(int partition) throws Exception {
        OffsetAndMetadata offset = admin.listConsumerGroupOffsets(group)
                .partitionsToOffsetAndMetadata()
                .get()
                .get(new TopicPartition(kafka.physicalTopic("asset.events"), partition));
        return offset == null ? 0 : offset.offset();
    }

    private static TopicSpec spec(String topic, int partitions) {
        return TopicSpec.of(topic, partitions).replicationFactor(1).minInsyncReplicas(1);
    }
}
