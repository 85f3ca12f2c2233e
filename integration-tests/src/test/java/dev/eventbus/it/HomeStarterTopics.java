package dev.eventbus.it;

import dev.eventbus.topics.TopicNaming;
import dev.eventbus.topics.TopicPlan;
import dev.eventbus.topics.TopicSpec;
import java.time.Duration;

/** All topics of the team, and who reads them. */
final class HomeStarterTopics {

    static final TopicSpec ASSET_EVENTS = events("asset.events");
    static final TopicSpec HOUSING_EVENTS = events("housing.events");
    static final TopicSpec DEAD_LETTERS = TopicSpec.of("dlq.events", 1).replicationFactor(2);

    static final TopicPlan TOPICS = TopicPlan.builder()
            .topics("kafka", TopicNaming.FREE, ASSET_EVENTS, HOUSING_EVENTS, DEAD_LETTERS)
            .group("kafka", "calculator.asset.events", ASSET_EVENTS)
            .group("kafka", "calculator.housing.events", HOUSING_EVENTS)
            .group("kafka", "monitoring.dlq.events", DEAD_LETTERS)
            .outbox("asset", "housing")
            .build();

    private static TopicSpec events(String name) {
        return TopicSpec.of(name, 3)
                .replicationFactor(2)
                .retention(Duration.ofHours(24))
                .retentionBytes(10_000_000_000L);
    }

    private HomeStarterTopics() {}
}
