package dev.eventbus.examples.springboot;

import dev.eventbus.EventPublisher;
import dev.eventbus.EventType;
import org.springframework.stereotype.Service;
import org.springframework.transaction.annotation.Transactional;

/** The publisher: changes what a user owns and says so, in one transaction. */
@Service
class AssetService {

    /** A user owns more by this amount. */
    record AssetAdded(String userId, Long amount) {}

    static final EventType<AssetAdded> ASSET_ADDED =
            EventType.of("ASSET_ADDED", AssetAdded.class).topic("asset.events").key(AssetAdded::userId);

    private final AssetRepository assets;
    private final EventPublisher events;

    AssetService(AssetRepository assets, EventPublisher events) {
        this.assets = assets;
        this.events = events;
    }

    @Transactional
    public void add(String user, long amount) {
        Asset asset = assets.findByUserId(user); // the row is there; where it might not be, use lockKeys
        asset.amount += amount;
        events.publish(ASSET_ADDED, new AssetAdded(user, amount));
        if (asset.amount > 1_000) { // asked late on purpose: the roll-back takes the event along
            throw new IllegalArgumentException(user + " would own more than 1000");
        }
    }
}
