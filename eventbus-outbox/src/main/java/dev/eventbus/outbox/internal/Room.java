package dev.eventbus.outbox.internal;

import java.util.HashMap;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/** How much is in flight, in rows and bytes, of each topic and in all, and how much more may be. One thread only. */
public final class Room {

    public static final int MAX_ROWS = 4_000;
    public static final long MAX_BYTES = 8 * 1024 * 1024;

    /** The rest is there for other topics. */
    public static final int MAX_ROWS_PER_TOPIC = MAX_ROWS / 4 * 3;

    public static final long MAX_BYTES_PER_TOPIC = MAX_BYTES / 4 * 3;

    /** What is in flight of one topic, or of several. */
    public record Load(int rows, long bytes) {

        public static final Load NONE = new Load(0, 0);

        Load plus(Load other) {
            return new Load(rows + other.rows, bytes + other.bytes);
        }

        /** Whether that is so much of all the room. */
        public boolean isPart(double part) {
            return rows >= MAX_ROWS * part || bytes >= MAX_BYTES * part;
        }
    }

    /** Changed with each row that comes and goes. */
    private static final class Count {
        int rows;
        long bytes;

        void change(int byRows, long byBytes) {
            rows += byRows;
            bytes += byBytes;
        }

        Load load() {
            return new Load(rows, bytes);
        }
    }

    private final Map<String, Count> counts = new HashMap<>();
    private final Count all = new Count();

    /** A row has come in. */
    public void take(String topic, int bytes) {
        change(topic, 1, bytes);
    }

    /** A row has left. */
    public void giveBack(String topic, int bytes) {
        change(topic, -1, -bytes);
    }

    private void change(String topic, int rows, int bytes) {
        counts.computeIfAbsent(topic, any -> new Count()).change(rows, bytes);
        all.change(rows, bytes);
    }

    public void clear() {
        counts.clear();
        all.change(-all.rows, -all.bytes);
    }

    /** What is in flight of some topics. */
    public Load of(Set<String> topics) {
        return topics.stream()
                .map(counts::get)
                .filter(Objects::nonNull)
                .map(Count::load)
                .reduce(Load.NONE, Load::plus);
    }

    /** Topics that have all that one may have. */
    public Set<String> full() {
        return counts.entrySet().stream()
                .filter(count ->
                        count.getValue().rows >= MAX_ROWS_PER_TOPIC || count.getValue().bytes >= MAX_BYTES_PER_TOPIC)
                .map(Map.Entry::getKey)
                .collect(Collectors.toSet());
    }

    /** How many more rows there is room for, whatever their topics, but for those of some topics. */
    public int rowsBeside(Set<String> excluded) {
        int largest = othersThan(excluded).mapToInt(Load::rows).max().orElse(0);
        return Math.max(0, Math.min(MAX_ROWS - all.rows, MAX_ROWS_PER_TOPIC - largest));
    }

    /** How many more bytes there is room for, whatever their topics, but for those of some topics. */
    public long bytesBeside(Set<String> excluded) {
        long largest = othersThan(excluded).mapToLong(Load::bytes).max().orElse(0);
        return Math.max(0, Math.min(MAX_BYTES - all.bytes, MAX_BYTES_PER_TOPIC - largest));
    }

    /** Whether a part of what one topic may have is free: half of it, say, or, as 0, anything. */
    public boolean isFreeBeside(Set<String> excluded, double part) {
        int rows = rowsBeside(excluded);
        long bytes = bytesBeside(excluded);
        return rows > 0 && rows >= MAX_ROWS_PER_TOPIC * part && bytes > 0 && bytes >= MAX_BYTES_PER_TOPIC * part;
    }

    private Stream<Load> othersThan(Set<String> excluded) {
        return counts.entrySet().stream()
                .filter(count -> !excluded.contains(count.getKey()))
                .map(count -> count.getValue().load());
    }
}
