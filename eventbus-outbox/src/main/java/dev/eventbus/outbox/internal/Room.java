package dev.eventbus.outbox.internal;

import java.util.HashMap;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/** How much is in flight, in rows and bytes, of each topic and in all, and how much more may be. One thread only. */
public final class Room {

    public static final int MAX_ROWS = 2_000;
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

    private final Map<String, Load> loads = new HashMap<>();
    private Load all = Load.NONE;

    /** A row has come in. */
    public void take(String topic, int bytes) {
        change(topic, new Load(1, bytes));
    }

    /** A row has left. */
    public void giveBack(String topic, int bytes) {
        change(topic, new Load(-1, -bytes));
    }

    private void change(String topic, Load by) {
        loads.merge(topic, by, Load::plus);
        all = all.plus(by);
    }

    public void clear() {
        loads.clear();
        all = Load.NONE;
    }

    /** What is in flight of some topics. */
    public Load of(Set<String> topics) {
        return topics.stream()
                .map(topic -> loads.getOrDefault(topic, Load.NONE))
                .reduce(Load.NONE, Load::plus);
    }

    /** Topics that have all that one may have. */
    public Set<String> full() {
        return loads.entrySet().stream()
                .filter(load -> load.getValue().rows() >= MAX_ROWS_PER_TOPIC
                        || load.getValue().bytes() >= MAX_BYTES_PER_TOPIC)
                .map(Map.Entry::getKey)
                .collect(Collectors.toSet());
    }

    /** How many more rows there is room for, whatever their topics, but for those of some topics. */
    public int rowsBeside(Set<String> excluded) {
        int largest = othersThan(excluded).mapToInt(Load::rows).max().orElse(0);
        return Math.max(0, Math.min(MAX_ROWS - all.rows(), MAX_ROWS_PER_TOPIC - largest));
    }

    /** How many more bytes there is room for, whatever their topics, but for those of some topics. */
    public long bytesBeside(Set<String> excluded) {
        long largest = othersThan(excluded).mapToLong(Load::bytes).max().orElse(0);
        return Math.max(0, Math.min(MAX_BYTES - all.bytes(), MAX_BYTES_PER_TOPIC - largest));
    }

    /** Whether a part of what one topic may have is free: half of it, say, or, as 0, anything. */
    public boolean isFreeBeside(Set<String> excluded, double part) {
        int rows = rowsBeside(excluded);
        long bytes = bytesBeside(excluded);
        return rows > 0 && rows >= MAX_ROWS_PER_TOPIC * part && bytes > 0 && bytes >= MAX_BYTES_PER_TOPIC * part;
    }

    private Stream<Load> othersThan(Set<String> excluded) {
        return loads.entrySet().stream()
                .filter(load -> !excluded.contains(load.getKey()))
                .map(Map.Entry::getValue);
    }
}
