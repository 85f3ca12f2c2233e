package dev.eventbus.outbox;

import static dev.eventbus.outbox.TestEvents.event;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.lang.reflect.Proxy;
import java.time.Duration;
import java.util.concurrent.atomic.AtomicReference;
import javax.sql.DataSource;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** What a relay in trouble says of itself. */
class RelayHealthTest {

    private final TestDatabase database = new TestDatabase();
    private final FakeKafka kafka = new FakeKafka();
    private final OutboxRelay relay = relay(database.dataSource);

    private OutboxRelay relay(DataSource dataSource) {
        return OutboxRelay.builder(database.outbox, dataSource, kafka).build();
    }

    @AfterEach
    void close() {
        relay.close(Duration.ofSeconds(2));
    }

    @Test
    void health_says_that_a_relay_was_closed() {
        relay.runOnce();
        assertThat(relay.health().closed()).isFalse();
        relay.close();
        assertThat(relay.health().closed()).isTrue();
        assertThat(relay.health().up()).isFalse();
        assertThat(relay.health().problems()).singleElement().asString().contains("was closed");
    }

    @Test
    void health_says_that_a_round_failed_and_the_relay_heals() {
        AtomicReference<Error> bug = new AtomicReference<>(new AssertionError("on purpose"));
        try (OutboxRelay broken = relay(throwing(bug))) {
            database.publish(event("evt-1", "bob"));
            assertThatThrownBy(broken::runOnce).isInstanceOf(AssertionError.class);
            assertThat(broken.health().up()).isFalse();
            assertThat(broken.health().problems()).singleElement().asString().contains("AssertionError", "bug");
            bug.set(null);
            assertThat(broken.runOnce()).isEqualTo(1);
            assertThat(broken.health().up()).isTrue();
        }
    }

    @Test
    void health_says_that_the_relays_thread_has_ended() {
        try (OutboxRelay broken = relay(throwing(new AtomicReference<>(new OutOfMemoryError("on purpose"))))) {
            broken.start();
            Eventually.isTrue(() ->
                    broken.health().problems().stream().anyMatch(problem -> problem.contains("thread has ended")));
            assertThat(broken.health().up()).isFalse();
            assertThat(broken.health().closed()).isFalse();
        }
    }

    private DataSource throwing(AtomicReference<Error> error) {
        return (DataSource) Proxy.newProxyInstance(
                DataSource.class.getClassLoader(), new Class<?>[] {DataSource.class}, (proxy, method, arguments) -> {
                    Error now = error.get();
                    if (now != null) {
                        throw now;
                    }
                    return method.invoke(database.dataSource, arguments);
                });
    }
}
