package dev.eventbus.consumer;

import dev.eventbus.consumer.internal.CrashWatch;
import dev.eventbus.consumer.internal.OffsetTracker;
import java.time.Duration;
import java.time.Instant;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.stream.Collectors;
import org.apache.kafka.clients.consumer.CommitFailedException;
import org.apache.kafka.clients.consumer.Consumer;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.RebalanceInProgressException;
import org.apache.kafka.common.errors.RetriableException;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Commits what {@link OffsetTracker} says may be committed: every 100 ms without waiting, and at once when a partition is handed
 * over or the runner closes.
 *
 * <p>A commit that fails changes nothing: its offsets are part of the next one, and if there is no next one the records are
 * repeated. So no failure gets out of here; one that stays is told to a person.
 *
 * <p>Poll thread only.
 */
final class OffsetCommitter {

    /** Between two commits. */
    static final Duration PERIOD = Duration.ofMillis(100);

    /** How long a commit may take that must be there before work goes on. */
    static final Duration LONGEST_SYNC = Duration.ofSeconds(5);

    /** A client that knows no coordinator may keep a commit for ever, in silence. */
    private static final Duration ANSWERED_WITHIN = Duration.ofSeconds(40);

    private static final Logger LOG = LoggerFactory.getLogger(OffsetCommitter.class);

    /** Metadata of a commit after which nothing of the partition ran any more: its next owner need suspect nothing. */
    static final String HANDED_OVER = "eventbus:handed-over";

    private final RunnerListener listener;

    private final int window;

    /** Partitions whose last commit says that they were handed over. */
    private final Set<Partition> handedOver = new HashSet<>();

    /** Partitions that came without such a commit. */
    private final Set<Partition> dubious = new HashSet<>();

    /** Of these, those that came with it, but it could not be taken off: the next commit does that. */
    private final Set<Partition> stillNoted = new HashSet<>();

    private Instant due = Instant.MIN;

    /** The consumer that has not yet answered a commit. One that is closed may never answer. */
    private @Nullable Consumer<?, ?> asked;

    private Instant askedAt = Instant.MIN;

    private @Nullable String problem;

    /** What was logged last, so that a failure that lasts is one line. */
    private @Nullable Class<?> said;

    /** @param window how many first records of a partition {@link CrashWatch} may suspect; 0 to keep no note of hand-overs */
    OffsetCommitter(RunnerListener listener, int window) {
        this.listener = listener;
        this.window = window;
    }

    private boolean keepsNotes() {
        return window > 0;
    }

    /** Sends a commit if it is time for one and none is on its way. */
    void commitIfDue(Consumer<?, ?> consumer, Collection<Partition> partitions, Instant now) {
        if (asked == consumer && problem == null && now.isAfter(askedAt.plus(ANSWERED_WITHIN))) {
            problem = "offsets cannot be committed (no answer since %s)".formatted(askedAt);
            LOG.warn("{}; Kafka's client goes on asking, a crash before it is answered repeats more", problem);
        }
        if (asked == consumer || isEarly(now)) {
            return;
        }
        due = now.plus(PERIOD);
        Map<Partition, Long> offsets = advanced(partitions);
        if (offsets.isEmpty()) {
            clear();
            return;
        }
        Map<TopicPartition, OffsetAndMetadata> commits = forKafka(consumer, offsets, PERIOD);
        if (commits.isEmpty()) {
            return;
        }
        asked = consumer;
        askedAt = now;
        try {
            consumer.commitAsync(commits, (committed, failure) -> {
                answered(consumer);
                ended(offsets, failure);
            });
        } catch (RuntimeException e) {
            answered(consumer);
            ended(offsets, e);
        }
    }

    /** Whether {@link #commitIfDue} would send one. */
    boolean isDue(Consumer<?, ?> consumer, Collection<Partition> partitions, Instant now) {
        return asked != consumer && !isEarly(now) && partitions.stream().anyMatch(OffsetCommitter::isAdvanced);
    }

    private boolean isEarly(Instant now) {
        return now.isBefore(due) && !due.isAfter(now.plus(PERIOD)); // else the clock was set back
    }

    private void answered(Consumer<?, ?> consumer) {
        asked = asked == consumer ? null : asked;
    }

    /** Commits and waits for the answer; notes which partitions are handed over with nothing of them running any more. */
    void commitNow(Consumer<?, ?> consumer, Collection<Partition> partitions, Duration limit) {
        Map<Partition, Long> offsets = advanced(partitions);
        Set<Partition> atRest = new HashSet<>(partitions);
        atRest.removeIf(p -> !keepsNotes()
                || !p.isClosed()
                || p.offsets().isUnused()
                || !p.isAtRest()
                || haveSuspects(p)
                || handedOver.contains(p));
        atRest.forEach(partition -> offsets.put(partition, partition.offsets().committable()));
        if (offsets.isEmpty()) {
            return;
        }
        Map<TopicPartition, OffsetAndMetadata> commits = forKafka(consumer, offsets, limit);
        atRest.forEach(partition -> commits.put(
                partition.id(), new OffsetAndMetadata(partition.offsets().committable(), HANDED_OVER)));
        if (commits.isEmpty()) {
            return;
        }
        try {
            consumer.commitSync(commits, limit);
            handedOver.addAll(atRest);
            ended(offsets, null);
        } catch (RuntimeException e) {
            ended(offsets, e);
        }
    }

    /**
     * Before the first records of a partition run: takes the note of the owner before off, so that a crash from now on leaves none.
     * Where there is no such note that owner may have died while records ran.
     */
    void takeOver(Consumer<?, ?> consumer, ConsumerRecords<byte[], byte[]> records, AssignedPartitions assigned) {
        Map<TopicPartition, Partition> fresh = new HashMap<>();
        for (TopicPartition id : records.partitions()) {
            Partition partition = assigned.get(id);
            if (keepsNotes()
                    && partition != null
                    && !partition.isClosed()
                    && partition.offsets().isUnused()) {
                fresh.put(id, partition);
            }
        }
        if (!fresh.isEmpty()) {
            handedOver.retainAll(assigned.all());
            dubious.retainAll(assigned.all());
            stillNoted.retainAll(dubious);
            dubious.addAll(fresh.values());
            takeOver(consumer, records, fresh);
        }
    }

    private void takeOver(
            Consumer<?, ?> consumer, ConsumerRecords<byte[], byte[]> records, Map<TopicPartition, Partition> fresh) {
        Map<TopicPartition, OffsetAndMetadata> clean = new HashMap<>();
        try {
            Map<TopicPartition, OffsetAndMetadata> known = consumer.committed(fresh.keySet(), LONGEST_SYNC);
            fresh.forEach((id, partition) -> {
                OffsetAndMetadata before = known.get(id);
                if (before == null || before.metadata().equals(HANDED_OVER)) { // nobody, or somebody who told
                    long offset = before == null ? records.records(id).get(0).offset() : before.offset();
                    clean.put(id, new OffsetAndMetadata(offset));
                    stillNoted.add(partition);
                }
            });
            if (!clean.isEmpty()) {
                consumer.commitSync(clean, LONGEST_SYNC);
                clean.keySet().forEach(id -> noteIsOff(Objects.requireNonNull(fresh.get(id))));
            }
        } catch (KafkaException e) {
            LOG.debug("the notes of {} could not be read or taken off", fresh.keySet(), e);
        }
    }

    private void noteIsOff(Partition partition) {
        if (stillNoted.remove(partition)) {
            dubious.remove(partition);
        }
    }

    /** Whether a record that is watched has not ended: the next owner runs it, and must know. */
    private boolean haveSuspects(Partition partition) {
        OffsetTracker offsets = partition.offsets();
        return dubious.contains(partition) && offsets.span() > 0 && offsets.lowestOpen() < window;
    }

    /** Watches a record that may have been running when its owner before died: it is among the first of its partition. */
    InFlight watched(Partition partition, InFlight record) {
        if (!dubious.isEmpty() && record.slot() < window && dubious.contains(partition)) {
            record.suspicion().watch();
        }
        return record;
    }

    /** What keeps offsets from being committed, in words; null if nothing does. */
    @Nullable
    String problem() {
        return problem;
    }

    private static Map<Partition, Long> advanced(Collection<Partition> partitions) {
        Map<Partition, Long> offsets = new HashMap<>();
        for (Partition partition : partitions) {
            if (isAdvanced(partition)) {
                offsets.put(partition, partition.offsets().committable());
            }
        }
        return offsets;
    }

    private static boolean isAdvanced(Partition partition) {
        return partition.offsets().committable() > partition.committed();
    }

    /**
     * As Kafka takes them. Where only gaps have been read nothing of the partition has begun here, so what the owner before has noted,
     * or has not, goes on to the next one; while that cannot be read such partitions are taken out.
     */
    private Map<TopicPartition, OffsetAndMetadata> forKafka(
            Consumer<?, ?> consumer, Map<Partition, Long> offsets, Duration limit) {
        Set<TopicPartition> unused = offsets.keySet().stream()
                .filter(partition -> keepsNotes() && partition.offsets().isUnused())
                .map(Partition::id)
                .collect(Collectors.toSet());
        Map<TopicPartition, OffsetAndMetadata> before = Map.of();
        if (!unused.isEmpty()) {
            try {
                before = consumer.committed(unused, limit);
            } catch (RuntimeException e) {
                LOG.debug("the notes of {} could not be read; they are committed later", unused, e);
                offsets.keySet().removeIf(partition -> unused.contains(partition.id()));
            }
        }
        Map<TopicPartition, OffsetAndMetadata> commits = new HashMap<>();
        for (Map.Entry<Partition, Long> entry : offsets.entrySet()) {
            TopicPartition id = entry.getKey().id();
            OffsetAndMetadata known = before.get(id);
            String note = !unused.contains(id) ? "" : known == null ? HANDED_OVER : known.metadata();
            commits.put(id, new OffsetAndMetadata(entry.getValue(), note));
        }
        return commits;
    }

    private void ended(Map<Partition, Long> offsets, @Nullable Exception failure) {
        if (failure == null) {
            offsets.forEach(Partition::committed);
            offsets.keySet().forEach(this::noteIsOff);
            clear();
            return;
        }
        boolean news = failure.getClass() != said;
        said = failure.getClass();
        listener.commitFailed(failure);
        if (failure instanceof CommitFailedException || failure instanceof RebalanceInProgressException) {
            if (news) {
                LOG.info("offsets were not committed because the group rebalances; what they cover may be repeated");
            }
            return;
        }
        problem =
                "offsets cannot be committed (%s)".formatted(failure.getClass().getName());
        if (news && failure instanceof RetriableException) {
            LOG.info("{}; the next commit follows", problem);
        } else if (news) {
            LOG.warn("{}; the next commit tries again, a crash before it repeats more", problem, failure);
        }
    }

    private void clear() {
        if (problem != null) {
            LOG.info("offsets are committed again, or nothing is left to commit");
        }
        problem = null;
        said = null;
    }
}
