package dev.eventbus.consumer.redrive;

import dev.eventbus.topics.KafkaCluster;
import dev.eventbus.topics.KafkaFaults;
import java.time.Duration;
import java.util.Collection;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.function.Predicate;
import org.apache.kafka.clients.consumer.CloseOptions;
import org.apache.kafka.clients.consumer.Consumer;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.OffsetOutOfRangeException;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.PartitionInfo;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.InterruptException;
import org.apache.kafka.common.errors.InvalidTopicException;
import org.apache.kafka.common.errors.TimeoutException;
import org.apache.kafka.common.errors.TopicAuthorizationException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;

/** Reads parts of topics beside the group, without joining it and without committing anything. One thread. */
final class TopicReader implements AutoCloseable {

    private static final Duration POLL = Duration.ofMillis(200);
    private static final Duration QUESTION = Duration.ofSeconds(10);

    /** How often nothing may come where something must. */
    private static final int MOST_EMPTY_POLLS = 50;

    /** Offsets from the first that is there to the one behind the last. */
    record Range(long from, long to) {}

    private final KafkaCluster kafka;
    private final Consumer<byte[], byte[]> consumer;

    /** @param group whose committed offsets can be asked for */
    TopicReader(KafkaCluster kafka, String group) {
        this.kafka = kafka;
        this.consumer = ask(() -> kafka.consumer(Map.of(
                ConsumerConfig.GROUP_ID_CONFIG,
                group,
                ConsumerConfig.ENABLE_AUTO_COMMIT_CONFIG,
                false,
                ConsumerConfig.AUTO_OFFSET_RESET_CONFIG,
                "none",
                ConsumerConfig.ALLOW_AUTO_CREATE_TOPICS_CONFIG,
                false,
                ConsumerConfig.ISOLATION_LEVEL_CONFIG,
                "read_committed")));
    }

    private interface Question<T> {
        T ask();
    }

    private <T> T ask(Question<T> question) {
        try {
            return question.ask();
        } catch (InterruptException e) { // no word of Kafka's
            throw e;
        } catch (KafkaException e) {
            throw KafkaFaults.diagnose(kafka, e, "nothing was changed by this step");
        }
    }

    /** What is there of a physical topic; empty if it does not exist. */
    Map<TopicPartition, Range> ranges(String topic) {
        List<PartitionInfo> partitions = ask(() -> consumer.partitionsFor(topic, QUESTION));
        return partitions == null
                ? Map.of()
                : ranges(partitions.stream()
                        .map(info -> new TopicPartition(topic, info.partition()))
                        .toList());
    }

    /** Names of the topics that this user may see. */
    Set<String> topics() {
        return ask(() -> consumer.listTopics(QUESTION).keySet());
    }

    Map<TopicPartition, Range> ranges(Collection<TopicPartition> partitions) {
        Map<TopicPartition, Long> from = ask(() -> consumer.beginningOffsets(partitions, QUESTION));
        Map<TopicPartition, Long> to = ask(() -> consumer.endOffsets(partitions, QUESTION));
        Map<TopicPartition, Range> ranges = new TreeMap<>(Comparator.comparing(TopicPartition::toString));
        from.forEach((partition, first) -> ranges.put(partition, new Range(first, to.getOrDefault(partition, first))));
        return ranges;
    }

    /** How far the group has come; of a partition that it has never read there is nothing. */
    Map<TopicPartition, Long> committed(Set<TopicPartition> partitions) {
        Map<String, Set<TopicPartition>> byTopic = new TreeMap<>();
        partitions.forEach(partition -> byTopic.computeIfAbsent(partition.topic(), topic -> new HashSet<>())
                .add(partition));
        Map<TopicPartition, Long> committed = new HashMap<>();
        for (Set<TopicPartition> ofTopic :
                byTopic.values()) { // apart, so that a name that somebody made up spoils no other
            ask(() -> committedOf(ofTopic)).forEach((partition, offset) -> {
                if (offset != null) {
                    committed.put(partition, offset.offset());
                }
            });
        }
        return committed;
    }

    private Map<TopicPartition, OffsetAndMetadata> committedOf(Set<TopicPartition> partitions) {
        try {
            return consumer.committed(partitions, QUESTION);
        } catch (TopicAuthorizationException | InvalidTopicException | UnknownTopicOrPartitionException e) {
            return Map.of();
        } catch (KafkaException e) {
            if (e.getClass()
                    == KafkaException.class) { // the client's answer for a topic or partition that does not exist
                return Map.of();
            }
            throw e;
        }
    }

    /** Reads a range in order, until it ends or somebody has had enough; what is gone by now is left out. */
    void read(TopicPartition partition, Range range, Predicate<ConsumerRecord<byte[], byte[]>> wantsMore) {
        if (range.from() >= range.to()) {
            return;
        }
        consumer.assign(List.of(partition));
        consumer.seek(partition, range.from());
        int empty = 0;
        while (ask(() -> consumer.position(partition, QUESTION)) < range.to()) {
            List<ConsumerRecord<byte[], byte[]>> records;
            try {
                records = consumer.poll(POLL).records(partition);
            } catch (OffsetOutOfRangeException e) { // retention was faster
                consumer.seekToBeginning(List.of(partition));
                continue;
            } catch (InterruptException e) {
                throw e;
            } catch (KafkaException e) {
                throw KafkaFaults.diagnose(kafka, e, "nothing was changed by this step");
            }
            empty = records.isEmpty() ? empty + 1 : 0;
            if (empty > MOST_EMPTY_POLLS) {
                throw KafkaFaults.diagnose(
                        kafka,
                        new TimeoutException("%s gives no record behind %d".formatted(partition, range.from())),
                        "nothing was changed by this step");
            }
            for (ConsumerRecord<byte[], byte[]> record : records) {
                if (record.offset() >= range.to() || !wantsMore.test(record)) {
                    return;
                }
            }
        }
    }

    @Override
    public void close() {
        consumer.close(CloseOptions.timeout(Duration.ofSeconds(5)));
    }
}
