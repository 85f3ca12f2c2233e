package dev.eventbus.consumer.redrive;

import dev.eventbus.KafkaAccessException;
import dev.eventbus.consumer.parking.ParkedKey;
import dev.eventbus.consumer.redrive.TopicReader.Range;
import java.nio.ByteBuffer;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Stream;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.TopicPartition;
import org.jspecify.annotations.Nullable;

/** The keys of a plan, each with its letters in order and what of it is parked. */
final class PlannedKeys {

    /** A raw key of a physical topic. */
    record Id(String topic, @Nullable ByteBuffer key) {

        static Id of(ParkedKey key) {
            return of(key.topic(), key.key());
        }

        static Id of(Found letter) {
            return of(letter.origin().topic(), letter.key());
        }

        static Id of(HandedStore.Handed event) {
            return of(event.topic(), event.key());
        }

        private static Id of(String topic, byte @Nullable [] key) {
            return new Id(topic, key == null ? null : ByteBuffer.wrap(key));
        }
    }

    /** All of one key. */
    static final class OfKey {
        final List<Found> ready = new ArrayList<>();

        @Nullable
        ParkedKey parked;

        /** The events that were parked when it was planned; what comes later is no part of the plan. */
        Set<String> parkedIds = Set.of();

        long later;
        boolean exact = true;

        /** How many events it comes to. */
        long events() {
            return ready.size() + parkedIds.size();
        }

        private Instant oldest() {
            return Stream.concat(
                            ready.stream().map(found -> found.origin().firstFailedAt()),
                            Stream.ofNullable(parked).map(ParkedKey::since))
                    .min(Instant::compareTo)
                    .orElse(Instant.MAX);
        }
    }

    private final Map<Id, OfKey> keys = new LinkedHashMap<>();

    /** @param parked keys, each with the ids of its events in order */
    PlannedKeys(List<Found> letters, Map<ParkedKey, List<String>> parked) {
        parked.forEach((key, ids) -> {
            OfKey of = of(Id.of(key));
            of.parked = key;
            of.parkedIds = new LinkedHashSet<>(ids);
        });
        letters.stream()
                .filter(Found::isReady)
                .sorted(Planning.IN_ORDER)
                .forEach(found -> of(Id.of(found)).ready.add(found));
        keys.values().forEach(of -> LetterOrder.sort(of.ready));
    }

    private OfKey of(Id id) {
        return keys.computeIfAbsent(id, first -> new OfKey());
    }

    Collection<OfKey> all() {
        return keys.values();
    }

    /** All letters that can be redriven, key by key. */
    List<Found> letters() {
        return keys.values().stream().flatMap(key -> key.ready.stream()).toList();
    }

    long events() {
        return keys.values().stream().mapToLong(OfKey::events).sum();
    }

    long parkedEvents() {
        return keys.values().stream().mapToLong(of -> of.parkedIds.size()).sum();
    }

    List<PlannedKey> shown() {
        List<PlannedKey> shown = new ArrayList<>();
        keys.forEach((id, of) -> shown.add(new PlannedKey(
                id.topic(),
                id.key() == null ? "" : KeyHash.of(id.key().array()),
                of.ready.size(),
                of.parkedIds.size(),
                of.oldest(),
                of.later,
                of.exact)));
        return shown;
    }

    /** Counts for each key what the group has dealt with behind its oldest letter. */
    void countLater(TopicReader reader) {
        Map<TopicPartition, Map<ByteBuffer, OfKey>> behind = new HashMap<>();
        keys.forEach((id, of) -> {
            if (id.key() != null && of.parked == null && !of.ready.isEmpty()) {
                TopicPartition partition =
                        new TopicPartition(id.topic(), of.ready.get(0).origin().partition());
                behind.computeIfAbsent(partition, p -> new HashMap<>()).put(id.key(), of);
            }
        });
        if (behind.isEmpty()) {
            return;
        }
        try {
            Map<TopicPartition, Long> committed = reader.committed(Set.copyOf(behind.keySet()));
            behind.forEach((partition, of) -> count(reader, partition, of, committed.get(partition)));
        } catch (KafkaAccessException e) { // a topic that is gone, or may not be read, forbids no redrive
            behind.values().forEach(of -> of.values().forEach(key -> key.exact = false));
        }
    }

    private static void count(
            TopicReader reader, TopicPartition partition, Map<ByteBuffer, OfKey> of, @Nullable Long committed) {
        Map<TopicPartition, Range> there = committed == null ? Map.of() : reader.ranges(Set.of(partition));
        Range range = there.get(partition);
        if (range == null || committed == null) {
            of.values().forEach(key -> key.exact = false);
            return;
        }
        long first = of.values().stream().mapToLong(PlannedKeys::offset).min().orElse(0) + 1;
        long from = Math.max(first, range.from());
        long to = Math.min(Math.min(committed, range.to()), from + Redrive.MOST_READ);
        of.values()
                .forEach(key -> key.exact = offset(key) + 1 >= range.from() && to >= Math.min(committed, range.to()));
        reader.read(partition, new Range(from, to), record -> {
            OfKey key = record.key() == null ? null : of.get(ByteBuffer.wrap(record.key()));
            if (key != null && isLater(record, key)) {
                key.later++;
            }
            return true;
        });
    }

    private static long offset(OfKey key) {
        return key.ready.get(0).origin().offset();
    }

    private static boolean isLater(ConsumerRecord<byte[], byte[]> record, OfKey key) {
        return record.offset() > offset(key)
                && key.ready.stream().noneMatch(found -> found.origin().offset() == record.offset());
    }
}
