package dev.eventbus.consumer;

import dev.eventbus.consumer.ConsumerRunnerBuilder.Settings;
import dev.eventbus.consumer.RunnerListener.OffsetGap;
import dev.eventbus.consumer.internal.DeniedTopics;
import dev.eventbus.consumer.internal.OffsetTracker;
import dev.eventbus.consumer.internal.TopicWatch;
import dev.eventbus.topics.KafkaCluster;
import dev.eventbus.topics.KafkaFaults;
import java.time.Duration;
import java.time.Instant;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.kafka.clients.consumer.CloseOptions;
import org.apache.kafka.clients.consumer.Consumer;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.LogTruncationException;
import org.apache.kafka.clients.consumer.NoOffsetForPartitionException;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.OffsetOutOfRangeException;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.AuthenticationException;
import org.apache.kafka.common.errors.FencedInstanceIdException;
import org.apache.kafka.common.errors.InterruptException;
import org.apache.kafka.common.errors.RetriableException;
import org.apache.kafka.common.errors.TopicAuthorizationException;
import org.apache.kafka.common.errors.WakeupException;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Kafka's consumer: opened as soon as that succeeds, read with every fault turned into words, never given up.
 *
 * <p>The client's own reset policy is {@code none}, and we act instead: a group without an offset begins at the earliest record;
 * an offset that is no longer there is a gap, and said aloud.
 *
 * <p>Poll thread only.
 */
final class RecordSource {

    /** Hears of gaps before reading goes on behind them. */
    @FunctionalInterface
    interface Gaps {

        /** @param stops why the partition stops before the gap, as the policy asks; null if reading goes on */
        void passed(TopicPartition partition, OffsetGap gap, @Nullable String stops);
    }

    private static final Logger LOG = LoggerFactory.getLogger(RecordSource.class);

    private static final Duration LONGEST_QUESTION = Duration.ofSeconds(5);
    private static final Duration BELIEVED_AFTER = Duration.ofSeconds(30);

    /** A consumer that may read something has joined its group by then. */
    private static final Duration JOINED_WITHIN = Duration.ofSeconds(10);

    /** A group waits for members that hand over for seconds, and for a dead one as long as its session lasts. */
    private static final Duration MEMBER_AFTER_A_SESSION = Duration.ofSeconds(15);

    private static final String NO_MEMBER =
            "this runner has not become a member of group %s since %s: the group has no coordinator that answers, or waits for a member that does not hand over; see that each partition of __consumer_offsets has a leader (with fewer than three brokers, offsets.topic.replication.factor must be smaller than 3). The events wait in their topics, and the runner keeps trying";

    private static final String DATA = "the events wait in their topics, and the runner keeps trying";
    private static final String DATA_OF_THE_OTHER = "this runner reads nothing any more, the other member does";

    private final Settings settings;
    private final KafkaCluster kafka;
    private final DeniedTopics denied;
    private final @Nullable TopicWatch watch;
    private final Duration memberWithin;

    private @Nullable Consumer<byte[], byte[]> opened;
    private Instant openedAt = Instant.MIN;

    /** Whether the consumer was denied all topics before it had a partition, so that it has none since. */
    private boolean seesNone;

    private @Nullable String fault;

    /** Whether the last call failed; the fault of a consumer that was replaced is told for longer than that. */
    private boolean failing;

    /**
     * Whether another member has taken this one's place under the same {@code group.instance.id}. Who joined again would take it
     * back, and so on for ever: nothing is read any more.
     */
    private boolean replaced;

    /** When the consumer was opened that has not joined its group yet, or it was last seen to have joined. */
    private Instant memberAt = Instant.MAX;

    /** When a new consumer is believed to read, though it has no partitions. */
    private Instant believed = Instant.MIN;

    /**
     * @param denied takes the topics that this user may not read
     * @param watches whether to ask the cluster, beside reading, if the topics are there
     */
    RecordSource(Settings settings, DeniedTopics denied, boolean watches) {
        this.settings = settings;
        this.kafka = settings.kafka();
        this.denied = denied;
        String session = kafka.setting(ConsumerConfig.SESSION_TIMEOUT_MS_CONFIG, "45000");
        this.memberWithin = Duration.ofMillis(Long.parseLong(session.strip())).plus(MEMBER_AFTER_A_SESSION);
        AfterRetries afterRetries = settings.afterRetries();
        String letters = afterRetries == null ? null : kafka.physicalTopic(afterRetries.topic());
        this.watch = watches ? new TopicWatch(kafka, settings.group(), physicalTopics(), letters, DATA) : null;
    }

    /** The consumer, subscribed; null while it cannot even be made. */
    @Nullable
    Consumer<byte[], byte[]> open(AssignedPartitions listener) {
        if (opened == null && !replaced) {
            try {
                Consumer<byte[], byte[]> made = kafka.consumer(Map.of(
                        ConsumerConfig.GROUP_ID_CONFIG,
                        settings.group(),
                        ConsumerConfig.ENABLE_AUTO_COMMIT_CONFIG,
                        false,
                        ConsumerConfig.AUTO_OFFSET_RESET_CONFIG,
                        "none",
                        ConsumerConfig.ALLOW_AUTO_CREATE_TOPICS_CONFIG,
                        false,
                        ConsumerConfig.ISOLATION_LEVEL_CONFIG,
                        "read_committed"));
                made.subscribe(physicalTopics(), listener);
                opened = made;
                openedAt = kafka.clock().instant();
                seesNone = false;
                failing = false;
            } catch (KafkaException e) {
                failed(e);
            }
        }
        return opened;
    }

    /**
     * What there is to read now; nothing, and {@link #problems()}, if it cannot be read. A consumer that does not survive its
     * fault is closed, and then owns no partitions; {@link #open} makes another.
     */
    ConsumerRecords<byte[], byte[]> poll(
            Consumer<byte[], byte[]> consumer, Duration timeout, Gaps gaps, AssignedPartitions assigned) {
        try {
            ConsumerRecords<byte[], byte[]> records = consumer.poll(timeout);
            failing = false;
            if (seesNone
                    && consumer.assignment().isEmpty()
                    && kafka.clock().instant().isAfter(openedAt.plus(JOINED_WITHIN))) {
                discard(consumer, assigned); // it would learn of new rights after minutes, another one does at once
                return ConsumerRecords.empty();
            }
            if (fault != null && reads(consumer)) {
                LOG.info("{} reads from Kafka again", settings.group());
                fault = null;
            }
            return records;
        } catch (NoOffsetForPartitionException e) {
            LOG.info("{} has no offset for {} and begins at the earliest event", settings.group(), e.partitions());
            consumer.seekToBeginning(e.partitions());
        } catch (OffsetOutOfRangeException e) {
            pass(consumer, e, gaps, assigned);
        } catch (TopicAuthorizationException e) {
            denied(e, consumer, assigned);
        } catch (KafkaException e) {
            replaced |= e instanceof FencedInstanceIdException;
            failed(e);
            if (mayHaveEnded(e)) {
                discard(consumer, assigned);
            }
        }
        return ConsumerRecords.empty();
    }

    /** Tells of records that were read. */
    void received(ConsumerRecords<byte[], byte[]> records) {
        for (TopicPartition one : records.partitions()) {
            settings.listener()
                    .received(
                            kafka.logicalTopic(one.topic()),
                            one.partition(),
                            records.records(one).size());
        }
    }

    /** Whether the last call of Kafka failed, so that the next one should wait a little. */
    boolean hasFault() {
        return failing;
    }

    /** The consumer that reads now; null if there is none, because the last has ended. */
    @Nullable
    Consumer<byte[], byte[]> opened() {
        return opened;
    }

    /** Whether it reads nothing any more until a person has done something. */
    boolean isReplaced() {
        return replaced;
    }

    /** Looks after the cluster without waiting, and says what is wrong, in words. */
    List<String> problems() {
        Set<String> problems = new LinkedHashSet<>();
        if (watch != null) {
            problems.addAll(watch.look(kafka.clock().instant()));
        }
        problems.addAll(denied.problems());
        if (fault != null) {
            problems.add(fault);
        }
        Instant since = noMemberSince(kafka.clock().instant());
        if (problems.isEmpty() && since != null) {
            problems.add(NO_MEMBER.formatted(settings.group(), since));
        }
        return List.copyOf(problems);
    }

    /**
     * Kafka's client looks for a coordinator in silence. Null once this consumer has joined its group, and while it is not late; of one
     * that was a member and is none any more the client says nothing.
     */
    private @Nullable Instant noMemberSince(Instant now) {
        if (opened == null || opened.groupMetadata().generationId() >= 0 || memberAt.isAfter(now)) {
            memberAt = now;
        }
        return now.isAfter(memberAt.plus(memberWithin)) ? memberAt : null;
    }

    /** Leaves the group, which calls the rebalance listener, and closes everything. */
    void close(Duration limit) {
        try {
            if (opened != null) {
                opened.close(CloseOptions.timeout(limit));
            }
        } catch (RuntimeException e) {
            LOG.warn(
                    "{} could not leave its group in order; it is found out by the session time-out",
                    settings.group(),
                    e);
        }
        if (watch != null) {
            watch.close();
        }
    }

    private List<String> physicalTopics() {
        return settings.routes().topics().stream().map(kafka::physicalTopic).toList();
    }

    private boolean reads(Consumer<?, ?> consumer) {
        return !consumer.assignment().isEmpty() || !kafka.clock().instant().isBefore(believed);
    }

    /** After an error that does not pass, a consumer may return nothing for ever, in silence; refused credentials it asks again. */
    private static boolean mayHaveEnded(KafkaException e) {
        return !(e instanceof RetriableException
                || e instanceof AuthenticationException
                || e instanceof InterruptException
                || e instanceof WakeupException);
    }

    private void discard(Consumer<byte[], byte[]> ended, AssignedPartitions assigned) {
        opened = null;
        believed = kafka.clock().instant().plus(BELIEVED_AFTER);
        try {
            ended.close(CloseOptions.timeout(LONGEST_QUESTION));
        } catch (KafkaException e) {
            LOG.debug("{} could not close a consumer that had failed", settings.group(), e);
        }
        assigned.loseAll(); // what it has not handed over by itself
    }

    private void pass(
            Consumer<byte[], byte[]> consumer, OffsetOutOfRangeException gone, Gaps gaps, AssignedPartitions assigned) {
        Map<TopicPartition, Long> expected = gone.offsetOutOfRangePartitions();
        Map<TopicPartition, OffsetAndMetadata> divergent =
                gone instanceof LogTruncationException truncated ? truncated.divergentOffsets() : Map.of();
        Map<TopicPartition, Long> earliest;
        try {
            earliest = consumer.beginningOffsets(expected.keySet(), LONGEST_QUESTION);
        } catch (KafkaException e) {
            failed(e); // the next poll meets the gap again
            return;
        }
        expected.forEach((partition, offset) -> {
            OffsetAndMetadata known = divergent.get(partition);
            Partition held = assigned.get(partition);
            long continuesAt =
                    known == null ? earliest.getOrDefault(partition, 0L) : unfinishedIn(held, known.offset());
            consumer.seek(partition, continuesAt);
            if (held != null && held.stoppedBecause() != null) { // it was told when the partition stopped
                if (continuesAt < offset) {
                    assigned.restart(held);
                }
                return;
            }
            gaps.passed(
                    partition,
                    new OffsetGap(kafka.logicalTopic(partition.topic()), partition.partition(), offset, continuesAt),
                    told(partition, offset, continuesAt));
        });
    }

    /** Where to read on in a log that is another from an offset on: there, or at what stands unfinished before it and is still in it. */
    private static long unfinishedIn(@Nullable Partition held, long diverges) {
        long unfinished = held == null ? OffsetTracker.NOTHING : held.offsets().committable();
        return unfinished == OffsetTracker.NOTHING ? diverges : Math.min(diverges, unfinished);
    }

    /** Null if reading goes on. */
    private @Nullable String told(TopicPartition partition, long offset, long continuesAt) {
        AfterRetries policy = settings.afterRetries();
        boolean stops = policy != null && policy.stopsPartition();
        String gone = "offset %d of %s was to be read next and is not there, what is begins at %d"
                .formatted(offset, partition, continuesAt);
        String fix = "close the group's runners, set its offset where it is to go on, and start new ones";
        LOG.error(
                "{}: {}. Records that were never read are gone by retention or truncation; compare the topic's retention with this group's lag. {}",
                settings.group(),
                gone,
                stops ? "The partition stops, as the policy asks: " + fix : "Reading goes on there");
        return stops ? gone + ": " + fix : null;
    }

    /** The client goes on with its other topics; what it throws is said once for each time that it has asked for this one. */
    private void denied(TopicAuthorizationException e, Consumer<byte[], byte[]> consumer, AssignedPartitions assigned) {
        Set<TopicPartition> assignment = consumer.assignment();
        if (assignment.stream().noneMatch(one -> e.unauthorizedTopics().contains(one.topic()))) {
            failed(e); // it could not even learn where they are
            seesNone = assignment.isEmpty() && e.unauthorizedTopics().containsAll(physicalTopics());
            return;
        }
        if (denied.haveRested(e.unauthorizedTopics(), assigned.lastEpoch())) {
            failed(e); // nothing of them was read, so it keeps the client from its other topics too
            discard(consumer, assigned);
            return;
        }
        failing = false;
        String text = KafkaFaults.explain(kafka, e, DATA).getMessage();
        if (denied.add(e.unauthorizedTopics(), text, assigned.lastEpoch())) {
            LOG.warn("{}: {}", settings.group(), text);
        }
    }

    private void failed(KafkaException e) {
        failing = true;
        String text = KafkaFaults.explain(kafka, e, replaced ? DATA_OF_THE_OTHER : DATA)
                .getMessage();
        if (!text.equals(fault)) {
            LOG.warn("{}: {}", settings.group(), text);
            LOG.debug("{}", settings.group(), e);
        }
        fault = text;
    }
}
