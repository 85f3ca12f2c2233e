package dev.eventbus;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.header.Headers;
import org.apache.kafka.common.header.internals.RecordHeaders;
import org.apache.kafka.common.utils.Utils;
import org.jspecify.annotations.Nullable;

/** Turns encoded events into Kafka records: the one place that knows which header goes where. */
public final class EventRecords {

    private EventRecords() {}

    /**
     * The record of an event. Its time stamp is left to the producer, hence the time of sending: retention works on it.
     *
     * @param topic the physical topic
     * @param partition from {@link #partition(String, int)}
     */
    public static ProducerRecord<byte[], byte[]> of(EncodedEvent event, String topic, int partition) {
        return new ProducerRecord<>(
                topic, partition, null, event.key().getBytes(UTF_8), event.value(), headersOf(event));
    }

    /** Kafka's own choice for a key, murmur2, over a given number of partitions. */
    public static int partition(String key, int partitions) {
        return partition(key.getBytes(UTF_8), partitions);
    }

    /** The same for a raw key. */
    public static int partition(byte[] key, int partitions) {
        return Utils.toPositive(Utils.murmur2(key)) % partitions;
    }

    /**
     * What a record without an id of its own is known by: {@code topic/partition/offset}, of the physical topic. If that is longer than an
     * id may be, the SHA-256 of the topic's name stands in the name's place.
     */
    public static String placeOf(ConsumerRecord<?, ?> record) {
        String place = "/" + record.partition() + "/" + record.offset();
        String topic = record.topic();
        return topic.length() + place.length() <= EventLimits.MAX_ID_BYTES // a topic's name is ASCII
                ? topic + place
                : HexFormat.of().formatHex(sha256(topic)) + place;
    }

    private static byte[] sha256(String text) {
        try {
            return MessageDigest.getInstance("SHA-256").digest(text.getBytes(UTF_8));
        } catch (NoSuchAlgorithmException e) {
            throw new AssertionError("every Java platform has SHA-256", e);
        }
    }

    private static Headers headersOf(EncodedEvent event) {
        RecordHeaders headers = new RecordHeaders();
        add(headers, EventHeaders.ID, event.id());
        add(headers, EventHeaders.EVENT_TYPE, event.type());
        add(headers, EventHeaders.CONTENT_TYPE, event.contentType());
        add(headers, EventHeaders.TRACEPARENT, event.traceparent());
        add(headers, EventHeaders.TRACESTATE, event.tracestate());
        event.headers().forEach((name, value) -> add(headers, name, value));
        return headers;
    }

    private static void add(RecordHeaders headers, String name, @Nullable String value) {
        if (value != null) {
            headers.add(name, value.getBytes(UTF_8));
        }
    }
}
