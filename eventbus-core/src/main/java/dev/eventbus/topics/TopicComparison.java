package dev.eventbus.topics;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.apache.kafka.common.config.TopicConfig;

/** Compares a topic with its spec: pure, so that each finding can be tested without a cluster. */
final class TopicComparison {

    private TopicComparison() {}

    /**
     * @param replicas the fewest that a partition has
     * @param settings by Kafka's names, inherited ones included
     */
    static List<TopicFinding> of(TopicSpec spec, int partitions, int replicas, Map<String, String> settings) {
        List<TopicFinding> findings = new ArrayList<>();
        if (partitions != spec.partitions()) {
            findings.add(new TopicFinding.PartitionCount(spec.name(), spec.partitions(), partitions));
        }
        if (replicas != spec.replicationFactor()) {
            findings.add(new TopicFinding.Replication(spec.name(), spec.replicationFactor(), replicas));
        }
        spec.settings().forEach((setting, wanted) -> {
            String found = settings.get(setting);
            if (!wanted.equals(found)) {
                findings.add(new TopicFinding.Setting(spec.name(), setting, wanted, found));
            }
        });
        String minInsync = settings.get(TopicConfig.MIN_IN_SYNC_REPLICAS_CONFIG);
        if (minInsync != null) {
            addRisks(spec.name(), replicas, Integer.parseInt(minInsync), findings);
        }
        return findings;
    }

    private static void addRisks(String topic, int replicas, int minInsync, List<TopicFinding> findings) {
        if (replicas == 1) {
            findings.add(new TopicFinding.Risk(
                    topic,
                    "topic %s has one replica: one lost disk loses acknowledged events (P2); use replication factor 3 and min.insync.replicas 2"
                            .formatted(topic)));
        } else if (minInsync == 1) {
            findings.add(new TopicFinding.Risk(
                    topic,
                    "topic %s has min.insync.replicas 1: while other replicas lag, an acknowledged event is on one disk only and can be lost with it (P2); set 2"
                            .formatted(topic)));
        } else if (minInsync >= replicas) {
            findings.add(new TopicFinding.Risk(
                    topic,
                    "topic %s has %d replicas and min.insync.replicas %d: when one broker dies nothing is acknowledged until it is back; events wait in the outbox, none is lost; use replication factor %d to go on through it"
                            .formatted(topic, replicas, minInsync, minInsync + 1)));
        }
    }
}
