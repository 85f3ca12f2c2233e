package dev.eventbus.outbox.sql;

import java.util.Collection;
import java.util.List;
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
 * @param bytes no row is returned once the rows before it have this many bytes of payload
 */
public record FetchWindow(
        List<Floor> floors,
        Collection<RowKey> inFlight,
        Collection<String> excludedTopics,
        @Nullable String onlyTopic,
        int rowsPerShard,
        int rows,
        long bytes) {

    /** Looks at all topics but those left out. */
    public FetchWindow(
            List<Floor> floors,
            Collection<RowKey> inFlight,
            Collection<String> excludedTopics,
            int rowsPerShard,
            int rows,
            long bytes) {
        this(floors, inFlight, excludedTopics, null, rowsPerShard, rows, bytes);
    }

    /** Looks at the first row of a topic. */
    public static FetchWindow firstOf(String topic, List<Floor> floors, Collection<RowKey> inFlight) {
        return new FetchWindow(floors, inFlight, List.of(), topic, 1, 1, 1);
    }

    /** Rows of {@code shard} at or below {@code seq} are not looked at. */
    public record Floor(int shard, long seq) {}
}
