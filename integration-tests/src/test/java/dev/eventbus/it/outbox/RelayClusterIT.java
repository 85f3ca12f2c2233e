package dev.eventbus.it.outbox;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.eventbus.embedded.EmbeddedKafka;
import dev.eventbus.embedded.PostgresServer;
import dev.eventbus.embedded.ServersExtension;
import dev.eventbus.it.Eventually;
import dev.eventbus.it.Scene;
import dev.eventbus.outbox.OutboxRelay;
import dev.eventbus.topics.TopicSpec;
import dev.eventbus.topics.Topics;
import java.sql.SQLException;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.Producer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartitionInfo;
import org.apache.kafka.common.errors.NotEnoughReplicasException;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.parallel.Execution;
import org.junit.jupiter.api.parallel.ExecutionMode;

/**
 * Three brokers, of which some or all are gone; a topic with three replicas, of which two have to be in sync. One test after the other,
 * since they share the brokers.
 */
@ExtendWith(ServersExtension.class)
@Execution(ExecutionMode.CONCURRENT)
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class RelayClusterIT {

    private static final String PENDING = "SELECT count(*) FROM eventbus_outbox";
    private static final int USERS = 10;

    /** Of the cluster: 2 s until a broker is missed, and the election; of the relay: two back-offs. */
    private static final Duration PAUSE = Duration.ofSeconds(5);

    /** What a machine with few cores may add, on which other tests run too. */
    private static final Duration SLACK = Duration.ofSeconds(10);

    private final EmbeddedKafka kafka = EmbeddedKafka.builder().nodes(3).start();
    private Scene scene;
    private OutboxRelay relay;
    private int published;

    @BeforeEach
    void create(PostgresServer postgres) throws Exception {
        scene = Scene.create(kafka, postgres);
        published = 0;
        Topics.of(
                        scene.kafka(),
                        TopicSpec.of("asset.events", 1).replicationFactor(3).minInsyncReplicas(2))
                .provision();
        relay = scene.startRelay();
        publish(USERS);
        Eventually.holds(() -> scene.count(PENDING) == 0, relay::health);
    }

    @AfterEach
    void end() throws Exception {
        IntStream.rangeClosed(1, kafka.nodes()).filter(kafka::isAlive).forEach(kafka::resume);
        scene.close();
        int[] gone = IntStream.rangeClosed(1, kafka.nodes())
                .filter(node -> !kafka.isAlive(node))
                .toArray();
        if (gone.length > 0) {
            kafka.start(gone[0], IntStream.of(gone).skip(1).toArray());
        }
    }

    @AfterAll
    void close() {
        kafka.close();
    }

    /** One transaction each, of one user after the other. */
    private void publish(int events) throws SQLException {
        for (int end = published + events; published < end; published++) {
            String user = "user-" + published % USERS;
            int number = published / USERS + 1;
            scene.inTransaction(tx -> scene.outbox().within(tx).publish(SerialisedWriters.event(user, number)));
        }
    }

    private void assertAllThereInOrder() {
        Eventually.holds(() -> scene.count(PENDING) == 0, relay::health);
        List<ConsumerRecord<byte[], byte[]>> records = scene.records("asset.events");
        assertThat(SerialisedWriters.reorderedRecords(records)).isEmpty();
        assertThat(records.stream().map(SerialisedWriters::id).distinct()).hasSize(published);
        Eventually.holds(() -> relay.health().up(), relay::health);
    }

    private TopicPartitionInfo partition() throws Exception {
        String topic = scene.kafka().physicalTopic("asset.events");
        try (Admin admin = scene.kafka().admin()) {
            return admin.describeTopics(List.of(topic))
                    .allTopicNames()
                    .get()
                    .values()
                    .iterator()
                    .next()
                    .partitions()
                    .get(0);
        }
    }

    private void awaitInSync(int replicas) {
        Eventually.holds(() -> partition().isr().size() == replicas, this::described);
    }

    private Object described() {
        try {
            return partition();
        } catch (Exception e) {
            return e;
        }
    }

    @Test
    @Execution(ExecutionMode.SAME_THREAD)
    void while_two_of_three_brokers_are_gone_rows_wait_it_is_said_and_all_comes_in_order_when_they_are_back()
            throws Exception {
        kafka.stop(2);
        awaitInSync(2);
        kafka.stop(3);
        assertReplicasAreShort();
        publish(10 * USERS);
        String topic = scene.kafka().physicalTopic("asset.events");
        Eventually.holds(
                () -> !relay.health().up()
                        && relay.health().problems().stream()
                                .anyMatch(problem -> problem.contains(topic)
                                        && problem.contains("acknowledged nothing")
                                        && problem.contains("wait in the outbox")),
                relay::health);
        assertThat(scene.count(PENDING)).as("none is taken for sent").isEqualTo(10 * USERS);

        kafka.start(2, 3);
        long back = System.nanoTime();
        assertAllThereInOrder();
        assertThat(Duration.ofNanos(System.nanoTime() - back)).isLessThan(Duration.ofSeconds(30));
    }

    /** The broker itself says so, to a client that does not try again. */
    private void assertReplicasAreShort() {
        Map<String, Object> once = Map.of(
                "bootstrap.servers", kafka.bootstrapServers(),
                "acks", "all",
                "enable.idempotence", false,
                "retries", 0,
                "max.block.ms", 10_000,
                "linger.ms", 0,
                "request.timeout.ms", 10_000,
                "delivery.timeout.ms", 10_000);
        String topic = scene.kafka().physicalTopic("asset.events");
        try (Producer<byte[], byte[]> producer =
                new KafkaProducer<>(once, new ByteArraySerializer(), new ByteArraySerializer())) {
            assertThatThrownBy(() -> producer.send(new ProducerRecord<>(topic, new byte[0]))
                            .get())
                    .hasCauseInstanceOf(NotEnoughReplicasException.class);
        }
    }

    @Test
    @Execution(ExecutionMode.SAME_THREAD)
    void all_three_brokers_are_killed_under_load_and_started_again() throws Exception {
        publish(10 * USERS);
        IntStream.rangeClosed(1, kafka.nodes()).forEach(kafka::kill);
        publish(10 * USERS);
        assertThat(scene.count(PENDING)).isPositive();
        kafka.start(1, 2, 3);
        assertAllThereInOrder();
    }

    @Test
    @Execution(ExecutionMode.SAME_THREAD)
    void a_killed_leader_and_then_the_next_one_cost_a_pause_of_seconds_each() throws Exception {
        for (int round = 0; round < 2; round++) {
            awaitInSync(3);
            int leader = partition().leader().id();
            publish(10 * USERS);
            kafka.kill(leader);
            long killed = System.nanoTime();
            publish(10 * USERS);
            Eventually.holds(() -> scene.count(PENDING) == 0, relay::health);
            assertThat(Duration.ofNanos(System.nanoTime() - killed)).isLessThan(PAUSE.plus(SLACK));
            assertThat(partition().leader().id()).isNotEqualTo(leader);
            kafka.start(leader);
        }
        assertAllThereInOrder();
    }

    @Test
    @Execution(ExecutionMode.SAME_THREAD)
    void while_all_brokers_stand_still_publishing_takes_about_as_long_as_before() throws Exception {
        Duration before = timeOf(20 * USERS);
        IntStream.rangeClosed(1, kafka.nodes()).forEach(kafka::pause);
        Duration meanwhile = timeOf(20 * USERS);
        assertThat(scene.count(PENDING)).isPositive();
        IntStream.rangeClosed(1, kafka.nodes()).forEach(kafka::resume);
        assertThat(meanwhile)
                .as("%d transactions, %s before", 20 * USERS, before)
                .isLessThan(before.multipliedBy(5).plusSeconds(2));
        assertAllThereInOrder();
    }

    private Duration timeOf(int events) throws SQLException {
        long begin = System.nanoTime();
        publish(events);
        return Duration.ofNanos(System.nanoTime() - begin);
    }
}
