package dev.eventbus.topics;

import dev.eventbus.topics.TopicFinding.Fix;
import dev.eventbus.topics.TopicFinding.Remedy;
import java.util.Arrays;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.stream.Collectors;
import org.apache.kafka.common.config.TopicConfig;
import org.jspecify.annotations.Nullable;

/** Decides what may be done about each difference, and by whom: what would delete events is left to a person. */
final class TopicFixes {

    /** Settings of which less deletes events, or refuses events that wait in an outbox already. */
    private static final Set<String> LESS_IS_A_LOSS = Set.of(
            TopicConfig.RETENTION_MS_CONFIG,
            TopicConfig.RETENTION_BYTES_CONFIG,
            TopicConfig.MIN_COMPACTION_LAG_MS_CONFIG,
            TopicConfig.MAX_MESSAGE_BYTES_CONFIG);

    private static final Set<String> CLEAN_UP = Set.of(
            TopicConfig.CLEANUP_POLICY_CONFIG,
            TopicConfig.RETENTION_MS_CONFIG,
            TopicConfig.RETENTION_BYTES_CONFIG,
            TopicConfig.MIN_COMPACTION_LAG_MS_CONFIG);

    private final KafkaCommands commands;

    /** Groups of the plan that read a topic, by topic; others may read it too. */
    private final Map<String, Set<String>> groups;

    TopicFixes(KafkaCommands commands, Map<String, Set<String>> groups) {
        this.commands = commands;
        this.groups = groups;
    }

    Fix missing(TopicSpec spec) {
        return new Fix(
                Remedy.APPLY, "create it with Topics.provision() or apply(), or: %s".formatted(commands.create(spec)));
    }

    Fix partitions(TopicSpec spec, int found) {
        String topic = spec.name();
        if (found > spec.partitions()) {
            return new Fix(
                    Remedy.BY_HAND,
                    "partitions cannot be taken away, so keep TopicSpec.of(\"%s\", %d)".formatted(topic, found));
        }
        String orderly = groups.getOrDefault(topic, Set.of()).stream()
                .map(group -> ", \"" + group + "\"")
                .collect(Collectors.joining());
        return new Fix(
                Remedy.APPLY_GROWING,
                "add them with Topics.apply(GrowPartitions.%s), or: %s; then OutboxAdmin.adoptPartitions(kafka, \"%s\", limit%s, in each outbox that publishes to it, so that relays use them without an event overtaking an earlier one of its key; any other producer lets keys change their partition at once"
                        .formatted(
                                GrowPartitions.THOUGH_KEYS_CHANGE_PARTITION,
                                commands.grow(topic, spec.partitions()),
                                topic,
                                orderly.isEmpty()
                                        ? ", groups...) with every group that reads it"
                                        : orderly + ") with these and every other group that reads it"));
    }

    Fix replication(int found) {
        return new Fix(
                Remedy.BY_HAND,
                "write its partitions with their new replicas into reassign.json and run: %s, or state replicationFactor(%d) in the TopicSpec"
                        .formatted(commands.reassign(), found));
    }

    Fix setting(TopicSpec spec, String setting, @Nullable String found, int replicas) {
        String wanted = spec.settings().getOrDefault(setting, "");
        if (found == null) {
            return new Fix(Remedy.BY_HAND, "the broker does not know this setting, so use Kafka 2.5 or later");
        }
        if (setting.equals(TopicConfig.MIN_IN_SYNC_REPLICAS_CONFIG)
                && Integer.parseInt(wanted) > replicas
                && !wanted.equals(found)) {
            return new Fix(
                    Remedy.BY_HAND,
                    "it has %d replicas only, and Kafka waits for no more than there are, so first give it more"
                            .formatted(replicas));
        }
        if (isALoss(setting, wanted, found)) {
            return leftToAPerson(spec, setting, wanted, whatWouldBeLost(setting));
        }
        if (setting.equals(TopicConfig.RETENTION_BYTES_CONFIG) && !spec.states(setting) && !wanted.equals(found)) {
            return leftToAPerson(
                    spec,
                    setting,
                    wanted,
                    "the TopicSpec does not say retentionBytes, and somebody may guard the disks with this limit");
        }
        return new Fix(
                Remedy.APPLY,
                "set it with Topics.apply(), or: %s".formatted(commands.set(spec.name(), Map.of(setting, wanted))));
    }

    private Fix leftToAPerson(TopicSpec spec, String setting, String wanted, String why) {
        return new Fix(
                Remedy.BY_HAND,
                "Topics.apply() leaves that to you, since %s; if it is meant: %s; if not, correct the TopicSpec"
                        .formatted(why, commands.set(spec.name(), together(spec, setting, wanted))));
    }

    private static boolean isALoss(String setting, String wanted, String found) {
        if (setting.equals(TopicConfig.CLEANUP_POLICY_CONFIG)) {
            return Arrays.stream(found.split(","))
                    .noneMatch(policy -> policy.strip().equals(wanted));
        }
        return LESS_IS_A_LOSS.contains(setting) && limit(wanted) < limit(found);
    }

    /** Kafka writes -1 for no limit. */
    private static long limit(String value) {
        long limit = Long.parseLong(value);
        return limit < 0 ? Long.MAX_VALUE : limit;
    }

    private static String whatWouldBeLost(String setting) {
        return setting.equals(TopicConfig.MAX_MESSAGE_BYTES_CONFIG)
                ? "events that wait in an outbox may be larger"
                : "the broker would delete events";
    }

    /** Another clean-up must not begin for a moment without the lag or the retention that bounds it. */
    private static Map<String, String> together(TopicSpec spec, String setting, String wanted) {
        Map<String, String> together = new TreeMap<>(Map.of(setting, wanted));
        if (setting.equals(TopicConfig.CLEANUP_POLICY_CONFIG)) {
            together.putAll(spec.settings());
            together.keySet().retainAll(CLEAN_UP);
        }
        return together;
    }
}
