package dev.eventbus.testkit;

import java.time.Duration;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.regex.Pattern;
import org.apache.kafka.clients.consumer.CloseOptions;
import org.apache.kafka.clients.consumer.Consumer;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.OffsetAndTimestamp;
import org.apache.kafka.clients.consumer.OffsetCommitCallback;
import org.apache.kafka.clients.consumer.SubscriptionPattern;
import org.apache.kafka.common.Metric;
import org.apache.kafka.common.MetricName;
import org.apache.kafka.common.PartitionInfo;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.metrics.KafkaMetric;

/**
 * The part of Kafka's large consumer interface that says nothing new: calls that only add a time limit, which nothing in memory
 * needs, and calls that are refused because no consumer of this library makes them.
 */
abstract class PartialConsumer implements Consumer<byte[], byte[]> {

    @Override
    public void subscribe(Collection<String> topics) {
        subscribe(topics, new ConsumerRebalanceListener() {
            @Override
            public void onPartitionsRevoked(Collection<TopicPartition> partitions) {}

            @Override
            public void onPartitionsAssigned(Collection<TopicPartition> partitions) {}
        });
    }

    @Override
    public void seek(TopicPartition partition, OffsetAndMetadata offset) {
        seek(partition, offset.offset());
    }

    @Override
    public void commitSync(Map<TopicPartition, OffsetAndMetadata> offsets, Duration timeout) {
        commitSync(offsets);
    }

    @Override
    public long position(TopicPartition partition, Duration timeout) {
        return position(partition);
    }

    @Override
    public Map<TopicPartition, OffsetAndMetadata> committed(Set<TopicPartition> partitions, Duration timeout) {
        return committed(partitions);
    }

    @Override
    public List<PartitionInfo> partitionsFor(String topic, Duration timeout) {
        return partitionsFor(topic);
    }

    @Override
    public Map<TopicPartition, Long> beginningOffsets(Collection<TopicPartition> partitions, Duration timeout) {
        return beginningOffsets(partitions);
    }

    @Override
    public Map<TopicPartition, Long> endOffsets(Collection<TopicPartition> partitions, Duration timeout) {
        return endOffsets(partitions);
    }

    @Override
    public void close(Duration timeout) {
        close();
    }

    /** Leaves the group whatever the options say: nothing in memory waits for a member to come back. */
    @Override
    public void close(CloseOptions options) {
        close();
    }

    @Override
    public Map<MetricName, ? extends Metric> metrics() {
        return Map.of();
    }

    @Override
    public void commitSync() {
        throw unsupported("commitSync without offsets");
    }

    @Override
    public void commitSync(Duration timeout) {
        throw unsupported("commitSync without offsets");
    }

    @Override
    public void commitAsync() {
        throw unsupported("commitAsync without offsets");
    }

    @Override
    public void commitAsync(OffsetCommitCallback callback) {
        throw unsupported("commitAsync without offsets");
    }

    @Override
    public void subscribe(Pattern pattern, ConsumerRebalanceListener listener) {
        throw unsupported("subscribe by pattern");
    }

    @Override
    public void subscribe(Pattern pattern) {
        throw unsupported("subscribe by pattern");
    }

    @Override
    public void subscribe(SubscriptionPattern pattern, ConsumerRebalanceListener listener) {
        throw unsupported("subscribe by pattern");
    }

    @Override
    public void subscribe(SubscriptionPattern pattern) {
        throw unsupported("subscribe by pattern");
    }

    @Override
    public Map<String, List<PartitionInfo>> listTopics() {
        throw unsupported("listTopics");
    }

    @Override
    public Map<String, List<PartitionInfo>> listTopics(Duration timeout) {
        throw unsupported("listTopics");
    }

    @Override
    public Map<TopicPartition, OffsetAndTimestamp> offsetsForTimes(Map<TopicPartition, Long> timestamps) {
        throw unsupported("offsetsForTimes");
    }

    @Override
    public Map<TopicPartition, OffsetAndTimestamp> offsetsForTimes(
            Map<TopicPartition, Long> timestamps, Duration timeout) {
        throw unsupported("offsetsForTimes");
    }

    @Override
    public void enforceRebalance() {
        throw unsupported("enforceRebalance");
    }

    @Override
    public void enforceRebalance(String reason) {
        throw unsupported("enforceRebalance");
    }

    @Override
    public Uuid clientInstanceId(Duration timeout) {
        throw unsupported("clientInstanceId");
    }

    @Override
    public void registerMetricForSubscription(KafkaMetric metric) {
        throw unsupported("registerMetricForSubscription");
    }

    @Override
    public void unregisterMetricFromSubscription(KafkaMetric metric) {
        throw unsupported("unregisterMetricFromSubscription");
    }

    private static UnsupportedOperationException unsupported(String call) {
        return InMemoryKafka.unsupported(call + " of a consumer");
    }
}
