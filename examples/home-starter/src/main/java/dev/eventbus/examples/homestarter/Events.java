package dev.eventbus.examples.homestarter;

import com.fasterxml.jackson.annotation.JsonEnumDefaultValue;
import com.fasterxml.jackson.annotation.JsonInclude;
import dev.eventbus.EventType;
import org.jspecify.annotations.Nullable;

/**
 * What happens, where it goes, whose order it keeps. Numbers are boxed, so that a property that is missing reads as null and not as 0;
 * a constant that a newer publisher has and this reader has not reads as {@code UNKNOWN}.
 */
final class Events {

    enum ChangeType {
        ITEM_ADDED,
        ITEM_MODIFIED,
        ITEM_DELETED,
        @JsonEnumDefaultValue
        UNKNOWN
    }

    enum OwnerType {
        SELF,
        SPOUSE,
        @JsonEnumDefaultValue
        UNKNOWN
    }

    enum ItemType {
        ASSET,
        LOAN,
        INCOME,
        EXPENSE,
        @JsonEnumDefaultValue
        UNKNOWN
    }

    enum UpdateType {
        PRICE_CHANGED,
        LOCATION_CHANGED,
        TARGET_CHANGED,
        @JsonEnumDefaultValue
        UNKNOWN
    }

    record Summary(
            @Nullable Long totalNetAssets,
            @Nullable Long totalMonthlyIncome,
            @Nullable Long totalMonthlyExpense,
            @Nullable Long monthlyAvailableFunds) {}

    @JsonInclude(JsonInclude.Include.NON_NULL)
    record AssetUpdated(
            String userId,
            @Nullable ChangeType changeType,
            @Nullable OwnerType ownerType,
            @Nullable ItemType itemType,
            @Nullable String itemId,
            @Nullable Long previousAmount,
            @Nullable Long newAmount,
            @Nullable Summary summary) {}

    record HousingUpdated(
            String userId,
            @Nullable String housingId,
            @Nullable UpdateType updateType) {}

    static final EventType<AssetUpdated> ASSET_UPDATED = EventType.of("ASSET_UPDATED", AssetUpdated.class)
            .topic("asset.events")
            .key(AssetUpdated::userId);

    static final EventType<HousingUpdated> HOUSING_UPDATED = EventType.of("HOUSING_UPDATED", HousingUpdated.class)
            .topic("housing.events")
            .key(HousingUpdated::userId);

    private Events() {}
}
