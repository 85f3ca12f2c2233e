package dev.eventbus.it;

import static dev.eventbus.it.Events.ASSET_UPDATED;
import static dev.eventbus.it.Events.HOUSING_UPDATED;
import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.Event;
import dev.eventbus.EventType;
import dev.eventbus.consumer.AfterRetries;
import dev.eventbus.consumer.ConsumerRunner;
import dev.eventbus.embedded.KafkaServer;
import dev.eventbus.embedded.PostgresServer;
import dev.eventbus.embedded.ServersExtension;
import dev.eventbus.it.Events.AssetUpdated;
import dev.eventbus.it.Events.HousingUpdated;
import dev.eventbus.it.Events.Summary;
import java.time.Instant;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

/** The plan's own records, byte for byte, from a producer that knows nothing of us. */
@ExtendWith(ServersExtension.class)
class SamplesIT {

    private static final String ASSET = """
            {"eventId":"evt-uuid","eventType":"ASSET_UPDATED","timestamp":"2025-01-15T10:35:00Z","userId":"user-id",
             "changeType":"ITEM_MODIFIED","ownerType":"SELF","itemType":"ASSET",
             "itemId":"item-id","previousAmount":10000000,"newAmount":15000000,
             "summary":{"totalNetAssets":85000000,"totalMonthlyIncome":5500000,"totalMonthlyExpense":2500000,"monthlyAvailableFunds":3000000}}
            """;

    private static final String HOUSING = """
            {"eventId":"evt-uuid","eventType":"HOUSING_UPDATED","timestamp":"2025-01-15T10:40:00Z","userId":"user-id","housingId":"housing-id",
             "updateType":"PRICE_CHANGED","timestamp":"2025-01-15T10:40:00Z"}
            """;

    private static final String CONSOLE_LINE = """
            user-001:{"eventId":"evt-test-001","eventType":"ASSET_UPDATED","timestamp":"2025-12-29T10:00:00Z","userId":"user-001","changeType":"ITEM_ADDED","ownerType":"SELF","itemType":"ASSET"}""";

    @Test
    void the_asset_sample_is_handled(KafkaServer kafka, PostgresServer postgres) throws Exception {
        assertThat(handled(kafka, postgres, ASSET_UPDATED, "user-id", ASSET))
                .singleElement()
                .satisfies(event -> {
                    assertThat(event.id()).isEqualTo("evt-uuid");
                    assertThat(event.timestamp()).isEqualTo(Instant.parse("2025-01-15T10:35:00Z"));
                    assertThat(event.key()).isEqualTo("user-id");
                    assertThat(event.payload())
                            .isEqualTo(new AssetUpdated(
                                    "user-id",
                                    "ITEM_MODIFIED",
                                    "SELF",
                                    "ASSET",
                                    "item-id",
                                    10_000_000L,
                                    15_000_000L,
                                    new Summary(85_000_000L, 5_500_000L, 2_500_000L, 3_000_000L)));
                });
    }

    @Test
    void the_housing_sample_is_handled_although_its_timestamp_stands_twice(KafkaServer kafka, PostgresServer postgres)
            throws Exception {
        assertThat(handled(kafka, postgres, HOUSING_UPDATED, "user-id", HOUSING))
                .singleElement()
                .satisfies(event -> {
                    assertThat(event.timestamp()).isEqualTo(Instant.parse("2025-01-15T10:40:00Z"));
                    assertThat(event.payload()).isEqualTo(new HousingUpdated("user-id", "housing-id", "PRICE_CHANGED"));
                });
    }

    @Test
    void the_console_line_is_handled_once_although_it_has_no_headers_and_lacks_fields(
            KafkaServer kafka, PostgresServer postgres) throws Exception {
        String[] line = CONSOLE_LINE.split(":", 2);
        assertThat(handled(kafka, postgres, ASSET_UPDATED, line[0], line[1]))
                .singleElement()
                .satisfies(event -> {
                    assertThat(event.id()).isEqualTo("evt-test-001");
                    assertThat(event.key()).isEqualTo("user-001");
                    assertThat(event.payload())
                            .isEqualTo(new AssetUpdated(
                                    "user-001", "ITEM_ADDED", "SELF", "ASSET", null, null, null, null));
                });
    }

    /** Sends the record twice, so that handling it once is not an accident, and returns what the handler was given. */
    private static <P> List<Event<P>> handled(
            KafkaServer kafka, PostgresServer postgres, EventType<P> type, String key, String json) throws Exception {
        try (Scene scene = Scene.create(kafka, postgres, type.topic() + ":3", "dlq.events:1")) {
            List<Event<P>> handled = new CopyOnWriteArrayList<>();
            String group = scene.group("calculator");
            scene.start(ConsumerRunner.builder(scene.kafka(), group)
                    .inTransaction(scene.inbox(), type, (event, tx) -> handled.add(event))
                    .afterRetries(AfterRetries.deadLetter("dlq.events"))
                    .build());
            scene.sendRaw(type.topic(), key, json);
            scene.sendRaw(type.topic(), key, json);
            Eventually.holds(() -> scene.committed(group, type.topic()) == 2, () -> handled);
            assertThat(scene.records("dlq.events")).isEmpty();
            return handled;
        }
    }
}
