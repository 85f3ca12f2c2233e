package dev.eventbus.outbox.internal;

import dev.eventbus.topics.KafkaCluster;
import dev.eventbus.topics.KafkaFaults;
import java.time.Duration;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.SortedSet;
import java.util.TreeSet;
import java.util.function.Function;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.apache.kafka.clients.consumer.Consumer;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;

/** How far a topic has got, and how far consumer groups are in it. Each question waits for Kafka, in the caller's thread. */
public final class GroupProgress {

    private static final Duration POLL = Duration.ofMillis(200);
    private static final int POLLS = 10;

    private final KafkaCluster kafka;
    private final String topic;

    /** @param topic as the cluster names it */
    public GroupProgress(KafkaCluster kafka, String topic) {
        this.kafka = kafka;
        this.topic = topic;
    }

    /** How many partitions the topic has. */
    public int partitions() {
        return ask(Map.of(), reader -> reader.partitionsFor(topic).size());
    }

    /** The log's, not those of committed readers: our events may lie behind a transaction of somebody that is open. */
    public Map<TopicPartition, Long> ends(int partitions) {
        List<TopicPartition> all = IntStream.range(0, partitions)
                .mapToObj(partition -> new TopicPartition(topic, partition))
                .toList();
        return ask(Map.of(ConsumerConfig.ISOLATION_LEVEL_CONFIG, "read_uncommitted"), reader -> reader.endOffsets(all));
    }

    /** Those of the groups that have not handled everything up to these ends. */
    public SortedSet<String> behind(Collection<String> groups, Map<TopicPartition, Long> ends) {
        return groups.stream()
                .filter(group -> !ask(Map.of(ConsumerConfig.GROUP_ID_CONFIG, group), reader -> hasPassed(reader, ends)))
                .collect(Collectors.toCollection(TreeSet::new));
    }

    /** Asks with some settings; with a group's id as a member of it would, without joining it. */
    private <T> T ask(Map<String, Object> own, Function<Consumer<byte[], byte[]>, T> question) {
        Map<String, Object> settings = new HashMap<>(own);
        settings.put(ConsumerConfig.MAX_POLL_RECORDS_CONFIG, 1);
        try (Consumer<byte[], byte[]> reader = kafka.consumer(settings)) {
            return question.apply(reader);
        } catch (KafkaException e) {
            throw KafkaFaults.explain(kafka, e, "the topic goes on with the partitions it has used until now");
        }
    }

    /** Reads from where the group is: what is left may be the marks of transactions, which no group commits. */
    private static boolean hasPassed(Consumer<byte[], byte[]> reader, Map<TopicPartition, Long> ends) {
        Map<TopicPartition, OffsetAndMetadata> committed = reader.committed(ends.keySet());
        Map<TopicPartition, Long> from = new HashMap<>(reader.beginningOffsets(ends.keySet()));
        from.replaceAll((partition, beginning) -> {
            OffsetAndMetadata handled = committed.get(partition);
            return handled == null ? beginning : Math.max(beginning, handled.offset());
        });
        from.entrySet().removeIf(position -> position.getValue() >= ends.getOrDefault(position.getKey(), 0L));
        reader.assign(from.keySet());
        from.forEach(reader::seek);
        for (int poll = 0; poll < POLLS && !from.isEmpty(); poll++) {
            if (!reader.poll(POLL).isEmpty()) {
                return false;
            }
            from.keySet().removeIf(partition -> reader.position(partition) >= ends.getOrDefault(partition, 0L));
        }
        return from.isEmpty();
    }
}
