package dev.eventbus.testkit;

import static dev.eventbus.testkit.Calculator.ASSET_UPDATED;
import static dev.eventbus.testkit.guarantees.Guarantee.allHandled;
import static dev.eventbus.testkit.guarantees.Guarantee.effectivelyOnce;
import static dev.eventbus.testkit.guarantees.Guarantee.perKeyOrder;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.eventbus.Event;
import dev.eventbus.consumer.AfterRetries;
import dev.eventbus.consumer.ConsumerRunner;
import dev.eventbus.consumer.inbox.JdbcInbox;
import dev.eventbus.testkit.Calculator.AssetUpdated;
import dev.eventbus.testkit.guarantees.History;
import io.github.resilience4j.retry.RetryConfig;
import java.sql.SQLException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.Function;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.parallel.Execution;
import org.junit.jupiter.api.parallel.ExecutionMode;

/** Interleavings that a seed decides. */
@Execution(ExecutionMode.CONCURRENT)
class SeededBusTest {

    private static final String GROUP = "calculator";

    @Test
    void a_seed_gives_the_same_run_each_time_and_seeds_give_different_ones() {
        Map<Long, List<String>> runs = new TreeMap<>();
        for (long seed = 0; seed < 50; seed++) {
            List<String> first = runOfThreeMembers(seed);
            assertThat(runOfThreeMembers(seed)).as("seed %d", seed).isEqualTo(first);
            runs.put(seed, first);
        }
        assertThat(runs.values().stream().distinct().count())
                .as("different runs of 50")
                .isGreaterThan(10);
    }

    /** Who handled what, in order. */
    private static List<String> runOfThreeMembers(long seed) {
        List<String> handled = new ArrayList<>();
        try (FakeEventBus bus = FakeEventBus.seeded(seed)) {
            for (String member : List.of("a", "b", "c")) {
                bus.start(ConsumerRunner.builder(bus.kafka(), GROUP)
                        .on(
                                ASSET_UPDATED,
                                (event, delivery) -> handled.add(member + " " + event.key() + "/"
                                        + event.payload().amount()))
                        .afterRetries(AfterRetries.deadLetter("dlq.events"))
                        .build());
            }
            for (int number = 0; number < 4; number++) {
                for (String user : List.of("bob", "carol", "dave", "erin")) {
                    bus.publish(ASSET_UPDATED, new AssetUpdated(user, number));
                }
                bus.advance(Duration.ofMillis(50));
            }
            bus.runUntilIdle();
        }
        return handled;
    }

    @Test
    void in_every_interleaving_of_members_that_come_go_and_are_thrown_out_effects_happen_once_and_in_order()
            throws SQLException {
        for (long seed = 0; seed < 60; seed++) {
            try (Ledger ledger = Ledger.create();
                    FakeEventBus bus = FakeEventBus.seeded(seed)) {
                ConsumerRunner first = bus.start(booking(bus, ledger));
                bus.start(booking(bus, ledger));
                bus.faults().failTimes(2).forKey("bob");
                List<Event<AssetUpdated>> published = new ArrayList<>(publish(bus, 0));
                bus.advance(Duration.ofMillis(20));
                bus.faults().expel(GROUP);
                published.addAll(publish(bus, 1));
                bus.advance(Duration.ofMillis(20));
                bus.start(booking(bus, ledger));
                first.close();
                bus.faults().rebalance(GROUP);
                published.addAll(publish(bus, 2));
                bus.runUntilIdle();

                Map<String, String> keys = published.stream().collect(Collectors.toMap(Event::id, Event::key));
                History history = new History();
                history.published(published);
                ledger.booked().forEach(id -> history.handled(keys.getOrDefault(id, "nobody"), id));
                assertThat(history.violations(allHandled(), perKeyOrder(), effectivelyOnce()))
                        .as("seed %d", seed)
                        .isEmpty();
            }
        }
    }

    private static List<Event<AssetUpdated>> publish(FakeEventBus bus, int number) {
        Function<String, AssetUpdated> of = user -> new AssetUpdated(user, number);
        return bus.publish(ASSET_UPDATED, of.apply("bob"), of.apply("carol"), of.apply("dave"), of.apply("erin"));
    }

    private static ConsumerRunner booking(FakeEventBus bus, Ledger ledger) {
        return ConsumerRunner.builder(bus.kafka(), GROUP)
                .inTransaction(JdbcInbox.h2(ledger.database()), ASSET_UPDATED, (event, tx) -> {
                    bus.faults().failPoint(event.key());
                    ledger.book(tx.connection(), event.id());
                })
                .retry(RetryConfig.custom()
                        .maxAttempts(4)
                        .waitDuration(Duration.ofMillis(15))
                        .build())
                .afterRetries(AfterRetries.deadLetter("dlq.events"))
                .build();
    }

    @Test
    void what_does_not_end_is_told_with_its_seed() {
        try (FakeEventBus bus = FakeEventBus.seeded(42)) {
            bus.faults().down("dlq.events");
            bus.start(ConsumerRunner.builder(bus.kafka(), GROUP)
                    .on(ASSET_UPDATED, (event, delivery) -> {
                        throw new IllegalStateException("never");
                    })
                    .retry(RetryConfig.custom().maxAttempts(1).build())
                    .afterRetries(AfterRetries.deadLetter("dlq.events"))
                    .build());
            bus.publish(ASSET_UPDATED, new AssetUpdated("bob", 1));
            assertThatThrownBy(bus::runUntilIdle)
                    .isInstanceOf(AssertionError.class)
                    .hasMessageStartingWith("seed 42: ");
        }
    }
}
