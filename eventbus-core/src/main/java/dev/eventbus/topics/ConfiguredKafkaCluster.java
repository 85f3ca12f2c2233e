package dev.eventbus.topics;

import dev.eventbus.ErrorCode;
import dev.eventbus.internal.Checks;
import java.time.InstantSource;
import java.util.Map;
import java.util.Optional;
import java.util.function.Supplier;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.consumer.Consumer;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.Producer;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** A cluster reached over the network. */
final class ConfiguredKafkaCluster implements KafkaCluster {

    private static final String DEFAULT_NAME = "kafka";

    private final String name;
    private final String prefix;
    private final ClientSettings settings;

    /** Whether clients send plaintext, and none was made yet after somebody had answered who does not speak TLS. Written by any thread. */
    private volatile boolean mayMeetTls;

    private ConfiguredKafkaCluster(String name, String prefix, ClientSettings settings) {
        this.name = name;
        this.prefix = prefix;
        this.settings = settings;
        this.mayMeetTls = !BrokerProbe.of(this).speaksTls();
    }

    static KafkaCluster of(Map<String, ?> clientSettings) {
        return new ConfiguredKafkaCluster(DEFAULT_NAME, "", ClientSettings.checked(clientSettings));
    }

    @Override
    public KafkaCluster named(String name) {
        return new ConfiguredKafkaCluster(Checks.clusterName(name), prefix, settings);
    }

    @Override
    public KafkaCluster topicPrefix(String prefix) {
        if (!prefix.isEmpty()) {
            Checks.topicName("topicPrefix", prefix);
        }
        return new ConfiguredKafkaCluster(name, prefix, settings);
    }

    @Override
    public String name() {
        return name;
    }

    @Override
    public String bootstrapServers() {
        return settings.bootstrapServers();
    }

    @Override
    public String setting(String name, String fallback) {
        return settings.get(name, fallback);
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
    public Producer<byte[], byte[]> producer(Map<String, Object> callers) {
        return unlessTls(() -> new KafkaProducer<>(
                settings.forProducer(callers), new ByteArraySerializer(), new ByteArraySerializer()));
    }

    @Override
    public Consumer<byte[], byte[]> consumer(Map<String, Object> callers) {
        return unlessTls(() -> new KafkaConsumer<>(
                settings.forConsumer(callers), new ByteArrayDeserializer(), new ByteArrayDeserializer()));
    }

    @Override
    public Admin admin() {
        return unlessTls(() -> Admin.create(settings.forAdmin()));
    }

    /**
     * The alert with which TLS answers plaintext is, to Kafka's client, the length of an answer of 336 MB, and it asks for that much
     * memory at once: a small heap is then out of order, the client without its thread, and nobody learns why (KAFKA-4090). So no client
     * is made while it is certain that it would come to that. Once one was made and somebody listened, nothing is asked any more.
     */
    private <C> C unlessTls(Supplier<C> client) {
        if (!mayMeetTls) {
            return client.get();
        }
        Optional<BrokerProbe.Finding> finding = BrokerProbe.of(this).ask();
        if (finding.isPresent() && finding.get().code() == ErrorCode.SPEAKS_TLS) {
            throw new UnreachableException(finding.get());
        }
        C made = client.get();
        mayMeetTls = finding.isPresent(); // nobody listens: who comes to that port is not known yet
        return made;
    }

    @Override
    public InstantSource clock() {
        return InstantSource.system();
    }

    /** Without settings: there are secrets among them. */
    @Override
    public String toString() {
        return "%s (%s)".formatted(name, bootstrapServers());
    }
}
