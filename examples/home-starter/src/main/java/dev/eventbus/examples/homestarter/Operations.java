package dev.eventbus.examples.homestarter;

import static java.util.stream.Collectors.toMap;

import dev.eventbus.outbox.OutboxAdmin;
import dev.eventbus.topics.GrowPartitions;
import dev.eventbus.topics.KafkaCluster;
import java.sql.SQLException;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;

/** What an operator does now and then. */
final class Operations {

    private static final Duration LIMIT = Duration.ofMinutes(1);

    private Operations() {}

    // region: grow
    /** Gives a topic the partitions that the plan has, while events flow. Order holds: the relay uses them when the groups have caught up. */
    static int grow(KafkaCluster kafka, OutboxAdmin outbox, String topic, String... groups) throws SQLException {
        HomeStarterTopics.GROWN.on(kafka).apply(GrowPartitions.THOUGH_KEYS_CHANGE_PARTITION);
        return outbox.adoptPartitions(kafka, topic, LIMIT, groups);
    }
    // end: grow

    // region: reset
    /** Sets a group back to the earliest events; its instances must be stopped. */
    static void resetToEarliest(KafkaCluster kafka, String group, String topic)
            throws ExecutionException, InterruptedException {
        String physical = kafka.physicalTopic(topic);
        try (Admin admin = kafka.admin()) {
            List<TopicPartition> partitions =
                    admin.describeTopics(List.of(physical)).allTopicNames().get().values().stream()
                            .flatMap(described -> described.partitions().stream())
                            .map(partition -> new TopicPartition(physical, partition.partition()))
                            .toList();
            Map<TopicPartition, OffsetAndMetadata> earliest = admin
                    .listOffsets(partitions.stream().collect(toMap(one -> one, one -> OffsetSpec.earliest())))
                    .all()
                    .get()
                    .entrySet()
                    .stream()
                    .collect(toMap(
                            Map.Entry::getKey,
                            one -> new OffsetAndMetadata(one.getValue().offset())));
            admin.alterConsumerGroupOffsets(group, earliest).all().get();
        }
    }
    // end: reset
}
