package dev.eventbus.outbox;

import dev.eventbus.outbox.sql.OutboxStore;
import dev.eventbus.topics.KafkaCluster;
import java.sql.Connection;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.errors.TimeoutException;

/**
 * How many partitions a topic is taken to have: the count recorded in {@code eventbus_meta} when it was first used, never what
 * the broker says today, since another count would move keys. One thread only.
 */
final class TopicPartitions {

    private final OutboxStore store;
    private final KafkaCluster kafka;
    private final FailStopProducer producer;

    /** Recorded counts by physical topic, as read from the database. */
    private final Map<String, Integer> recorded = new HashMap<>();

    /** Topics that have more partitions than recorded, with their count now. */
    private final Map<String, Integer> grown = new TreeMap<>();

    TopicPartitions(OutboxStore store, KafkaCluster kafka, FailStopProducer producer) {
        this.store = store;
        this.kafka = kafka;
        this.producer = producer;
    }

    /**
     * The count that decides where a key goes.
     *
     * @throws KafkaException if the broker does not know the topic, does not show it, has not answered yet, or has fewer partitions
     */
    int count(Connection connection, String topic) throws SQLException {
        String physical = kafka.physicalTopic(topic);
        int now = producer.partitionsFor(physical).size();
        if (now == 0) {
            throw new KafkaException("topic %s has no partitions".formatted(physical));
        }
        Integer known = recorded.get(physical);
        if (known == null) {
            String name = "partitions.%s.%s".formatted(kafka.name(), physical);
            known = Integer.valueOf(store.metaOnce(connection, name, String.valueOf(now)));
            recorded.put(physical, known);
        }
        if (known > now) {
            throw new KafkaException(
                    "topic %s has %d partitions, but %d are recorded for it in eventbus_meta; it was made anew with fewer. Give it %d again"
                            .formatted(physical, now, known, known));
        }
        if (known < now) {
            grown.put(physical, now);
        } else {
            grown.remove(physical);
        }
        return known;
    }

    /** Whether the client has learnt anything about a topic. Never waits. */
    boolean isKnown(String topic) {
        try {
            return !producer.partitionsFor(kafka.physicalTopic(topic)).isEmpty();
        } catch (TimeoutException e) {
            return e.getCause() != null;
        } catch (RuntimeException e) {
            return true;
        }
    }

    List<String> problems() {
        List<String> problems = new ArrayList<>();
        grown.forEach((topic, now) -> problems.add(
                "Topic %s of cluster '%s' has grown to %d partitions; events go on using the first %s, so that no key changes its partition. Nothing is lost."
                        .formatted(topic, kafka.name(), now, recorded.get(topic))));
        return problems;
    }
}
