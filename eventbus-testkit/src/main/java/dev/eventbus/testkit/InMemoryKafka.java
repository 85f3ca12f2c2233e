package dev.eventbus.testkit;

import dev.eventbus.internal.Checks;
import dev.eventbus.topics.KafkaCluster;
import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.consumer.Consumer;
import org.apache.kafka.clients.producer.Producer;

/** A cluster in memory, in virtual time. Clusters made from it by {@code named} and {@code topicPrefix} share its topics. */
record InMemoryKafka(String name, String prefix, InMemoryBroker broker, VirtualClock clock, AtomicInteger clients)
        implements KafkaCluster {

    static InMemoryKafka create() {
        VirtualClock clock = new VirtualClock();
        return new InMemoryKafka("in-memory", "", new InMemoryBroker(clock), clock, new AtomicInteger());
    }

    @Override
    public KafkaCluster named(String name) {
        return new InMemoryKafka(Checks.clusterName(name), prefix, broker, clock, clients);
    }

    @Override
    public InMemoryKafka topicPrefix(String prefix) {
        if (!prefix.isEmpty()) {
            Checks.topicName("topicPrefix", prefix);
        }
        return new InMemoryKafka(name, prefix, broker, clock, clients);
    }

    @Override
    public String bootstrapServers() {
        return "in-memory";
    }

    @Override
    public String physicalTopic(String topic) {
        return prefix + topic;
    }

    @Override
    public String logicalTopic(String physicalTopic) {
        return physicalTopic.startsWith(prefix) ? physicalTopic.substring(prefix.length()) : physicalTopic;
    }

    @Override
    public Producer<byte[], byte[]> producer(Map<String, Object> settings) {
        return new InMemoryProducer(broker, settings);
    }

    @Override
    public Consumer<byte[], byte[]> consumer(Map<String, Object> settings) {
        return new InMemoryConsumer(broker, "consumer-" + clients.incrementAndGet(), settings);
    }

    @Override
    public Admin admin() {
        throw unsupported("admin()");
    }

    static UnsupportedOperationException unsupported(String what) {
        return new UnsupportedOperationException(
                "%s is not there on the in-memory cluster; topics are made on first use, anything else needs a real broker, for instance eventbus-embedded"
                        .formatted(what));
    }
}
