package dev.eventbus.examples.homestarter;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.embedded.EmbeddedKafka;
import dev.eventbus.embedded.EmbeddedPostgres;
import dev.eventbus.examples.homestarter.AssetStore.Item;
import dev.eventbus.examples.homestarter.Events.ItemType;
import dev.eventbus.topics.KafkaCluster;
import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import java.sql.SQLException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.locks.LockSupport;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.common.Node;
import org.apache.kafka.common.TopicPartitionInfo;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** The plan's two replicas, both of which must have an event: what a broker's death does to that. */
class TwoReplicasIT {

    private static final Duration LIMIT = Duration.ofSeconds(60);
    private static final int USERS = 30;

    private static EmbeddedKafka brokers;
    private static EmbeddedPostgres postgres;

    @BeforeAll
    static void start() {
        CompletableFuture<EmbeddedKafka> starting = CompletableFuture.supplyAsync(
                () -> EmbeddedKafka.builder().nodes(3).start());
        postgres = EmbeddedPostgres.start();
        brokers = starting.join();
    }

    @AfterAll
    static void stop() {
        brokers.close();
        postgres.close();
    }

    @Test
    void while_a_replica_is_dead_rows_wait_and_delivery_resumes_without_loss_when_it_is_back() throws Exception {
        Settings settings = new Settings(Map.of(
                "KAFKA", brokers.bootstrapServers(),
                "DATABASE", postgres.createDatabase("asset"),
                "DATABASE_USER", postgres.user(),
                "DATABASE_PASSWORD", postgres.password()));
        KafkaCluster kafka = settings.kafka();
        HomeStarterTopics.plan(3, 2).on(kafka).apply();
        List<String> handled = new CopyOnWriteArrayList<>();
        try (AssetService assets = AssetService.start(settings);
                var calculator = CalculatorService.assets(
                        kafka, (group, eventId, of) -> handled.add(eventId), new SimpleMeterRegistry())) {
            calculator.start();
            List<String> before = changeAll(assets);
            await(() -> handled.containsAll(before), handled::size);
            List<TopicPartitionInfo> replicas = replicas(kafka);
            Node dead = replicas.get(0).replicas().get(0);
            Set<Integer> waiting = replicas.stream()
                    .filter(partition -> partition.replicas().contains(dead))
                    .map(TopicPartitionInfo::partition)
                    .collect(Collectors.toSet());
            Map<String, Integer> partitions = partitions(kafka);
            long ofWaiting =
                    partitions.values().stream().filter(waiting::contains).count();
            assertThat(ofWaiting).isBetween(1L, USERS - 1L);

            brokers.kill(dead.id());
            List<String> during = changeAll(assets);
            await(() -> pending(assets) == ofWaiting, () -> pending(assets));
            during.addAll(changeAll(assets));
            await(() -> pending(assets) >= 2 * ofWaiting, () -> pending(assets));

            brokers.start(dead.id());
            await(() -> pending(assets) == 0 && handled.containsAll(during), () -> pending(assets));
            assertThat(handled.stream().distinct()).hasSize(before.size() + during.size());
        }
    }

    /** One change of each user. Each is committed, whatever happens to Kafka. */
    private static List<String> changeAll(AssetService assets) throws SQLException {
        List<String> ids = new ArrayList<>();
        for (int i = 0; i < USERS; i++) {
            Map<String, Object> answer = assets.put("user-" + i, "savings", new Item(null, ItemType.ASSET, (long) i));
            ids.add(String.valueOf(answer.get("eventId")));
        }
        return ids;
    }

    private static long pending(AssetService assets) throws SQLException {
        return assets.outboxAdmin().stats().pending();
    }

    /** Which brokers have which partition. */
    private static List<TopicPartitionInfo> replicas(KafkaCluster kafka) throws Exception {
        try (Admin admin = kafka.admin()) {
            return admin.describeTopics(List.of("asset.events")).allTopicNames().get().values().stream()
                    .flatMap(topic -> topic.partitions().stream())
                    .toList();
        }
    }

    /** Where a user's events are. */
    private static Map<String, Integer> partitions(KafkaCluster kafka) {
        Map<String, Integer> partitions = new HashMap<>();
        Topic.readAll(kafka, "asset.events")
                .forEach(record -> partitions.put(new String(record.key(), UTF_8), record.partition()));
        return partitions;
    }

    private static void await(Callable<Boolean> condition, Callable<?> seen) throws Exception {
        long deadline = System.nanoTime() + LIMIT.toNanos();
        while (!condition.call()) {
            if (System.nanoTime() - deadline > 0) {
                throw new AssertionError("not within " + LIMIT + "; seen last: " + seen.call());
            }
            LockSupport.parkNanos(Duration.ofMillis(20).toNanos());
        }
    }
}
