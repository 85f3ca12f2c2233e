package dev.eventbus.it.consumer;

import static dev.eventbus.it.Events.ASSET_UPDATED;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.consumer.AfterRetries;
import dev.eventbus.consumer.ConsumerRunner;
import dev.eventbus.consumer.inbox.JdbcInbox;
import dev.eventbus.consumer.redrive.Redrive;
import dev.eventbus.embedded.KafkaServer;
import dev.eventbus.embedded.PostgresServer;
import dev.eventbus.embedded.ServersExtension;
import dev.eventbus.it.Events.AssetUpdated;
import dev.eventbus.it.Eventually;
import dev.eventbus.it.Scene;
import dev.eventbus.outbox.OutboxAdmin;
import dev.eventbus.outbox.OutboxRelay;
import dev.eventbus.topics.KafkaCluster;
import dev.eventbus.topics.TopicSpec;
import dev.eventbus.topics.Topics;
import io.github.resilience4j.retry.RetryConfig;
import java.sql.PreparedStatement;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Future;
import java.util.stream.IntStream;
import java.util.stream.LongStream;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.producer.Producer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.parallel.Execution;
import org.junit.jupiter.api.parallel.ExecutionMode;

/** What becomes of parked keys whose topic is changed under them. */
@ExtendWith(ServersExtension.class)
@Execution(ExecutionMode.CONCURRENT)
class ChangedTopicsIT {

    private static final int USERS = 12;
    private static final int PARKED = 6;

    private final Set<String> poison = ConcurrentHashMap.newKeySet();

    @Test
    void parked_keys_keep_their_order_when_their_topic_grows_from_3_to_6_partitions(
            KafkaServer kafka, PostgresServer postgres) throws Exception {
        try (Scene scene = scene(kafka, postgres)) {
            String group = scene.group("ledger");
            JdbcInbox inbox = scene.inbox();
            IntStream.range(0, PARKED).forEach(user -> poison.add("user-" + user + "-1"));
            ConsumerRunner runner = scene.start(runner(scene, group, inbox));
            publish(scene, 0, 3);
            Eventually.holds(
                    () -> parkedEvents(scene) == PARKED * 2 && booked(scene) == (USERS - PARKED) * 3 + PARKED,
                    runner::health);
            try (Admin admin = scene.kafka().admin()) {
                admin.createPartitions(Map.of(scene.kafka().physicalTopic("asset.events"), NewPartitions.increaseTo(6)))
                        .all()
                        .get();
                Eventually.holds(() -> partitions(admin, scene) == 6, () -> "it has not grown");
            }
            publish(scene, 3, 5);
            assertThat(scene.records("asset.events"))
                    .as("keys have moved")
                    .anyMatch(record ->
                            record.partition() > 2 && poison.contains(new String(record.key(), UTF_8) + "-1"));
            Eventually.holds(() -> parkedEvents(scene) == PARKED * 4, runner::health);
            poison.clear();
            assertThat(Redrive.ofParked(scene.kafka(), group, inbox)
                            .perSecond(10_000)
                            .plan()
                            .run("mended")
                            .handedOver())
                    .isEqualTo(PARKED * 4);
            publish(scene, 5, 7);
            Eventually.holds(() -> booked(scene) == USERS * 7, runner::health);
            for (int user = 0; user < PARKED; user++) {
                assertThat(bookedOf(scene, user)).isEqualTo(upTo(7));
            }
            Eventually.holds(() -> inbox.parking().load(group).isEmpty(), runner::health);
        }
    }

    @Test
    void two_runners_keep_the_order_of_parked_keys_while_a_relay_adopts_the_growth_from_3_to_6_partitions(
            KafkaServer kafka, PostgresServer postgres) throws Exception {
        try (Scene scene = scene(kafka, postgres)) {
            String group = scene.group("ledger");
            OutboxRelay relay = scene.startRelay();
            IntStream.range(0, PARKED).forEach(user -> poison.add("user-" + user + "-1"));
            ConsumerRunner one = scene.start(runner(scene, group, scene.inbox()));
            ConsumerRunner two = scene.start(runner(scene, group, scene.inbox()));
            commit(scene, 0, 3);
            Eventually.holds(
                    () -> parkedEvents(scene) == PARKED * 2 && booked(scene) == (USERS - PARKED) * 3 + PARKED,
                    () -> one.health() + " " + two.health() + relay.health());
            try (Admin admin = scene.kafka().admin()) {
                admin.createPartitions(Map.of(scene.kafka().physicalTopic("asset.events"), NewPartitions.increaseTo(6)))
                        .all()
                        .get();
                Eventually.holds(() -> partitions(admin, scene) == 6, () -> "it has not grown");
            }
            commit(scene, 3, 4);
            assertThat(OutboxAdmin.of(scene.outbox(), scene.database())
                            .adoptPartitions(scene.kafka(), "asset.events", Duration.ofMinutes(1), group))
                    .isEqualTo(6);
            commit(scene, 4, 6);
            Eventually.holds(
                    () -> parkedEvents(scene) == PARKED * 5, () -> one.health() + " " + two.health() + relay.health());
            assertThat(scene.records("asset.events"))
                    .as("parked keys have moved")
                    .anyMatch(record ->
                            record.partition() > 2 && poison.contains(new String(record.key(), UTF_8) + "-1"));
            poison.clear();
            assertThat(Redrive.ofParked(scene.kafka(), group, scene.inbox())
                            .perSecond(10_000)
                            .plan()
                            .run("mended")
                            .handedOver())
                    .isEqualTo(PARKED * 5);
            commit(scene, 6, 9); // while they are handled
            Eventually.holds(() -> booked(scene) == USERS * 9, () -> one.health() + " " + two.health());
            for (int user = 0; user < USERS; user++) {
                assertThat(bookedOf(scene, user)).as("user %d", user).isEqualTo(upTo(9));
            }
            Eventually.holds(() -> scene.inbox().parking().load(group).isEmpty(), one::health);
            assertThat(parkedEvents(scene)).isZero();
        }
    }

    private static void commit(Scene scene, int from, int to) throws Exception {
        for (int n = from; n < to; n++) {
            int amount = n;
            scene.inTransaction(tx -> {
                for (int user = 0; user < USERS; user++) {
                    scene.outbox().within(tx).publish(ASSET_UPDATED, AssetUpdated.amount("user-" + user, amount));
                }
            });
        }
    }

    private static int partitions(Admin admin, Scene scene) throws Exception {
        String topic = scene.kafka().physicalTopic("asset.events");
        return admin.describeTopics(List.of(topic)).allTopicNames().get().values().stream()
                .mapToInt(description -> description.partitions().size())
                .sum();
    }

    @Test
    void a_parked_key_waits_and_keeps_its_order_when_its_topic_is_deleted_and_made_again(
            KafkaServer kafka, PostgresServer postgres) throws Exception {
        try (Scene scene = scene(kafka, postgres)) {
            String group = scene.group("ledger");
            JdbcInbox inbox = scene.inbox();
            poison.add("user-0-1");
            ConsumerRunner runner = scene.start(runner(scene, group, inbox));
            publish(scene, 0, 3);
            Eventually.holds(() -> parkedEvents(scene) == 2 && booked(scene) == (USERS - 1) * 3 + 1, runner::health);
            runner.close();
            String topic = scene.kafka().physicalTopic("asset.events");
            try (Admin admin = scene.kafka().admin()) {
                admin.deleteTopics(List.of(topic)).all().get();
                Eventually.holds(() -> !admin.listTopics().names().get().contains(topic), () -> topic);
                Topics.of(
                                scene.kafka(),
                                TopicSpec.of("asset.events", 3)
                                        .replicationFactor(1)
                                        .minInsyncReplicas(1))
                        .provision();
            }
            ConsumerRunner second = scene.start(runner(scene, group, inbox));
            publish(scene, 3, 6);
            Eventually.holds(() -> parkedEvents(scene) == 5 && booked(scene) == (USERS - 1) * 6 + 1, second::health);
            poison.clear();
            assertThat(Redrive.ofParked(scene.kafka(), group, inbox)
                            .plan()
                            .run("mended")
                            .handedOver())
                    .isEqualTo(5);
            Eventually.holds(() -> booked(scene) == USERS * 6, second::health);
            for (int user = 0; user < USERS; user++) {
                assertThat(bookedOf(scene, user)).isEqualTo(upTo(6));
            }
        }
    }

    private static Scene scene(KafkaServer server, PostgresServer postgres) throws Exception {
        KafkaCluster attentive =
                KafkaCluster.of(Map.of("bootstrap.servers", server.bootstrapServers(), "metadata.max.age.ms", "500"));
        Scene scene = Scene.create(attentive, server.uniqueName("it"), postgres, "asset.events:3", "dlq.events:1");
        scene.execute("CREATE TABLE ledger (ord bigint GENERATED ALWAYS AS IDENTITY, owner varchar(255), n bigint)");
        return scene;
    }

    private ConsumerRunner runner(Scene scene, String group, JdbcInbox inbox) {
        return ConsumerRunner.builder(scene.kafka(), group)
                .inTransaction(inbox, ASSET_UPDATED, (event, tx) -> {
                    long n = Objects.requireNonNull(event.payload().newAmount());
                    try (PreparedStatement insert =
                            tx.connection().prepareStatement("INSERT INTO ledger (owner, n) VALUES (?, ?)")) {
                        insert.setString(1, event.key());
                        insert.setLong(2, n);
                        insert.executeUpdate();
                    }
                    if (poison.contains(event.key() + "-" + n)) {
                        throw new IllegalStateException("no luck");
                    }
                })
                .retry(RetryConfig.custom().maxAttempts(1).build())
                .afterRetries(AfterRetries.parkKey(inbox, "dlq.events"))
                .build();
    }

    /** By a producer that knows the topic as it is now. */
    private static void publish(Scene scene, int from, int to) throws Exception {
        try (Producer<byte[], byte[]> producer = scene.kafka().producer(Scene.ONE_AT_A_TIME)) {
            List<Future<?>> sends = new ArrayList<>();
            for (int n = from; n < to; n++) {
                for (int user = 0; user < USERS; user++) {
                    String value = """
                            {"eventId":"user-%d-%d","eventType":"ASSET_UPDATED","timestamp":"2030-01-01T00:00:00Z","userId":"user-%d","newAmount":%d}
                            """.formatted(user, n, user, n);
                    sends.add(producer.send(new ProducerRecord<>(
                            scene.kafka().physicalTopic("asset.events"),
                            ("user-" + user).getBytes(UTF_8),
                            value.getBytes(UTF_8))));
                }
            }
            for (Future<?> send : sends) {
                send.get();
            }
        }
    }

    private static List<String> upTo(int n) {
        return LongStream.range(0, n).mapToObj(Long::toString).toList();
    }

    private static List<String> bookedOf(Scene scene, int user) throws Exception {
        return scene.strings("SELECT n::text FROM ledger WHERE owner = 'user-" + user + "' ORDER BY ord");
    }

    private static long booked(Scene scene) throws Exception {
        return scene.count("SELECT count(*) FROM ledger");
    }

    private static long parkedEvents(Scene scene) throws Exception {
        return scene.count("SELECT count(*) FROM eventbus_parked_event");
    }
}
