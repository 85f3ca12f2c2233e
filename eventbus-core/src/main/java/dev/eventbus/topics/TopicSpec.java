package dev.eventbus.topics;

import dev.eventbus.internal.Checks;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.Set;
import java.util.TreeMap;
import org.apache.kafka.common.config.TopicConfig;
import org.jspecify.annotations.Nullable;

/**
 * How a topic of events must be set up.
 *
 * <pre>{@code
 * TopicSpec assetEvents = TopicSpec.of("asset.events", 3).retention(Duration.ofHours(24)).retentionBytes(10_000_000_000L);
 * }</pre>
 *
 * <p>Defaults: replication factor 3, {@code min.insync.replicas} 2 (1 for a single replica), retention 7 days without a limit in
 * bytes, {@code cleanup.policy=delete}, lz4. A compacted topic has no retention. Unclean leader election is always off. All of these
 * are written to the topic, never inherited from the cluster's defaults. Immutable: each method returns a new spec.
 */
public final class TopicSpec {

    /** Replicas of each partition unless set: 3. */
    public static final int DEFAULT_REPLICATION_FACTOR = 3;

    /** In-sync replicas that an acknowledged event is on, unless set: 2, or 1 if there is only one replica. */
    public static final int DEFAULT_MIN_INSYNC_REPLICAS = 2;

    /** How long events are kept unless set: 7 days. */
    public static final Duration DEFAULT_RETENTION = Duration.ofDays(7);

    /** Compression unless set: lz4, as our producers send. */
    public static final String DEFAULT_COMPRESSION = "lz4";

    private static final Set<String> COMPRESSIONS = Set.of("producer", "uncompressed", "lz4", "zstd", "snappy", "gzip");

    private final String name;
    private final int partitions;
    private final int replicationFactor;

    /** Kafka's own names and values of what was set. */
    private final Map<String, String> set;

    private TopicSpec(String name, int partitions, int replicationFactor, Map<String, String> set) {
        this.name = name;
        this.partitions = partitions;
        this.replicationFactor = replicationFactor;
        this.set = set;
    }

    /**
     * A topic with the defaults.
     *
     * @param name the logical name, without a cluster's prefix
     * @param partitions 1 or more; the most instances of one group that can share the work. It may grow later, never shrink
     * @throws IllegalArgumentException if the name is no legal topic name or the number is below 1
     */
    public static TopicSpec of(String name, int partitions) {
        return new TopicSpec(
                Checks.topicName("topic", name),
                Checks.atLeast("partitions of " + name, partitions, 1),
                DEFAULT_REPLICATION_FACTOR,
                Map.of());
    }

    /** Copies of each partition on different brokers. */
    public TopicSpec replicationFactor(int replicas) {
        int checked = Checks.inRange("replicationFactor of " + name, replicas, 1, Short.MAX_VALUE);
        return new TopicSpec(name, partitions, checked, set);
    }

    /**
     * Replicas that must have an event before it counts as acknowledged. As many as there are replicas means that publishing to
     * Kafka stops when one broker dies; 1 means that acknowledged events can be lost with one disk.
     */
    public TopicSpec minInsyncReplicas(int replicas) {
        return with(
                TopicConfig.MIN_IN_SYNC_REPLICAS_CONFIG, Checks.atLeast("minInsyncReplicas of " + name, replicas, 1));
    }

    /** How long events are kept, counted from their sending; at least a millisecond, in which Kafka counts. */
    public TopicSpec retention(Duration retention) {
        return with(TopicConfig.RETENTION_MS_CONFIG, millis("retention", retention));
    }

    /** Size up to which a partition is kept; older events go first. */
    public TopicSpec retentionBytes(long bytesPerPartition) {
        return with(
                TopicConfig.RETENTION_BYTES_CONFIG, Checks.atLeast("retentionBytes of " + name, bytesPerPartition, 1));
    }

    /**
     * Keeps every event for {@code lag}; after that only the last event of each key survives. Kafka's cleaner knows no events: a
     * late repeat would outlive its successors, so a relay must send to such a topic in mode STRICT, and dead letters are not
     * redriven through it.
     *
     * @param lag at least the time within which a reader may want to see every event again, and a millisecond
     */
    public TopicSpec compactedAfter(Duration lag) {
        return with(TopicConfig.MIN_COMPACTION_LAG_MS_CONFIG, millis("compactedAfter", lag));
    }

    private long millis(String what, Duration time) {
        if (time.compareTo(Duration.ofMillis(1)) < 0 || time.compareTo(Duration.ofMillis(Long.MAX_VALUE)) > 0) {
            throw new IllegalArgumentException(
                    "%s of %s must be 1 to %d ms, was %s".formatted(what, name, Long.MAX_VALUE, time));
        }
        return time.toMillis();
    }

    /** {@code producer}, {@code uncompressed}, {@code lz4}, {@code zstd}, {@code snappy} or {@code gzip}. */
    public TopicSpec compression(String type) {
        if (!COMPRESSIONS.contains(type)) {
            throw new IllegalArgumentException("compression of %s must be one of %s, was '%s'"
                    .formatted(name, COMPRESSIONS.stream().sorted().toList(), Checks.printable(type)));
        }
        return with(TopicConfig.COMPRESSION_TYPE_CONFIG, type);
    }

    /** Largest batch that the broker takes; unless set, the cluster decides (1 MiB by default). */
    public TopicSpec maxMessageBytes(int bytes) {
        return with(TopicConfig.MAX_MESSAGE_BYTES_CONFIG, Checks.atLeast("maxMessageBytes of " + name, bytes, 1024));
    }

    /** The logical name. */
    public String name() {
        return name;
    }

    public int partitions() {
        return partitions;
    }

    public int replicationFactor() {
        return replicationFactor;
    }

    public int minInsyncReplicas() {
        return Integer.parseInt(settings().get(TopicConfig.MIN_IN_SYNC_REPLICAS_CONFIG));
    }

    /** Empty for a compacted topic, to which none applies. */
    public Optional<Duration> retention() {
        return Optional.ofNullable(settings().get(TopicConfig.RETENTION_MS_CONFIG))
                .map(Long::parseLong)
                .map(Duration::ofMillis);
    }

    /** For how long every event is kept before only the last of each key survives; empty for a topic that keeps every event. */
    public Optional<Duration> compactionLag() {
        return Optional.ofNullable(set.get(TopicConfig.MIN_COMPACTION_LAG_MS_CONFIG))
                .map(Long::parseLong)
                .map(Duration::ofMillis);
    }

    /** Empty if the cluster decides. */
    public OptionalInt maxMessageBytes() {
        @Nullable String bytes = set.get(TopicConfig.MAX_MESSAGE_BYTES_CONFIG);
        return bytes == null ? OptionalInt.empty() : OptionalInt.of(Integer.parseInt(bytes));
    }

    /** All settings that are written to the topic, by Kafka's names. */
    public Map<String, String> settings() {
        Map<String, String> all = new TreeMap<>();
        all.put(
                TopicConfig.MIN_IN_SYNC_REPLICAS_CONFIG,
                String.valueOf(Math.min(DEFAULT_MIN_INSYNC_REPLICAS, replicationFactor)));
        all.put(TopicConfig.COMPRESSION_TYPE_CONFIG, DEFAULT_COMPRESSION);
        all.put(TopicConfig.UNCLEAN_LEADER_ELECTION_ENABLE_CONFIG, "false");
        if (compactionLag().isPresent()) {
            all.put(TopicConfig.CLEANUP_POLICY_CONFIG, TopicConfig.CLEANUP_POLICY_COMPACT);
        } else {
            all.put(TopicConfig.CLEANUP_POLICY_CONFIG, TopicConfig.CLEANUP_POLICY_DELETE);
            all.put(TopicConfig.RETENTION_MS_CONFIG, String.valueOf(DEFAULT_RETENTION.toMillis()));
            all.put(TopicConfig.RETENTION_BYTES_CONFIG, "-1");
        }
        all.putAll(set);
        return Collections.unmodifiableMap(all);
    }

    /** Whether a setting was given, and is no default. */
    boolean states(String setting) {
        return set.containsKey(setting);
    }

    /** What in this spec contradicts itself. */
    List<String> contradictions() {
        List<String> contradictions = new ArrayList<>();
        if (minInsyncReplicas() > replicationFactor) {
            contradictions.add(
                    "topic %s wants %d in-sync replicas of %d; set minInsyncReplicas(%d) or a higher replicationFactor"
                            .formatted(name, minInsyncReplicas(), replicationFactor, replicationFactor));
        }
        if (compactionLag().isPresent()
                && (set.containsKey(TopicConfig.RETENTION_MS_CONFIG)
                        || set.containsKey(TopicConfig.RETENTION_BYTES_CONFIG))) {
            contradictions.add(
                    "topic %s is compacted, so no retention applies to it; leave out retention and retentionBytes, or compactedAfter"
                            .formatted(name));
        }
        return contradictions;
    }

    @Override
    public String toString() {
        return "%s (%d partitions, %d replicas, %s)".formatted(name, partitions, replicationFactor, settings());
    }

    private TopicSpec with(String setting, Object value) {
        Map<String, String> more = new TreeMap<>(set);
        more.put(setting, String.valueOf(value));
        return new TopicSpec(name, partitions, replicationFactor, Collections.unmodifiableMap(more));
    }
}
