package dev.eventbus.topics;

import dev.eventbus.topics.TopicFinding.Fix;
import dev.eventbus.topics.TopicFinding.Remedy;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.kafka.common.config.TopicConfig;

/** Compares a topic with its spec: pure, so that each finding can be tested without a cluster. */
final class TopicComparison {

    /**
     * A topic as it is.
     *
     * @param replicas the fewest that a partition has
     * @param settings by Kafka's names, inherited ones included
     * @param written names of those that are the topic's own
     */
    record Found(int partitions, int replicas, Map<String, String> settings, Set<String> written) {}

    private TopicComparison() {}

    static List<TopicFinding> of(TopicSpec spec, Found found, TopicFixes fixes) {
        List<TopicFinding> findings = new ArrayList<>();
        if (found.partitions() != spec.partitions()) {
            findings.add(new TopicFinding.PartitionCount(
                    spec.name(), spec.partitions(), found.partitions(), fixes.partitions(spec, found.partitions())));
        }
        if (found.replicas() != spec.replicationFactor()) {
            findings.add(new TopicFinding.Replication(
                    spec.name(), spec.replicationFactor(), found.replicas(), fixes.replication(found.replicas())));
        }
        spec.settings().forEach((setting, wanted) -> {
            String value = found.settings().get(setting);
            if (!wanted.equals(value) || !found.written().contains(setting)) {
                Fix fix = fixes.setting(spec, setting, value, found.replicas());
                findings.add(new TopicFinding.Setting(spec.name(), setting, wanted, value, fix));
            }
        });
        String minInsync = found.settings().get(TopicConfig.MIN_IN_SYNC_REPLICAS_CONFIG);
        if (minInsync != null) {
            addRisks(spec.name(), found.replicas(), Integer.parseInt(minInsync), findings);
        }
        return findings;
    }

    private static void addRisks(String topic, int replicas, int minInsync, List<TopicFinding> findings) {
        if (replicas == 1) {
            findings.add(risk(
                    topic,
                    "topic %s has one replica%s: one lost disk loses acknowledged events (P2)"
                            .formatted(
                                    topic,
                                    minInsync > 1 ? ", whatever min.insync.replicas=" + minInsync + " says" : ""),
                    "use replication factor 3 and min.insync.replicas 2"));
        } else if (minInsync == 1) {
            findings.add(risk(
                    topic,
                    "topic %s has min.insync.replicas 1: while other replicas lag, an acknowledged event is on one disk only and can be lost with it (P2)"
                            .formatted(topic),
                    "set 2"));
        } else if (minInsync >= replicas) {
            findings.add(risk(
                    topic,
                    "topic %s has %d replicas and min.insync.replicas %d: when one broker dies nothing is acknowledged until it is back; events wait in the outbox, none is lost"
                            .formatted(topic, replicas, minInsync),
                    "use replication factor %d to go on through it".formatted(minInsync + 1)));
        }
    }

    private static TopicFinding risk(String topic, String what, String fix) {
        return new TopicFinding.Risk(topic, what, new Fix(Remedy.BY_HAND, fix));
    }
}
