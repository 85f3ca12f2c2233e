package dev.eventbus;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.util.List;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.jspecify.annotations.Nullable;

/** The events of the two real systems, as their plans write them down. */
final class Samples {

    static final String ASSET = """
            {"eventId":"evt-uuid","eventType":"ASSET_UPDATED","timestamp":"2025-01-15T10:35:00Z","userId":"user-id",
             "changeType":"ITEM_ADDED|ITEM_MODIFIED|ITEM_DELETED","ownerType":"SELF|SPOUSE","itemType":"ASSET|LOAN|INCOME|EXPENSE",
             "itemId":"item-id","previousAmount":10000000,"newAmount":15000000,
             "summary":{"totalNetAssets":85000000,"totalMonthlyIncome":5500000,"totalMonthlyExpense":2500000,"monthlyAvailableFunds":3000000}}
            """;

    /** It really has {@code timestamp} twice. */
    static final String HOUSING = """
            {"eventId":"evt-uuid","eventType":"HOUSING_UPDATED","timestamp":"2025-01-15T10:40:00Z","userId":"user-id","housingId":"housing-id",
             "updateType":"PRICE_CHANGED|LOCATION_CHANGED|TARGET_CHANGED","timestamp":"2025-01-15T10:40:00Z"}
            """;

    /** What an operator pipes into a console producer with key separator {@code :}. */
    static final String CONSOLE_LINE = """
            user-001:{"eventId":"evt-test-001","eventType":"ASSET_UPDATED","timestamp":"2025-12-29T10:00:00Z","userId":"user-001","changeType":"ITEM_ADDED","ownerType":"SELF","itemType":"ASSET"}""";

    record AssetUpdated(
            String userId,
            @Nullable String changeType,
            @Nullable String ownerType,
            @Nullable String itemType,
            @Nullable String itemId,
            @Nullable Long previousAmount,
            @Nullable Long newAmount,
            @Nullable Summary summary) {}

    record Summary(
            Long totalNetAssets, Long totalMonthlyIncome, Long totalMonthlyExpense, Long monthlyAvailableFunds) {}

    record HousingUpdated(String userId, String housingId, String updateType) {}

    static final EventType<AssetUpdated> ASSET_UPDATED = EventType.of("ASSET_UPDATED", AssetUpdated.class)
            .topic("asset.events")
            .key(AssetUpdated::userId);

    static final EventType<HousingUpdated> HOUSING_UPDATED = EventType.of("HOUSING_UPDATED", HousingUpdated.class)
            .topic("housing.events")
            .key(HousingUpdated::userId);

    private Samples() {}

    static EventDecoder decoder() {
        return new EventDecoder(List.of(ASSET_UPDATED, HOUSING_UPDATED));
    }

    static ConsumerRecord<byte[], byte[]> record(@Nullable String key, @Nullable String value) {
        return record(key, value == null ? null : value.getBytes(UTF_8));
    }

    static ConsumerRecord<byte[], byte[]> record(@Nullable String key, byte @Nullable [] value) {
        return new ConsumerRecord<>("asset.events", 0, 17, key == null ? null : key.getBytes(UTF_8), value);
    }
}
