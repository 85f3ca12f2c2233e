package dev.eventbus.consumer;

import dev.eventbus.consumer.internal.FlowControl;
import dev.eventbus.consumer.internal.OffsetTracker;
import dev.eventbus.consumer.redrive.KeyHash;
import dev.eventbus.topics.KafkaCluster;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.function.ToLongFunction;
import java.util.stream.Stream;
import org.apache.kafka.clients.consumer.Consumer;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.jspecify.annotations.Nullable;

/**
 * How a runner is doing, as of its last pass: alert on {@link #status()}, show a person {@link #problems()}.
 *
 * @param status in one word
 * @param problems in words, each with what happens next; empty if all is well
 * @param partitions one for each assigned partition
 * @param running handlers that run now
 * @param waitingKeys keys that wait for their next try
 * @param nextRetry when the first of them is due; null if none waits
 * @param parked what waits in the inbox's database
 */
public record RunnerHealth(
        Status status,
        List<String> problems,
        List<PartitionHealth> partitions,
        int running,
        int waitingKeys,
        @Nullable Instant nextRetry,
        Parked parked) {

    static final Parked NOTHING_PARKED = new Parked(0, 0);

    private static final String INTERRUPTED =
            "the runner's thread was interrupted by somebody else's code, and has ended: nothing more is read; close this runner and build a new one";

    private static final String BUG = "the last round failed with";

    /**
     * What waits in the inbox's database, of the whole group, as this runner saw it last.
     *
     * @param keys that are parked
     * @param events of these
     */
    public record Parked(int keys, long events) {}

    /** How a runner is doing, in one word. */
    public enum Status {
        /** Built, but no pass has ended yet. */
        NEW,
        /** All is well. */
        UP,
        /** Something is wrong that ends by itself when its cause ends: see the problems. */
        DEGRADED,
        /** A person is needed: see the problems. */
        DOWN,
        /** Closing: running handlers are waited for. */
        STOPPING,
        /** Closed. */
        STOPPED
    }

    /**
     * One assigned partition. Offsets are -1 while unknown.
     *
     * @param topic logical topic
     * @param partition partition
     * @param position the next offset to be read
     * @param committed the offset last committed by this runner
     * @param lag records from the lowest unfinished one to the end of the log as Kafka's client last saw it; on a compacted topic at
     *     most so many
     * @param openSpan records from the lowest unfinished one to the last one read
     * @param inFlight records that are queued, running or waiting
     * @param pausedBecause why nothing more is read; null if reading goes on
     * @param blockedBy the record at which the committed offset has stood still since the look before; null if it moves or all has
     *     ended
     */
    public record PartitionHealth(
            String topic,
            int partition,
            long position,
            long committed,
            long lag,
            int openSpan,
            int inFlight,
            @Nullable String pausedBecause,
            @Nullable BlockedOffset blockedBy) {}

    public RunnerHealth {
        problems = List.copyOf(problems);
        partitions = List.copyOf(partitions);
    }

    Optional<BlockedOffset> blockedBy(String topic, int partition) {
        return partitions.stream()
                .filter(one -> one.topic().equals(topic) && one.partition() == partition)
                .map(PartitionHealth::blockedBy)
                .filter(Objects::nonNull)
                .findAny();
    }

    /** Of a runner whose JVM has failed. */
    static RunnerHealth of(VirtualMachineError broken) {
        return new RunnerHealth(Status.DOWN, List.of(text(broken)), List.of(), 0, 0, null, NOTHING_PARKED);
    }

    /**
     * Of a runner whose thread ends.
     *
     * @param fatal null if the JVM is well
     * @param asked whether it was closed, or else its thread was interrupted
     */
    static RunnerHealth ended(@Nullable VirtualMachineError fatal, boolean asked) {
        return fatal != null
                ? of(fatal)
                : asked
                        ? of(Status.STOPPED)
                        : new RunnerHealth(Status.DOWN, List.of(INTERRUPTED), List.of(), 0, 0, null, NOTHING_PARKED);
    }

    static String text(VirtualMachineError broken) {
        return "the JVM itself has failed (%s): nothing more is committed; restart the process"
                .formatted(broken.getClass().getName());
    }

    /** What was seen last, and that a round has failed since. */
    RunnerHealth afterBug(Throwable bug) {
        List<String> others =
                problems.stream().filter(one -> !one.startsWith(BUG)).toList();
        Status well = status == Status.NEW ? Status.UP : status;
        return with(well, others)
                .with(
                        "%s %s, which is a bug: please report it with the log. Events wait in their topics, and the runner keeps trying"
                                .formatted(BUG, bug.getClass().getName()));
    }

    static String suspects(int waiting) {
        return "the process has ended while records ran: these run one at a time, to find the one that ends it; %d of them wait, and so does all else"
                .formatted(waiting);
    }

    /** @param problems one for each key that waits; null if its waiting is none */
    static List<String> waiting(Stream<@Nullable String> problems) {
        Map<String, Integer> keys = new TreeMap<>();
        problems.filter(Objects::nonNull).forEach(problem -> keys.merge(problem, 1, Integer::sum));
        return keys.entrySet().stream()
                .map(e -> "%s: %d keys wait, without using attempts, until it ends".formatted(e.getKey(), e.getValue()))
                .toList();
    }

    /** With one problem more, if there is one; it alone degrades a runner that is well. */
    RunnerHealth with(@Nullable String problem) {
        if (problem == null) {
            return this;
        }
        List<String> all = Stream.concat(problems.stream(), Stream.of(problem)).toList();
        return with(status == Status.UP ? Status.DEGRADED : status, all);
    }

    /** What was seen last, and what a person is needed for since. */
    RunnerHealth down(String problem) {
        return with(
                Status.DOWN,
                Stream.concat(Stream.of(problem), problems.stream()).toList());
    }

    private RunnerHealth with(Status now, List<String> all) {
        return new RunnerHealth(now, all, partitions, running, waitingKeys, nextRetry, parked);
    }

    static RunnerHealth of(Status status) {
        return new RunnerHealth(status, List.of(), List.of(), 0, 0, null, NOTHING_PARKED);
    }

    /**
     * The record that keeps a partition's committed offset from going on: all before it have ended, and what has ended behind it
     * waits to be committed.
     *
     * @param topic logical topic
     * @param partition partition
     * @param offset the record's offset, which is the one that is committed
     * @param eventId null until the record was read as an event, and if it is none
     * @param keyHash the first 16 hexadecimal digits of the SHA-256 of the record's key, to compare with that of a suspect; null for a
     *     record without a key
     * @param state what its key does now
     * @param attempt the attempt that is under way or comes next, 1 for the first; of a record that is being dead-lettered the last one
     * @param nextTry when it is tried again; null unless it waits
     * @param failure class of the exception that it failed with last, with the SQLSTATE if it has one; null if it has not failed
     * @param since since when it has been the one, to a tenth of a second
     */
    public record BlockedOffset(
            String topic,
            int partition,
            long offset,
            @Nullable String eventId,
            @Nullable String keyHash,
            State state,
            int attempt,
            @Nullable Instant nextTry,
            @Nullable String failure,
            Instant since) {

        /** What the key of a record does. */
        public enum State {
            /** All handlers are busy: it waits for one. */
            QUEUED,
            /** Its handler runs. */
            RUNNING,
            /** It waits for its next try. */
            WAITING,
            /** Its dead letter is on its way to the broker. */
            SENDING,
            /** A handler of the same key, from before the partition was taken away and handed back, still runs. */
            HELD,
            /** A policy has stopped the partition in front of it: a person is needed. */
            STOPPED
        }
    }

    /**
     * What any thread sees of a lane at one moment.
     *
     * @param record its first record; null if it has none
     * @param due when that is tried again; null unless it waits
     */
    record Look(
            KeyLane.State state,
            @Nullable InFlight record,
            @Nullable Instant due) {

        boolean isAt(long offset) {
            return record != null && record.record().offset() == offset;
        }
    }

    /**
     * How each partition is doing, and which record holds its offset up. An offset that has moved since the look before holds nothing
     * up, so lanes are looked through for one that stands still, once.
     *
     * <p>Poll thread only.
     */
    static final class PartitionWatch {

        /** The lowest unfinished offset of a partition; its lane once it was looked for and found. */
        private record Sighting(
                long offset, Instant since, @Nullable KeyLane lane) {}

        private final KafkaCluster kafka;
        private final FlowControl flow;

        private Map<Partition, Sighting> sightings = new HashMap<>();

        PartitionWatch(KafkaCluster kafka, FlowControl flow) {
            this.kafka = kafka;
            this.flow = flow;
        }

        List<PartitionHealth> look(Collection<Partition> partitions, @Nullable Consumer<?, ?> consumer, Instant now) {
            Set<TopicPartition> assignment = consumer == null ? Set.of() : consumer.assignment();
            Map<Partition, Sighting> before = sightings;
            sightings = new HashMap<>();
            List<PartitionHealth> all = new ArrayList<>();
            for (Partition partition : partitions) {
                String topic = kafka.logicalTopic(partition.id().topic());
                Consumer<?, ?> reads = assignment.contains(partition.id()) ? consumer : null;
                all.add(new PartitionHealth(
                        topic,
                        partition.id().partition(),
                        partition.offsets().position(),
                        partition.committed(),
                        lag(partition, reads),
                        partition.offsets().span(),
                        partition.inFlight(),
                        flow.pausedBecause(partition),
                        blocked(partition, topic, lowestOpen(partition, reads), before.get(partition), now)));
            }
            return all;
        }

        /** What the client knows without asking the broker. */
        private static long known(@Nullable Consumer<?, ?> reads, ToLongFunction<Consumer<?, ?>> asked) {
            try {
                return reads == null ? OffsetTracker.NOTHING : asked.applyAsLong(reads);
            } catch (KafkaException | IllegalStateException e) {
                return OffsetTracker.NOTHING; // it has no position yet
            }
        }

        private static long lag(Partition partition, @Nullable Consumer<?, ?> reads) {
            OffsetTracker offsets = partition.offsets();
            long open = offsets.position() == OffsetTracker.NOTHING ? 0 : offsets.position() - offsets.committable();
            long unread =
                    known(reads, consumer -> consumer.currentLag(partition.id()).orElse(OffsetTracker.NOTHING));
            return unread == OffsetTracker.NOTHING ? -1 : open + unread;
        }

        /** Of a stopped partition what would be read next, if there is any; {@link OffsetTracker#NOTHING} if none is open. */
        private static long lowestOpen(Partition partition, @Nullable Consumer<?, ?> reads) {
            if (partition.offsets().span() > 0) {
                return partition.offsets().committable();
            }
            boolean allRead =
                    known(reads, consumer -> consumer.currentLag(partition.id()).orElse(1)) == 0;
            return partition.stoppedBecause() == null || allRead
                    ? OffsetTracker.NOTHING
                    : known(reads, consumer -> consumer.position(partition.id(), Duration.ZERO));
        }

        private @Nullable BlockedOffset blocked(
                Partition partition, String topic, long offset, @Nullable Sighting before, Instant now) {
            if (offset == OffsetTracker.NOTHING) {
                return null;
            }
            if (before == null || before.offset() != offset) {
                sightings.put(partition, new Sighting(offset, now, null));
                return null;
            }
            KeyLane lane = before.lane();
            Look look = lane == null ? null : lane.look();
            if (look == null || !look.isAt(offset)) {
                lane = laneOf(partition, offset);
                look = lane == null ? null : lane.look();
            }
            sightings.put(partition, new Sighting(offset, before.since(), lane));
            InFlight record = look == null ? null : look.record();
            if (look != null && record != null && look.isAt(offset)) {
                return blocked(topic, look, record, before.since());
            }
            return partition.stoppedBecause() == null
                    ? null // it has just ended
                    : new BlockedOffset(
                            topic,
                            partition.id().partition(),
                            offset,
                            null,
                            null,
                            BlockedOffset.State.STOPPED,
                            1,
                            null,
                            null,
                            before.since());
        }

        private static BlockedOffset blocked(String topic, Look look, InFlight record, Instant since) {
            byte[] key = record.record().key();
            return new BlockedOffset(
                    topic,
                    record.record().partition(),
                    record.record().offset(),
                    record.eventId(),
                    key == null ? null : KeyHash.of(key),
                    stateOf(look),
                    record.attempt(),
                    look.due(),
                    record.failure(),
                    since);
        }

        private static BlockedOffset.State stateOf(Look look) {
            return switch (look.state()) {
                case IDLE, READY -> BlockedOffset.State.QUEUED;
                case HELD -> BlockedOffset.State.HELD;
                case RUNNING -> BlockedOffset.State.RUNNING;
                case WAITING -> BlockedOffset.State.WAITING;
                case SENDING -> BlockedOffset.State.SENDING;
            };
        }

        private static @Nullable KeyLane laneOf(Partition partition, long offset) {
            for (Collection<KeyLane> some : partition.lanes.all()) {
                for (KeyLane lane : some) {
                    if (lane.look().isAt(offset)) {
                        return lane;
                    }
                }
            }
            return null;
        }
    }
}
