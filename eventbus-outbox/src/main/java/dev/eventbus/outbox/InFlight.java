package dev.eventbus.outbox;

import dev.eventbus.outbox.sql.OutboxRow;
import dev.eventbus.outbox.sql.RowKey;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Collections;
import java.util.Deque;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.LongSupplier;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * The rows that were read and are not deleted yet, bounded in number and bytes, in one lane per partition. A row waits in its
 * lane, is handed over to the producer, is acknowledged, and leaves when its DELETE has committed; or it is taken back, and must
 * then be read again. One thread only.
 */
final class InFlight {

    static final int MAX_ROWS = 2_000;
    static final long MAX_BYTES = 8 * 1024 * 1024;

    /** The rest is there for other topics. */
    static final int MAX_ROWS_PER_TOPIC = MAX_ROWS / 4 * 3;

    static final long MAX_BYTES_PER_TOPIC = MAX_BYTES / 4 * 3;

    private static final Duration STUCK_AFTER = Duration.ofMillis(100);

    /** A partition that has acknowledged nothing for so long may have forgotten the producer, and is cold again. */
    private static final long COLD_AFTER = Duration.ofHours(1).toNanos();

    /** The rows of one partition, in order. */
    static final class Lane {
        final String topic;
        final String physicalTopic;
        final int partition;
        final Deque<OutboxRow> waiting = new ArrayDeque<>();

        /** Handed over and not acknowledged, in this order. */
        final Map<RowKey, OutboxRow> handedOver = new LinkedHashMap<>();

        /** Whether what is handed over must be settled before the next. */
        boolean alone;

        /** Local time of the last ack, or of the first record handed over since; a lane without an ack is cold. */
        long since;

        boolean acked;

        Lane(String topic, String physicalTopic, int partition) {
            this.topic = topic;
            this.physicalTopic = physicalTopic;
            this.partition = partition;
        }

        boolean isCold(long now) {
            return !acked || now - since > COLD_AFTER;
        }
    }

    private record Place(String physicalTopic, int partition) {}

    private static final Load NOTHING = new Load(0, 0);

    private final LongSupplier nanoTime;
    private final Map<Place, Lane> lanes = new LinkedHashMap<>();

    /** Every row in flight, with its lane; an acknowledged one has none. */
    private final Map<RowKey, Flight> flights = new LinkedHashMap<>();

    private final List<OutboxRow> acked = new ArrayList<>();
    private final Map<String, Load> loads = new HashMap<>();
    private long bytes;

    /** What is in flight of one topic. */
    private record Load(int rows, long bytes) {

        Load plus(Load other) {
            return new Load(rows + other.rows, bytes + other.bytes);
        }

        static Load of(OutboxRow row) {
            return new Load(1, row.bytes());
        }

        @Nullable
        Load minus(OutboxRow row) {
            return rows == 1 ? null : new Load(rows - 1, bytes - row.bytes());
        }
    }

    private record Flight(OutboxRow row, Lane lane) {}

    InFlight(LongSupplier nanoTime) {
        this.nanoTime = nanoTime;
    }

    void add(OutboxRow row, String physicalTopic, int partition) {
        Lane lane = lanes.computeIfAbsent(
                new Place(physicalTopic, partition), any -> new Lane(row.event().topic(), physicalTopic, partition));
        lane.waiting.add(row);
        flights.put(row.key(), new Flight(row, lane));
        loads.merge(row.event().topic(), Load.of(row), Load::plus);
        bytes += row.bytes();
    }

    Collection<RowKey> keys() {
        return Collections.unmodifiableSet(flights.keySet());
    }

    int size() {
        return flights.size();
    }

    /** How many more rows there is room for, whatever their topics, but for those of some topics. */
    int roomBeside(Set<String> excluded) {
        int largest = othersThan(excluded).mapToInt(Load::rows).max().orElse(0);
        return Math.max(0, Math.min(MAX_ROWS - flights.size(), MAX_ROWS_PER_TOPIC - largest));
    }

    /** How many more bytes there is room for, whatever their topics, but for those of some topics. */
    long bytesBeside(Set<String> excluded) {
        long largest = othersThan(excluded).mapToLong(Load::bytes).max().orElse(0);
        return Math.max(0, Math.min(MAX_BYTES - bytes, MAX_BYTES_PER_TOPIC - largest));
    }

    private Stream<Load> othersThan(Set<String> excluded) {
        return loads.entrySet().stream()
                .filter(load -> !excluded.contains(load.getKey()))
                .map(Map.Entry::getValue);
    }

    /** Topics that have all the room a topic can have and acknowledge nothing; others must not wait for them. */
    Set<String> stuck() {
        Set<String> stuck = new HashSet<>();
        loads.forEach((topic, load) -> {
            if (load.rows() >= MAX_ROWS_PER_TOPIC || load.bytes() >= MAX_BYTES_PER_TOPIC) {
                stuck.add(topic);
            }
        });
        if (!stuck.isEmpty()) {
            stuck.retainAll(silentFor(STUCK_AFTER).topics());
        }
        return stuck;
    }

    Collection<Lane> lanes() {
        return lanes.values();
    }

    boolean anyHandedOver() {
        return lanes.values().stream().anyMatch(lane -> !lane.handedOver.isEmpty());
    }

    int handedOver(String topic) {
        return lanes.values().stream()
                .filter(lane -> lane.topic.equals(topic))
                .mapToInt(lane -> lane.handedOver.size())
                .sum();
    }

    /** The next row of a lane goes to the producer. */
    OutboxRow handOver(Lane lane) {
        OutboxRow row = lane.waiting.remove();
        if (lane.handedOver.isEmpty()) {
            lane.since = nanoTime.getAsLong();
        }
        lane.handedOver.put(row.key(), row);
        return row;
    }

    /** Kafka has a row. Unknown rows, taken back before, are left alone. */
    boolean acked(OutboxRow row) {
        Lane lane = laneOf(row);
        if (lane == null || lane.handedOver.remove(row.key()) == null) {
            return false;
        }
        lane.acked = true;
        lane.alone = false;
        lane.since = nanoTime.getAsLong();
        acked.add(row);
        return true;
    }

    /** Rows that Kafka has and whose DELETE has not committed. */
    List<OutboxRow> awaitingDelete() {
        return Collections.unmodifiableList(acked);
    }

    /** The DELETE of all that awaited it has committed. */
    void deleted() {
        acked.forEach(this::forget);
        acked.clear();
    }

    /** Ids of later events of a row's key that Kafka has. */
    List<String> ackedBehind(OutboxRow row) {
        return acked.stream()
                .filter(other -> other.orderKey().equals(row.orderKey())
                        && other.key().seq() > row.key().seq())
                .map(other -> other.event().id())
                .toList();
    }

    /** Takes back a row that failed alone, and what waits behind it in its lane. Returns the shards to read again. */
    Set<Integer> takeBack(OutboxRow row) {
        Lane lane = laneOf(row);
        if (lane == null || lane.handedOver.remove(row.key()) == null) {
            return Set.of();
        }
        lane.alone = false;
        forget(row);
        Set<Integer> shards = takeBackWaiting(lane);
        shards.add(row.key().shard());
        return shards;
    }

    /** Takes back what waits. Returns the shards to read again. */
    Set<Integer> takeBackWaiting() {
        Set<Integer> shards = new HashSet<>();
        lanes.values().forEach(lane -> shards.addAll(takeBackWaiting(lane)));
        return shards;
    }

    /** Takes back what waits for a topic. Returns the shards to read again. */
    Set<Integer> takeBackWaiting(String topic) {
        Set<Integer> shards = new HashSet<>();
        lanes.values().stream()
                .filter(lane -> lane.topic.equals(topic))
                .forEach(lane -> shards.addAll(takeBackWaiting(lane)));
        return shards;
    }

    private Set<Integer> takeBackWaiting(Lane lane) {
        Set<Integer> shards = new HashSet<>();
        for (OutboxRow waiting : lane.waiting) {
            forget(waiting);
            shards.add(waiting.key().shard());
        }
        lane.waiting.clear();
        return shards;
    }

    /** Forgets everything, the acknowledged too, as a crash would; for a round that failed in the middle. */
    void clear() {
        lanes.clear();
        flights.clear();
        acked.clear();
        loads.clear();
        bytes = 0;
    }

    /** Takes back everything that is not acknowledged; for a producer that has stopped, so every partition is cold again. */
    Set<Integer> takeBackAll() {
        Set<Integer> shards = new HashSet<>();
        for (Lane lane : lanes.values()) {
            shards.addAll(takeBackWaiting(lane));
            for (OutboxRow row : lane.handedOver.values()) {
                forget(row);
                shards.add(row.key().shard());
            }
        }
        lanes.clear();
        return shards;
    }

    /**
     * Topics of which a partition has not acknowledged anything for a time, although it has something.
     *
     * @param rows in flight of all these topics
     * @param bytes in flight of all these topics
     * @param heads first rows of their silent partitions
     */
    record Silent(Set<String> topics, int rows, long bytes, List<OutboxRow> heads) {}

    Silent silentFor(Duration limit) {
        long now = nanoTime.getAsLong();
        Set<String> topics = new HashSet<>();
        List<OutboxRow> heads = new ArrayList<>();
        for (Lane lane : lanes.values()) {
            if (!lane.handedOver.isEmpty() && now - lane.since >= limit.toNanos()) {
                topics.add(lane.topic);
                heads.add(lane.handedOver.values().iterator().next());
            }
        }
        Load load =
                topics.stream().map(topic -> loads.getOrDefault(topic, NOTHING)).reduce(NOTHING, Load::plus);
        return new Silent(topics, load.rows(), load.bytes(), heads);
    }

    Optional<Instant> oldest() {
        return flights.values().stream().findFirst().map(flight -> flight.row().createdAt());
    }

    private @Nullable Lane laneOf(OutboxRow row) {
        Flight flight = flights.get(row.key());
        return flight == null ? null : flight.lane();
    }

    private void forget(OutboxRow row) {
        if (flights.remove(row.key()) != null) {
            loads.computeIfPresent(row.event().topic(), (topic, load) -> load.minus(row));
            bytes -= row.bytes();
        }
    }
}
