package dev.eventbus.outbox.internal;

import dev.eventbus.outbox.sql.FetchWindow.Floor;
import dev.eventbus.outbox.sql.OutboxRow;
import dev.eventbus.outbox.sql.OutboxStore.Fetched;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * How many rows a page may have so that its bytes have room. If rows were small of late, each may have an equal part of the bytes, which
 * costs the database nothing; otherwise it adds up what it reads. A row that was larger than its part is read with the next page that
 * reaches it: until then no page of its shard bounds its rows. One thread only.
 */
public final class PageSize {

    /** Of so many bytes any row may be, however small the last ones were. */
    private static final int LEAST_BOUND = 512;

    /** A page of fewer rows costs more round trips than the sum does, unless there is no room for more. */
    private static final int ENOUGH_ROWS = 500;

    /** Bytes of the largest row of the last page that had any; -1 before the first. */
    private int largest = -1;

    /** By shard the first row that had no room. */
    private final Map<Integer, Long> tooLarge = new HashMap<>();

    /**
     * What one page may have.
     *
     * @param rows most rows
     * @param mostRowBytes most bytes of one of them; 0 for any
     */
    public record Page(int rows, int mostRowBytes) {}

    /**
     * The next page.
     *
     * @param fresh whether nothing counts that was read before, as on a new connection
     * @param rows there is room for
     * @param bytes there is room for
     */
    public Page next(boolean fresh, Collection<Floor> floors, int rows, long bytes) {
        if (fresh) {
            largest = -1;
            tooLarge.clear();
        }
        long bound = Math.max(LEAST_BOUND, 2L * largest);
        int bounded = (int) Math.min(rows, bytes / bound);
        boolean isLargeAwaited = floors.stream().map(Floor::shard).anyMatch(tooLarge::containsKey);
        if (largest < 0 || isLargeAwaited || bounded == 0 || bounded < Math.min(rows, ENOUGH_ROWS)) {
            return new Page(rows, 0);
        }
        return new Page(bounded, (int) Math.min(bytes / bounded, Integer.MAX_VALUE));
    }

    /** Other shards are not read any more. */
    public void keepOnly(Set<Integer> shards) {
        tooLarge.keySet().retainAll(shards);
    }

    /** Whether a row had no room that none has been read for since. */
    public boolean leavesSome() {
        return !tooLarge.isEmpty();
    }

    /** A page has been read. */
    public void read(Fetched page) {
        tooLarge.entrySet()
                .removeIf(row -> page.seenUpTo().getOrDefault(row.getKey(), Long.MIN_VALUE) >= row.getValue());
        tooLarge.putAll(page.tooLarge());
        List<OutboxRow> rows = page.rows();
        largest = rows.stream().mapToInt(OutboxRow::bytes).max().orElse(largest);
    }
}
