package dev.eventbus.it.consumer;

import static dev.eventbus.it.Events.ASSET_UPDATED;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.consumer.AfterRetries;
import dev.eventbus.consumer.ConsumerRunner;
import dev.eventbus.embedded.KafkaServer;
import dev.eventbus.topics.KafkaCluster;
import dev.eventbus.topics.TopicSpec;
import dev.eventbus.topics.Topics;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Collectors;
import org.apache.kafka.clients.consumer.Consumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.Producer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;

/** Numbered events of some users for a group of runners, and the order in which they were handled over all of these. */
final class Traffic {

    static final int USERS = 60;
    static final int PARTITIONS = 6;

    final KafkaCluster kafka;
    final String group;

    /** In order of handling, for each user, over all runners. */
    private final Map<String, List<Long>> handled = new ConcurrentHashMap<>();

    private final Set<String> inHandler = ConcurrentHashMap.newKeySet();
    private final AtomicInteger overlaps = new AtomicInteger();
    final AtomicInteger count = new AtomicInteger();

    private Traffic(KafkaCluster kafka, String group) {
        this.kafka = kafka;
        this.group = group;
    }

    /** In topics of its own; the setting chooses the protocol of the group. */
    static Traffic create(KafkaServer server, String name, String setting, String value) {
        KafkaCluster kafka = KafkaCluster.of(Map.of("bootstrap.servers", server.bootstrapServers(), setting, value))
                .topicPrefix(server.uniqueName(name) + ".");
        Topics.of(
                        kafka,
                        TopicSpec.of("asset.events", PARTITIONS)
                                .replicationFactor(1)
                                .minInsyncReplicas(1),
                        TopicSpec.of("dlq.events", 1).replicationFactor(1).minInsyncReplicas(1))
                .provision();
        return new Traffic(kafka, server.uniqueName("calculator"));
    }

    ConsumerRunner runner() {
        return ConsumerRunner.builder(kafka, group)
                .on(ASSET_UPDATED, (event, delivery) -> {
                    if (!inHandler.add(event.key())) {
                        overlaps.incrementAndGet();
                    }
                    try { // works for a millisecond, long enough to meet another
                        var unused = new CountDownLatch(1).await(1, TimeUnit.MILLISECONDS);
                        Long n = event.payload().newAmount();
                        handled.computeIfAbsent(event.key(), user -> new ArrayList<>())
                                .add(n == null ? -1 : n);
                    } finally {
                        inHandler.remove(event.key());
                    }
                    count.incrementAndGet();
                })
                .concurrency(8)
                .afterRetries(AfterRetries.deadLetter("dlq.events"))
                .build();
    }

    /** Events from one number to another, of each user. */
    void publish(int from, int to) {
        List<CompletableFuture<RecordMetadata>> sends = new ArrayList<>();
        Map<String, Object> oneAtATime = Map.of("max.in.flight.requests.per.connection", 1); // no partition is warm yet
        try (Producer<byte[], byte[]> producer = kafka.producer(oneAtATime)) {
            for (int n = from; n < to; n++) {
                for (int u = 0; u < USERS; u++) {
                    sends.add(send(producer, "user-" + u, n));
                }
            }
        }
        sends.forEach(CompletableFuture::join);
    }

    private CompletableFuture<RecordMetadata> send(Producer<byte[], byte[]> producer, String user, int n) {
        String json = """
                {"eventId":"%s-%d","eventType":"ASSET_UPDATED","timestamp":"2030-01-01T00:00:00Z","userId":"%s","newAmount":%d}""".formatted(user, n, user, n);
        CompletableFuture<RecordMetadata> sent = new CompletableFuture<>();
        var unused = producer.send(
                new ProducerRecord<>(kafka.physicalTopic("asset.events"), user.getBytes(UTF_8), json.getBytes(UTF_8)),
                (metadata, failure) -> {
                    if (failure == null) {
                        sent.complete(metadata);
                    } else {
                        sent.completeExceptionally(failure);
                    }
                });
        return sent;
    }

    /** Whether each event was handled and is committed. */
    boolean isDone(int eventsAUser) {
        return count.get() >= USERS * eventsAUser && committed() == (long) USERS * eventsAUser;
    }

    /** Sum of what the group has committed. */
    long committed() {
        try (Consumer<byte[], byte[]> consumer = kafka.consumer(Map.of("group.id", group))) {
            Set<TopicPartition> partitions = consumer.partitionsFor(kafka.physicalTopic("asset.events")).stream()
                    .map(partition -> new TopicPartition(partition.topic(), partition.partition()))
                    .collect(Collectors.toSet());
            long sum = 0;
            for (OffsetAndMetadata offset : consumer.committed(partitions).values()) {
                sum += offset == null ? 0 : offset.offset();
            }
            return sum;
        }
    }

    /** Nothing was lost, and nothing came before its predecessor; what a hand-over repeats is no violation. */
    void assertNothingLostOrReordered(int eventsAUser) {
        assertThat(overlaps)
                .as("one event of a user at a time, over all runners")
                .hasValue(0);
        assertThat(handled).hasSize(USERS);
        handled.forEach((user, seen) -> {
            long last = -1;
            for (long n : seen) {
                assertThat(n).as("%s: %s", user, seen).isLessThanOrEqualTo(last + 1);
                last = Math.max(last, n);
            }
            assertThat(last).as("%s: the last event", user).isEqualTo(eventsAUser - 1L);
        });
    }
}
