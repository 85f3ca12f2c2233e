package dev.eventbus.consumer.deadletter;

import dev.eventbus.topics.KafkaCluster;
import java.time.InstantSource;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Future;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.consumer.Consumer;
import org.apache.kafka.clients.producer.Callback;
import org.apache.kafka.clients.producer.MockProducer;
import org.apache.kafka.clients.producer.Producer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.errors.ApiException;
import org.apache.kafka.common.errors.RecordTooLargeException;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.jspecify.annotations.Nullable;

/** A cluster with the topic prefix {@code test.} that hands out Kafka's own fake producers and remembers them. */
final class OneProducerAtATime implements KafkaCluster {

    private final boolean autoComplete;
    private final List<LimitedProducer> opened = new ArrayList<>();
    private Map<String, Object> settings = Map.of();
    private int limit = Integer.MAX_VALUE;
    private @Nullable RuntimeException failure;

    private ApiException tooLarge = new RecordTooLargeException("too large");

    OneProducerAtATime(boolean autoComplete) {
        this.autoComplete = autoComplete;
    }

    List<LimitedProducer> opened() {
        return opened;
    }

    LimitedProducer only() {
        if (opened.size() != 1) {
            throw new AssertionError("one producer expected, were " + opened.size());
        }
        return opened.get(0);
    }

    LimitedProducer last() {
        return opened.get(opened.size() - 1);
    }

    Map<String, Object> settings() {
        return settings;
    }

    /** What is said of a record that is too large. */
    void refuseWith(ApiException e) {
        tooLarge = e;
    }

    /** As a topic's {@code max.message.bytes}. */
    void refuseOver(int bytes) {
        limit = bytes;
    }

    void failToOpen(RuntimeException failure) {
        this.failure = failure;
    }

    @Override
    public Producer<byte[], byte[]> producer(Map<String, Object> settings) {
        if (failure != null) {
            throw failure;
        }
        this.settings = settings;
        opened.add(new LimitedProducer());
        return last();
    }

    /** Refuses what is too large, by the callback, as a broker does. */
    final class LimitedProducer extends MockProducer<byte[], byte[]> {

        private int refused;

        private LimitedProducer() {
            super(autoComplete, null, new ByteArraySerializer(), new ByteArraySerializer());
        }

        int refused() {
            return refused;
        }

        @Override
        public synchronized Future<RecordMetadata> send(ProducerRecord<byte[], byte[]> record, Callback callback) {
            if (size(record) <= limit) {
                return super.send(record, callback);
            }
            refused++;
            ApiException e = tooLarge;
            callback.onCompletion(null, e);
            return CompletableFuture.failedFuture(e);
        }
    }

    private static int size(ProducerRecord<byte[], byte[]> record) {
        int size =
                (record.key() == null ? 0 : record.key().length) + (record.value() == null ? 0 : record.value().length);
        for (Header header : record.headers()) {
            size += header.key().length() + (header.value() == null ? 0 : header.value().length);
        }
        return size;
    }

    @Override
    public KafkaCluster named(String name) {
        throw new UnsupportedOperationException();
    }

    @Override
    public KafkaCluster topicPrefix(String prefix) {
        throw new UnsupportedOperationException();
    }

    @Override
    public String name() {
        return "test";
    }

    @Override
    public String bootstrapServers() {
        return "nowhere:9092";
    }

    @Override
    public String physicalTopic(String topic) {
        return "test." + topic;
    }

    @Override
    public String logicalTopic(String physicalTopic) {
        return physicalTopic.substring("test.".length());
    }

    @Override
    public Consumer<byte[], byte[]> consumer(Map<String, Object> settings) {
        throw new UnsupportedOperationException();
    }

    @Override
    public Admin admin() {
        throw new UnsupportedOperationException();
    }

    @Override
    public InstantSource clock() {
        return InstantSource.system();
    }
}
