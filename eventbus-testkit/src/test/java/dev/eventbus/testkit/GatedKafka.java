package dev.eventbus.testkit;

import dev.eventbus.topics.KafkaCluster;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Proxy;
import java.time.InstantSource;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.consumer.Consumer;
import org.apache.kafka.clients.producer.Callback;
import org.apache.kafka.clients.producer.Producer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.TimeoutException;
import org.jspecify.annotations.Nullable;

/** A cluster, in memory or real, on which nothing can be sent to one topic until the gate is opened. */
final class GatedKafka implements KafkaCluster {

    private final KafkaCluster kafka;
    private final String topic;
    private final AtomicInteger refused = new AtomicInteger();
    private volatile boolean open;

    GatedKafka(KafkaCluster kafka, String topic) {
        this.kafka = kafka;
        this.topic = topic;
    }

    void open() {
        open = true;
    }

    /** How often something was to be sent while the gate was closed. */
    int refused() {
        return refused.get();
    }

    @Override
    @SuppressWarnings("unchecked")
    public Producer<byte[], byte[]> producer(Map<String, Object> settings) {
        Producer<byte[], byte[]> real = kafka.producer(settings);
        return (Producer<byte[], byte[]>) Proxy.newProxyInstance(
                getClass().getClassLoader(), new Class<?>[] {Producer.class}, (proxy, method, arguments) -> {
                    if (arguments != null
                            && arguments[0] instanceof ProducerRecord<?, ?> record
                            && record.topic().equals(topic)
                            && !open) {
                        return refuse(arguments.length > 1 ? (Callback) arguments[1] : null);
                    }
                    try {
                        return method.invoke(real, arguments);
                    } catch (InvocationTargetException e) {
                        throw e.getCause();
                    }
                });
    }

    private CompletableFuture<RecordMetadata> refuse(@Nullable Callback callback) {
        refused.incrementAndGet();
        TimeoutException failure = new TimeoutException("the gate is closed");
        if (callback != null) {
            callback.onCompletion(new RecordMetadata(new TopicPartition(topic, -1), -1, -1, -1, -1, -1), failure);
        }
        return CompletableFuture.failedFuture(failure);
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
        return kafka.name();
    }

    @Override
    public String bootstrapServers() {
        return kafka.bootstrapServers();
    }

    @Override
    public String physicalTopic(String logical) {
        return kafka.physicalTopic(logical);
    }

    @Override
    public String logicalTopic(String physical) {
        return kafka.logicalTopic(physical);
    }

    @Override
    public Consumer<byte[], byte[]> consumer(Map<String, Object> settings) {
        return kafka.consumer(settings);
    }

    @Override
    public Admin admin() {
        return kafka.admin();
    }

    @Override
    public InstantSource clock() {
        return kafka.clock();
    }
}
