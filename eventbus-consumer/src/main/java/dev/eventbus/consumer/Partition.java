package dev.eventbus.consumer;

import dev.eventbus.consumer.internal.FlowControl;
import dev.eventbus.consumer.internal.OffsetTracker;
import java.time.Instant;
import java.util.List;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.Consumer;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.TopicPartition;
import org.jspecify.annotations.Nullable;

/**
 * One partition in one epoch, from its assignment to its loss, and which of its records may be started.
 *
 * <p>Poll thread only, except {@link #stopsAt}, {@link #mayStart}, {@link #mayStay} and {@link #isClosed()}.
 */
final class Partition implements FlowControl.Read {

    /** Instead of a slot: nothing is started while it is decided what becomes of the records that have not ended. */
    private static final long UNDECIDED = OffsetTracker.NOTHING - 1;

    private final TopicPartition id;
    private final int epoch;
    private final OffsetTracker offsets = new OffsetTracker();
    final KeyLane.Lanes lanes = new KeyLane.Lanes();

    /** The highest slot that may be started; once that is {@link OffsetTracker#NOTHING} it stays so. Written by the poll thread. */
    private volatile long startable = Long.MAX_VALUE;

    /** The lowest slot whose record stops the partition: whatever is decided, nothing from there on is started. */
    private final AtomicLong stopsAt = new AtomicLong(Long.MAX_VALUE);

    /** What {@link #startable} was decided to be last. */
    private long decided = Long.MAX_VALUE;

    /** Whether what was taken is in no log any more. */
    private boolean isNowhereElse;

    /** Until when records may be started that others wait for; null while all may. */
    private @Nullable Instant finishBy;

    private int inFlight;
    private long bytes;
    private long committed = OffsetTracker.NOTHING;
    private @Nullable String stoppedBecause;

    /** An epoch before of which something still runs in this runner; each knows the next older one. */
    private @Nullable Partition before;

    Partition(TopicPartition id, int epoch) {
        this.id = id;
        this.epoch = epoch;
    }

    @Override
    public TopicPartition id() {
        return id;
    }

    @Override
    public int span() {
        return offsets.span();
    }

    @Override
    public long committable() {
        return offsets.committable();
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

    /** A record has ended, or was let go or dropped. */
    void left(InFlight record) {
        inFlight--;
        bytes -= record.bytes();
    }

    /** Records that are queued, running or waiting. */
    @Override
    public int inFlight() {
        return inFlight;
    }

    /** It comes after an epoch of the same partition in this runner. */
    void follows(@Nullable Partition epochBefore) {
        before = epochBefore;
    }

    /** How many epochs before are remembered. */
    int epochsBefore() {
        int epochs = 0;
        for (Partition epoch = before; epoch != null; epoch = epoch.before) {
            epochs++;
        }
        return epochs;
    }

    /** Whether nothing of the partition is open here any more, of whatever epoch. */
    boolean isAtRest() {
        for (Partition epoch = this; epoch.before != null; ) {
            if (epoch.before.inFlight == 0) {
                epoch.before = epoch.before.before; // of as many as come and go, only those are kept that run
            } else {
                epoch = epoch.before;
            }
        }
        return inFlight == 0 && before == null;
    }

    /** Bytes of these. */
    @Override
    public long bytes() {
        return bytes;
    }

    /** The offset the group is known to have committed, as far as this runner did it. */
    long committed() {
        return committed;
    }

    void committed(long offset) {
        committed = Math.max(committed, offset);
    }

    /** Why a policy stopped the partition; null if none did. */
    @Override
    public @Nullable String stoppedBecause() {
        return stoppedBecause;
    }

    void stoppedBecause(@Nullable String why) {
        stoppedBecause = why;
    }

    // ---- what may be started

    /** Nothing is started until something is decided. */
    void startNothing() {
        startable = startable == OffsetTracker.NOTHING ? startable : UNDECIDED;
    }

    /** Any thread: nothing from this record on is started any more; the poll thread is about to see why. */
    void stopsAt(InFlight record) {
        stopsAt.accumulateAndGet(record.slot(), Math::min);
    }

    /** Any thread: whether the record may be started; in a lane that may start one, all before it may be. */
    boolean mayStart(InFlight record) {
        return record.slot() < stopsAt.get() && record.slot() <= startable;
    }

    /** Any thread: whether a record that has begun may wait to begin again. If that is undecided the decision drops it. */
    boolean mayStay(InFlight record) {
        long upTo = startable;
        return upTo == UNDECIDED || record.slot() <= upTo;
    }

    /** Any thread: whether it is on its way out, so that nothing new is taken. */
    @Override
    public boolean isClosed() {
        return startable != Long.MAX_VALUE || stopsAt.get() != Long.MAX_VALUE;
    }

    /** Whether a try at that time comes too late for a partition that is closing. */
    boolean isTooLate(Instant due) {
        return finishBy != null && due.isAfter(finishBy);
    }

    /** Only what ended records wait for may be started from now, and only until then. */
    void close(Instant until) {
        Instant before = finishBy;
        startNothing(); // so that nobody starts anything while we look
        Instant sooner = before != null && before.isBefore(until) ? before : until;
        finishBy = sooner;
        boolean all = isNowhereElse && sooner.equals(Instant.MAX);
        decide(Math.min(decided, all ? Long.MAX_VALUE : lanes.worthFinishing(offsets.highestEnded(), sooner)));
    }

    /** Nothing more is taken; what was may be started and take its time, since it is nowhere else. */
    void takeNothingMore() {
        isNowhereElse = true;
        decided = Math.max(OffsetTracker.NOTHING, Math.min(decided, offsets.last()));
        finishBy = finishBy == null ? Instant.MAX : finishBy;
        startable = decided;
    }

    /** Nobody waits any more for what it still may start. */
    void lost() {
        finishBy = Instant.MIN;
    }

    /** Nothing above the slot may be started any more; false if that is nothing new. */
    boolean startOnlyUpTo(long slot) {
        if (decided <= slot) {
            return false;
        }
        decide(Math.min(slot, decided));
        return true;
    }

    private void decide(long upTo) {
        decided = Math.max(OffsetTracker.NOTHING, upTo);
        startable = decided;
    }

    /** Drops what may not be started any more, and gives the lanes that have something to start to the workers. */
    List<InFlight> dropRefused(Consumer<? super KeyLane> ready) {
        List<InFlight> dropped = lanes.dropRefused(ready);
        dropped.forEach(this::left);
        return dropped;
    }

    @Override
    public String toString() {
        return id + " in epoch " + epoch;
    }
}
