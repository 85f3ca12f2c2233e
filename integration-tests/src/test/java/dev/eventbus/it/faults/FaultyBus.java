package dev.eventbus.it.faults;

import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.embedded.PostgresServer;
import dev.eventbus.it.Eventually;
import dev.eventbus.it.Scene;
import dev.eventbus.outbox.OutboxAdmin;
import dev.eventbus.outbox.OutboxRelay;
import dev.eventbus.topics.KafkaCluster;
import java.sql.SQLException;
import java.util.List;
import java.util.Map;
import java.util.function.UnaryOperator;
import java.util.stream.Stream;
import org.apache.kafka.clients.consumer.ConsumerRecord;

/** Publishers, a relay that is listened to, and a broker that can be made to fail. */
final class FaultyBus implements AutoCloseable {

    final FaultyKafka kafka;
    final Scene scene;
    final Streams streams;
    final Heard heard = new Heard();
    final OutboxRelay relay;
    private final String[] topics;

    private FaultyBus(FaultyKafka kafka, Scene scene, UnaryOperator<KafkaCluster> edit, String... topics) {
        this.kafka = kafka;
        this.scene = scene;
        this.streams = new Streams(scene);
        this.topics = topics;
        this.relay = OutboxRelay.builder(scene.outbox(), scene.database(), edit.apply(kafka.asRelay(scene)))
                .listener(heard)
                .build();
    }

    /** @param topics name and partitions, such as {@code asset.events:3} */
    static FaultyBus create(FaultyKafka kafka, PostgresServer postgres, String... topics) throws SQLException {
        return create(kafka, postgres, cluster -> cluster, topics);
    }

    /** @param edit makes the relay's cluster another */
    static FaultyBus create(
            FaultyKafka kafka, PostgresServer postgres, UnaryOperator<KafkaCluster> edit, String... topics)
            throws SQLException {
        String[] names = Stream.of(topics).map(topic -> topic.split(":")[0]).toArray(String[]::new);
        return new FaultyBus(kafka, kafka.scene(postgres, topics), edit, names);
    }

    /** Starts the relay and makes every topic known to it; in the first, the partition of the key is warm then. */
    FaultyBus startWarm(String key) throws SQLException {
        relay.start();
        warmUp(topics[0], key);
        for (int i = 1; i < topics.length; i++) {
            warmUp(topics[i], "key-of-" + topics[i]);
        }
        return this;
    }

    void warmUp(String topic, String key) throws SQLException {
        streams.publish(topic, key, 100);
        awaitSent(topic);
    }

    void awaitSent(String topic) {
        Eventually.holds(() -> streams.pending(topic) == 0, this::seen);
    }

    void awaitAllSent() {
        Eventually.holds(() -> streams.pending() == 0, this::seen);
    }

    private Object seen() {
        return List.of(relay.health(), heard.failures, heard.blocks);
    }

    /** Takes away all blocks, as a person does who has mended what they are about. */
    void unblock() throws SQLException {
        OutboxAdmin admin = OutboxAdmin.of(scene.outbox(), scene.database());
        for (OutboxAdmin.BlockedKey blocked : admin.blocked()) {
            admin.unblock(blocked.topic(), blocked.key());
        }
    }

    List<ConsumerRecord<byte[], byte[]>> records() {
        return scene.records(topics);
    }

    /** Waits until all is sent; then every event is there, and its first occurrence in the order of its key. */
    void assertNothingLostOrReordered() {
        awaitAllSent();
        assertThat(streams.violations(records())).isEqualTo(Map.of());
    }

    @Override
    public void close() throws Exception {
        relay.close();
        scene.close();
    }
}
