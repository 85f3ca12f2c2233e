package dev.eventbus.outbox;

import dev.eventbus.outbox.internal.LockedRows;
import dev.eventbus.outbox.internal.Room;
import dev.eventbus.outbox.sql.OutboxRow;
import dev.eventbus.outbox.sql.RowKey;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Collections;
import java.util.Deque;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.Set;
import java.util.function.LongSupplier;
import java.util.function.Predicate;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/**
 * The rows that were read and are not deleted yet, bounded in number and bytes, in lanes. A row waits in its
 * lane, is handed over to the producer, is acknowledged, and leaves when its DELETE has committed; or it is taken back, and must
 * then be read again. One thread only.
 */
final class InFlight {

    private static final Duration STUCK_AFTER = Duration.ofMillis(100);

    /** A partition that had nothing to acknowledge for so long may be another of its name, which does not know the producer. */
    private static final long COLD_AFTER = Duration.ofSeconds(1).toNanos();

    /** Shard of a lane that has rows of several. */
    static final int ANY_SHARD = -1;

    /** The rows of one partition, in order; in mode STRICT those of one shard in it, since each shard has a producer of its own. */
    static final class Lane {
        final String topic;
        final String physicalTopic;
        final int partition;

        /** The shard of its rows, or {@link #ANY_SHARD}. */
        final int shard;

        private final Deque<Flight> waiting = new ArrayDeque<>();

        /** Handed over and not acknowledged, in this order, which is also that of the acks but for failures. */
        private final Deque<Flight> handedOver = new ArrayDeque<>();

        /** Whether what is handed over must be settled before the next. */
        boolean alone;

        /** Local time of the last ack, or of the first record handed over since. */
        long since;

        /** Local time of the last ack; a lane without one is cold, whatever was handed over. */
        OptionalLong ackedAt = OptionalLong.empty();

        Lane(String topic, Place place) {
            this.topic = topic;
            this.physicalTopic = place.physicalTopic();
            this.partition = place.partition();
            this.shard = place.shard();
        }

        boolean hasNext() {
            return !waiting.isEmpty();
        }

        /** What is to be handed over next. */
        RowKey next() {
            return waiting.element().row.key();
        }

        boolean isIdle() {
            return handedOver.isEmpty();
        }

        /** Whether the partition would take the producer's second record without its first. In a transaction that is no harm. */
        boolean isCold(long now) {
            return shard == ANY_SHARD
                    && (ackedAt.isEmpty() || handedOver.isEmpty() && now - ackedAt.getAsLong() > COLD_AFTER);
        }
    }

    private record Place(String physicalTopic, int partition, int shard) {}

    private final SendMode mode;
    private final LongSupplier nanoTime;
    private final Map<Place, Lane> lanes = new LinkedHashMap<>();
    /** Every row in flight, with its lane; an acknowledged one has none. */
    private final Map<RowKey, Flight> flights = new LinkedHashMap<>();

    private final List<OutboxRow> acked = new ArrayList<>();

    /** Of which a DELETE is under way. */
    private List<OutboxRow> deleting = List.of();

    private final LockedRows locked;
    private final Room room = new Room();

    private static final class Flight {
        final OutboxRow row;
        final Lane lane;
        boolean isHandedOver;

        /** Local time; of no meaning before it is. */
        long handedOverAt;

        Flight(OutboxRow row, Lane lane) {
            this.row = row;
            this.lane = lane;
        }
    }

    InFlight(SendMode mode, LongSupplier nanoTime) {
        this.mode = mode;
        this.nanoTime = nanoTime;
        this.locked = new LockedRows(nanoTime);
    }

    void add(OutboxRow row, String physicalTopic, int partition) {
        int shard = mode == SendMode.STRICT ? row.key().shard() : ANY_SHARD;
        Lane lane = lanes.computeIfAbsent(
                new Place(physicalTopic, partition, shard),
                place -> new Lane(row.event().topic(), place));
        Flight flight = new Flight(row, lane);
        lane.waiting.add(flight);
        flights.put(row.key(), flight);
        room.take(row.event().topic(), row.bytes());
    }

    Collection<RowKey> keys() {
        return Collections.unmodifiableSet(flights.keySet());
    }

    int size() {
        return flights.size();
    }

    /** Shards of which something is in flight that is not locked. */
    Set<Integer> shards() {
        Set<RowKey> moving = new HashSet<>(flights.keySet());
        locked.stream().forEach(row -> moving.remove(row.key()));
        return moving.stream().map(RowKey::shard).collect(Collectors.toSet());
    }

    /** Shards of which something is in the producer's hands. */
    Set<Integer> shardsHandedOver() {
        return lanes.values().stream()
                .flatMap(lane -> lane.handedOver.stream())
                .map(flight -> flight.row.key().shard())
                .collect(Collectors.toSet());
    }

    /** What else there is room for. */
    Room room() {
        return room;
    }

    /** How many acks are missing until half of that waits for its DELETE, or until all that can come have come. */
    int missingToHalfAcked() {
        return Math.min(handedOver(lanes.values().stream()), Room.MAX_ROWS_PER_TOPIC / 2 - acked.size());
    }

    /** Topics that others must not wait for: they have all the room a topic can have and acknowledge nothing, or as many locked rows. */
    Set<String> stuck() {
        Set<String> stuck = new HashSet<>(room.full());
        if (!stuck.isEmpty()) {
            stuck.retainAll(silentFor(STUCK_AFTER).topics());
        }
        stuck.addAll(locked.heldUp());
        return stuck;
    }

    Collection<Lane> lanes() {
        return lanes.values();
    }

    boolean anyHandedOver() {
        return !lanes.values().stream().allMatch(Lane::isIdle);
    }

    /** Whether anything of a topic is in flight of which Kafka may not have all; it has what is locked. */
    boolean holds(String topic) {
        return room.of(Set.of(topic)).rows() > 0;
    }

    int handedOver(String topic) {
        return handedOver(lanes.values().stream().filter(lane -> lane.topic.equals(topic)));
    }

    private static int handedOver(Stream<Lane> lanes) {
        return lanes.mapToInt(lane -> lane.handedOver.size()).sum();
    }

    /** The next row of a lane goes to the producer. */
    OutboxRow handOver(Lane lane) {
        Flight flight = lane.waiting.remove();
        flight.isHandedOver = true;
        flight.handedOverAt = nanoTime.getAsLong();
        if (lane.handedOver.isEmpty()) {
            lane.since = flight.handedOverAt;
        }
        lane.handedOver.add(flight);
        return flight.row;
    }

    /** How long a row has been with the producer; 0 if it is not. */
    long nanosSinceHandOver(OutboxRow row) {
        Flight flight = flights.get(row.key());
        return flight == null || !flight.isHandedOver ? 0 : nanoTime.getAsLong() - flight.handedOverAt;
    }

    /** Kafka has a row. Returns how long that took; empty for rows that were taken back before, which are left alone. */
    OptionalLong acked(OutboxRow row) {
        Flight flight = flights.get(row.key());
        if (flight == null || !flight.lane.handedOver.remove(flight)) {
            return OptionalLong.empty();
        }
        Lane lane = flight.lane;
        lane.alone = false;
        lane.since = nanoTime.getAsLong();
        lane.ackedAt = OptionalLong.of(lane.since);
        if (locked.hold(row.orderKey())) {
            lock(row);
        } else {
            acked.add(row);
        }
        return OptionalLong.of(lane.since - flight.handedOverAt);
    }

    /** Rows that Kafka has, and of which no DELETE is under way. */
    List<OutboxRow> awaitingDelete() {
        return Collections.unmodifiableList(acked);
    }

    /** Of which rows a DELETE is under way. */
    List<OutboxRow> deleting() {
        return deleting;
    }

    /** A DELETE of all that awaits one begins. Another one only after {@link #deleted} or {@link #notDeleted}. */
    List<OutboxRow> beginDelete() {
        deleting = List.copyOf(acked);
        acked.clear();
        return deleting;
    }

    /** The DELETE has failed, or it is not known whether it has: what it was of awaits another. */
    void notDeleted() {
        acked.addAll(0, deleting);
        deleting = List.of();
    }

    /**
     * The DELETE has committed, but for some rows that stay since somebody keeps them or one before them locked: these
     * await another, and so does all of their keys from now on. What is sent again of a key is then always its end, and in order.
     */
    void deleted(List<OutboxRow> butLocked) {
        Set<RowKey> kept = butLocked.stream().map(OutboxRow::key).collect(Collectors.toSet());
        deleting.stream().filter(row -> !kept.contains(row.key())).forEach(this::forget);
        deleting = List.of();
        butLocked.forEach(this::lock);
        acked.stream().filter(row -> locked.hold(row.orderKey())).forEach(this::lock);
        acked.removeIf(row -> locked.hold(row.orderKey()));
    }

    private void lock(OutboxRow row) {
        locked.add(row);
        room.giveBack(row.event().topic(), row.bytes());
    }

    /** The shard is another's now, who sends and deletes what was locked of it. */
    void forgetLocked(int shard) {
        locked.takeOf(shard).forEach(row -> flights.remove(row.key()));
    }

    /** What was locked awaits its DELETE again, if it is time. */
    void retryLocked(boolean now) {
        if (now || locked.isRetryDue()) {
            List<OutboxRow> again = locked.takeAll();
            again.forEach(row -> room.take(row.event().topic(), row.bytes()));
            acked.addAll(0, again);
        }
    }

    /** Rows that Kafka has and whose DELETE would wait for somebody's lock. */
    LockedRows locked() {
        return locked;
    }

    /** Rows that Kafka has and that may still be there. */
    Stream<OutboxRow> notYetDeleted() {
        return Stream.of(deleting.stream(), acked.stream(), locked.stream()).flatMap(rows -> rows);
    }

    /** Ids of later events of a row's key that Kafka has. */
    List<String> ackedBehind(OutboxRow row) {
        return notYetDeleted()
                .filter(other -> other.orderKey().equals(row.orderKey())
                        && other.key().seq() > row.key().seq())
                .map(other -> other.event().id())
                .toList();
    }

    /** Takes back a row that failed alone, and what waits behind it in its lane. Returns the shards to read again. */
    Set<Integer> takeBack(OutboxRow row) {
        Flight flight = flights.get(row.key());
        if (flight == null || !flight.lane.handedOver.remove(flight)) {
            return Set.of();
        }
        flight.lane.alone = false;
        forget(row);
        Set<Integer> shards = takeBackWaiting(waiting -> waiting.lane == flight.lane);
        shards.add(row.key().shard());
        return shards;
    }

    /** Takes back what waits. Returns the shards to read again. */
    Set<Integer> takeBackWaiting() {
        return takeBackWaiting(any -> true);
    }

    /** Takes back what waits for a topic. Returns the shards to read again. */
    Set<Integer> takeBackWaiting(String topic) {
        return takeBackWaiting(waiting -> waiting.lane.topic.equals(topic));
    }

    /** Takes back what waits of some shards. */
    void takeBackWaitingOf(Set<Integer> shards) {
        takeBackWaiting(waiting -> shards.contains(waiting.row.key().shard()));
    }

    private Set<Integer> takeBackWaiting(Predicate<Flight> which) {
        Set<Integer> shards = new HashSet<>();
        for (Lane lane : lanes.values()) {
            lane.waiting.stream().filter(which).map(waiting -> waiting.row).forEach(row -> {
                forget(row);
                shards.add(row.key().shard());
            });
            lane.waiting.removeIf(which);
        }
        return shards;
    }

    /** Forgets everything, the acknowledged too, as a crash would; for a round that failed in the middle. */
    void clear() {
        lanes.clear();
        flights.clear();
        acked.clear();
        deleting = List.of();
        locked.clear();
        room.clear();
    }

    /** Takes back everything that is not acknowledged; for a producer that has stopped, so every partition is cold again. */
    Set<Integer> takeBackAll() {
        Set<Integer> shards = takeBackWaiting();
        for (Lane lane : lanes.values()) {
            for (Flight flight : lane.handedOver) {
                forget(flight.row);
                shards.add(flight.row.key().shard());
            }
        }
        lanes.clear();
        return shards;
    }

    /** Topics of which a partition has something and has acknowledged nothing for a time, their load, and these partitions' first rows. */
    record Silent(Set<String> topics, Room.Load load, List<OutboxRow> heads) {}

    Silent silentFor(Duration limit) {
        long now = nanoTime.getAsLong();
        Set<String> topics = new HashSet<>();
        List<OutboxRow> heads = new ArrayList<>();
        for (Lane lane : lanes.values()) {
            if (!lane.handedOver.isEmpty() && now - lane.since >= limit.toNanos()) {
                topics.add(lane.topic);
                heads.add(lane.handedOver.element().row);
            }
        }
        return new Silent(topics, room.of(topics), heads);
    }

    Optional<Instant> oldest() {
        return flights.values().stream().map(flight -> flight.row.createdAt()).min(Instant::compareTo);
    }

    private void forget(OutboxRow row) {
        if (flights.remove(row.key()) != null) {
            room.giveBack(row.event().topic(), row.bytes());
        }
    }
}
