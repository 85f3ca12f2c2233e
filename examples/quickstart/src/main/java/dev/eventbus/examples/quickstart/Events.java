package dev.eventbus.examples.quickstart;

import com.fasterxml.jackson.annotation.JsonInclude;
import dev.eventbus.EventType;
import dev.eventbus.topics.TopicSpec;
import java.time.Duration;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** What happens, where it goes, whose order it keeps; and the topics, as code. Boxed types: a missing property is null, not 0. */
final class Events {

    // region: declare
    @JsonInclude(JsonInclude.Include.NON_NULL)
    record AssetUpdated(
            String userId,
            @Nullable String changeType,
            @Nullable String itemType,
            @Nullable Long newAmount) {}

    static final EventType<AssetUpdated> ASSET_UPDATED = EventType.of("ASSET_UPDATED", AssetUpdated.class)
            .topic("asset.events")
            .key(AssetUpdated::userId);
    // end: declare

    record HousingUpdated(
            String userId,
            @Nullable String housingId,
            @Nullable String updateType) {}

    static final EventType<HousingUpdated> HOUSING_UPDATED = EventType.of("HOUSING_UPDATED", HousingUpdated.class)
            .topic("housing.events")
            .key(HousingUpdated::userId);

    static final String DEAD_LETTERS = "dlq.events";

    /** As in production, but for the replication: the demo has one broker. */
    static List<TopicSpec> topics() {
        return List.of(
                topic("asset.events", 3).retention(Duration.ofHours(24)),
                topic("housing.events", 3).retention(Duration.ofHours(24)),
                topic(DEAD_LETTERS, 1).retention(Duration.ofDays(7)));
    }

    private static TopicSpec topic(String name, int partitions) {
        return TopicSpec.of(name, partitions).replicationFactor(1).minInsyncReplicas(1);
    }

    private Events() {}
}
