package dev.eventbus.testkit;

import static dev.eventbus.testkit.Calculator.ASSET_UPDATED;
import static dev.eventbus.testkit.guarantees.Guarantee.allHandled;
import static dev.eventbus.testkit.guarantees.Guarantee.effectivelyOnce;
import static dev.eventbus.testkit.guarantees.Guarantee.noLoss;
import static dev.eventbus.testkit.guarantees.Guarantee.perKeyOrder;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import ch.qos.logback.classic.Level;
import ch.qos.logback.classic.Logger;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.core.read.ListAppender;
import dev.eventbus.Event;
import dev.eventbus.consumer.AfterRetries;
import dev.eventbus.consumer.ConsumerRunner;
import dev.eventbus.consumer.ConsumerRunnerBuilder;
import dev.eventbus.consumer.deadletter.DeadLetter;
import dev.eventbus.consumer.inbox.JdbcInbox;
import dev.eventbus.testkit.Calculator.AssetUpdated;
import dev.eventbus.testkit.CrashSweep.Crash;
import dev.eventbus.testkit.guarantees.History;
import dev.eventbus.testkit.guarantees.Violation;
import io.github.resilience4j.retry.RetryConfig;
import java.sql.Connection;
import java.sql.SQLException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Collectors;
import org.junit.jupiter.api.RepeatedTest;
import org.junit.jupiter.api.Test;
import org.slf4j.LoggerFactory;

class CrashSweepTest {

    private static final String LETTERS = "dlq.events";

    @Test
    void a_service_that_writes_in_the_transaction_it_is_given_survives_every_crash() throws Exception {
        List<Crash> crashes = CrashSweep.run(() -> new Booking(true));

        assertThat(crashes).extracting(Crash::point).contains(CrashPoint.values());
        assertThat(crashes).contains(new Crash(CrashPoint.AFTER_COMMIT, 3)).doesNotHaveDuplicates();
    }

    @Test
    void a_key_that_is_parked_and_redriven_survives_every_crash() throws Exception {
        List<Crash> crashes = CrashSweep.run(Parking::new);

        assertThat(crashes).extracting(Crash::point).contains(CrashPoint.values());
        assertThat(crashes)
                .filteredOn(crash -> crash.point() == CrashPoint.AFTER_COMMIT)
                .as("alice; bob waits, fails for good, is followed, is redriven, is followed, is lifted")
                .hasSizeGreaterThanOrEqualTo(7);
    }

    @Test
    void an_effect_beside_the_transaction_is_found_and_told_with_its_crash() {
        assertThatThrownBy(() -> CrashSweep.run(() -> new Booking(false)))
                .isInstanceOf(AssertionError.class)
                .hasMessageContaining("AFTER_HANDLER 1: effectivelyOnce: event ")
                .hasMessageContaining(" has its effect once more")
                .hasMessageContaining("AFTER_HANDLER 1: it ended as")
                .hasMessageNotContaining("AFTER_INBOX_INSERT 1");
    }

    @Test
    void a_handler_that_counts_on_memory_is_found() {
        assertThatThrownBy(() -> CrashSweep.run(Counting::new))
                .isInstanceOf(AssertionError.class)
                .hasMessageContaining("BEFORE_OFFSET_COMMIT 1: it ended as 2, without a crash as 1");
    }

    @Test
    void a_scenario_without_crash_points_is_refused() {
        assertThatThrownBy(() -> CrashSweep.run(Idle::new))
                .isInstanceOf(AssertionError.class)
                .hasMessageContaining("the scenario came to no crash point")
                .hasMessageContaining("bus.faults().dataSource(...)");
    }

    @Test
    void a_scenario_that_is_not_the_same_in_every_run_is_told() {
        List<Counting> made = new ArrayList<>();
        assertThatThrownBy(() -> CrashSweep.run(() -> {
                    Counting scenario = new Counting();
                    scenario.silent = !made.isEmpty();
                    made.add(scenario);
                    return scenario;
                }))
                .isInstanceOf(AssertionError.class)
                .hasMessageContaining("BEFORE_OFFSET_COMMIT 1: it ended as 0, without a crash as 1")
                .hasMessageContaining("this run did not come there: a scenario must do the same in every run");
    }

    @RepeatedTest(20)
    void whichever_key_a_random_back_off_lets_end_first_the_sweep_goes_through() throws Exception {
        List<Crash> crashes = CrashSweep.run(Failing::new);

        assertThat(crashes)
                .contains(
                        new Crash(CrashPoint.AFTER_DEAD_LETTER, 1),
                        new Crash(CrashPoint.AFTER_DEAD_LETTER, 2),
                        new Crash(CrashPoint.BEFORE_OFFSET_COMMIT, 1));
    }

    @Test
    void a_run_that_does_not_come_there_is_made_again() throws Exception {
        AtomicInteger made = new AtomicInteger();
        List<Crash> crashes = CrashSweep.run(() -> new Uneven(made.getAndIncrement() % 3 == 0 ? 2 : 1));

        assertThat(crashes)
                .containsExactly(
                        new Crash(CrashPoint.BEFORE_OFFSET_COMMIT, 1), new Crash(CrashPoint.BEFORE_OFFSET_COMMIT, 2));
        assertThat(made).as("one without a crash, one, and two").hasValue(4);
    }

    @Test
    void a_crash_that_no_run_comes_to_is_not_among_those_that_were_tried_and_is_told() throws Exception {
        Logger logger = (Logger) LoggerFactory.getLogger(CrashSweep.class);
        ListAppender<ILoggingEvent> log = new ListAppender<>();
        log.start();
        logger.addAppender(log);
        logger.setLevel(Level.WARN);
        AtomicInteger made = new AtomicInteger();
        try {
            List<Crash> crashes = CrashSweep.run(() -> new Uneven(made.getAndIncrement() == 0 ? 2 : 1));
            assertThat(crashes).containsExactly(new Crash(CrashPoint.BEFORE_OFFSET_COMMIT, 1));
        } finally {
            logger.detachAppender(log);
            logger.setLevel(null);
        }
        assertThat(log.list)
                .singleElement()
                .satisfies(line -> assertThat(line.getFormattedMessage())
                        .startsWith("not tried: [BEFORE_OFFSET_COMMIT 2]. None of 10 runs came there"));
    }

    @Test
    void a_point_that_only_the_run_without_a_crash_comes_to_is_told() {
        AtomicInteger made = new AtomicInteger();
        assertThatThrownBy(() -> CrashSweep.run(() -> new Uneven(made.getAndIncrement() == 0 ? 1 : 0)))
                .isInstanceOf(AssertionError.class)
                .hasMessageContaining("BEFORE_OFFSET_COMMIT 1: 10 runs did not come there");
    }

    @Test
    void what_fails_without_a_crash_comes_out_as_it_is() {
        assertThatThrownBy(() -> CrashSweep.run(() -> new Counting() {
                    @Override
                    public void run(FakeEventBus bus) {
                        throw new IllegalArgumentException("no such event");
                    }
                }))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessage("no such event");
    }

    /** Four events of three users, one of which cannot be handled. */
    private static final class Booking implements CrashSweep.Scenario {

        private final Ledger ledger = Ledger.create();
        private final boolean inTransaction;
        private final List<Event<AssetUpdated>> published = new ArrayList<>();
        private final Map<String, String> ids = new HashMap<>();
        private List<DeadLetter> letters = List.of();

        Booking(boolean inTransaction) throws SQLException {
            this.inTransaction = inTransaction;
        }

        @Override
        public void start(FakeEventBus bus) {
            JdbcInbox inbox = JdbcInbox.h2(bus.faults().dataSource(ledger.database()));
            bus.start(ConsumerRunner.builder(bus.kafka(), "bookings")
                    .inTransaction(inbox, ASSET_UPDATED, (event, tx) -> {
                        if (event.key().equals("carol")) {
                            throw new IllegalStateException("carol cannot book");
                        }
                        book(tx.connection(), name(event));
                    })
                    .retry(RetryConfig.custom()
                            .maxAttempts(2)
                            .waitDuration(Duration.ofSeconds(1))
                            .build())
                    .afterRetries(AfterRetries.deadLetter(LETTERS))
                    .build());
        }

        private void book(Connection transaction, String name) throws SQLException {
            if (inTransaction) {
                ledger.book(transaction, name);
            } else {
                try (Connection another = ledger.database().getConnection()) {
                    ledger.book(another, name);
                }
            }
        }

        @Override
        public void run(FakeEventBus bus) {
            published.addAll(bus.publish(
                    ASSET_UPDATED,
                    new AssetUpdated("bob", 1),
                    new AssetUpdated("carol", 1),
                    new AssetUpdated("bob", 2),
                    new AssetUpdated("dave", 1)));
            published.forEach(event -> ids.put(name(event), event.id()));
            bus.runUntilIdle();
            letters = bus.deadLetters();
        }

        @Override
        public Object state(FakeEventBus bus) throws SQLException {
            return new TreeSet<>(ledger.booked()) + " of " + ledger.booked().size() + ", without "
                    + letters.stream().map(DeadLetter::keyText).collect(Collectors.toSet());
        }

        @Override
        public List<Violation> violations() throws SQLException {
            History history = new History();
            history.published(published);
            for (String name : ledger.booked()) {
                history.handled(name.split("/", 2)[0], ids.getOrDefault(name, name));
            }
            letters.forEach(
                    letter -> history.deadLettered(letter.keyText(), ids.getOrDefault(letter.keyText() + "/1", "")));
            return history.violations(noLoss(), perKeyOrder(), effectivelyOnce());
        }

        private static String name(Event<? extends AssetUpdated> event) {
            return event.key() + "/" + event.payload().amount();
        }

        @Override
        public void close() {
            ledger.close();
        }
    }

    /** Three events of a user whose first cannot be handled until somebody mends that, and one of another. */
    private static final class Parking implements CrashSweep.Scenario {

        private final Ledger ledger = Ledger.create();
        private final JdbcInbox person = JdbcInbox.h2(ledger.database());
        private final List<Event<AssetUpdated>> published = new ArrayList<>();
        private final History told = new History();
        private boolean mended;
        private List<DeadLetter> letters = List.of();

        Parking() throws SQLException {}

        @Override
        public void start(FakeEventBus bus) {
            JdbcInbox inbox = JdbcInbox.h2(bus.faults().dataSource(ledger.database()));
            bus.start(ConsumerRunner.builder(bus.kafka(), "parking")
                    .inTransaction(inbox, ASSET_UPDATED, (event, tx) -> {
                        if (event.payload().amount() < 0 && !mended) {
                            throw new IllegalStateException("no debts");
                        }
                        ledger.book(tx.connection(), event.key() + "/" + event.id());
                    })
                    .retry(RetryConfig.custom()
                            .maxAttempts(2)
                            .waitDuration(
                                    Duration.ofHours(1)) // parked until then, so that it is drained and fails there
                            .build())
                    .afterRetries(AfterRetries.parkKey(inbox, LETTERS))
                    .build());
        }

        @Override
        public void run(FakeEventBus bus) throws SQLException {
            published.addAll(bus.publish(
                    ASSET_UPDATED,
                    new AssetUpdated("bob", -1),
                    new AssetUpdated("bob", 2),
                    new AssetUpdated("alice", 1)));
            told.published(published);
            bus.runUntilIdle();
            letters = bus.deadLetters();
            told.parked("bob", published.get(0).id());
            published.addAll(bus.publish(ASSET_UPDATED, new AssetUpdated("bob", 3)));
            told.published(published.subList(3, 4));
            bus.runUntilIdle();
            assertThat(person.parking().load("parking"))
                    .singleElement()
                    .satisfies(key -> assertThat(key.events()).isEqualTo(3));

            mended = true;
            assertThat(person.parking().redrive("parking", "asset.events", "bob".getBytes(UTF_8)))
                    .isTrue();
        }

        @Override
        public Object state(FakeEventBus bus) throws SQLException {
            return "%s, parked %s, letters of %s"
                    .formatted(
                            new TreeSet<>(ledger.booked()),
                            person.parking().load("parking"),
                            letters.stream().map(DeadLetter::keyText).collect(Collectors.toSet()));
        }

        @Override
        public List<Violation> violations() throws SQLException {
            for (String booked : ledger.booked()) {
                told.handled(booked.split("/", 2)[0], booked.split("/", 2)[1]);
            }
            return told.violations(allHandled(), perKeyOrder(), effectivelyOnce());
        }

        @Override
        public void close() {
            ledger.close();
        }
    }

    /** Counts in memory what it handles. */
    private static class Counting implements CrashSweep.Scenario {

        private int count;
        private boolean silent;

        @Override
        public void start(FakeEventBus bus) {
            ConsumerRunnerBuilder builder = ConsumerRunner.builder(bus.kafka(), "counting")
                    .on(ASSET_UPDATED, (event, delivery) -> count++)
                    .afterRetries(AfterRetries.deadLetter(LETTERS));
            bus.start(builder.build());
        }

        @Override
        public void run(FakeEventBus bus) {
            if (!silent) {
                bus.publish(ASSET_UPDATED, new AssetUpdated("bob", 1));
            }
        }

        @Override
        public Object state(FakeEventBus bus) {
            return count;
        }
    }

    /** Two users in one partition, none of whom can be handled, with the default retry: chance says whose letter is first. */
    private static final class Failing implements CrashSweep.Scenario {

        @Override
        public void start(FakeEventBus bus) {
            bus.topic("asset.events", 1)
                    .start(ConsumerRunner.builder(bus.kafka(), "failing")
                            .on(ASSET_UPDATED, (event, delivery) -> {
                                throw new IllegalStateException("nobody can be handled");
                            })
                            .afterRetries(AfterRetries.deadLetter(LETTERS))
                            .build());
        }

        @Override
        public void run(FakeEventBus bus) {
            bus.publish(ASSET_UPDATED, new AssetUpdated("bob", 1), new AssetUpdated("alice", 1));
        }

        @Override
        public Object state(FakeEventBus bus) {
            return bus.deadLetters().stream().map(DeadLetter::keyText).collect(Collectors.toSet());
        }
    }

    /** Commits once for each of its events; what it ends as does not tell how many there were. */
    private static final class Uneven implements CrashSweep.Scenario {

        private final int events;

        Uneven(int events) {
            this.events = events;
        }

        @Override
        public void start(FakeEventBus bus) {
            bus.start(ConsumerRunner.builder(bus.kafka(), "uneven")
                    .on(ASSET_UPDATED, (event, delivery) -> {})
                    .afterRetries(AfterRetries.deadLetter(LETTERS))
                    .build());
        }

        @Override
        public void run(FakeEventBus bus) {
            for (int number = 1; number <= events; number++) {
                bus.publish(ASSET_UPDATED, new AssetUpdated("bob", number));
                bus.runUntilIdle();
            }
        }

        @Override
        public Object state(FakeEventBus bus) {
            return "at rest";
        }
    }

    private static final class Idle implements CrashSweep.Scenario {

        @Override
        public void start(FakeEventBus bus) {}

        @Override
        public void run(FakeEventBus bus) {}

        @Override
        public Object state(FakeEventBus bus) {
            return "";
        }
    }
}
