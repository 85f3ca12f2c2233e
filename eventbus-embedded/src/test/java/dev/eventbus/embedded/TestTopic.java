package dev.eventbus.embedded;

import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/** A topic of one partition, written and read by Kafka's own clients. */
record TestTopic(Map<String, Object> connection, String name) {

    private static final Duration DEADLINE = Duration.ofSeconds(20);

    static TestTopic create(String bootstrapServers, String name) throws ExecutionException, InterruptedException {
        return create(Map.of("bootstrap.servers", bootstrapServers), name);
    }

    static TestTopic create(Map<String, Object> connection, String name)
            throws ExecutionException, InterruptedException {
        try (Admin admin = Admin.create(connection)) {
            admin.createTopics(List.of(new NewTopic(name, Optional.of(1), Optional.empty())))
                    .all()
                    .get();
        }
        return new TestTopic(connection, name);
    }

    /** Returns when every value is acknowledged by all in-sync replicas. */
    void write(String... values) throws ExecutionException, InterruptedException {
        Map<String, Object> config = new HashMap<>(connection);
        config.put("acks", "all");
        config.put("request.timeout.ms", "2000");
        config.put("delivery.timeout.ms", "20000");
        try (var producer = new KafkaProducer<>(config, new StringSerializer(), new StringSerializer())) {
            for (String value : values) {
                producer.send(new ProducerRecord<>(name, value)).get();
            }
        }
    }

    /** The first values of the topic; fewer if there are no more before the deadline. */
    List<String> read(int count) {
        List<String> values = new ArrayList<>();
        Map<String, Object> config = new HashMap<>(connection);
        config.put("enable.auto.commit", "false");
        try (var consumer = new KafkaConsumer<>(config, new StringDeserializer(), new StringDeserializer())) {
            TopicPartition partition = new TopicPartition(name, 0);
            consumer.assign(List.of(partition));
            consumer.seekToBeginning(List.of(partition));
            long start = System.nanoTime();
            while (values.size() < count && System.nanoTime() - start < DEADLINE.toNanos()) {
                consumer.poll(Duration.ofMillis(200)).forEach(record -> values.add(record.value()));
            }
        }
        return values;
    }
}
