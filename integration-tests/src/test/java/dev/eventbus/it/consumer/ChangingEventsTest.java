package dev.eventbus.it.consumer;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.fasterxml.jackson.annotation.JsonAlias;
import com.fasterxml.jackson.annotation.JsonEnumDefaultValue;
import dev.eventbus.DecodeException;
import dev.eventbus.Event;
import dev.eventbus.EventDecoder;
import dev.eventbus.EventType;
import dev.eventbus.FailureReason;
import java.util.List;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;

/** What docs/changing-an-event.md says: which event is read by which version of its class. */
class ChangingEventsTest {

    // region: boxed
    record AssetUpdated(
            String userId,
            @Nullable Long newAmount, // null if the event is older than this property
            @Nullable ChangeType changeType) {}
    // end: boxed

    // region: enum
    enum ChangeType {
        ITEM_ADDED,
        ITEM_MODIFIED,
        ITEM_DELETED,

        /** What this version does not know yet. */
        @JsonEnumDefaultValue
        OTHER
    }
    // end: enum

    record WithPrimitive(String userId, long newAmount) {}

    record Renamed(
            String userId, @JsonAlias("newAmount") @Nullable Long amountAfter) {}

    enum Closed {
        ITEM_ADDED
    }

    record WithClosedEnum(String userId, @Nullable Closed changeType) {}

    @Test
    void a_property_more_is_ignored_and_a_property_less_is_null() {
        AssetUpdated read = read(AssetUpdated.class, "\"currency\":\"EUR\"");
        assertThat(read).isEqualTo(new AssetUpdated("alice", null, null));
    }

    @Test
    void a_missing_primitive_is_refused() {
        assertThatThrownBy(() -> read(WithPrimitive.class, "\"currency\":\"EUR\""))
                .isInstanceOfSatisfying(
                        DecodeException.class, e -> assertThat(e.reason()).isEqualTo(FailureReason.BAD_VALUE));
    }

    @Test
    void a_constant_that_is_not_known_yet_is_read_as_the_one_for_that_and_refused_without_one() {
        assertThat(read(AssetUpdated.class, "\"changeType\":\"ITEM_SPLIT\"").changeType())
                .isEqualTo(ChangeType.OTHER);
        assertThatThrownBy(() -> read(WithClosedEnum.class, "\"changeType\":\"ITEM_SPLIT\""))
                .isInstanceOfSatisfying(
                        DecodeException.class, e -> assertThat(e.reason()).isEqualTo(FailureReason.BAD_VALUE));
    }

    @Test
    void a_renamed_property_is_read_under_both_names() {
        assertThat(read(Renamed.class, "\"newAmount\":7")).isEqualTo(new Renamed("alice", 7L));
        assertThat(read(Renamed.class, "\"amountAfter\":7")).isEqualTo(new Renamed("alice", 7L));
    }

    private static <P> P read(Class<P> payload, String properties) {
        EventType<P> type =
                EventType.of("ASSET_UPDATED", payload).topic("asset.events").key(any -> "alice");
        String json = """
                {"eventId":"e1","eventType":"ASSET_UPDATED","timestamp":"2030-01-01T00:00:00Z","userId":"alice",%s}
                """.formatted(properties);
        Event<?> event = new EventDecoder(List.of(type))
                .decode(new ConsumerRecord<>("asset.events", 0, 0, "alice".getBytes(UTF_8), json.getBytes(UTF_8)));
        return payload.cast(event.payload());
    }
}
