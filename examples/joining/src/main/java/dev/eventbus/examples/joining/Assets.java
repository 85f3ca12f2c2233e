package dev.eventbus.examples.joining;

import dev.eventbus.EventType;
import java.util.Map;

/** What users own. Every recipe keeps it in the table {@code asset} and tells of every change, in one transaction. */
public interface Assets {

    // region: event
    /** The new amount that a user owns. */
    record AssetUpdated(String userId, Long amount) {}

    EventType<AssetUpdated> ASSET_UPDATED = EventType.of("ASSET_UPDATED", AssetUpdated.class)
            .topic("asset.events")
            .key(AssetUpdated::userId);

    /**
     * Writes an amount. It waits for whoever is changing the same user, and holds the row until the transaction ends: that is what
     * keeps the user's events in the order of the commits.
     */
    String SET = """
            INSERT INTO asset (user_id, amount) VALUES (?, ?)
            ON CONFLICT (user_id) DO UPDATE SET amount = excluded.amount""";
    // end: event

    /** Sets what a user owns. */
    void set(String user, long amount) throws Exception;

    /** Where a transaction can go back to a savepoint. */
    interface Import {

        /**
         * Sets what many users own in one transaction; one that fails is left out, together with its event.
         *
         * @return why, for each user who was left out: somebody has to hear of them
         */
        Map<String, Exception> setAll(Map<String, Long> amounts) throws Exception;
    }
}
