package dev.eventbus.examples.homestarter;

// region: plan
import dev.eventbus.topics.TopicNaming;
import dev.eventbus.topics.TopicPlan;
import dev.eventbus.topics.TopicSpec;
import java.time.Duration;

/** All topics of the team, and who reads them. */
final class HomeStarterTopics {

    static final String DEAD_LETTERS = "dlq.events";
    static final String CALCULATOR_ASSET = "calculator.asset.events";
    static final String CALCULATOR_HOUSING = "calculator.housing.events";
    static final String MONITORING = "monitoring.dlq.events";

    /** Each event on three brokers, acknowledged by two: one may die, and delivery goes on. */
    static final TopicPlan TOPICS = plan(3, 3);

    /** After more partitions for assets. */
    static final TopicPlan GROWN = plan(6, 3);

    static TopicPlan plan(int assetPartitions, int replicas) {
        TopicSpec assets = events("asset.events", assetPartitions, replicas);
        TopicSpec housing = events("housing.events", 3, replicas);
        TopicSpec letters = TopicSpec.of(DEAD_LETTERS, 1)
                .replicationFactor(replicas)
                .minInsyncReplicas(2)
                .retention(Duration.ofDays(7));
        return TopicPlan.builder()
                .topics("kafka", TopicNaming.FREE, assets, housing, letters)
                .group("kafka", CALCULATOR_ASSET, assets)
                .group("kafka", CALCULATOR_HOUSING, housing)
                .group("kafka", MONITORING, letters)
                .outbox("asset", "housing")
                .build();
    }

    private static TopicSpec events(String name, int partitions, int replicas) {
        return TopicSpec.of(name, partitions)
                .replicationFactor(replicas)
                .minInsyncReplicas(2)
                .retention(Duration.ofHours(24))
                .retentionBytes(10_000_000_000L / 3); // of each partition
    }

    private HomeStarterTopics() {}
}
// end: plan
