package dev.eventbus.consumer.internal;

import static java.util.stream.Collectors.toSet;

import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Set;
import org.apache.kafka.clients.consumer.Consumer;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.jspecify.annotations.Nullable;

/**
 * Back-pressure: how much may be in flight (queued, running or waiting) before reading pauses. Every record read takes one
 * permit and its bytes, and returns them when it ends or is dropped.
 *
 * <p>Reading goes on below 95 % of a budget: near its edge, so that beside a hot key that fills it the other keys move on evenly
 * and not in bursts with long rests between them. A partition also pauses when it is closed, when this user may not read its topic,
 * and when too many records lie between its lowest unfinished one and the last one read: one key that waits must not let the others
 * run ahead without end. Nor must keys that wait stop the reading of all partitions: while there are others, one pauses that holds half
 * of a budget, and the last fifth of a budget is for partitions that hold less than an even part of that.
 *
 * <p>Poll thread only. Budgets are looked at before each poll, so one poll's worth may lie above them.
 */
public final class FlowControl {

    /** A partition, as back-pressure sees it. */
    public interface Read {

        TopicPartition id();

        /** Records from the lowest unfinished one to the last one read. */
        int span();

        /** The lowest unfinished offset. */
        long committable();

        /** Records that are queued, running or waiting. */
        int inFlight();

        /** Bytes of these. */
        long bytes();

        /** Whether nothing new of it is taken. */
        boolean isClosed();

        /** Why a policy stopped it; null if none did. */
        @Nullable
        String stoppedBecause();
    }

    /** Default of records in flight. */
    public static final int MAX_RECORDS = 10_000;

    /** Default of bytes in flight: 64 MiB. */
    public static final long MAX_BYTES = 64L * 1024 * 1024;

    /** Records from the lowest unfinished one to the last one read, for each partition. */
    public static final int MAX_SPAN = 10_000;

    private static final Duration IDLE_POLL = Duration.ofMillis(100);
    private static final Duration BUSY_POLL = Duration.ofMillis(20);
    private static final Duration FULL_POLL = Duration.ofMillis(5);

    private static final double RESUME_BELOW = 0.95;

    /** What one partition may hold of a budget if there are others. */
    private static final double SHARE = 0.5;

    /** What of a budget is shared out evenly, whoever has the rest. */
    private static final double RESERVE = 0.2;

    private final int maxRecords;
    private final long maxBytes;
    private final DeniedTopics denied;

    private int records;
    private long bytes;
    private boolean full;

    /** Partitions whose open span has reached its budget, and has not come down far enough since. */
    private Set<Read> spanFull = Set.of();

    /** Whether only the reserve is left of a budget, and not far more since. */
    private boolean scarce;

    /** Partitions that hold their share of what all may have in flight, and have not come down far enough since. */
    private Set<Read> shareFull = Set.of();

    /** @param denied topics of which nothing is asked for a while */
    public FlowControl(int maxRecords, long maxBytes, DeniedTopics denied) {
        this.maxRecords = maxRecords;
        this.maxBytes = maxBytes;
        this.denied = denied;
    }

    /** What a record counts: key, value and headers. */
    public static int bytesOf(ConsumerRecord<byte[], byte[]> record) {
        int bytes = lengthOf(record.key()) + lengthOf(record.value());
        for (Header header : record.headers()) {
            bytes += header.key().length() + lengthOf(header.value());
        }
        return bytes;
    }

    private static int lengthOf(byte @Nullable [] bytes) {
        return bytes == null ? 0 : bytes.length;
    }

    /** A record of so many bytes was read. */
    public void took(int recordBytes) {
        records++;
        bytes += recordBytes;
    }

    /** Such a record has ended, or was dropped. */
    public void returned(int recordBytes) {
        records--;
        bytes -= recordBytes;
    }

    /** Records in flight. */
    public int records() {
        return records;
    }

    /** Bytes in flight. */
    public long bytes() {
        return bytes;
    }

    /** Whether reading pauses because the budget of records or bytes is spent. */
    public boolean isFull() {
        return full;
    }

    /** Pauses and resumes Kafka's reading as the budgets ask, whatever a rebalance has left. */
    public void apply(Consumer<?, ?> consumer, Collection<? extends Read> partitions) {
        full = isTaken(full ? RESUME_BELOW : 1);
        scarce = isTaken((1 - RESERVE) * (scarce ? RESUME_BELOW : 1));
        Set<TopicPartition> paused = consumer.paused();
        List<TopicPartition> toPause = new ArrayList<>();
        List<TopicPartition> toResume = new ArrayList<>();
        spanFull = partitions.stream().filter(this::isSpanFull).collect(toSet());
        double share = scarce ? RESERVE / partitions.size() : SHARE;
        shareFull = partitions.size() > 1
                ? partitions.stream()
                        .filter(partition -> holds(partition, share))
                        .collect(toSet())
                : Set.of();
        for (Read partition : partitions) {
            boolean pause = pausedBecause(partition) != null;
            if (pause != paused.contains(partition.id())) {
                (pause ? toPause : toResume).add(partition.id());
            }
        }
        if (!toPause.isEmpty() || !toResume.isEmpty()) {
            Set<TopicPartition> assignment = consumer.assignment(); // a rebalance under way may be ahead of us
            toPause.retainAll(assignment);
            toResume.retainAll(assignment);
            consumer.pause(toPause);
            consumer.resume(toResume);
        }
    }

    private boolean isSpanFull(Read partition) {
        double most = spanFull.contains(partition) ? MAX_SPAN * RESUME_BELOW : MAX_SPAN;
        return partition.span() >= most;
    }

    private boolean isTaken(double part) {
        return records >= maxRecords * part || bytes >= maxBytes * part;
    }

    private boolean holds(Read partition, double share) {
        double most = shareFull.contains(partition) ? share * RESUME_BELOW : share;
        return partition.inFlight() >= maxRecords * most || partition.bytes() >= maxBytes * most;
    }

    /**
     * What a person should know of partitions that are not read, in words. A budget that is spent by work that flows is how
     * back-pressure works; spent while keys wait it is a problem.
     */
    public List<String> problems(Collection<? extends Read> partitions, boolean keysWait) {
        List<String> problems = new ArrayList<>();
        for (Read partition : partitions) {
            boolean held = spanFull.contains(partition) || keysWait && (full || shareFull.contains(partition));
            if (partition.stoppedBecause() != null || held) {
                problems.add("%s is not read: %s".formatted(partition.id(), pausedBecause(partition)));
            }
        }
        return problems;
    }

    /** Why the partition is not read, in words; null if it is. */
    public @Nullable String pausedBecause(Read partition) {
        if (partition.stoppedBecause() != null) {
            return "stopped: " + partition.stoppedBecause();
        }
        if (partition.isClosed()) {
            return "the runner is closing";
        }
        if (denied.isAtRest(partition.id().topic())) {
            return "this user may not read the topic; it is asked for again every %d s"
                    .formatted(DeniedTopics.REST.toSeconds());
        }
        if (spanFull.contains(partition)) {
            return "open span of %d records reached; offset %d holds it up"
                    .formatted(MAX_SPAN, partition.committable());
        }
        if (full) {
            return "budget of %d records or %d bytes in flight is spent".formatted(maxRecords, maxBytes);
        }
        if (shareFull.contains(partition)) {
            return (scarce
                            ? "the rest of the budget of %d records or %d bytes in flight is for partitions that hold less of it"
                            : "it holds half of the budget of %d records or %d bytes in flight")
                    .formatted(maxRecords, maxBytes);
        }
        return null;
    }

    /**
     * How long a poll may wait, so that what ends or is due meanwhile is not late.
     *
     * @param next when the next record is tried again; null if none waits
     */
    public Duration pollTimeout(Instant now, @Nullable Instant next) {
        if (records == 0) {
            return IDLE_POLL;
        }
        Duration busy = full || scarce ? FULL_POLL : BUSY_POLL;
        if (next == null || next.isAfter(now.plus(busy))) {
            return busy;
        }
        return next.isAfter(now) ? Duration.between(now, next) : Duration.ZERO;
    }
}
