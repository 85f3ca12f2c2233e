package dev.eventbus.topics;

import java.time.InstantSource;
import java.util.HashMap;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.consumer.Consumer;
import org.apache.kafka.clients.producer.Producer;

/**
 * A Kafka cluster, and the one maker of clients for it.
 *
 * <pre>{@code
 * KafkaCluster kafka = KafkaCluster.at("broker-1:9092,broker-2:9092");
 * KafkaCluster secure = KafkaCluster.of(Map.of(
 *     "bootstrap.servers", "broker-1:9093", "security.protocol", "SASL_SSL", ...)).named("kafka-events").topicPrefix("staging.");
 * }</pre>
 *
 * <p>Any setting that a Kafka producer, consumer or admin client knows may be given, TLS and SASL included. A setting that would
 * break a promise (for example {@code acks=1} or {@code enable.auto.commit=true}) is refused with the promise it would break, and
 * so is one that no client knows. Immutable and thread-safe; it opens no connection itself. Who asks for a client closes it.
 */
public interface KafkaCluster {

    /**
     * A cluster without security.
     *
     * @param bootstrapServers {@code host:port}, several separated by commas
     * @throws dev.eventbus.StartRefusedException if an address has no port or no host
     */
    static KafkaCluster at(String bootstrapServers) {
        return of(Map.of("bootstrap.servers", bootstrapServers));
    }

    /**
     * A cluster reached with the given client settings.
     *
     * @throws dev.eventbus.StartRefusedException listing every setting that is unknown or would break a promise, and if the
     *     Kafka client on the class path is one that misroutes records (CVE-2026-35554)
     */
    static KafkaCluster of(Map<String, ?> clientSettings) {
        return ConfiguredKafkaCluster.of(clientSettings);
    }

    /**
     * A cluster reached with client settings from a properties file.
     *
     * @param clientSettings with their defaults; values that are no strings are taken too
     * @throws dev.eventbus.StartRefusedException as {@link #of(Map)}
     */
    static KafkaCluster of(Properties clientSettings) {
        Map<String, Object> settings = new HashMap<>();
        clientSettings.stringPropertyNames().forEach(name -> settings.put(name, clientSettings.getProperty(name)));
        clientSettings.forEach((name, value) -> settings.put(String.valueOf(name), value));
        return of(settings);
    }

    /**
     * This cluster under another name: in messages, logs, what an outbox records about topics and the transactional ids of {@code SendMode.STRICT},
     * so keep it. Default {@code kafka}.
     *
     * @throws IllegalArgumentException if it is blank or has a dot
     */
    KafkaCluster named(String name);

    /** This cluster with a prefix before every topic name, for instance one per environment. Default none. */
    KafkaCluster topicPrefix(String prefix);

    String name();

    /** Addresses as given, for messages. */
    String bootstrapServers();

    /**
     * A client setting as it was given for this cluster.
     *
     * @param fallback the client's own default, returned if it was not given
     */
    default String setting(String name, String fallback) {
        return fallback;
    }

    /** The physical name of a logical topic. */
    String physicalTopic(String topic);

    /** The logical name of a physical topic; a topic outside this cluster's prefix keeps its name. */
    String logicalTopic(String physicalTopic);

    /**
     * A new producer with the caller's settings over the cluster's own. The caller closes it. A cluster made by {@link #of} or {@link #at}
     * first asks the brokers, for 2 seconds at most, whether they speak TLS if the client is set to plaintext, and then makes no client:
     * neither this one nor a consumer or admin client.
     */
    Producer<byte[], byte[]> producer(Map<String, Object> settings);

    /** A new consumer with the caller's settings over the cluster's own. The caller closes it; it belongs to one thread. */
    Consumer<byte[], byte[]> consumer(Map<String, Object> settings);

    /** A new admin client. The caller closes it. */
    Admin admin();

    /** Time for everything that works with this cluster: the system's, or virtual time on an in-memory cluster. */
    InstantSource clock();
}
