package dev.eventbus.testkit;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.Set;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.Consumer;
import java.util.function.ToLongFunction;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.consumer.ConsumerGroupMetadata;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.OffsetCommitCallback;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.PartitionInfo;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.InterruptException;
import org.apache.kafka.common.errors.InvalidGroupIdException;
import org.apache.kafka.common.errors.WakeupException;
import org.jspecify.annotations.Nullable;

/**
 * A consumer of the in-memory cluster. {@code poll} returns at once with what is there.
 *
 * <p>As with Kafka's own: it belongs to one thread at a time ({@link #wakeup()} aside), rebalances and their callbacks happen
 * inside {@code poll} and {@code close} only, and callbacks of {@code commitAsync} run in a later call.
 */
final class InMemoryConsumer extends PartialConsumer {

    private final InMemoryBroker broker;
    private final String clientId;
    private final @Nullable String group;
    private final HeldPartitions held;
    private final SingleThread thread = new SingleThread();
    private final AtomicBoolean woken = new AtomicBoolean();

    /** Whose it is, if that can die. */
    private final Crashes.@Nullable SimulatedProcess process;

    // All of these belong to the thread that uses the consumer.
    private final List<Runnable> dueCallbacks = new ArrayList<>();
    private Set<String> subscription = Set.of();
    private @Nullable ConsumerRebalanceListener listener;
    private boolean assignedByHand;
    private int memberships;
    private boolean closed;

    InMemoryConsumer(InMemoryBroker broker, String clientId, Map<String, Object> settings) {
        this.broker = broker;
        this.clientId = clientId;
        this.group = (String) settings.get(ConsumerConfig.GROUP_ID_CONFIG);
        this.held = new HeldPartitions(broker, group, settings);
        this.process = broker.crashes().running();
        if (process != null) {
            process.atDeath(this::vanish);
        }
        Object autoCommit = settings.getOrDefault(ConsumerConfig.ENABLE_AUTO_COMMIT_CONFIG, group != null);
        if (Boolean.parseBoolean(autoCommit.toString())) {
            throw InMemoryKafka.unsupported("a consumer that commits by itself (enable.auto.commit is not false)");
        }
    }

    // ---- what to read

    @Override
    public void subscribe(Collection<String> topics, ConsumerRebalanceListener listener) {
        try (SingleThread.Visit visit = enter()) {
            groupId();
            this.subscription = Set.copyOf(topics);
            this.listener = listener;
            this.assignedByHand = false;
        }
    }

    @Override
    public void assign(Collection<TopicPartition> partitions) {
        try (SingleThread.Visit visit = enter()) {
            subscription = Set.of();
            assignedByHand = true;
            held.retain(partitions);
            held.add(partitions);
        }
    }

    @Override
    public void unsubscribe() {
        try (SingleThread.Visit visit = enter()) {
            leave();
        }
    }

    @Override
    public Set<TopicPartition> assignment() {
        try (SingleThread.Visit visit = enter()) {
            return held.all();
        }
    }

    @Override
    public Set<String> subscription() {
        try (SingleThread.Visit visit = enter()) {
            return subscription;
        }
    }

    @Override
    public void pause(Collection<TopicPartition> partitions) {
        try (SingleThread.Visit visit = enter()) {
            held.setPaused(partitions, true);
        }
    }

    @Override
    public void resume(Collection<TopicPartition> partitions) {
        try (SingleThread.Visit visit = enter()) {
            held.setPaused(partitions, false);
        }
    }

    @Override
    public Set<TopicPartition> paused() {
        try (SingleThread.Visit visit = enter()) {
            return held.paused();
        }
    }

    // ---- poll

    @Override
    public ConsumerRecords<byte[], byte[]> poll(Duration timeout) {
        try (SingleThread.Visit visit = enter()) {
            throwIfDisturbed();
            runDueCallbacks();
            if (subscription.isEmpty() && !assignedByHand) {
                throw new IllegalStateException("Consumer is not subscribed to any topics or assigned any partitions");
            }
            rebalance();
            held.findPositions();
            return held.fetch();
        }
    }

    /** Gives up what the group wants back, then takes what it gives. */
    private void rebalance() {
        ConsumerRebalanceListener hears = listener;
        if (group == null || subscription.isEmpty() || hears == null) {
            return;
        }
        if (memberships > 0 && !broker.has(group, memberId())) {
            Set<TopicPartition> lost = held.all();
            memberships++;
            tell(hears::onPartitionsLost, lost);
            held.remove(lost);
        }
        memberships = Math.max(1, memberships);
        broker.join(group, memberId(), subscription);

        Set<TopicPartition> revoked = broker.toRevoke(group, memberId());
        tell(hears::onPartitionsRevoked, revoked);
        held.remove(revoked);
        broker.release(group, memberId(), revoked);

        Set<TopicPartition> taken = broker.take(group, memberId());
        held.add(taken);
        tell(hears::onPartitionsAssigned, taken);
    }

    private static void tell(Consumer<Collection<TopicPartition>> callback, Set<TopicPartition> partitions) {
        if (partitions.isEmpty()) {
            return;
        }
        try {
            callback.accept(Set.copyOf(partitions));
        } catch (WakeupException | InterruptException e) {
            throw e;
        } catch (RuntimeException e) {
            throw new KafkaException("User rebalance callback throws an error", e);
        }
    }

    // ---- positions

    @Override
    public void seek(TopicPartition partition, long offset) {
        try (SingleThread.Visit visit = enter()) {
            held.seek(partition, offset);
        }
    }

    @Override
    public void seekToBeginning(Collection<TopicPartition> partitions) {
        try (SingleThread.Visit visit = enter()) {
            chosen(partitions).forEach(partition -> held.seek(partition, broker.beginning(partition)));
        }
    }

    @Override
    public void seekToEnd(Collection<TopicPartition> partitions) {
        try (SingleThread.Visit visit = enter()) {
            chosen(partitions).forEach(partition -> held.seek(partition, held.end(partition)));
        }
    }

    private Collection<TopicPartition> chosen(Collection<TopicPartition> partitions) {
        return partitions.isEmpty() ? held.all() : partitions;
    }

    @Override
    public long position(TopicPartition partition) {
        try (SingleThread.Visit visit = enter()) {
            return held.position(partition);
        }
    }

    @Override
    public OptionalLong currentLag(TopicPartition partition) {
        try (SingleThread.Visit visit = enter()) {
            return held.lag(partition);
        }
    }

    @Override
    public Map<TopicPartition, Long> beginningOffsets(Collection<TopicPartition> partitions) {
        return offsets(partitions, broker::beginning);
    }

    @Override
    public Map<TopicPartition, Long> endOffsets(Collection<TopicPartition> partitions) {
        return offsets(partitions, held::end);
    }

    private Map<TopicPartition, Long> offsets(
            Collection<TopicPartition> partitions, ToLongFunction<TopicPartition> offsetOf) {
        try (SingleThread.Visit visit = enter()) {
            Map<TopicPartition, Long> offsets = new HashMap<>();
            partitions.forEach(partition -> offsets.put(partition, offsetOf.applyAsLong(partition)));
            return offsets;
        }
    }

    @Override
    public List<PartitionInfo> partitionsFor(String topic) {
        try (SingleThread.Visit visit = enter()) {
            return broker.partitionsFor(topic);
        }
    }

    // ---- commits

    @Override
    public Map<TopicPartition, OffsetAndMetadata> committed(Set<TopicPartition> partitions) {
        try (SingleThread.Visit visit = enter()) {
            Map<TopicPartition, OffsetAndMetadata> offsets = new HashMap<>();
            partitions.forEach(partition -> offsets.put(partition, broker.committed(groupId(), partition)));
            return offsets;
        }
    }

    @Override
    public void commitSync(Map<TopicPartition, OffsetAndMetadata> offsets) {
        try (SingleThread.Visit visit = enter()) {
            throwIfDisturbed();
            runDueCallbacks();
            commit(offsets);
        }
    }

    @Override
    public void commitAsync(Map<TopicPartition, OffsetAndMetadata> offsets, @Nullable OffsetCommitCallback callback) {
        try (SingleThread.Visit visit = enter()) {
            Map<TopicPartition, OffsetAndMetadata> asked = Map.copyOf(offsets);
            @Nullable Exception failure = null;
            try {
                commit(asked);
            } catch (KafkaException e) {
                failure = e;
            }
            if (callback != null) {
                Exception outcome = failure;
                dueCallbacks.add(() -> callback.onComplete(asked, outcome));
            }
        }
    }

    private void commit(Map<TopicPartition, OffsetAndMetadata> offsets) {
        broker.crashes().reached(CrashPoint.BEFORE_OFFSET_COMMIT, process);
        broker.commit(groupId(), assignedByHand ? null : memberId(), offsets);
    }

    private void runDueCallbacks() {
        List<Runnable> due = List.copyOf(dueCallbacks);
        dueCallbacks.clear();
        due.forEach(Runnable::run);
    }

    // ---- the group, and the end

    @Override
    public ConsumerGroupMetadata groupMetadata() {
        try (SingleThread.Visit visit = enter()) {
            return new ConsumerGroupMetadata(groupId(), broker.generation(groupId()), memberId(), Optional.empty());
        }
    }

    @Override
    public void wakeup() {
        woken.set(true);
    }

    @Override
    public void close() {
        if (!closed) {
            try (SingleThread.Visit visit = enter()) {
                runDueCallbacks();
                leave();
                closed = true;
            }
        }
    }

    /** Its process has died: the group learns that by the session, and asks for nothing. */
    private void vanish() {
        closed = true;
        if (group != null && memberships > 0) {
            broker.remove(group, memberId());
        }
    }

    private void leave() {
        ConsumerRebalanceListener hears = listener;
        if (group != null && memberships > 0 && hears != null) {
            boolean member = broker.has(group, memberId());
            tell(member ? hears::onPartitionsRevoked : hears::onPartitionsLost, held.all());
            broker.remove(group, memberId());
            memberships++;
        }
        held.retain(Set.of());
        subscription = Set.of();
        assignedByHand = false;
    }

    /** A new one for each time that it joins. */
    private String memberId() {
        return clientId + "#" + memberships;
    }

    private String groupId() {
        if (group == null) {
            throw new InvalidGroupIdException(
                    "To use the group management or offset commit APIs, you must provide a valid group.id in the consumer configuration.");
        }
        return group;
    }

    private void throwIfDisturbed() {
        if (woken.getAndSet(false)) {
            throw new WakeupException();
        }
        if (Thread.currentThread().isInterrupted()) {
            throw new InterruptException(new InterruptedException("the thread of a consumer was interrupted"));
        }
    }

    private SingleThread.Visit enter() {
        if (process != null) {
            process.checkAlive();
        }
        SingleThread.Visit visit = thread.enter();
        if (closed) {
            visit.close();
            throw new IllegalStateException("This consumer has already been closed.");
        }
        return visit;
    }
}
