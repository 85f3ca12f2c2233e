package dev.eventbus.testkit;

import java.util.ArrayList;
import java.util.Collection;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.stream.IntStream;
import org.apache.kafka.clients.consumer.CommitFailedException;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.Node;
import org.apache.kafka.common.PartitionInfo;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.ProducerFencedException;
import org.apache.kafka.common.errors.TimeoutException;
import org.jspecify.annotations.Nullable;

/**
 * Topics, consumer groups and transactions in memory. Thread-safe: every method holds this object's lock for a few steps, calls
 * nobody's code and never waits. Topics are made on first use.
 */
final class InMemoryBroker {

    static final int DEFAULT_PARTITIONS = 3;

    private static final Node NODE = new Node(0, "in-memory", 0);

    /** A transactional producer's right to write: a later producer of the same id takes it away. */
    record Fence(String transactionalId, int epoch) {}

    /** What a group owns and has not committed. */
    record Backlog(String group, TopicPartition partition, List<ConsumerRecord<byte[], byte[]>> records) {}

    private final VirtualClock clock;
    private final FaultPlan faults = new FaultPlan();
    private final Crashes crashes = new Crashes();

    // All of these are guarded by "this".
    private final Map<String, List<PartitionLog>> topics = new TreeMap<>();
    private final Map<String, GroupState> groups = new TreeMap<>();
    private final Map<String, Integer> fences = new HashMap<>();
    private final Map<String, LogTransaction> openTransactions = new HashMap<>();
    private final Set<String> strangers = new TreeSet<>();
    private int partitionsMade;
    private long arrivals;
    private long activity;

    InMemoryBroker(VirtualClock clock) {
        this.clock = clock;
    }

    FaultPlan faults() {
        return faults;
    }

    Crashes crashes() {
        return crashes;
    }

    /** Counts all that may give somebody something to do: records, offsets, members, and where partitions are or are read. */
    synchronized long activity() {
        return activity;
    }

    synchronized void active() {
        activity++;
    }

    // ---- topics

    synchronized int partitions(String topic) {
        return logs(topic).size();
    }

    /** How many it has, or will have when somebody uses it. */
    synchronized int partitionsToBe(String topic) {
        List<PartitionLog> logs = topics.get(topic);
        return logs == null ? DEFAULT_PARTITIONS : logs.size();
    }

    /** Makes a topic, or gives it more partitions; as in Kafka it never gets fewer. */
    synchronized void createOrGrow(String topic, int partitions) {
        List<PartitionLog> logs = topics.computeIfAbsent(topic, name -> new ArrayList<>());
        if (partitions < 1 || partitions < logs.size()) {
            throw new IllegalArgumentException("partitions of %s must be at least %d, was %d"
                    .formatted(topic, Math.max(1, logs.size()), partitions));
        }
        for (int number = logs.size(); number < partitions; number++) {
            logs.add(new PartitionLog(new TopicPartition(topic, number)));
            partitionsMade++;
        }
    }

    synchronized List<PartitionInfo> partitionsFor(String topic) {
        Node[] replicas = {NODE};
        return IntStream.range(0, partitions(topic))
                .mapToObj(number -> new PartitionInfo(topic, number, NODE, replicas, replicas))
                .toList();
    }

    synchronized List<String> topics() {
        return List.copyOf(topics.keySet());
    }

    synchronized long beginning(TopicPartition partition) {
        return log(partition).beginning();
    }

    /** The end as a reader of this isolation sees it. */
    synchronized long end(TopicPartition partition, boolean committedOnly) {
        return committedOnly
                ? log(partition).lastStableOffset()
                : log(partition).end();
    }

    synchronized void deleteBefore(TopicPartition partition, long offset) {
        log(partition).deleteBefore(offset);
    }

    // ---- reading and writing

    /** Reads, or says that the offset is out of range by returning null. */
    synchronized PartitionLog.@Nullable Fetched read(
            TopicPartition partition, long offset, int limit, boolean committedOnly) {
        PartitionLog log = log(partition);
        if (offset < log.beginning() || offset > log.end()) {
            return null;
        }
        return log.read(offset, limit, committedOnly);
    }

    /** The records of some topics that a {@code read_committed} reader sees, in the order in which they came. */
    synchronized List<ConsumerRecord<byte[], byte[]>> records(Collection<String> names) {
        return names.stream()
                .flatMap(name -> logs(name).stream())
                .flatMap(log -> log.committed().stream())
                .sorted(Comparator.comparingLong(PartitionLog.Arrived::arrival))
                .map(PartitionLog.Arrived::record)
                .toList();
    }

    /** Appends a record that has its partition. */
    synchronized RecordMetadata append(ProducerRecord<byte[], byte[]> record, @Nullable Fence fence) {
        active();
        LogTransaction transaction = null;
        if (fence != null) {
            checkFence(fence);
            transaction = openTransactions.computeIfAbsent(fence.transactionalId(), id -> new LogTransaction());
        }
        TopicPartition partition = new TopicPartition(record.topic(), record.partition());
        long timestamp = record.timestamp() == null ? clock.millis() : record.timestamp();
        long offset = log(partition).append(arrivals++, record, timestamp, transaction);
        return new RecordMetadata(partition, offset, 0, timestamp, size(record.key()), size(record.value()));
    }

    /** Puts a record on its partition once more. */
    void appendAgain(ConsumerRecord<byte[], byte[]> record) {
        append(
                new ProducerRecord<>(
                        record.topic(), record.partition(), null, record.key(), record.value(), record.headers()),
                null);
    }

    synchronized Fence fence(String transactionalId) {
        endTransaction(transactionalId, LogTransaction.State.ABORTED);
        return new Fence(transactionalId, fences.merge(transactionalId, 1, Integer::sum));
    }

    synchronized void endTransaction(Fence fence, LogTransaction.State end) {
        checkFence(fence);
        endTransaction(fence.transactionalId(), end);
    }

    /** As a closing producer does: a fenced one has nothing left to abort. */
    synchronized void abortUnlessFenced(Fence fence) {
        if (isCurrent(fence)) {
            endTransaction(fence.transactionalId(), LogTransaction.State.ABORTED);
        }
    }

    // ---- groups

    /** Brings a member in, or its topics up to date, and decides who shall own what. */
    synchronized void join(String group, String member, Set<String> wanted) {
        GroupState state = group(group);
        state.join(member, wanted);
        strangers.remove(group);
        settle(state);
    }

    synchronized void remove(String group, String member) {
        GroupState state = group(group);
        state.remove(member);
        settle(state);
    }

    synchronized boolean has(String group, String member) {
        return group(group).has(member);
    }

    /** Throws all members out, as when their session times out: each hears of it in its next poll, and joins anew. */
    synchronized void expelAll(String group) {
        GroupState state = askedOf(group);
        state.members().forEach(state::remove);
        settle(state);
    }

    synchronized void recallAll(String group) {
        askedOf(group).recallAll();
        active();
    }

    synchronized Set<TopicPartition> toRevoke(String group, String member) {
        return group(group).toRevoke(member);
    }

    synchronized void release(String group, String member, Set<TopicPartition> partitions) {
        if (!partitions.isEmpty()) {
            active();
            group(group).release(member, partitions);
        }
    }

    synchronized Set<TopicPartition> take(String group, String member) {
        Set<TopicPartition> taken = group(group).take(member);
        if (!taken.isEmpty()) {
            active();
        }
        return taken;
    }

    synchronized int generation(String group) {
        return group(group).generation();
    }

    /**
     * Commits offsets.
     *
     * @param member null for a consumer that assigned its partitions itself
     * @throws CommitFailedException if the member is no longer in its group
     * @throws TimeoutException if the commit is to fail, or its answer to be lost
     */
    synchronized void commit(String group, @Nullable String member, Map<TopicPartition, OffsetAndMetadata> offsets) {
        GroupState state = group(group);
        if (member != null && !state.has(member)) {
            throw new CommitFailedException("%s is no longer a member of %s".formatted(member, group));
        }
        active(); // also if it fails: it is tried again
        if (faults.takes(FaultPlan.Call.COMMIT_OF_GROUP, group)) {
            throw new TimeoutException("this commit of %s fails because the test asked for it".formatted(group));
        }
        state.commit(offsets);
        if (faults.takes(FaultPlan.Call.COMMIT_ANSWER_TO_GROUP, group)) {
            throw new TimeoutException(
                    "the answer to this commit of %s is lost because the test asked for it".formatted(group));
        }
    }

    /** As {@link #committed}, for a test, which may have misspelt the group. */
    synchronized @Nullable OffsetAndMetadata committedAsAsked(String group, TopicPartition partition) {
        return askedOf(group).committed(partition);
    }

    synchronized @Nullable OffsetAndMetadata committed(String group, TopicPartition partition) {
        return group(group).committed(partition);
    }

    /** What the groups that have members have left to do. */
    synchronized List<Backlog> backlogs() {
        List<Backlog> backlogs = new ArrayList<>();
        groups.forEach((name, group) -> group.owned().forEach(partition -> {
            OffsetAndMetadata committed = group.committed(partition);
            PartitionLog log = log(partition);
            long from = Math.max(log.beginning(), committed == null ? 0 : committed.offset());
            List<ConsumerRecord<byte[], byte[]>> open =
                    log.read(from, Integer.MAX_VALUE, true).records();
            if (!open.isEmpty()) {
                backlogs.add(new Backlog(name, partition, open));
            }
        }));
        return backlogs;
    }

    private void settle(GroupState group) {
        if (!group.isUnsettled(partitionsMade)) {
            return;
        }
        Set<TopicPartition> wanted = new TreeSet<>(GroupState.BY_NAME);
        for (String topic : group.topics()) {
            IntStream.range(0, logs(topic).size()).forEach(number -> wanted.add(new TopicPartition(topic, number)));
        }
        group.settle(wanted, partitionsMade);
        active();
    }

    private GroupState group(String group) {
        return groups.computeIfAbsent(group, name -> new GroupState());
    }

    private GroupState askedOf(String group) {
        GroupState state = group(group);
        if (state.generation() == 0) {
            strangers.add(group);
        }
        return state;
    }

    /** Groups to which something was to happen, and that nobody has ever joined. */
    synchronized List<String> strangers() {
        return List.copyOf(strangers);
    }

    private List<PartitionLog> logs(String topic) {
        if (!topics.containsKey(topic)) {
            createOrGrow(topic, DEFAULT_PARTITIONS);
        }
        return topics.getOrDefault(topic, List.of());
    }

    private PartitionLog log(TopicPartition partition) {
        List<PartitionLog> logs = logs(partition.topic());
        if (partition.partition() >= logs.size()) {
            throw new IllegalStateException(
                    "%s does not exist: the topic has %d partitions".formatted(partition, logs.size()));
        }
        return logs.get(partition.partition());
    }

    private static int size(byte @Nullable [] bytes) {
        return bytes == null ? -1 : bytes.length;
    }

    private void checkFence(Fence fence) {
        if (!isCurrent(fence)) {
            throw new ProducerFencedException(
                    "a later producer took the transactional id %s".formatted(fence.transactionalId()));
        }
    }

    private boolean isCurrent(Fence fence) {
        return fences.getOrDefault(fence.transactionalId(), 0) == fence.epoch();
    }

    private void endTransaction(String transactionalId, LogTransaction.State end) {
        LogTransaction transaction = openTransactions.remove(transactionalId);
        if (transaction != null) {
            active();
            transaction.end(end);
        }
    }
}
