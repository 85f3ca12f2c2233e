package dev.eventbus.it.consumer;

import static dev.eventbus.it.Events.ASSET_UPDATED;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.consumer.AfterRetries;
import dev.eventbus.consumer.ConsumerRunner;
import dev.eventbus.embedded.KafkaServer;
import dev.eventbus.embedded.ServersExtension;
import dev.eventbus.it.Eventually;
import dev.eventbus.topics.KafkaCluster;
import dev.eventbus.topics.TopicSpec;
import dev.eventbus.topics.Topics;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Collectors;
import org.apache.kafka.clients.consumer.Consumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.Producer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Runners come and go under load; every protocol of Kafka's groups has to pass the same test. */
@ExtendWith(ServersExtension.class)
class RebalanceIT {

    private static final int USERS = 60;
    private static final int EVENTS_A_USER = 150;
    private static final int PARTITIONS = 6;

    /** In order of handling, for each user, over all runners. */
    private final Map<String, List<Long>> handled = new ConcurrentHashMap<>();

    private final Set<String> inHandler = ConcurrentHashMap.newKeySet();
    private final AtomicInteger overlaps = new AtomicInteger();
    private final AtomicInteger count = new AtomicInteger();

    @ParameterizedTest(name = "{0}")
    @CsvSource({
        "classic-eager, partition.assignment.strategy, org.apache.kafka.clients.consumer.RangeAssignor",
        "classic-cooperative-sticky, group.protocol, classic",
        "consumer-protocol, group.protocol, consumer"
    })
    void runners_that_take_over_from_each_other_lose_nothing_and_keep_each_users_order(
            String protocol, String setting, String value, KafkaServer server) throws Exception {
        KafkaCluster kafka = KafkaCluster.of(Map.of("bootstrap.servers", server.bootstrapServers(), setting, value))
                .topicPrefix(server.uniqueName(protocol) + ".");
        Topics.of(
                        kafka,
                        TopicSpec.of("asset.events", PARTITIONS)
                                .replicationFactor(1)
                                .minInsyncReplicas(1),
                        TopicSpec.of("dlq.events", 1).replicationFactor(1).minInsyncReplicas(1))
                .provision();
        String group = server.uniqueName("calculator");
        try (ConsumerRunner first = runner(kafka, group).start();
                ConsumerRunner second = runner(kafka, group);
                ConsumerRunner third = runner(kafka, group)) {
            publish(kafka, 0, EVENTS_A_USER / 3);
            Eventually.holds(() -> count.get() > USERS, () -> count);

            second.start();
            Eventually.holds(() -> holdsSome(first) && holdsSome(second), () -> first.health() + " " + second.health());

            CompletableFuture<Void> load =
                    CompletableFuture.runAsync(() -> publish(kafka, EVENTS_A_USER / 3, EVENTS_A_USER));
            third.start();
            first.close(Duration.ofSeconds(20));
            load.get();
            Eventually.holds(
                    () -> count.get() >= USERS * EVENTS_A_USER && committed(kafka, group) == USERS * EVENTS_A_USER,
                    () -> count + " handled, " + committed(kafka, group) + " committed; " + second.health());
        }
        assertThat(overlaps)
                .as("one event of a user at a time, over all runners")
                .hasValue(0);
        assertThat(handled).hasSize(USERS);
        handled.forEach(RebalanceIT::checkOrder);
    }

    /** What was handled out of the offsets' order at a hand-over is repeated; nothing ever comes before its predecessor. */
    private static void checkOrder(String user, List<Long> seen) {
        long last = -1;
        for (long n : seen) {
            assertThat(n).as("%s: %s", user, seen).isLessThanOrEqualTo(last + 1);
            last = Math.max(last, n);
        }
        assertThat(last).as("%s: the last event", user).isEqualTo(EVENTS_A_USER - 1);
    }

    private static boolean holdsSome(ConsumerRunner runner) {
        return !runner.health().partitions().isEmpty();
    }

    private ConsumerRunner runner(KafkaCluster kafka, String group) {
        return ConsumerRunner.builder(kafka, group)
                .on(ASSET_UPDATED, (event, delivery) -> {
                    if (!inHandler.add(event.key())) {
                        overlaps.incrementAndGet();
                    }
                    Long n = event.payload().newAmount();
                    handled.computeIfAbsent(event.key(), user -> new ArrayList<>())
                            .add(n == null ? -1 : n);
                    inHandler.remove(event.key());
                    count.incrementAndGet();
                })
                .concurrency(8)
                .afterRetries(AfterRetries.deadLetter("dlq.events"))
                .build();
    }

    private static void publish(KafkaCluster kafka, int from, int to) {
        List<CompletableFuture<RecordMetadata>> sends = new ArrayList<>();
        Map<String, Object> oneAtATime = Map.of("max.in.flight.requests.per.connection", 1); // no partition is warm yet
        try (Producer<byte[], byte[]> producer = kafka.producer(oneAtATime)) {
            for (int n = from; n < to; n++) {
                for (int u = 0; u < USERS; u++) {
                    String user = "user-" + u;
                    String json = """
                            {"eventId":"%s-%d","eventType":"ASSET_UPDATED","timestamp":"2030-01-01T00:00:00Z","userId":"%s","newAmount":%d}""".formatted(user, n, user, n);
                    CompletableFuture<RecordMetadata> sent = new CompletableFuture<>();
                    sends.add(sent);
                    var unused = producer.send(
                            new ProducerRecord<>(
                                    kafka.physicalTopic("asset.events"), user.getBytes(UTF_8), json.getBytes(UTF_8)),
                            (metadata, failure) -> {
                                if (failure == null) {
                                    sent.complete(metadata);
                                } else {
                                    sent.completeExceptionally(failure);
                                }
                            });
                }
            }
        }
        sends.forEach(CompletableFuture::join);
    }

    /** Sum of what the group has committed. */
    private static long committed(KafkaCluster kafka, String group) {
        try (Consumer<byte[], byte[]> consumer = kafka.consumer(new HashMap<>(Map.of("group.id", group)))) {
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
}
