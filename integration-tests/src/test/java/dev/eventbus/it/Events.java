package dev.eventbus.it;

import dev.eventbus.EventType;
import org.jspecify.annotations.Nullable;

/** The events of home-starter, as its plan writes them. */
public final class Events {

    public record Summary(
            @Nullable Long totalNetAssets,
            @Nullable Long totalMonthlyIncome,
            @Nullable Long totalMonthlyExpense,
            @Nullable Long monthlyAvailableFunds) {}

    public record AssetUpdated(
            String userId,
            @Nullable String changeType,
            @Nullable String ownerType,
            @Nullable String itemType,
            @Nullable String itemId,
            @Nullable Long previousAmount,
            @Nullable Long newAmount,
            @Nullable Summary summary) {

        /** A change of an amount and nothing else. */
        public static AssetUpdated amount(String user, long amount) {
            return new AssetUpdated(user, "ITEM_MODIFIED", "SELF", "ASSET", null, null, amount, null);
        }
    }

    public record HousingUpdated(
            String userId,
            @Nullable String housingId,
            @Nullable String updateType) {}

    public static final EventType<AssetUpdated> ASSET_UPDATED = EventType.of("ASSET_UPDATED", AssetUpdated.class)
            .topic("asset.events")
            .key(AssetUpdated::userId);

    public static final EventType<HousingUpdated> HOUSING_UPDATED = EventType.of(
                    "HOUSING_UPDATED", HousingUpdated.class)
            .topic("housing.events")
            .key(HousingUpdated::userId);

    private Events() {}
}
