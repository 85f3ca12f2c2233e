package dev.eventbus;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;
import static org.assertj.core.api.Assertions.assertThatNullPointerException;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.fasterxml.jackson.annotation.JsonProperty;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class EventTypeTest {

    record Payload(@Nullable String userId) {}

    record WithEventId(String eventId) {}

    record WithTimestamp(@JsonProperty("timestamp") String when) {}

    static final class WithEventType {
        public String getEventType() {
            return "x";
        }
    }

    private static final EventType<Payload> TYPE =
            EventType.of("TYPE", Payload.class).topic("a.topic").key(Payload::userId);

    @Test
    void declares_name_class_topic_and_key() {
        assertThat(TYPE)
                .returns("TYPE", EventType::name)
                .returns(Payload.class, EventType::payloadClass)
                .returns("a.topic", EventType::topic)
                .returns("userId", EventType::keyProperty)
                .hasToString("TYPE");
        assertThat(TYPE.keyOf(new Payload("u"))).isEqualTo("u");
    }

    @ParameterizedTest
    @ValueSource(strings = {"", " ", "A B", "A\n", "\u00c4", "\0"})
    void refuses_a_name_that_is_not_printable_ascii(String name) {
        assertThatIllegalArgumentException()
                .isThrownBy(() -> EventType.of(name, Payload.class))
                .withMessageContaining("1 to 255 printable ASCII characters")
                .withMessageMatching("[ -~]*");
    }

    @Test
    void refuses_a_name_of_more_than_255_characters() {
        assertThat(EventType.of("N".repeat(255), Payload.class)).isNotNull();
        assertThatIllegalArgumentException().isThrownBy(() -> EventType.of("N".repeat(256), Payload.class));
    }

    @ParameterizedTest
    @ValueSource(classes = {WithEventId.class, WithTimestamp.class, WithEventType.class})
    void refuses_a_class_with_a_property_of_the_envelopes(Class<?> payload) {
        assertThatIllegalArgumentException()
                .isThrownBy(() -> EventType.of("TYPE", payload))
                .withMessageContaining(payload.getName())
                .withMessageContaining("belongs to the envelope");
    }

    @ParameterizedTest
    @ValueSource(
            classes = {String.class, int.class, Long.class, Boolean.class, byte[].class, List.class, Thread.State.class
            })
    void refuses_a_class_that_is_never_a_json_object(Class<?> payload) {
        assertThatIllegalArgumentException()
                .isThrownBy(() -> EventType.of("TYPE", payload))
                .withMessageContaining("no JSON object");
    }

    @ParameterizedTest
    @ValueSource(strings = {"", ".", "..", "a topic", "t\u00f6pic", "a/b"})
    void refuses_an_illegal_topic(String topic) {
        assertThatIllegalArgumentException()
                .isThrownBy(() -> EventType.of("TYPE", Payload.class).topic(topic))
                .withMessageContaining("topic of TYPE");
    }

    @ParameterizedTest
    @ValueSource(strings = {"", " ", "eventId", "eventType", "timestamp"})
    void refuses_a_key_property_that_is_blank_or_the_envelopes(String property) {
        assertThatIllegalArgumentException()
                .isThrownBy(() -> EventType.of("TYPE", Payload.class).topic("t").key(property, Payload::userId))
                .withMessageContaining("key property of TYPE");
    }

    @Test
    void a_payload_without_key_is_refused_with_the_property_to_set() {
        assertThatThrownBy(() -> TYPE.keyOf(new Payload(null)))
                .isInstanceOf(PublishRefusedException.class)
                .hasMessageContaining("TYPE has no key")
                .hasMessageContaining("'userId'")
                .hasMessageContaining("nothing was written");
    }

    @Test
    void an_event_has_all_its_parts_and_keeps_its_headers_to_itself() {
        Map<String, String> headers = new java.util.HashMap<>(Map.of("a", "1"));
        Event<Payload> event = new Event<>("e", TYPE, "u", Instant.EPOCH, new Payload("u"), headers);
        headers.put("b", "2");

        assertThat(event.headers()).containsExactly(Map.entry("a", "1"));
        assertThat(event.withHeader("a", "2").headers()).containsExactly(Map.entry("a", "2"));
        assertThat(event.headers()).containsExactly(Map.entry("a", "1"));
        assertThat(event).hasToString("TYPE e");
    }

    @Test
    @SuppressWarnings("NullAway") // what callers without a null checker do
    void an_event_without_id_time_or_payload_is_refused_by_name() {
        assertThatNullPointerException()
                .isThrownBy(() -> new Event<>(null, TYPE, "u", Instant.EPOCH, new Payload("u"), Map.of()))
                .withMessage("id");
        assertThatNullPointerException()
                .isThrownBy(() -> new Event<>("e", TYPE, "u", null, new Payload("u"), Map.of()))
                .withMessage("timestamp");
        assertThatNullPointerException()
                .isThrownBy(() -> new Event<>("e", TYPE, "u", Instant.EPOCH, null, Map.of()))
                .withMessage("payload");
    }
}
