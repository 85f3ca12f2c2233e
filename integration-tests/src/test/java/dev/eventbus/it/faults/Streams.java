package dev.eventbus.it.faults;

import static java.nio.charset.StandardCharsets.UTF_8;

import dev.eventbus.Event;
import dev.eventbus.EventType;
import dev.eventbus.it.Events.AssetUpdated;
import dev.eventbus.it.Scene;
import java.sql.SQLException;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.SplittableRandom;
import org.apache.kafka.clients.consumer.ConsumerRecord;

/** Streams of numbered events, one for each key: event {@code user-1:7} is the seventh of {@code user-1}. */
final class Streams {

    private final Scene scene;
    private final Map<String, Integer> published = new HashMap<>();
    private final SplittableRandom random = new SplittableRandom(3);

    Streams(Scene scene) {
        this.scene = scene;
    }

    static EventType<AssetUpdated> type(String topic) {
        return EventType.of("ASSET_UPDATED", AssetUpdated.class).topic(topic).key(AssetUpdated::userId);
    }

    /** Publishes the next event of a key for each size, in one transaction. Returns their ids. */
    List<String> publish(String topic, String key, int... bytes) throws SQLException {
        List<Event<?>> events = next(topic, key, bytes);
        scene.inTransaction(tx -> scene.outbox().within(tx).publishAll(events));
        return events.stream().map(Event::id).toList();
    }

    /** The next events of a key, to be published by the caller. */
    List<Event<?>> next(String topic, String key, int... bytes) {
        List<Event<?>> events = new ArrayList<>();
        for (int size : bytes) {
            AssetUpdated payload = new AssetUpdated(key, null, null, null, noise(size), null, null, null);
            events.add(Event.of(type(topic), nextId(key), Instant.EPOCH, payload));
            published.merge(key, 1, Integer::sum);
        }
        return events;
    }

    /** What cannot be compressed: a broker looks at the size of a batch as its topic compresses it. */
    private String noise(int bytes) {
        return random.ints(bytes, 'a', 'z' + 1)
                .collect(StringBuilder::new, StringBuilder::appendCodePoint, StringBuilder::append)
                .toString();
    }

    String nextId(String key) {
        return key + ":" + (published.getOrDefault(key, 0) + 1);
    }

    long pending() throws SQLException {
        return scene.count("SELECT count(*) FROM eventbus_outbox");
    }

    long pending(String topic) throws SQLException {
        return scene.count("SELECT count(*) FROM eventbus_outbox WHERE aggregatetype = '%s'".formatted(topic));
    }

    /** Ids in the order of their first occurrence for each key, each key with what is wrong with it; none if all is well. */
    Map<String, List<String>> violations(List<ConsumerRecord<byte[], byte[]>> records) {
        Map<String, List<String>> firsts = firsts(records);
        Map<String, List<String>> violations = new HashMap<>();
        published.forEach((key, count) -> {
            List<String> expected = new ArrayList<>();
            for (int number = 1; number <= count; number++) {
                expected.add(key + ":" + number);
            }
            List<String> found = firsts.getOrDefault(key, List.of());
            if (!found.equals(expected)) {
                violations.put(key, found);
            }
        });
        return violations;
    }

    private static Map<String, List<String>> firsts(List<ConsumerRecord<byte[], byte[]>> records) {
        Map<String, List<String>> firsts = new HashMap<>();
        Set<String> seen = new HashSet<>();
        for (ConsumerRecord<byte[], byte[]> record : records) {
            String id = id(record);
            if (seen.add(id)) {
                firsts.computeIfAbsent(new String(record.key(), UTF_8), any -> new ArrayList<>())
                        .add(id);
            }
        }
        return firsts;
    }

    static String id(ConsumerRecord<byte[], byte[]> record) {
        return new String(record.headers().lastHeader("id").value(), UTF_8);
    }
}
