package dev.eventbus.testkit;

import static dev.eventbus.testkit.Calculator.ASSET_UPDATED;
import static dev.eventbus.testkit.guarantees.Guarantee.allHandled;
import static dev.eventbus.testkit.guarantees.Guarantee.effectivelyOnce;
import static dev.eventbus.testkit.guarantees.Guarantee.noLoss;
import static dev.eventbus.testkit.guarantees.Guarantee.parkedKeyBlocks;
import static dev.eventbus.testkit.guarantees.Guarantee.perKeyOrder;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.Event;
import dev.eventbus.EventType;
import dev.eventbus.consumer.AfterRetries;
import dev.eventbus.consumer.ConsumerRunner;
import dev.eventbus.consumer.deadletter.DeadLetter;
import dev.eventbus.consumer.inbox.JdbcInbox;
import dev.eventbus.outbox.JdbcOutbox;
import dev.eventbus.outbox.Outbox;
import dev.eventbus.testkit.Calculator.AssetUpdated;
import dev.eventbus.testkit.guarantees.History;
import io.github.resilience4j.retry.RetryConfig;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.SQLException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.atomic.AtomicBoolean;
import org.junit.jupiter.api.Test;

/** The code of docs/testing.md. */
class TestingSamplesTest {

    // region: fixture
    @Test
    void a_booking_is_written_and_told_once_however_often_it_comes() throws SQLException {
        JdbcOutbox outbox = JdbcOutbox.h2();
        try (Ledger ledger = Ledger.create();
                HandlerFixture<AssetUpdated> fixture =
                        HandlerFixture.inTransaction(ledger.database(), ASSET_UPDATED, (event, tx) -> {
                            ledger.book(tx.connection(), name(event));
                            outbox.within(tx.connection()).publish(BOOKED, new Booked(event.key()));
                        })) {
            fixture.publishingTo(outbox)
                    .given("INSERT INTO ledger (entry) VALUES ('opening')")
                    .when(updated("bob", 1))
                    .again() // as after a crash
                    .expectHandled()
                    .expectRows("SELECT entry FROM ledger ORDER BY line", "opening", "bob/1")
                    .expectPublished(BOOKED, new Booked("bob"));
        }
    }
    // end: fixture

    // region: parked
    @Test
    void what_cannot_be_booked_is_parked_and_later_bookings_of_its_user_wait_behind_it() throws SQLException {
        try (Ledger ledger = Ledger.create();
                HandlerFixture<AssetUpdated> fixture =
                        HandlerFixture.inTransaction(ledger.database(), ASSET_UPDATED, (event, tx) -> {
                            ledger.book(tx.connection(), name(event));
                            if (event.payload().amount() < 0) {
                                throw new IllegalArgumentException("a debt cannot be booked");
                            }
                        })) {
            fixture.when(updated("bob", -1))
                    .expectFailed(IllegalArgumentException.class)
                    .expectParked()
                    .when(updated("bob", 2))
                    .expectParked() // it waits
                    .when(updated("alice", 3))
                    .expectHandled()
                    .expectRows("SELECT entry FROM ledger", "alice/3");
        }
    }
    // end: parked

    record Booked(String userId) {}

    private static final EventType<Booked> BOOKED =
            EventType.of("BOOKED", Booked.class).topic("booked").key(Booked::userId);

    // region: seeded
    @Test
    void whoever_comes_first_each_user_is_evicted() {
        for (long seed = 0; seed < 100; seed++) {
            try (FakeEventBus bus = FakeEventBus.seeded(seed)) {
                Set<String> evicted = new TreeSet<>();
                bus.start(Calculator.runner(bus.kafka(), evicted::add));
                bus.start(Calculator.runner(bus.kafka(), evicted::add));
                bus.publish(ASSET_UPDATED, updated("bob", 1), updated("alice", 1), updated("carol", 1));
                bus.faults().rebalance(Calculator.GROUP);
                bus.runUntilIdle();
                assertThat(evicted).as("seed %d", seed).containsExactly("alice", "bob", "carol");
            }
        }
    }
    // end: seeded

    // region: first
    @Test
    void a_user_whose_results_cannot_be_evicted_is_dead_lettered_and_others_go_on() {
        try (FakeEventBus bus = FakeEventBus.create()) {
            List<String> evicted = new ArrayList<>();
            bus.start(Calculator.runner(bus.kafka(), user -> {
                if (user.equals("bob")) {
                    throw new IllegalStateException("no");
                }
                evicted.add(user);
            }));
            bus.publish(ASSET_UPDATED, updated("bob", 1), updated("alice", 1));
            bus.runUntilIdle();

            assertThat(evicted).containsExactly("alice");
            assertThat(bus.deadLetters()).extracting(DeadLetter::keyText).containsExactly("bob");
        }
    }
    // end: first

    // region: faults
    @Test
    void a_user_who_fails_twice_is_evicted_at_the_third_try() {
        try (FakeEventBus bus = FakeEventBus.create()) {
            List<String> evicted = new ArrayList<>();
            bus.faults().failTimes(2).forKey("bob");
            bus.start(Calculator.runner(bus.kafka(), user -> {
                bus.faults().failPoint(user); // the fake of Redis fails
                evicted.add(user);
            }));
            bus.publish(ASSET_UPDATED, updated("bob", 1), updated("alice", 1));
            bus.runUntilIdle();

            assertThat(evicted).containsExactly("alice", "bob");
            assertThat(bus.deadLetters()).isEmpty();
        }
    }
    // end: faults

    // region: outage
    @Test
    void a_dead_letter_waits_for_its_topic_and_is_not_lost() {
        try (FakeEventBus bus = FakeEventBus.create()) {
            bus.faults().failTimes(4).forKey("bob"); // as often as it is tried
            bus.faults().down("dlq.events");
            bus.start(Calculator.runner(bus.kafka(), bus.faults()::failPoint));
            bus.publish(ASSET_UPDATED, updated("bob", 1));
            bus.advance(Duration.ofHours(12));
            assertThat(bus.deadLetters()).isEmpty();

            bus.faults().up("dlq.events");
            bus.runUntilIdle();
            assertThat(bus.deadLetters()).extracting(DeadLetter::keyText).containsExactly("bob");
        }
    }
    // end: outage

    // region: crash
    @Test
    void a_crash_between_commit_and_offset_books_nothing_twice() throws SQLException {
        try (Ledger ledger = Ledger.create();
                FakeEventBus bus = FakeEventBus.create()) {
            bus.start(booking(bus, ledger));
            bus.publish(ASSET_UPDATED, updated("bob", 1), updated("bob", 2));
            bus.faults().crashAt(CrashPoint.AFTER_COMMIT);
            bus.runUntilIdle(); // the runner has crashed, and nothing runs
            assertThat(ledger.booked()).containsExactly("bob/1");

            bus.start(booking(bus, ledger));
            bus.runUntilIdle();
            assertThat(ledger.booked()).containsExactly("bob/1", "bob/2");
        }
    }

    static ConsumerRunner booking(FakeEventBus bus, Ledger ledger) {
        JdbcInbox inbox = JdbcInbox.h2(bus.faults().dataSource(ledger.database())); // where it can crash
        return ConsumerRunner.builder(bus.kafka(), "ledger.asset.events")
                .inTransaction(inbox, ASSET_UPDATED, (event, tx) -> ledger.book(tx.connection(), name(event)))
                .afterRetries(AfterRetries.deadLetter("dlq.events"))
                .build();
    }
    // end: crash

    // region: sweep
    static final class BookingScenario implements CrashSweep.Scenario {

        private final Ledger ledger = Ledger.create(); // a database of its own in each run

        BookingScenario() throws SQLException {}

        @Override
        public void start(FakeEventBus bus) {
            bus.start(booking(bus, ledger));
        }

        @Override
        public void run(FakeEventBus bus) {
            bus.publish(ASSET_UPDATED, updated("bob", 1), updated("bob", 2), updated("alice", 1));
            bus.publishRaw("asset.events", "bob", "no event at all");
        }

        @Override
        public Object state(FakeEventBus bus) throws SQLException {
            return ledger.booked().stream().sorted().toList();
        }

        @Override
        public void close() {
            ledger.close();
        }
    }

    @Test
    void wherever_it_crashes_the_bookings_are_the_same() throws Exception {
        List<CrashSweep.Crash> crashes = CrashSweep.run(BookingScenario::new);

        assertThat(crashes).extracting(CrashSweep.Crash::point).contains(CrashPoint.values());
    }
    // end: sweep

    // region: guarantees
    @Test
    void later_events_of_a_parked_key_wait() throws SQLException {
        History history = new History();
        AtomicBoolean mended = new AtomicBoolean();
        try (Ledger ledger = Ledger.create();
                FakeEventBus bus = FakeEventBus.create()) {
            JdbcInbox inbox = JdbcInbox.h2(ledger.database());
            bus.start(ConsumerRunner.builder(bus.kafka(), "ledger.asset.events")
                    .inTransaction(inbox, ASSET_UPDATED, (event, tx) -> {
                        if (name(event).equals("bob/1") && !mended.get()) {
                            history.parked(event.key(), event.id());
                            throw new IllegalStateException("out of order");
                        }
                        history.handled(event.key(), event.id());
                    })
                    .retry(RetryConfig.custom().maxAttempts(1).build())
                    .afterRetries(AfterRetries.parkKey(inbox, "dlq.events"))
                    .build());
            history.published(bus.publish(ASSET_UPDATED, updated("bob", 1), updated("bob", 2), updated("alice", 1)));
            bus.runUntilIdle();
            assertThat(history.violations(parkedKeyBlocks())).isEmpty();
            assertThat(history.violations(noLoss())).as("bob/2 waits").hasSize(1);

            mended.set(true);
            inbox.parking().redrive("ledger.asset.events", "asset.events", "bob".getBytes(UTF_8));
            bus.runUntilIdle();
            assertThat(history.violations(allHandled(), parkedKeyBlocks(), perKeyOrder(), effectivelyOnce()))
                    .isEmpty();
        }
    }
    // end: guarantees

    // region: recording
    @Test
    void a_change_of_assets_is_published() throws SQLException {
        RecordingOutbox outbox = new RecordingOutbox();
        try (Connection tx = DriverManager.getConnection("jdbc:h2:mem:")) {
            tx.setAutoCommit(false); // else it refuses, as the real one does
            new AssetService(outbox).change(tx, "bob", 7);
        }
        assertThat(outbox.published(ASSET_UPDATED)).extracting(Event::key).containsExactly("bob");
    }
    // end: recording

    /** Code under test. */
    private record AssetService(Outbox outbox) {
        void change(Connection tx, String user, int amount) {
            outbox.within(tx).publish(ASSET_UPDATED, updated(user, amount));
        }
    }

    private static AssetUpdated updated(String user, int amount) {
        return new AssetUpdated(user, amount);
    }

    private static String name(Event<? extends AssetUpdated> event) {
        return event.key() + "/" + event.payload().amount();
    }
}
