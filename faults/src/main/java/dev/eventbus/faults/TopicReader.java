package dev.eventbus.faults;

import static java.nio.charset.StandardCharsets.UTF_8;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.eventbus.faults.check.History.Letter;
import dev.eventbus.faults.check.History.Position;
import dev.eventbus.faults.check.History.Sent;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/** Reads topics as anybody could: with the plain client and no group, and with none of the library's code. One thread. */
final class TopicReader implements AutoCloseable {

    private static final Duration POLL = Duration.ofMillis(200);
    private static final ObjectMapper JSON = new ObjectMapper();

    private final KafkaConsumer<byte[], byte[]> consumer;

    TopicReader(String bootstrapServers) {
        Map<String, Object> settings = new HashMap<>(Clients.ADMIN.settings(bootstrapServers));
        settings.put("isolation.level", "read_committed");
        settings.put("auto.offset.reset", "earliest");
        settings.put("enable.auto.commit", "false");
        settings.put("fetch.max.bytes", "8388608");
        this.consumer = new KafkaConsumer<>(settings, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    static List<TopicPartition> partitions() {
        List<TopicPartition> all = new ArrayList<>();
        for (int partition = 0; partition < Servers.PARTITIONS; partition++) {
            all.add(new TopicPartition(Change.TOPIC, partition));
        }
        return all;
    }

    /** The next offset to be written, by partition. */
    Map<TopicPartition, Long> ends(Collection<TopicPartition> partitions) {
        return consumer.endOffsets(partitions);
    }

    List<Sent> topic() {
        List<Sent> sent = new ArrayList<>();
        read(partitions(), record -> sent.add(sent(record)));
        return sent;
    }

    List<Letter> letters() {
        List<Letter> letters = new ArrayList<>();
        read(List.of(new TopicPartition(Change.LETTERS, 0)), record -> letters.add(letter(record)));
        return letters;
    }

    private void read(List<TopicPartition> partitions, Consumer<ConsumerRecord<byte[], byte[]>> to) {
        Map<TopicPartition, Long> from = new HashMap<>();
        partitions.forEach(partition -> from.put(partition, 0L));
        read(from, ends(partitions), Duration.ofMinutes(5), to);
    }

    /** Reads from one offset of each partition up to another. Returns whether it came so far in time. */
    boolean read(
            Map<TopicPartition, Long> from,
            Map<TopicPartition, Long> to,
            Duration within,
            Consumer<ConsumerRecord<byte[], byte[]>> reader) {
        consumer.assign(from.keySet());
        from.forEach(consumer::seek);
        long start = System.nanoTime();
        while (from.keySet().stream()
                .anyMatch(partition -> consumer.position(partition) < to.getOrDefault(partition, 0L))) {
            if (System.nanoTime() - start > within.toNanos()) {
                return false;
            }
            for (ConsumerRecord<byte[], byte[]> record : consumer.poll(POLL)) {
                if (record.offset() < to.getOrDefault(new TopicPartition(record.topic(), record.partition()), 0L)) {
                    reader.accept(record);
                }
            }
        }
        return true;
    }

    private static Sent sent(ConsumerRecord<byte[], byte[]> record) {
        return new Sent(
                new Position(record.partition(), record.offset()),
                id(record),
                record.key() == null ? "" : new String(record.key(), UTF_8),
                digestOfFields(record.value()),
                bytes(record));
    }

    private static Letter letter(ConsumerRecord<byte[], byte[]> record) {
        Position of = new Position(
                Integer.parseInt(header(record, "eventbus-dlq-partition")),
                Long.parseLong(header(record, "eventbus-dlq-offset")));
        return new Letter(of, id(record), bytes(record), header(record, "eventbus-dlq-reason"), record.timestamp());
    }

    static String id(ConsumerRecord<byte[], byte[]> record) {
        return header(record, "id");
    }

    private static String header(ConsumerRecord<byte[], byte[]> record, String name) {
        Header header = record.headers().lastHeader(name);
        return header == null ? "" : new String(header.value(), UTF_8);
    }

    private static String bytes(ConsumerRecord<byte[], byte[]> record) {
        return Change.digest(
                record.key() == null ? new byte[0] : record.key(),
                record.value() == null ? new byte[0] : record.value());
    }

    private static String digestOfFields(byte[] value) {
        try {
            JsonNode fields = JSON.readTree(value);
            return Change.digest(
                    fields.path("userId").asText(),
                    fields.path("number").asLong(),
                    fields.path("padding").asText());
        } catch (IOException | IllegalArgumentException e) {
            return "unreadable";
        }
    }

    @Override
    public void close() {
        consumer.close();
    }
}
