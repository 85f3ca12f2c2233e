package dev.eventbus.consumer;

import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.BooleanSupplier;
import org.apache.kafka.clients.consumer.Consumer;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.common.TopicPartition;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The partitions this runner owns now, and how one is handed over.
 *
 * <ul>
 *   <li><b>Assigned</b>: a new {@link Partition} with an epoch of its own. What still runs from an earlier epoch never touches
 *       its window.
 *   <li><b>Revoked</b>: nothing more is started, what is queued is dropped, what runs is waited for up to a deadline; then what
 *       has ended is committed, synchronously, before the next owner begins.
 *   <li><b>Lost</b>: somebody else may own it already, so nothing is waited for and nothing is committed.
 *   <li><b>Zombies</b>: what still runs after that. A key that is handed back while a zombie of it runs waits for its end.
 * </ul>
 *
 * <p>Poll thread only; Kafka calls the listener inside {@code poll} and {@code close}.
 */
final class AssignedPartitions implements ConsumerRebalanceListener {

    /**
     * One partition in one epoch: from its assignment to its loss. Poll thread only, except {@link #close()} and
     * {@link #isClosed()}.
     */
    static final class Partition {

        private final TopicPartition id;
        private final int epoch;
        private final OffsetTracker offsets = new OffsetTracker();
        private final Map<ByteBuffer, KeyLane> lanes = new HashMap<>();
        private final Set<KeyLane> unkeyed = new HashSet<>();
        private volatile boolean closed;
        private int inFlight;
        private long bytes;
        private long committed = OffsetTracker.NOTHING;
        private boolean spanFull;
        private boolean shareFull;
        private @Nullable String stoppedBecause;

        Partition(TopicPartition id, int epoch) {
            this.id = id;
            this.epoch = epoch;
        }

        TopicPartition id() {
            return id;
        }

        OffsetTracker offsets() {
            return offsets;
        }

        /** Registers a record that was handed out. */
        InFlight register(ConsumerRecord<byte[], byte[]> record) {
            InFlight registered = new InFlight(record, offsets.add(record.offset()));
            inFlight++;
            bytes += registered.bytes();
            return registered;
        }

        private void left(InFlight record) {
            inFlight--;
            bytes -= record.bytes();
        }

        /** Records that are queued, running or waiting. */
        int inFlight() {
            return inFlight;
        }

        /** Bytes of these. */
        long bytes() {
            return bytes;
        }

        /** The offset the group is known to have committed, as far as this runner did it. */
        long committed() {
            return committed;
        }

        void committed(long offset) {
            committed = Math.max(committed, offset);
        }

        /** Whether the open span has reached its budget, and has not come down far enough since. */
        boolean isSpanFull() {
            return spanFull;
        }

        void spanFull(boolean full) {
            spanFull = full;
        }

        /** Whether it holds its share of what all partitions may have in flight, and has not come down far enough since. */
        boolean isShareFull() {
            return shareFull;
        }

        void shareFull(boolean full) {
            shareFull = full;
        }

        /** Why a policy stopped the partition; null if none did. */
        @Nullable
        String stoppedBecause() {
            return stoppedBecause;
        }

        /** Any thread: nothing more of it is started, for good. */
        void close() {
            closed = true;
        }

        /** Any thread. */
        boolean isClosed() {
            return closed;
        }

        @Override
        public String toString() {
            return id + " in epoch " + epoch;
        }
    }

    /** What a hand-over needs from the loop around it. */
    interface Loop {

        /** Goes on taking reports until the condition holds; false if it does not within the limit. */
        boolean pumpUntil(BooleanSupplier condition, Duration limit);

        /** Commits what has ended of these partitions before it returns; never throws. */
        void commitNow(Collection<Partition> partitions);

        /** Records that never began are given up: their budget returns. */
        void dropped(Collection<InFlight> records);

        /** Kafka moved partitions. */
        void rebalanced(int assigned, int revoked, int lost);
    }

    private record ZombieKey(TopicPartition partition, ByteBuffer key) {}

    private static final Logger LOG = LoggerFactory.getLogger(AssignedPartitions.class);

    private final Loop loop;
    private final Duration handOverLimit;
    private final Map<TopicPartition, Partition> current = new LinkedHashMap<>();
    private final Map<ZombieKey, KeyLane> zombies = new HashMap<>();
    private final Map<TopicPartition, String> stopped = new HashMap<>();

    private int lastEpoch;
    private boolean closed;

    /** @param handOverLimit how long running handlers of a revoked partition are waited for */
    AssignedPartitions(Loop loop, Duration handOverLimit) {
        this.loop = loop;
        this.handOverLimit = handOverLimit;
    }

    @Override
    public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
        partitions.forEach(this::begin);
        if (!partitions.isEmpty()) {
            LOG.info("assigned {}", partitions);
            loop.rebalanced(partitions.size(), 0, 0);
        }
    }

    @Override
    public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
        List<Partition> going = known(partitions);
        if (going.isEmpty()) {
            return;
        }
        going.forEach(this::close);
        boolean ended = awaitRunning(going, closed ? Duration.ZERO : handOverLimit);
        loop.commitNow(going);
        going.forEach(this::forget);
        if (ended) {
            LOG.info("handed over {}", partitions);
        } else {
            LOG.warn(
                    "handed over {} while {} records of them still run after {}; their keys' next owner may repeat them",
                    partitions,
                    going.stream().mapToInt(Partition::inFlight).sum(),
                    handOverLimit);
        }
        loop.rebalanced(0, going.size(), 0);
    }

    @Override
    public void onPartitionsLost(Collection<TopicPartition> partitions) {
        List<Partition> gone = known(partitions);
        if (gone.isEmpty()) {
            return;
        }
        gone.forEach(this::close);
        gone.forEach(this::forget);
        LOG.warn(
                "lost {}, somebody else may have it already: nothing of them is committed, {} records still run; the new owner repeats what was not committed",
                partitions,
                gone.stream().mapToInt(Partition::inFlight).sum());
        loop.rebalanced(0, 0, gone.size());
    }

    /** The consumer is gone, and its partitions with it. */
    void loseAll() {
        onPartitionsLost(List.copyOf(current.keySet()));
    }

    /** Stops the partition, for the runner's life: wherever it comes back, nothing of it is started. */
    void stop(Partition partition, String why) {
        stopped.put(partition.id(), why);
        partition.stoppedBecause = why;
        close(partition);
    }

    Collection<Partition> all() {
        return current.values();
    }

    @Nullable
    Partition get(TopicPartition id) {
        return current.get(id);
    }

    /** Whether reports of this partition still count: it is owned, in this very epoch. */
    boolean isCurrent(Partition partition) {
        return current.get(partition.id()) == partition;
    }

    /** The lane of a key; a new one is held while an older epoch's handler of that key still runs. */
    KeyLane laneOf(Partition partition, byte @Nullable [] key) {
        if (key == null) {
            KeyLane alone = new KeyLane(partition, null);
            partition.unkeyed.add(alone);
            return alone;
        }
        return partition.lanes.computeIfAbsent(ByteBuffer.wrap(key), id -> {
            KeyLane lane = new KeyLane(partition, id);
            if (!zombies.isEmpty() && zombies.containsKey(new ZombieKey(partition.id(), id))) {
                lane.hold();
            }
            return lane;
        });
    }

    /**
     * A record of the lane has ended or was let go.
     *
     * @return a lane that waited for this one and is ready now, if there is one
     */
    @Nullable
    KeyLane released(KeyLane lane, InFlight record) {
        Partition partition = lane.partition();
        partition.left(record);
        ByteBuffer key = lane.key();
        if (!lane.endedLast()) {
            return null;
        }
        if (key == null) {
            partition.unkeyed.remove(lane);
            return null;
        }
        partition.lanes.remove(key, lane);
        if (zombies.isEmpty() || !zombies.remove(new ZombieKey(partition.id(), key), lane)) {
            return null;
        }
        Partition now = current.get(partition.id());
        KeyLane held = now == null ? null : now.lanes.get(key);
        return held != null && held.wake() ? held : null;
    }

    /** Starts nothing more of this partition and drops what has not begun; it stays ours. */
    void close(Partition partition) {
        partition.close();
        List<InFlight> dropped = new ArrayList<>();
        partition.lanes.values().removeIf(lane -> lane.closeUnlessBusy(dropped));
        partition.unkeyed.removeIf(lane -> lane.closeUnlessBusy(dropped));
        dropped.forEach(partition::left);
        loop.dropped(dropped);
    }

    /** Closes all partitions, and every one that is still to come. */
    void closeAll() {
        if (closed) {
            return;
        }
        closed = true;
        current.values().forEach(this::close);
    }

    /** Waits for what runs of closed partitions; false if the limit came first. */
    boolean awaitRunning(Collection<Partition> partitions, Duration limit) {
        return loop.pumpUntil(() -> partitions.stream().allMatch(p -> p.inFlight == 0), limit);
    }

    /** The partition's offsets have jumped back: what runs belongs to a log that is gone, as if it had been lost and assigned. */
    Partition restart(Partition partition) {
        close(partition);
        forget(partition);
        return begin(partition.id());
    }

    /** What was read was not taken: all of it, and what is unfinished before it, is read again. */
    void readAgain(Consumer<byte[], byte[]> consumer, ConsumerRecords<byte[], byte[]> read) {
        for (TopicPartition id : read.partitions()) {
            Partition partition = current.get(id);
            if (partition != null) {
                long first = read.records(id).get(0).offset();
                long unfinished = partition.offsets().committable();
                consumer.seek(id, unfinished == OffsetTracker.NOTHING ? first : Math.min(first, unfinished));
                restart(partition);
            }
        }
    }

    private Partition begin(TopicPartition id) {
        Partition partition = new Partition(id, ++lastEpoch);
        partition.stoppedBecause = stopped.get(id);
        if (closed || partition.stoppedBecause != null) {
            partition.close();
        }
        current.put(id, partition);
        return partition;
    }

    private void forget(Partition partition) {
        current.remove(partition.id(), partition);
        for (KeyLane lane : partition.lanes.values()) {
            ByteBuffer key = lane.key();
            if (key != null) {
                zombies.put(new ZombieKey(partition.id(), key), lane);
            }
        }
    }

    private List<Partition> known(Collection<TopicPartition> ids) {
        List<Partition> known = new ArrayList<>();
        for (TopicPartition id : ids) {
            Partition partition = current.get(id);
            if (partition != null) {
                known.add(partition);
            }
        }
        return known;
    }
}
