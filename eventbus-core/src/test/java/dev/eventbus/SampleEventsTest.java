package dev.eventbus;

import static dev.eventbus.Samples.ASSET_UPDATED;
import static org.assertj.core.api.Assertions.assertThat;

import ch.qos.logback.classic.Level;
import ch.qos.logback.classic.Logger;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.core.read.ListAppender;
import dev.eventbus.Samples.AssetUpdated;
import dev.eventbus.Samples.HousingUpdated;
import dev.eventbus.Samples.Summary;
import java.time.Instant;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.slf4j.LoggerFactory;

class SampleEventsTest {

    private final EventDecoder decoder = Samples.decoder();
    private final Logger logger = (Logger) LoggerFactory.getLogger(EventDecoder.class);
    private final ListAppender<ILoggingEvent> log = new ListAppender<>();

    @BeforeEach
    void listen() {
        log.start();
        logger.addAppender(log);
    }

    @AfterEach
    void stopListening() {
        logger.detachAppender(log);
    }

    @Test
    void reads_the_asset_event_of_the_plan() {
        Event<?> event = decoder.decode(Samples.record("user-id", Samples.ASSET));

        assertThat(event)
                .isEqualTo(new Event<>(
                        "evt-uuid",
                        ASSET_UPDATED,
                        "user-id",
                        Instant.parse("2025-01-15T10:35:00Z"),
                        new AssetUpdated(
                                "user-id",
                                "ITEM_ADDED|ITEM_MODIFIED|ITEM_DELETED",
                                "SELF|SPOUSE",
                                "ASSET|LOAN|INCOME|EXPENSE",
                                "item-id",
                                10000000L,
                                15000000L,
                                new Summary(85000000L, 5500000L, 2500000L, 3000000L)),
                        Map.of()));
        assertThat(decoder.duplicateKeys()).isEmpty();
    }

    @Test
    void reads_the_housing_event_with_its_doubled_timestamp_and_says_so_once() {
        String doubled = Samples.HOUSING.replaceFirst("2025-01-15T10:40:00Z", "1999-01-01T00:00:00Z");

        Event<?> asPlanned = decoder.decode(Samples.record("user-id", Samples.HOUSING));
        Event<?> lastWins = decoder.decode(Samples.record("user-id", doubled));

        assertThat(asPlanned.timestamp()).isEqualTo("2025-01-15T10:40:00Z");
        assertThat(asPlanned.payload())
                .isEqualTo(
                        new HousingUpdated("user-id", "housing-id", "PRICE_CHANGED|LOCATION_CHANGED|TARGET_CHANGED"));
        assertThat(lastWins.timestamp()).isEqualTo("2025-01-15T10:40:00Z");
        assertThat(decoder.duplicateKeys()).containsExactly(Map.entry("HOUSING_UPDATED", 2L));
        assertThat(log.list).hasSize(1);
        assertThat(log.list.get(0).getLevel()).isEqualTo(Level.WARN);
        assertThat(log.list.get(0).getFormattedMessage())
                .contains("HOUSING_UPDATED")
                .contains("asset.events-0@17")
                .doesNotContain("2025-01-15");
    }

    @Test
    void reads_a_line_from_a_console_producer() {
        String key = Samples.CONSOLE_LINE.substring(0, Samples.CONSOLE_LINE.indexOf(':'));
        String value = Samples.CONSOLE_LINE.substring(key.length() + 1);

        Event<?> event = decoder.decode(Samples.record(key, value));

        assertThat(event.id()).isEqualTo("evt-test-001");
        assertThat(event.key()).isEqualTo("user-001");
        assertThat(event.timestamp()).isEqualTo("2025-12-29T10:00:00Z");
        assertThat(event.headers()).isEmpty();
        assertThat(event.payload())
                .isEqualTo(new AssetUpdated("user-001", "ITEM_ADDED", "SELF", "ASSET", null, null, null, null));
    }

    @Test
    void counts_doubled_keys_by_type_and_logs_the_first_of_each() {
        String asset = Samples.ASSET.replace("\"itemId\"", "\"\\u0069temId\":1,\"itemId\"");

        decoder.decode(Samples.record("user-id", asset));
        decoder.decode(Samples.record("user-id", asset));
        decoder.decode(Samples.record("user-id", Samples.HOUSING));

        assertThat(decoder.duplicateKeys())
                .containsOnly(Map.entry("ASSET_UPDATED", 2L), Map.entry("HOUSING_UPDATED", 1L));
        assertThat(log.list).hasSize(2);
    }
}
