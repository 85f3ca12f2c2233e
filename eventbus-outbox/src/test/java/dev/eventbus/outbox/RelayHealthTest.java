package dev.eventbus.outbox;

import static dev.eventbus.outbox.TestEvents.event;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.lang.reflect.Proxy;
import java.sql.SQLTransientConnectionException;
import java.time.Duration;
import java.util.HashSet;
import java.util.Set;
import java.util.concurrent.CountDownLatch;
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

    @Test
    void a_relay_whose_thread_is_held_says_so_and_counts_no_shard_as_its_own_until_it_goes_on() throws Exception {
        CountDownLatch goesOn = new CountDownLatch(1);
        RelayListener blocks = new RelayListener() {
            @Override
            public void relayed(int events) {
                try {
                    goesOn.await();
                } catch (InterruptedException e) {
                    throw new IllegalStateException(e);
                }
            }
        };
        try (OutboxRelay held = OutboxRelay.builder(database.outbox, database.dataSource, kafka)
                .lease(Duration.ofSeconds(1))
                .listener(blocks)
                .build()) {
            held.start();
            Eventually.isTrue(() -> held.health().up());
            database.publish(event("evt-1", "bob"));
            Eventually.isTrue(() -> !held.health().up());
            assertThat(held.health().ownedShards()).isEmpty();
            assertThat(held.health().problems())
                    .singleElement()
                    .asString()
                    .startsWith("The relay's thread \"eventbus-relay\" has been held for ");
            goesOn.countDown();
            Eventually.isTrue(
                    () -> held.health().up() && held.health().ownedShards().size() == 16);
        } finally {
            goesOn.countDown();
        }
    }

    @Test
    void a_pool_that_has_nothing_for_longer_than_a_lease_is_not_told_as_a_thread_that_is_held() throws Exception {
        CountDownLatch fails = new CountDownLatch(1);
        DataSource exhausted = (DataSource) Proxy.newProxyInstance(
                DataSource.class.getClassLoader(), new Class<?>[] {DataSource.class}, (proxy, method, arguments) -> {
                    fails.await();
                    throw new SQLTransientConnectionException("exhausted");
                });
        try (OutboxRelay waits = OutboxRelay.builder(database.outbox, exhausted, kafka)
                .lease(Duration.ofSeconds(1))
                .build()) {
            waits.start();
            // until lease and rest are over
            Eventually.isTrue(() -> waits.health().problems().toString().matches(".* for ([4-9]|\\d\\d) s.*"));
            fails.countDown();
            Set<String> told = new HashSet<>();
            Eventually.isTrue(() -> {
                told.addAll(waits.health().problems());
                return told.toString().contains("exhausted");
            });
            assertThat(told).noneMatch(problem -> problem.contains("has been held"));
        } finally {
            fails.countDown();
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
