package dev.eventbus.testkit;

import static dev.eventbus.testkit.Calculator.ASSET_UPDATED;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.eventbus.Event;
import dev.eventbus.consumer.AfterRetries;
import dev.eventbus.consumer.ConsumerRunner;
import dev.eventbus.consumer.deadletter.DeadLetter;
import dev.eventbus.consumer.inbox.JdbcInbox;
import dev.eventbus.outbox.JdbcOutbox;
import dev.eventbus.outbox.OutboxRelay;
import dev.eventbus.testkit.Calculator.AssetUpdated;
import io.github.resilience4j.retry.RetryConfig;
import java.sql.Connection;
import java.sql.SQLException;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** What a user sees of each fault: effects, attempts, dead letters. In virtual time. */
class FaultsTest {

    private static final String GROUP = "calculator";
    private static final String TOPIC = "asset.events";
    private static final String LETTERS = "dlq.events";

    private final FakeEventBus bus = FakeEventBus.create();
    private final Faults faults = bus.faults();

    /** {@code key/amount#attempt}, each run. */
    private final List<String> runs = new ArrayList<>();

    /** {@code key/amount}, in the order of the handler's successes. */
    private final List<String> effects = new ArrayList<>();

    @AfterEach
    void close() {
        bus.close();
    }

    @Test
    void what_never_came_about_fails_the_test_when_it_closes_the_bus() {
        FakeEventBus forgetful = FakeEventBus.create();
        forgetful.faults().failTimes(2).forKey("bbo");
        forgetful.faults().failTimes(1).forSendsTo(LETTERS);
        forgetful.faults().failTimes(1).forCommitsOf(GROUP);
        forgetful.faults().failTimes(1).forAnswersFrom(TOPIC);
        forgetful.faults().failTimes(1).forCommitAnswersTo(GROUP);
        forgetful.faults().failTimes(1).forDatabaseCommits();
        forgetful.faults().failTimes(1).forDatabaseCommitAnswers();
        forgetful.faults().failTimes(0).forKey("alice");
        forgetful.faults().crashAt(CrashPoint.AFTER_COMMIT, 3);
        assertThatThrownBy(forgetful::close)
                .isInstanceOf(IllegalStateException.class)
                .hasMessageContaining("failTimes(2).forKey(\"bbo\"), failTimes(1).forSendsTo(\"dlq.events\")")
                .hasMessageContaining(
                        "failTimes(1).forCommitsOf(\"calculator\"), failTimes(1).forAnswersFrom(\"asset.events\")")
                .hasMessageContaining(
                        "failTimes(1).forCommitAnswersTo(\"calculator\"), failTimes(1).forDatabaseCommits(), failTimes(1).forDatabaseCommitAnswers()")
                .hasMessageContaining("crashAt(AFTER_COMMIT), 3 more times");
    }

    @Test
    void a_key_that_fails_twice_is_tried_a_third_time_and_the_others_do_not_wait() {
        faults.failTimes(2).forKey("bob");
        bus.start(runner());
        publish("bob/1", "bob/2", "alice/1");
        bus.runUntilIdle();

        assertThat(runs).containsSubsequence("bob/1#1", "bob/1#2", "bob/1#3", "bob/2#1");
        assertThat(effects).containsSubsequence("alice/1", "bob/1", "bob/2").hasSize(3);
        assertThat(bus.deadLetters()).isEmpty();
    }

    @Test
    void a_key_that_fails_as_often_as_it_is_tried_has_a_dead_letter_and_goes_on() {
        faults.failTimes(3).forKey("bob");
        bus.start(runner());
        publish("bob/1", "bob/2");
        bus.runUntilIdle();

        assertThat(runs).containsExactly("bob/1#1", "bob/1#2", "bob/1#3", "bob/2#1");
        assertThat(effects).containsExactly("bob/2");
        assertThat(bus.deadLetters())
                .singleElement()
                .extracting(DeadLetter::origin)
                .satisfies(origin -> {
                    assertThat(origin.attempts()).isEqualTo(3);
                    assertThat(origin.exception()).isEqualTo(IllegalStateException.class.getName());
                });
    }

    @Test
    void a_fault_of_a_key_can_be_taken_back() {
        faults.failTimes(1_000).forKey("bob");
        faults.failTimes(0).forKey("bob");
        bus.start(runner());
        publish("bob/1");
        bus.runUntilIdle();

        assertThat(runs).containsExactly("bob/1#1");
        assertThatThrownBy(() -> faults.failTimes(-1))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("times");
    }

    @Test
    void a_letter_waits_for_its_topic_its_key_waits_with_it_and_the_handler_is_not_run_again() {
        faults.failTimes(3).forKey("bob");
        faults.down(LETTERS);
        bus.start(runner());
        publish("bob/1", "bob/2", "alice/1");
        bus.advance(Duration.ofHours(1));

        assertThat(runs).contains("alice/1#1").doesNotContain("bob/2#1");
        assertThat(bus.deadLetters()).isEmpty();
        assertThat(committed()).isLessThan(3);

        faults.up(LETTERS);
        bus.runUntilIdle();
        assertThat(bus.deadLetters()).hasSize(1);
        assertThat(runs)
                .filteredOn(run -> run.startsWith("bob"))
                .containsExactly("bob/1#1", "bob/1#2", "bob/1#3", "bob/2#1");
        assertThat(committed()).isEqualTo(3);
    }

    @Test
    void sends_that_fail_are_sent_again_by_themselves() {
        faults.failTimes(3).forKey("bob");
        faults.failTimes(5).forSendsTo(LETTERS);
        bus.start(runner());
        publish("bob/1");
        bus.runUntilIdle();

        assertThat(bus.deadLetters()).hasSize(1);
        assertThat(runs).hasSize(3);
    }

    @Test
    void a_letter_whose_answer_is_lost_stands_there_once_more_and_the_handler_is_not_run_again() {
        faults.failTimes(3).forKey("bob");
        faults.failTimes(2).forAnswersFrom(LETTERS);
        bus.start(runner());
        publish("bob/1", "bob/2");
        bus.runUntilIdle();

        assertThat(bus.deadLetters())
                .as("two that nobody has heard of, and one")
                .hasSize(3);
        assertThat(runs).containsExactly("bob/1#1", "bob/1#2", "bob/1#3", "bob/2#1");
        assertThat(committed()).isEqualTo(2);
    }

    @Test
    void events_whose_answers_a_relay_does_not_get_are_sent_again_in_their_order() throws SQLException {
        JdbcOutbox outbox = JdbcOutbox.h2();
        try (Ledger database = Ledger.create()) {
            outbox.createTables(database.database());
            try (Connection tx = database.database().getConnection()) {
                tx.setAutoCommit(false);
                outbox.within(tx).publish(ASSET_UPDATED, new AssetUpdated("bob", 1));
                outbox.within(tx).publish(ASSET_UPDATED, new AssetUpdated("bob", 2));
                tx.commit();
            }
            faults.failTimes(1).forAnswersFrom(TOPIC);
            bus.start(OutboxRelay.builder(outbox, database.database(), bus.kafka())
                    .build());
            bus.start(runner());
            bus.runUntilIdle();
            bus.advance(Duration.ofMinutes(1));
        }
        assertThat(effects).startsWith("bob/1").endsWith("bob/2").hasSizeBetween(3, 4);
        assertThat(effects.stream().distinct()).containsExactly("bob/1", "bob/2");
    }

    @Test
    void offsets_whose_answer_is_lost_are_committed_and_a_successor_repeats_nothing() {
        faults.failTimes(10_000).forCommitAnswersTo(GROUP);
        ConsumerRunner first = bus.start(runner());
        publish("bob/1");
        bus.runUntil("bob to be committed", () -> committed() == 1);
        first.close();

        faults.failTimes(0).forCommitAnswersTo(GROUP);
        bus.start(runner());
        publish("alice/1");
        bus.runUntilIdle();
        assertThat(effects).containsExactly("bob/1", "alice/1");
        assertThat(committed()).isEqualTo(2);
    }

    @Test
    void an_effect_whose_commit_gets_no_answer_happens_once_and_uses_no_attempt() throws SQLException {
        faults.failTimes(2).forDatabaseCommitAnswers();
        assertThat(booked("bob/1", "bob/2")).containsExactly("bob/1", "bob/2");
        assertThat(runs).as("the mark tells that it was done").containsExactly("bob/1#1", "bob/2#1");
    }

    @Test
    void an_effect_whose_commit_never_arrives_is_rolled_back_and_made_again_and_uses_no_attempt() throws SQLException {
        faults.failTimes(2).forDatabaseCommits();
        assertThat(booked("bob/1", "bob/2")).containsExactly("bob/1", "bob/2");
        assertThat(runs).containsExactly("bob/1#1", "bob/1#1", "bob/1#1", "bob/2#1");
    }

    private List<String> booked(String... names) throws SQLException {
        try (Ledger ledger = Ledger.create()) {
            bus.start(ConsumerRunner.builder(bus.kafka(), GROUP)
                    .inTransaction(JdbcInbox.h2(faults.dataSource(ledger.database())), ASSET_UPDATED, (event, tx) -> {
                        String name = event.key() + "/" + event.payload().amount();
                        runs.add(name + "#" + tx.attempt());
                        ledger.book(tx.connection(), name);
                    })
                    .afterRetries(AfterRetries.deadLetter(LETTERS))
                    .build());
            publish(names);
            bus.runUntilIdle();
            assertThat(committed()).isEqualTo(names.length);
            return ledger.booked();
        }
    }

    @Test
    void commits_that_fail_are_made_up_for_and_repeat_nothing_while_their_runner_lives() {
        faults.failTimes(5).forCommitsOf(GROUP);
        bus.start(runner());
        publish("bob/1", "alice/1");
        bus.runUntilIdle();

        assertThat(effects).containsExactlyInAnyOrder("bob/1", "alice/1");
        assertThat(committed()).isEqualTo(2);
    }

    @Test
    void what_was_not_committed_when_a_runner_ends_is_handled_once_more_by_the_next() {
        faults.failTimes(10_000).forCommitsOf(GROUP);
        ConsumerRunner first = bus.start(runner());
        publish("bob/1");
        bus.runUntil("bob to be handled", () -> !effects.isEmpty());
        first.close();
        assertThat(committed()).isZero();

        faults.failTimes(0).forCommitsOf(GROUP);
        bus.start(runner());
        bus.runUntilIdle();
        assertThat(effects).containsExactly("bob/1", "bob/1");
        assertThat(committed()).isEqualTo(1);
    }

    @Test
    void a_duplicate_of_an_event_by_its_id_is_delivered_again() {
        Event<AssetUpdated> event = publish("bob/1").get(0);
        bus.start(runner());
        bus.runUntilIdle();
        faults.duplicate(event.id());
        bus.runUntilIdle();

        assertThat(effects).containsExactly("bob/1", "bob/1");
        assertThat(bus.events(ASSET_UPDATED)).extracting(Event::id).containsExactly(event.id(), event.id());
        assertThatThrownBy(() -> faults.duplicate("elsewhere"))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("event elsewhere is on no topic");
    }

    @Test
    void a_duplicate_of_a_dead_letter_is_one_of_the_event_and_not_of_the_letter() {
        faults.failTimes(3).forKey("bob");
        bus.start(runner());
        Event<AssetUpdated> event = publish("bob/1").get(0);
        bus.runUntilIdle();
        faults.duplicate(event.id());
        bus.runUntilIdle();

        assertThat(bus.deadLetters()).hasSize(1);
        assertThat(effects).as("it failed three times only").containsExactly("bob/1");
    }

    @Test
    void events_of_a_partition_without_a_leader_are_overtaken_by_other_keys_and_not_by_their_own() {
        publish("bob/1", "bob/2", "carol/1", "dave/1", "erin/1");
        assertThat(bus.records(TOPIC))
                .extracting(ConsumerRecord::partition)
                .as("bob's partition is nobody else's")
                .containsExactly(0, 0, 2, 1, 2);
        faults.down(TOPIC, 0);
        bus.start(runner());
        bus.runUntilIdle();
        assertThat(effects).containsExactlyInAnyOrder("carol/1", "dave/1", "erin/1");

        faults.up(TOPIC);
        bus.runUntilIdle();
        assertThat(effects).hasSize(5).endsWith("bob/1", "bob/2");
        assertThatThrownBy(() -> faults.down(TOPIC, 3))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("partition");
    }

    @Test
    void a_rebalance_hands_over_in_order_and_repeats_only_what_stands_behind_an_event_that_waits() {
        faults.failTimes(1).forKey("bob");
        bus.start(runner());
        bus.start(runner());
        publish("bob/1", "bob/2", "alice/1", "dave/1");
        bus.advance(Duration.ofMillis(10));
        faults.rebalance(GROUP);
        bus.runUntilIdle();

        assertThat(effects)
                .as("alice shares bob's partition, dave does not")
                .containsOnlyOnce("dave/1", "bob/1", "bob/2")
                .containsSubsequence("bob/1", "bob/2")
                .containsSubsequence("alice/1", "alice/1")
                .hasSize(5);
        assertThat(committed()).isEqualTo(4);
    }

    @Test
    void what_runs_while_its_runner_is_thrown_out_of_the_group_is_repeated() {
        List<String> handled = new ArrayList<>();
        bus.start(ConsumerRunner.builder(bus.kafka(), GROUP)
                .on(ASSET_UPDATED, (event, delivery) -> {
                    handled.add(event.key());
                    if (handled.size() == 1) {
                        faults.expel(GROUP);
                    }
                })
                .afterRetries(AfterRetries.deadLetter(LETTERS))
                .build());
        publish("bob/1", "alice/1");
        bus.runUntilIdle();

        assertThat(handled).contains("alice").filteredOn("bob"::equals).hasSizeGreaterThan(1);
        assertThat(committed()).isEqualTo(2);
    }

    @Test
    void what_was_to_happen_to_a_group_that_nobody_joined_is_told_at_the_end() {
        FakeEventBus own = FakeEventBus.create();
        own.faults().rebalance("calculater");
        own.faults().expel("ledgre");
        assertThatThrownBy(own::close)
                .isInstanceOf(IllegalStateException.class)
                .hasMessageContaining(
                        "group calculater, which nobody has joined, group ledgre, which nobody has joined");

        bus.faults().rebalance(GROUP); // its runner comes later
        bus.start(runner());
        bus.runUntilIdle();
    }

    @Test
    void a_misspelt_topic_is_told_at_the_end_or_at_once() {
        FakeEventBus own = FakeEventBus.create();
        own.faults().down("dlq.evnts");
        own.faults().down("asset.evnts", 0);
        assertThatThrownBy(() -> own.faults().down("asset.evnts", 3))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("partition");
        assertThatThrownBy(() -> own.faults().up("dlq.events"))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("topic dlq.events is not down");
        own.faults().up("dlq.evnts");
        own.publish(ASSET_UPDATED, new AssetUpdated("bob", 1));
        assertThatThrownBy(own::close)
                .isInstanceOf(IllegalStateException.class)
                .hasMessageContaining(
                        "topic asset.evnts, which nobody has used, topic dlq.evnts, which nobody has used");

        faults.down(LETTERS); // nobody has used it yet
        faults.failTimes(3).forKey("bob");
        bus.start(runner());
        publish("bob/1");
        bus.advance(Duration.ofHours(1));
    }

    @Test
    void a_misspelt_group_whose_offset_is_asked_for_is_told_at_the_end() {
        FakeEventBus own = FakeEventBus.create();
        assertThat(own.committedOffset("calculater", TOPIC, 0)).isEmpty();
        assertThatThrownBy(() -> own.committedOffset(GROUP, TOPIC, 3))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("partition");
        assertThatThrownBy(own::close)
                .isInstanceOf(IllegalStateException.class)
                .hasMessageContaining("group calculater, which nobody has joined");
    }

    @Test
    void nothing_goes_wrong_unless_it_is_asked_for() {
        bus.start(runner());
        Instant before = bus.now();
        publish("bob/1", "alice/1");
        faults.failPoint("bob");
        bus.runUntilIdle();

        assertThat(effects).containsExactlyInAnyOrder("bob/1", "alice/1");
        assertThat(bus.now()).isEqualTo(before);
    }

    private ConsumerRunner runner() {
        return ConsumerRunner.builder(bus.kafka(), GROUP)
                .on(ASSET_UPDATED, (event, delivery) -> {
                    String name = event.key() + "/" + event.payload().amount();
                    runs.add(name + "#" + delivery.attempt());
                    faults.failPoint(event.key());
                    effects.add(name);
                })
                .retry(RetryConfig.custom()
                        .maxAttempts(3)
                        .waitDuration(Duration.ofSeconds(10))
                        .build())
                .afterRetries(AfterRetries.deadLetter(LETTERS))
                .build();
    }

    private List<Event<AssetUpdated>> publish(String... names) {
        List<Event<AssetUpdated>> published = new ArrayList<>();
        for (String name : names) {
            String[] parts = name.split("/", 2);
            published.addAll(bus.publish(ASSET_UPDATED, new AssetUpdated(parts[0], Integer.valueOf(parts[1]))));
        }
        return published;
    }

    /** Of all partitions together. */
    private long committed() {
        long sum = 0;
        for (int partition = 0; partition < 3; partition++) {
            sum += bus.committedOffset(GROUP, TOPIC, partition).orElse(0);
        }
        return sum;
    }
}
