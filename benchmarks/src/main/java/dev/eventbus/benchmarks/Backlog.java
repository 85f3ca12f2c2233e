package dev.eventbus.benchmarks;

import static java.nio.charset.StandardCharsets.US_ASCII;

import dev.eventbus.EventHeaders;
import dev.eventbus.EventType;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.kafka.clients.producer.Callback;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * A topic of numbered events, as our relay writes them: about 500 bytes of JSON with the envelope in front, and its headers. Keys
 * take turns, and stand in a partition that can be told from their number.
 *
 * @param events how many there are
 * @param keys how many keys take turns
 */
record Backlog(String topic, long events, int keys) {

    static final String TYPE = "ASSET_UPDATED";

    /**
     * One request at a time: a new partition that refuses a producer's first batch takes the one behind it, and then refuses the first
     * for ever as out of sequence.
     */
    static final String IN_FLIGHT = "max.in.flight.requests.per.connection";

    private static final Header TYPE_HEADER = new RecordHeader(EventHeaders.EVENT_TYPE, TYPE.getBytes(US_ASCII));
    private static final Header CONTENT_HEADER =
            new RecordHeader(EventHeaders.CONTENT_TYPE, "application/json".getBytes(US_ASCII));

    /** Creates the topic and fills it. */
    static Backlog fill(Servers servers, long events, int keys) throws Exception {
        Backlog backlog = new Backlog(servers.createTopic(), events, keys);
        AtomicReference<Exception> failure = new AtomicReference<>();
        try (KafkaProducer<byte[], byte[]> producer = producer(servers)) {
            for (long number = 0; number < events; number++) {
                backlog.send(producer, number, (metadata, e) -> {
                    if (e != null) {
                        failure.set(e);
                    }
                });
            }
        }
        if (failure.get() != null) {
            throw failure.get();
        }
        return backlog;
    }

    /** An empty topic, for {@link Feeder}. */
    static Backlog empty(Servers servers, long events, int keys) throws Exception {
        return new Backlog(servers.createTopic(), events, keys);
    }

    static KafkaProducer<byte[], byte[]> producer(Servers servers) {
        Map<String, Object> settings = new HashMap<>(servers.pipelinedProducer());
        settings.put(IN_FLIGHT, 1);
        return new KafkaProducer<>(settings, new ByteArraySerializer(), new ByteArraySerializer());
    }

    EventType<AssetUpdated> type() {
        return EventType.of(TYPE, AssetUpdated.class).topic(topic).key(AssetUpdated::userId);
    }

    int keyOf(long number) {
        return (int) (number % keys);
    }

    static String keyText(int key) {
        return "user-" + digits(key, 5);
    }

    static String idOf(long number) {
        return "01940b5a-7c00-7000-8000-" + digits(number, 12);
    }

    int partitionOf(int key) {
        return key % Servers.PARTITIONS;
    }

    void send(KafkaProducer<byte[], byte[]> producer, long number, Callback callback) {
        int key = keyOf(number);
        List<Header> headers = List.of(
                new RecordHeader(EventHeaders.ID, idOf(number).getBytes(US_ASCII)), TYPE_HEADER, CONTENT_HEADER);
        var unused = producer.send(
                new ProducerRecord<>(
                        topic,
                        partitionOf(key),
                        keyText(key).getBytes(US_ASCII),
                        value(number, keyText(key)).getBytes(US_ASCII),
                        headers),
                callback);
    }

    private static String value(long number, String key) {
        return "{\"eventId\":\"" + idOf(number) + "\",\"eventType\":\"" + TYPE
                + "\",\"timestamp\":\"2025-01-15T10:35:00Z\",\"userId\":\"" + key
                + "\",\"n\":\"" + digits(number, 10)
                + "\",\"changeType\":\"ITEM_ADDED\",\"ownerType\":\"SELF\",\"itemType\":\"ASSET\",\"itemId\":\"item-"
                + Long.toHexString(number * 0x9E3779B97F4A7C15L) + Long.toHexString(~number * 0xC2B2AE3D27D4EB4FL)
                + "\",\"previousAmount\":" + (10_000_000 + number % 7_919) + ",\"newAmount\":"
                + (15_000_000 + number % 104_729)
                + ",\"summary\":{\"totalNetAssets\":85000000,\"totalMonthlyIncome\":5500000,\"totalMonthlyExpense\":2500000,"
                + "\"monthlyAvailableFunds\":3000000}}";
    }

    private static String digits(long number, int width) {
        String text = Long.toString(number);
        return "0".repeat(width - text.length()) + text;
    }
}
