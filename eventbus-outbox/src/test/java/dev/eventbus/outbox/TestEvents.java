package dev.eventbus.outbox;

import dev.eventbus.Event;
import dev.eventbus.EventType;
import java.time.Instant;

/** Events of the tests. */
final class TestEvents {

    record AssetUpdated(String userId, Integer amount) {}

    static final EventType<AssetUpdated> ASSET_UPDATED = EventType.of("ASSET_UPDATED", AssetUpdated.class)
            .topic("asset.events")
            .key(AssetUpdated::userId);

    static final EventType<AssetUpdated> HOUSING_UPDATED = EventType.of("HOUSING_UPDATED", AssetUpdated.class)
            .topic("housing.events")
            .key(AssetUpdated::userId);

    private TestEvents() {}

    static Event<AssetUpdated> event(String id, String user) {
        return Event.of(ASSET_UPDATED, id, Instant.parse("2026-01-15T10:35:00Z"), new AssetUpdated(user, 1));
    }

    static Event<AssetUpdated> event(EventType<AssetUpdated> type, String id, String user) {
        return Event.of(type, id, Instant.parse("2026-01-15T10:35:00Z"), new AssetUpdated(user, 1));
    }
}
