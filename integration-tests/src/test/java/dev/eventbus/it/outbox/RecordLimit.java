package dev.eventbus.it.outbox;

import static dev.eventbus.it.Events.ASSET_UPDATED;

import dev.eventbus.Event;
import dev.eventbus.it.Events.AssetUpdated;
import dev.eventbus.it.Eventually;
import dev.eventbus.it.Scene;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.common.config.ConfigResource;

/** How large a batch a topic takes, so that the broker refuses an event for good until the limit is raised. */
final class RecordLimit {

    private static final int LARGE = 20_000;

    private RecordLimit() {}

    /** Returns when the broker knows. */
    static void set(Scene scene, String topic, int bytes) throws Exception {
        ConfigResource resource =
                new ConfigResource(ConfigResource.Type.TOPIC, scene.kafka().physicalTopic(topic));
        AlterConfigOp limit = new AlterConfigOp(
                new ConfigEntry("max.message.bytes", String.valueOf(bytes)), AlterConfigOp.OpType.SET);
        try (Admin admin = scene.kafka().admin()) {
            admin.incrementalAlterConfigs(Map.of(resource, List.of(limit)))
                    .all()
                    .get();
            Eventually.holds( // the controller tells the broker a moment later
                    () -> admin.describeConfigs(List.of(resource)).all().get().values().stream()
                            .allMatch(config ->
                                    config.get("max.message.bytes").value().equals(String.valueOf(bytes))),
                    () -> "the limit is the old one");
        }
    }

    /** Of 20,000 letters that do not compress. */
    static Event<AssetUpdated> large(String id, String user) {
        StringBuilder ballast = new StringBuilder();
        new SplittableRandom(1).ints(LARGE, 'a', 'z').forEach(letter -> ballast.append((char) letter));
        return Event.of(
                ASSET_UPDATED,
                id,
                Instant.EPOCH,
                new AssetUpdated(user, null, null, null, ballast.toString(), null, null, null));
    }
}
