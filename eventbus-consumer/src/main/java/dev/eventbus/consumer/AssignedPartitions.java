package dev.eventbus.consumer;

import dev.eventbus.consumer.internal.OffsetTracker;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.time.Instant;
import java.util.Collection;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.function.BooleanSupplier;
import java.util.function.Consumer;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
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
 *   <li><b>Revoked</b>: nothing more is started, except for a short time what stands below a record that has ended or runs, since
 *       the next owner would repeat that one; the rest is dropped. What runs is waited for up to a deadline; then what has ended is
 *       committed, synchronously, before the next owner begins.
 *   <li><b>Lost</b>: somebody else may own it already, so nothing is waited for and nothing is committed.
 *   <li><b>Zombies</b>: what still runs after that. A key that is handed back while a zombie of it runs waits for its end.
 * </ul>
 *
 * <p>Poll thread only; Kafka calls the listener inside {@code poll} and {@code close}.
 */
final class AssignedPartitions implements ConsumerRebalanceListener {

    /** What a hand-over needs from the loop around it. */
    interface Loop {

        /** Goes on working until the condition holds; false if it does not within the limit, or before the runner must have closed. */
        boolean pumpUntil(BooleanSupplier condition, Duration limit);

        /** Until when a closing partition may start what others wait for. */
        Instant finishBy();

        /** Commits what has ended of these partitions before it returns; never throws. */
        void commitNow(Collection<Partition> partitions);

        /** Records that never began are given up: their budget returns. */
        void dropped(Collection<InFlight> records);
    }

    private record ZombieKey(
            TopicPartition partition, @Nullable ByteBuffer key) {

        static ZombieKey of(KeyLane lane) {
            return new ZombieKey(lane.partition().id(), lane.key());
        }
    }

    private static final Logger LOG = LoggerFactory.getLogger(AssignedPartitions.class);

    /** How long a hand-over may still start what stands below an ended record; it holds up the reading of all partitions. */
    static final Duration FINISHING = Duration.ofSeconds(1);

    private final Loop loop;
    private final Consumer<? super KeyLane> ready;
    private final RunnerListener listener;
    private final Duration handOverLimit;
    private final Map<TopicPartition, Partition> current = new LinkedHashMap<>();
    private final Map<ZombieKey, KeyLane> zombies = new HashMap<>();

    /** Their last epochs that went while something still ran. */
    private final Map<TopicPartition, Partition> gone = new HashMap<>();

    private final Map<TopicPartition, String> stopped = new HashMap<>();

    private int lastEpoch;
    private boolean closed;

    /**
     * @param ready takes lanes of closing partitions that have something to start
     * @param handOverLimit how long running handlers of a revoked partition are waited for
     */
    AssignedPartitions(Loop loop, Consumer<? super KeyLane> ready, RunnerListener listener, Duration handOverLimit) {
        this.loop = loop;
        this.ready = ready;
        this.listener = listener;
        this.handOverLimit = handOverLimit;
    }

    @Override
    public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
        partitions.forEach(this::begin);
        if (!partitions.isEmpty()) {
            LOG.info("assigned {}", partitions);
            listener.rebalanced(partitions.size(), 0, 0);
        }
    }

    @Override
    public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
        List<Partition> going = known(partitions);
        if (going.isEmpty()) {
            return;
        }
        Instant finishBy = loop.finishBy();
        going.forEach(partition -> close(partition, finishBy));
        boolean ended = finish(going);
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
        listener.rebalanced(0, going.size(), 0);
    }

    @Override
    public void onPartitionsLost(Collection<TopicPartition> partitions) {
        List<Partition> gone = known(partitions);
        if (gone.isEmpty()) {
            return;
        }
        gone.forEach(this::abandon);
        LOG.warn(
                "lost {}, somebody else may have it already: nothing of them is committed, {} records still run; the new owner repeats what was not committed",
                partitions,
                gone.stream().mapToInt(Partition::inFlight).sum());
        listener.rebalanced(0, 0, gone.size());
    }

    /** The consumer is gone, and its partitions with it. */
    void loseAll() {
        onPartitionsLost(List.copyOf(current.keySet()));
    }

    /** Stops the partition, for the runner's life: wherever it comes back, nothing of it is started. */
    void stop(Partition partition, String why) {
        stopped.put(partition.id(), why);
        partition.stoppedBecause(why);
    }

    /** Whether one of those that this runner has now is stopped. */
    boolean isAnyStopped() {
        return current.values().stream().anyMatch(partition -> partition.stoppedBecause() != null);
    }

    /**
     * What was to be read next is gone.
     *
     * @param gap if what is there begins before what was to be read, the log is another
     * @param stops whether nothing more is taken; what was read before is handled all the same, since it is nowhere else any more
     * @return the partition from now on; null if it is not ours
     */
    @Nullable
    Partition passed(TopicPartition id, RunnerListener.OffsetGap gap, boolean stops) {
        Partition known = current.get(id);
        boolean back = gap.continuesAt() < gap.expected();
        Partition partition = known == null || !back ? known : restart(known);
        if (partition != null && stops) {
            partition.takeNothingMore();
        } else if (partition != null && !partition.isClosed()) {
            partition.offsets().reached(gap.continuesAt()); // committed without a record too, so that it is told once
        }
        return partition;
    }

    /** A record has left its lane unfinished, so what stands behind it is of no use to a commit. */
    void letGo(Partition partition, InFlight record) {
        startOnlyUpTo(partition, record.slot() - 1); // first: its lane may be forgotten, and it taken for ended
        close(partition, Instant.MAX); // the rest may take its time, unless it was closed before
    }

    /** A record waits for its next try; false if nobody waits for it, because that comes too late for its partition. */
    boolean waits(KeyLane.Report.Waits record) {
        Partition partition = record.lane().partition();
        if (partition.isTooLate(record.due())) {
            startOnlyUpTo(partition, record.record().slot() - 1);
        }
        return record.lane().isWaiting();
    }

    Collection<Partition> all() {
        return current.values();
    }

    @Nullable
    Partition get(TopicPartition id) {
        return current.get(id);
    }

    /** Up to there all was read, gaps included. */
    void reached(Map<TopicPartition, OffsetAndMetadata> next) {
        next.forEach((id, offset) -> {
            Partition partition = current.get(id);
            if (partition != null && !partition.isClosed()) {
                partition.offsets().reached(offset.offset());
            }
        });
    }

    /** Grows with each partition that comes. */
    int lastEpoch() {
        return lastEpoch;
    }

    /** Whether reports of this partition still count: it is owned, in this very epoch. */
    boolean isCurrent(Partition partition) {
        return current.get(partition.id()) == partition;
    }

    /** The lane of a key; a new one is held while an older epoch's handler of that key still runs. */
    KeyLane laneOf(Partition partition, byte @Nullable [] key) {
        if (key == null) {
            return partition.lanes.add(partition, null);
        }
        ByteBuffer id = ByteBuffer.wrap(key);
        KeyLane known = partition.lanes.get(id);
        if (known != null) {
            return known;
        }
        KeyLane lane = partition.lanes.add(partition, id);
        if (!zombies.isEmpty() && zombies.containsKey(ZombieKey.of(lane))) {
            lane.hold();
        }
        return lane;
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
        if (!lane.endedLast()) {
            return null;
        }
        partition.lanes.remove(lane);
        if (zombies.isEmpty() || lane.key() == null || !zombies.remove(ZombieKey.of(lane), lane)) {
            return null;
        }
        Partition now = current.get(partition.id());
        KeyLane held = now == null ? null : now.lanes.get(lane.key());
        return held != null && held.wake() ? held : null;
    }

    /** Takes no more of this partition, starts only what ended records wait for, and drops the rest; it stays ours. */
    private void close(Partition partition, Instant finishBy) {
        partition.close(finishBy);
        loop.dropped(partition.dropRefused(ready));
    }

    private void startOnlyUpTo(Partition partition, long slot) {
        if (partition.startOnlyUpTo(slot)) {
            loop.dropped(partition.dropRefused(ready));
        }
    }

    /** Closes all partitions, and every one that is still to come. */
    void closeAll() {
        if (!closed) {
            closed = true;
            Instant finishBy = loop.finishBy();
            current.values().forEach(partition -> close(partition, finishBy));
        }
    }

    /** Waits for no record any more that has not begun. Once that is so, another call looks at no lane. */
    void startNothingMore() {
        current.values().forEach(partition -> startOnlyUpTo(partition, OffsetTracker.NOTHING));
    }

    /** Waits for what is left of closed partitions; false if the limit came first. */
    private boolean finish(Collection<Partition> going) {
        BooleanSupplier nothingLeft = () -> going.stream().allMatch(partition -> partition.inFlight() == 0);
        Duration finishing = handOverLimit.compareTo(FINISHING) < 0 ? handOverLimit : FINISHING;
        boolean ended = loop.pumpUntil(nothingLeft, finishing);
        going.forEach(partition -> startOnlyUpTo(partition, OffsetTracker.NOTHING));
        return ended || loop.pumpUntil(nothingLeft, handOverLimit.minus(finishing));
    }

    /** The partition's offsets have jumped back: what runs belongs to a log that is gone, as if it had been lost and assigned. */
    Partition restart(Partition partition) {
        abandon(partition);
        return begin(partition.id());
    }

    private void abandon(Partition partition) {
        partition.lost();
        startOnlyUpTo(partition, OffsetTracker.NOTHING);
        forget(partition);
    }

    /** What was read of a stopped partition before it was paused counts as unread. */
    void leaveStopped(
            org.apache.kafka.clients.consumer.Consumer<byte[], byte[]> consumer, ConsumerRecords<byte[], byte[]> read) {
        for (TopicPartition id : read.partitions()) {
            Partition partition = current.get(id);
            if (partition != null && partition.stoppedBecause() != null) {
                consumer.seek(id, read.records(id).get(0).offset());
            }
        }
    }

    /** What was read was not taken: all of it, and what is unfinished before it, is read again. */
    void readAgain(
            org.apache.kafka.clients.consumer.Consumer<byte[], byte[]> consumer, ConsumerRecords<byte[], byte[]> read) {
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
        partition.follows(gone.remove(id));
        partition.stoppedBecause(stopped.get(id));
        if (closed || partition.stoppedBecause() != null) {
            close(partition, Instant.MIN);
        }
        current.put(id, partition);
        return partition;
    }

    private void forget(Partition partition) {
        current.remove(partition.id(), partition);
        if (!partition.isAtRest()) {
            gone.put(partition.id(), partition);
        }
        partition.lanes.keyed().forEach(lane -> zombies.put(ZombieKey.of(lane), lane));
    }

    private List<Partition> known(Collection<TopicPartition> ids) {
        return ids.stream().map(current::get).filter(Objects::nonNull).toList();
    }
}
