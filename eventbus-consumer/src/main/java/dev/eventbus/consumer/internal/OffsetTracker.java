package dev.eventbus.consumer.internal;

/**
 * Which offset of one partition may be committed: the lowest one whose record has not ended.
 *
 * <p>A window of slots, one per record that was handed out and one bit each; records end in any order. Offsets that no record
 * was handed out for (compacted away, transaction markers, control records) take no slot and so hold nothing up, however wide
 * the gap. Adding and ending are O(1), memory is 65 bits per open record.
 *
 * <pre>
 *   slot      base                              next
 *   offsets    12   13   15   16   20   21        ·            end = 22
 *   done       no   yes  yes  no   yes  no                     committable = 12
 * </pre>
 *
 * <p>Poll thread only. Pure: it knows neither Kafka nor time.
 */
public final class OffsetTracker {

    /** Nothing was seen yet, so there is nothing to commit. */
    public static final long NOTHING = -1;

    private static final int FIRST_CAPACITY = 256;

    /** Ring of offsets by slot; its length is a power of two of at least 64. */
    private long[] offsets = new long[FIRST_CAPACITY];

    /** Ring of bits by slot: the record has ended. Slots outside the window are clear. */
    private long[] done = new long[FIRST_CAPACITY / Long.SIZE];

    /** Slot of the lowest record that has not ended. */
    private long base;

    /** Slot of the next record. */
    private long next;

    /** Highest slot whose record has ended. */
    private long highestEnded = NOTHING;

    /** One above the highest offset that is accounted for. */
    private long end = NOTHING;

    /**
     * Registers a record that was handed out. All offsets between the last one and this one are gaps.
     *
     * @return the slot to end it by
     */
    public long add(long offset) {
        if (offset < end) {
            throw new IllegalArgumentException("offset %d comes after %d".formatted(offset, end - 1));
        }
        if (next - base == offsets.length) {
            grow();
        }
        offsets[index(next)] = offset;
        end = offset + 1;
        return next++;
    }

    /** Everything below {@code nextOffset} was handed out or is a gap: what stands behind the last record holds nothing up. */
    public void reached(long nextOffset) {
        end = Math.max(end, nextOffset);
    }

    /** Ends a record; false if it had ended before. */
    public boolean ended(long slot) {
        if (slot < base || slot >= next || isDone(slot)) {
            return false;
        }
        done[word(slot)] |= bit(slot);
        highestEnded = Math.max(highestEnded, slot);
        while (base < next && isDone(base)) {
            done[word(base)] &= ~bit(base);
            base++;
        }
        return true;
    }

    /** The offset to commit: all below it have ended or never were. {@link #NOTHING} before the first record. */
    public long committable() {
        return base < next ? offsets[index(base)] : end;
    }

    /** One above the highest offset that was handed out or passed over. */
    public long position() {
        return end;
    }

    /** Slot of the highest record that has ended: what stands unfinished below it makes it be repeated. */
    public long highestEnded() {
        return highestEnded;
    }

    /** Slot of the last record. {@link #NOTHING} before the first. */
    public long last() {
        return next - 1;
    }

    /** Slot of the lowest record that has not ended, or of the next one. */
    public long lowestOpen() {
        return base;
    }

    /** Whether no record was handed out yet. */
    public boolean isUnused() {
        return next == 0;
    }

    /** Records from the lowest unfinished one to the last: what a crash would deliver again at most. */
    public int span() {
        return (int) (next - base);
    }

    private void grow() {
        long[] wider = new long[offsets.length * 2];
        long[] widerDone = new long[done.length * 2];
        int mask = wider.length - 1;
        for (long slot = base; slot < next; slot++) {
            int to = (int) slot & mask;
            wider[to] = offsets[index(slot)];
            if (isDone(slot)) {
                widerDone[to / Long.SIZE] |= bit(slot);
            }
        }
        offsets = wider;
        done = widerDone;
    }

    private boolean isDone(long slot) {
        return (done[word(slot)] & bit(slot)) != 0;
    }

    private int index(long slot) {
        return (int) slot & (offsets.length - 1);
    }

    private int word(long slot) {
        return index(slot) / Long.SIZE;
    }

    private static long bit(long slot) {
        return 1L << slot; // the shift takes the lowest six bits
    }
}
