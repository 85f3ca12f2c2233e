package dev.eventbus.benchmarks;

import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.ObjectReader;
import com.fasterxml.jackson.databind.json.JsonMapper;
import java.io.IOException;
import java.time.Duration;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.CooperativeStickyAssignor;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * The limit: the shortest loop that loses nothing as long as nothing fails. Poll, call the handler for one record after the other,
 * commit without waiting. It knows no failure, no second thread, no retry. One form of it does not even read the value but finds the
 * number in it; the other binds the JSON to the payload's class, as every consumer of it has to.
 */
final class RawPollLoop implements Consuming {

    private static final ObjectReader JSON = JsonMapper.builder()
            .disable(DeserializationFeature.FAIL_ON_UNKNOWN_PROPERTIES)
            .build()
            .readerFor(AssetUpdated.class);

    private final String name;
    private final boolean bindsJson;

    RawPollLoop(String name, boolean bindsJson) {
        this.name = name;
        this.bindsJson = bindsJson;
    }

    @Override
    public String name() {
        return name;
    }

    @Override
    public Running start(Servers servers, Backlog backlog, String group, Handler handler) {
        return new Loop(consumer(servers, group, 2_000), backlog.topic(), handler);
    }

    /** A consumer with the settings that all hand-written loops here have. */
    static KafkaConsumer<byte[], byte[]> consumer(Servers servers, String group, int maxPollRecords) {
        return new KafkaConsumer<>(
                Map.of(
                        "bootstrap.servers",
                        servers.bootstrapServers(),
                        "group.id",
                        group,
                        "enable.auto.commit",
                        false,
                        "auto.offset.reset",
                        "earliest",
                        "isolation.level",
                        "read_committed",
                        "partition.assignment.strategy",
                        CooperativeStickyAssignor.class.getName(),
                        "max.poll.records",
                        maxPollRecords),
                new ByteArrayDeserializer(),
                new ByteArrayDeserializer());
    }

    private long numberOf(ConsumerRecord<byte[], byte[]> record) throws IOException {
        return bindsJson
                ? JSON.<AssetUpdated>readValue(record.value()).number()
                : SampleEvents.numberOf(record.value());
    }

    private final class Loop implements Running, ConsumerRebalanceListener {

        private final KafkaConsumer<byte[], byte[]> consumer;
        private final Handler handler;
        private final AtomicBoolean stopped = new AtomicBoolean();
        private final AtomicReference<Exception> failure = new AtomicReference<>();
        private final Thread thread = new Thread(this::run, "raw-poll-loop");

        Loop(KafkaConsumer<byte[], byte[]> consumer, String topic, Handler handler) {
            this.consumer = consumer;
            this.handler = handler;
            consumer.subscribe(List.of(topic), this);
            thread.start();
        }

        private void run() {
            try (consumer) {
                while (!stopped.get()) {
                    ConsumerRecords<byte[], byte[]> records = consumer.poll(Duration.ofMillis(50));
                    for (ConsumerRecord<byte[], byte[]> record : records) {
                        handler.handle(numberOf(record));
                    }
                    if (!records.isEmpty()) {
                        consumer.commitAsync((committed, failure) -> {}); // the next commit makes up for one that fails
                    }
                }
            } catch (Exception e) {
                failure.set(e);
            }
        }

        @Override
        public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
            consumer.commitSync();
        }

        @Override
        public void onPartitionsAssigned(Collection<TopicPartition> partitions) {}

        @Override
        public void check() {
            Exception failed = failure.get();
            if (failed != null) {
                throw new IllegalStateException(name + " has failed", failed);
            }
        }

        @Override
        public void close() throws InterruptedException {
            stopped.set(true);
            thread.join();
        }
    }
}
