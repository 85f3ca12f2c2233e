package dev.eventbus.outbox.sql;

import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * What one fetch looks at.
 *
 * @param floors where each owned shard is read from, in the order in which the shards take their turns
 * @param inFlight rows that were fetched before and are not deleted yet; left out
 * @param excludedTopics topics whose rows are left out
 * @param onlyTopic if not null, the only topic whose rows are read
 * @param rowsPerShard most rows of one shard
 * @param rows most rows in all
 * @param bytes no row is returned once the rows before it have this many bytes of payload and headers
 * @param mostRowBytes if above 0, a row that has more bytes than this cuts its shard: it and what comes behind it is left for the next
 *     fetch. If as many rows of that size are no more than {@code bytes}, a database need not add up what it reads: PostgreSQL does
 *     not, and gives such a row without payload and headers; H2 and MariaDB keep their sum
 */
public record FetchWindow(
        List<Floor> floors,
        Collection<RowKey> inFlight,
        Collection<String> excludedTopics,
        @Nullable String onlyTopic,
        int rowsPerShard,
        int rows,
        long bytes,
        int mostRowBytes) {

    /** Every sequence number. */
    public static final Long ALL = Long.MAX_VALUE;

    /** Looks at all topics but those left out, at rows of any size. */
    public FetchWindow(
            List<Floor> floors,
            Collection<RowKey> inFlight,
            Collection<String> excludedTopics,
            int rowsPerShard,
            int rows,
            long bytes) {
        this(floors, inFlight, excludedTopics, null, rowsPerShard, rows, bytes, 0);
    }

    /** Looks at the first row of a topic. */
    public static FetchWindow firstOf(String topic, List<Floor> floors, Collection<RowKey> inFlight) {
        return new FetchWindow(floors, inFlight, List.of(), topic, 1, 1, 1, 0);
    }

    /** Looks beside these rows, in their shards. */
    FetchWindow beside(List<OutboxRow> fetched, int mostOfAShard) {
        Set<Integer> shards = fetched.stream().map(row -> row.key().shard()).collect(Collectors.toSet());
        List<Floor> reached =
                floors.stream().filter(floor -> shards.contains(floor.shard())).toList();
        List<RowKey> known = Stream.concat(inFlight.stream(), fetched.stream().map(OutboxRow::key))
                .toList();
        int most = mostOfAShard * reached.size();
        return new FetchWindow(reached, known, excludedTopics, onlyTopic, mostOfAShard, most, bytes, mostRowBytes);
    }

    /** Rows of {@code shard} at or below {@code seq} are not looked at. */
    public record Floor(int shard, long seq) {}

    /** By shard the first row that is larger than one may be in this window. */
    Map<Integer, Long> tooLarge(List<OutboxRow> found) {
        if (mostRowBytes == 0) {
            return Map.of();
        }
        Map<Integer, Long> tooLarge = new HashMap<>();
        for (OutboxRow row : found) {
            if (row.bytes() > mostRowBytes) {
                tooLarge.putIfAbsent(row.key().shard(), row.key().seq());
            }
        }
        return tooLarge;
    }

    /**
     * Whether the last row is the last only because there was no room for another. Rows that are too large count as if they had been given
     * whole, so a page of them may be said to have seen less than it has.
     */
    private boolean isPageCut(List<OutboxRow> fetched) {
        return fetched.size() >= rows
                || fetched.stream().mapToLong(OutboxRow::bytes).sum() >= bytes;
    }

    /** The shard that should come first in the next fetch: the one behind the last that was reached. */
    public int next(List<OutboxRow> fetched) {
        int last = isPageCut(fetched) && !fetched.isEmpty()
                ? fetched.get(fetched.size() - 1).key().shard()
                : floors.get(0).shard();
        return (last + 1) % Shards.COUNT;
    }

    /**
     * Up to which sequence number the fetch returned all there was of each shard, {@link #ALL} if it was not cut; shards of which
     * nothing can be said are left out.
     */
    public Map<Integer, Long> seenUpTo(List<OutboxRow> fetched) {
        Map<Integer, Integer> rowsByShard = new HashMap<>();
        Map<Integer, Long> lastByShard = new HashMap<>();
        for (OutboxRow row : fetched) {
            rowsByShard.merge(row.key().shard(), 1, Integer::sum);
            lastByShard.put(row.key().shard(), row.key().seq());
        }
        boolean cut = isPageCut(fetched);
        if (cut && fetched.isEmpty()) { // there was room for nothing, so nothing was seen
            return new HashMap<>();
        }
        int lastShard =
                fetched.isEmpty() ? -1 : fetched.get(fetched.size() - 1).key().shard();
        Map<Integer, Long> seen = new HashMap<>();
        for (Floor floor : floors) {
            int shard = floor.shard();
            boolean isLast = cut && shard == lastShard;
            boolean shardCut = rowsByShard.getOrDefault(shard, 0) >= rowsPerShard || isLast;
            Long last = lastByShard.get(shard);
            if (!shardCut) {
                seen.put(shard, ALL);
            } else if (last != null) {
                seen.put(shard, last);
            }
            if (isLast) {
                break;
            }
        }
        return seen;
    }

    /**
     * Everything rests on it that rows come in the order of the shards' turns and of their numbers, since what is cut off is cut off
     * behind.
     *
     * @throws IllegalStateException if they do not
     */
    void checkOrder(List<OutboxRow> found) {
        int turn = 0;
        long last = Long.MIN_VALUE;
        for (OutboxRow row : found) {
            while (turn < floors.size() && floors.get(turn).shard() != row.key().shard()) {
                turn++;
                last = Long.MIN_VALUE;
            }
            if (turn == floors.size() || row.key().seq() <= last) {
                throw new IllegalStateException("the database returned rows out of order, at %s".formatted(row.key()));
            }
            last = row.key().seq();
        }
    }
}
