package dev.eventbus.consumer.redrive;

import dev.eventbus.EventRecords;
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
import java.util.Objects;
import java.util.Set;
import java.util.function.Predicate;
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

    /**
     * The events of a key that were parked when it was planned; what comes later is no part of the plan.
     *
     * @param ids in order
     * @param places where they were read
     * @param selected whether the key is, and not only a letter of it
     */
    record Waiting(Set<String> ids, Set<Position> places, boolean selected) {
        static final Waiting NOTHING = new Waiting(Set.of(), Set.of(), false);
    }

    /** A parked key that is selected and not handled again. */
    record LeftOut(ParkedKey key, Waiting waiting, Standing why, boolean canBeGivenUp) {

        private PlannedKey shown() {
            return new PlannedKey(
                    key.topic(), KeyHash.of(key.key()), 0, waiting.ids().size(), key.since(), 0, true, why);
        }
    }

    /** All of one key. */
    static final class OfKey {
        final List<Found> ready = new ArrayList<>();

        @Nullable
        ParkedKey parked;

        Waiting waiting = Waiting.NOTHING;

        long later;
        boolean exact = true;

        /** How many events it comes to. */
        long events() {
            return ready.size() + waiting.ids().size();
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
    private final List<LeftOut> leftOut;

    PlannedKeys(List<Found> letters, KeyStore.Seen parked) {
        this.leftOut = parked.leftOut();
        parked.meant().forEach((key, waiting) -> {
            OfKey of = of(Id.of(key));
            of.parked = key;
            of.waiting = waiting;
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

    /** Parked keys that are given up on request, each with what of it was seen. */
    Map<ParkedKey, Set<String>> parkedToGiveUp() {
        Map<ParkedKey, Set<String>> parked = new LinkedHashMap<>();
        keys.values().forEach(of -> {
            if (of.parked != null && of.waiting.selected()) {
                parked.put(of.parked, of.waiting.ids());
            }
        });
        leftOut.stream()
                .filter(LeftOut::canBeGivenUp)
                .forEach(out -> parked.put(out.key(), out.waiting().ids()));
        return parked;
    }

    /** The ids of all parked events that are redriven. */
    Set<String> parkedToRedrive() {
        Set<String> ids = inOrder();
        keys.values().forEach(of -> ids.addAll(of.waiting.ids()));
        return ids;
    }

    /** All parked keys that are selected. */
    List<ParkedKey> parked() {
        return Stream.concat(
                        keys.values().stream().flatMap(of -> Stream.ofNullable(of.parked)),
                        leftOut.stream().map(LeftOut::key))
                .toList();
    }

    /**
     * How many parked events are left out for which reason.
     *
     * @param which of the keys that are
     * @param counted ids of events that are counted elsewhere
     */
    void countLeftOut(Map<Standing, Long> into, Predicate<LeftOut> which, Set<String> counted) {
        for (LeftOut out : leftOut) {
            long events = out.waiting().ids().stream()
                    .filter(id -> !counted.contains(id))
                    .count();
            if (which.test(out) && events > 0) {
                into.merge(out.why(), events, Long::sum);
            }
        }
    }

    /**
     * How many parked events a discard leaves to their next try, though they are selected: of keys that are redriven with their letters
     * and not given up with them.
     *
     * @param counted as in {@link #countLeftOut}
     */
    long waitingBesideLetters(Selection selection, Set<String> counted) {
        return keys.values().stream()
                .filter(of -> of.parked != null && !of.waiting.selected() && selection.fits(of.parked))
                .flatMap(of -> of.waiting.ids().stream())
                .filter(id -> !counted.contains(id))
                .count();
    }

    List<PlannedKey> shown() {
        List<PlannedKey> shown = new ArrayList<>();
        keys.forEach((id, of) -> shown.add(new PlannedKey(
                id.topic(),
                id.key() == null ? "" : KeyHash.of(id.key().array()),
                of.ready.size(),
                of.waiting.ids().size(),
                of.oldest(),
                of.later,
                of.exact,
                Standing.READY)));
        return shown;
    }

    List<PlannedKey> shownLeftOut() {
        return leftOut.stream().map(LeftOut::shown).toList();
    }

    static Set<String> inOrder() {
        return new LinkedHashSet<>();
    }

    // ---- what came later

    /** Where later events of a key may stand: behind an offset of one partition. */
    private record Behind(OfKey of, long offset) {}

    /**
     * Counts for each key what the group has dealt with behind its oldest letter. A key whose letter stands in another partition than its
     * newest events would has moved, since its topic has grown or somebody chooses partitions in his own way: then its events are counted
     * there too, and the sum is not said to be all.
     */
    void countLater(TopicReader reader) {
        Map<String, List<Id>> byTopic = new LinkedHashMap<>();
        keys.forEach((id, of) -> {
            if (id.key() != null && !of.ready.isEmpty()) {
                byTopic.computeIfAbsent(id.topic(), topic -> new ArrayList<>()).add(id);
            }
        });
        byTopic.forEach((topic, ids) -> {
            try {
                countLater(reader, topic, ids);
            } catch (KafkaAccessException e) { // a topic that is gone, or may not be read, forbids no redrive
                ids.forEach(id -> of(id).exact = false);
            }
        });
    }

    private void countLater(TopicReader reader, String topic, List<Id> ids) {
        Map<TopicPartition, Range> ranges = reader.ranges(topic);
        Map<TopicPartition, Map<ByteBuffer, Behind>> wanted = new LinkedHashMap<>();
        for (Id id : ids) {
            OfKey of = of(id);
            byte[] key = Objects.requireNonNull(id.key()).array();
            Found oldest = of.ready.get(0);
            int home = oldest.origin().partition();
            want(wanted, topic, home, id, new Behind(of, oldest.origin().offset()));
            int now = ranges.isEmpty() ? home : EventRecords.partition(key, ranges.size());
            if (now != home) {
                of.exact = false;
                want(wanted, topic, now, id, new Behind(of, -1));
            }
        }
        Map<TopicPartition, Long> committed = reader.committed(Set.copyOf(wanted.keySet()));
        wanted.forEach((partition, behind) -> {
            Range range = ranges.get(partition);
            Long handled = committed.get(partition);
            if (range == null || handled == null) {
                behind.values().forEach(one -> one.of().exact = false);
            } else {
                count(reader, partition, behind, new Range(range.from(), Math.min(handled, range.to())));
            }
        });
    }

    private static void want(
            Map<TopicPartition, Map<ByteBuffer, Behind>> wanted, String topic, int partition, Id id, Behind behind) {
        wanted.computeIfAbsent(new TopicPartition(topic, partition), p -> new HashMap<>())
                .put(Objects.requireNonNull(id.key()), behind);
    }

    /** @param handled what is there and behind the group */
    private static void count(
            TopicReader reader, TopicPartition partition, Map<ByteBuffer, Behind> keys, Range handled) {
        long first = keys.values().stream().mapToLong(Behind::offset).min().orElse(-1) + 1;
        long from = Math.max(first, handled.from());
        long to = Math.min(handled.to(), from + Redrive.MOST_READ);
        for (Behind one : keys.values()) {
            boolean isThere = one.offset() < handled.to(); // else the topic was made again, or the group set back
            one.of().exact &= isThere && one.offset() + 1 >= handled.from() && to >= handled.to();
        }
        reader.read(partition, new Range(from, to), record -> {
            Behind one = record.key() == null ? null : keys.get(ByteBuffer.wrap(record.key()));
            if (one != null && record.offset() > one.offset() && isHandled(record, one.of())) {
                one.of().later++;
            }
            return true;
        });
    }

    /** Neither a letter of the plan nor parked. */
    private static boolean isHandled(ConsumerRecord<byte[], byte[]> record, OfKey of) {
        return !of.waiting.places().contains(new Position(record.partition(), record.offset()))
                && of.ready.stream()
                        .noneMatch(found -> found.origin().partition() == record.partition()
                                && found.origin().offset() == record.offset());
    }
}
