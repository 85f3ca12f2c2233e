package dev.eventbus.outbox;

import static dev.eventbus.outbox.TestEvents.event;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.eventbus.Event;
import dev.eventbus.EventLimits;
import dev.eventbus.EventPublisher;
import dev.eventbus.EventType;
import dev.eventbus.PublishRefusedException;
import java.lang.reflect.Proxy;
import java.sql.Connection;
import java.sql.SQLException;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** What is refused without a word to the database. */
class RefusedPublishTest {

    /** A payload whose JSON depends on what it is given. */
    record Any(String userId, Object value) {}

    /** It contains itself. */
    static final class Cyclic {
        public Cyclic getSelf() {
            return this;
        }
    }

    static final class Failing {
        public String getValue() {
            throw new IllegalStateException("a getter that fails");
        }
    }

    private static final EventType<Any> ANY =
            EventType.of("ANY", Any.class).topic("asset.events").key(Any::userId);

    private final JdbcOutbox outbox = JdbcOutbox.h2();

    static Stream<Arguments> refused() {
        return Stream.of(
                Arguments.of("a cyclic object", any(new Cyclic())),
                Arguments.of("a getter that fails", any(new Failing())),
                Arguments.of("an event over the limit", any("x".repeat(EventLimits.MAX_EVENT_BYTES))),
                Arguments.of("a key over 255 bytes", event("evt-1", "u".repeat(256))),
                Arguments.of("a key of more than a kilobyte", event("evt-1", "u".repeat(1_025))),
                Arguments.of("an id with NUL", event("evt\0", "bob")),
                Arguments.of("a header of the library's", event("evt-1", "bob").withHeader("eventbus-x", "1")),
                Arguments.of("headers over the budget", event("evt-1", "bob").withHeader("note", "x".repeat(20_000))),
                Arguments.of(
                        "a key that is not the payload's",
                        new Event<>("evt-1", ANY, "alice", Instant.EPOCH, new Any("bob", 1), Map.of())));
    }

    private static Event<Any> any(Object value) {
        return Event.of(ANY, "evt-1", Instant.EPOCH, new Any("bob", value));
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("refused")
    void an_event_that_cannot_be_delivered_is_refused_before_the_connection_is_touched(String what, Event<?> bad) {
        EventPublisher events = outbox.within(untouchable());
        assertThatThrownBy(() -> events.publish(bad)).as(what).isInstanceOf(PublishRefusedException.class);
        assertThatThrownBy(() -> events.publishAll(List.of(event("evt-0", "bob"), bad)))
                .isInstanceOf(PublishRefusedException.class);
    }

    @Test
    void a_payload_without_its_key_is_refused_before_the_connection_is_touched() {
        assertThatThrownBy(() -> outbox.within(untouchable()).publish(ANY, new Any("", 1)))
                .isInstanceOf(PublishRefusedException.class)
                .hasMessageContaining("has no key");
    }

    @Test
    void the_same_id_may_be_published_again() throws SQLException {
        TestDatabase database = new TestDatabase();
        try (Connection tx = database.begin()) {
            database.outbox.within(tx).publish(event("evt-1", "bob"));
            database.outbox.within(tx).publishAll(List.of(event("evt-1", "bob"), event("evt-1", "alice")));
            tx.commit();
        }
        assertThat(database.ids()).containsExactly("evt-1", "evt-1", "evt-1");
    }

    private static Connection untouchable() {
        return (Connection) Proxy.newProxyInstance(
                RefusedPublishTest.class.getClassLoader(),
                new Class<?>[] {Connection.class},
                (proxy, method, arguments) -> {
                    throw new AssertionError("asked the database: " + method.getName());
                });
    }
}
