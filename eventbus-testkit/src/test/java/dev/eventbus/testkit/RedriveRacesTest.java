package dev.eventbus.testkit;

import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.consumer.ConsumerRunner;
import dev.eventbus.consumer.parking.ParkedKey.State;
import dev.eventbus.consumer.redrive.RedrivePlan;
import dev.eventbus.consumer.redrive.RedriveResult;
import dev.eventbus.consumer.redrive.Standing;
import java.sql.Connection;
import java.sql.SQLException;
import java.time.Duration;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.parallel.Execution;
import org.junit.jupiter.api.parallel.ExecutionMode;

/** A redrive while others do something: its group, another person, a dead-letter topic that cannot be written. */
@Execution(ExecutionMode.CONCURRENT)
class RedriveRacesTest extends RedriveStage {

    private static final Duration WAITS = Duration.ofSeconds(20);

    // ---- the group handles what is looked at

    @Test
    void an_event_whose_handler_ends_while_the_run_looks_at_it_has_had_its_effect() throws SQLException {
        deadLetters("bob1");
        boolean[] marksRead = {false};
        boolean[] handled = {false};
        onStatement = sql -> {
            if (marksRead[0] && !handled[0] && sql.contains("eventbus_parked_event")) {
                handled[0] = true;
                bus.runUntilIdle();
            }
            marksRead[0] |= parkedEvents() > 0 && sql.contains("FROM eventbus_inbox");
        };
        RedriveResult result = intoInbox().waits(WAITS).plan().run("mended");
        assertThat(handled[0]).isTrue();
        assertThat(result.failedAgain()).isZero();
        assertThat(result.applied()).isEqualTo(1);
    }

    @Test
    void how_events_fare_is_asked_by_fewer_statements_than_there_are_events() throws SQLException {
        String[] letters = new String[9];
        for (int n = 0; n < letters.length; n++) {
            letters[n] = "bob" + (n + 1);
        }
        deadLetters(letters);
        RedrivePlan plan = intoInbox().stopsAfter(100).perSecond(1_000).plan();
        int[] statements = {0};
        onStatement = sql -> statements[0] += parkedEvents() == letters.length ? 1 : 0;
        assertThat(plan.run("mended").handedOver()).isEqualTo(letters.length);
        assertThat(statements[0]).as("one look, and the audit").isLessThan(letters.length);
    }

    @Test
    void letters_of_one_key_wait_for_the_handlers_of_those_before_them() throws SQLException {
        deadLetters("bob1", "bob2", "bob3", "bob4", "bob5", "bob6");
        RedrivePlan plan = intoInbox().waits(WAITS).stopsAfter(10).plan();
        try (Connection handler = database.getConnection()) {
            handler.setAutoCommit(false);
            boolean[] runs = {false};
            boolean[] tried = {false};
            boolean[] ended = {false};
            boolean[] within = {false};
            onStatement = sql -> {
                if (!runs[0] && parkedEvents() == 3) {
                    runs[0] = true;
                    handler.createStatement().execute("SELECT state FROM eventbus_parked_key FOR UPDATE");
                }
                tried[0] |= runs[0] && sql.contains("INSERT INTO eventbus_parked_key");
                if (tried[0] && sql.contains("count(*)")) { // the run looks how those fare
                    handler.rollback();
                    ended[0] = true;
                }
                if (ended[0] && !within[0]) {
                    within[0] = true;
                    bus.runUntilIdle();
                    within[0] = false;
                }
            };
            RedriveResult result = plan.run("mended");
            assertThat(result.leftAlone()).isEmpty();
            assertThat(result.handedOver()).isEqualTo(6);
            assertThat(result.applied()).isEqualTo(6);
        }
        assertThat(booked("bob")).containsExactly(1, 2, 3, 4, 5, 6);
    }

    // ---- a letter that cannot be sent

    @Test
    void a_letter_that_is_redriven_while_its_new_letter_cannot_be_sent_becomes_one_and_its_key_goes_on()
            throws SQLException {
        deadLetters("bob1");
        failing.add("bob1");
        bus.faults().failTimes(3).forSendsTo("dlq");
        intoInbox().plan().run("too early");
        bus.advance(Duration.ofMillis(1_500));
        assertThat(inbox.parking().load(GROUP))
                .singleElement()
                .satisfies(key -> assertThat(key.state()).isEqualTo(State.WAITING));
        assertThat(intoInbox().key("bob").plan().run("too early again").handedOver())
                .isEqualTo(1);
        publish("bob", 2);
        bus.runUntilIdle();
        assertThat(booked("bob")).containsExactly(2);
        assertThat(bus.deadLetters()).hasSize(2);
        assertThat(text(bus.deadLetters().get(1).headers(), "eventbus-dlq-redrives"))
                .as("both are counted")
                .isEqualTo("2");
        assertThat(inbox.parking().load(GROUP)).isEmpty();
    }

    @Test
    void a_parked_event_that_is_redriven_before_its_copy_was_sent_has_one_sent_when_it_fails_again()
            throws SQLException {
        parking();
        failing.add("bob1");
        publish("bob", 1, 2);
        bus.runUntilIdle();
        assertThat(bus.deadLetters()).hasSize(1);
        failing.remove("bob1");
        failing.add("bob2");
        bus.faults().failTimes(3).forSendsTo("dlq");
        intoInbox().plan().run("mended");
        bus.advance(Duration.ofMillis(1_500));
        intoInbox().key("bob").plan().run("too early");
        bus.runUntilIdle();
        assertThat(bus.deadLetters()).hasSize(2);
        assertThat(inbox.parking().load(GROUP))
                .singleElement()
                .satisfies(key -> assertThat(key.state()).isEqualTo(State.PARKED));
        intoInbox().key("bob").plan().run("too early again");
        bus.runUntilIdle();
        assertThat(bus.deadLetters()).as("its copy is there").hasSize(2);
    }

    @Test
    void a_letter_whose_mark_is_gone_becomes_one_letter_when_it_fails_again() throws SQLException {
        deadLetters("bob1");
        failing.add("bob1");
        intoInbox().plan().run("too early");
        execute("DELETE FROM eventbus_inbox");
        bus.advance(Duration.ofSeconds(10));
        assertThat(bus.deadLetters()).hasSize(2);
        assertThat(text(bus.deadLetters().get(1).headers(), "eventbus-dlq-redrives"))
                .isEqualTo("1");
        assertThat(outcomes("DEAD")).isEqualTo(1);
        assertThat(inbox.parking().load(GROUP)).isEmpty();
    }

    @Test
    void a_letter_whose_mark_is_gone_becomes_one_letter_where_keys_are_parked_too() throws SQLException {
        ConsumerRunner before = goingOn();
        failing.add("bob1");
        publish("bob", 1);
        bus.runUntilIdle();
        before.close();
        parking();
        intoInbox().plan().run("too early");
        execute("DELETE FROM eventbus_inbox");
        bus.advance(Duration.ofSeconds(10));
        publish("bob", 2);
        bus.runUntilIdle();
        assertThat(booked("bob")).containsExactly(2);
        assertThat(bus.deadLetters()).hasSize(2);
        assertThat(inbox.parking().load(GROUP)).isEmpty();
    }

    @Test
    void what_is_redriven_keeps_its_mark_though_its_group_is_forgotten_meanwhile() throws SQLException {
        deadLetters("bob1");
        boolean[] forgotten = {false};
        onStatement = sql -> {
            if (!forgotten[0] && sql.contains("INSERT INTO eventbus_parked_key")) {
                forgotten[0] = true; // the mark was read, and no row says yet that it is needed
                inbox.forget(GROUP);
            }
        };
        RedriveResult result = intoInbox().plan().run("mended");
        onStatement = sql -> {};
        assertThat(result.handedOver()).isEqualTo(1);
        assertThat(outcomes("DEAD")).isEqualTo(1);
        bus.runUntilIdle();
        assertThat(booked("bob")).containsExactly(1);
    }

    // ---- one plan again and again, and others between

    @Test
    void one_plan_that_is_run_again_and_again_redrives_a_parked_key_no_more_often_than_may_be() throws SQLException {
        parking();
        failing.add("bob1");
        publish("bob", 1, 2);
        bus.runUntilIdle();
        RedrivePlan plan = intoInbox().plan();
        for (int time = 0; time < 3; time++) {
            assertThat(plan.run("again").handedOver()).isEqualTo(2);
            bus.runUntilIdle();
        }
        RedriveResult fourth = plan.run("again");
        assertThat(fourth.handedOver()).isZero();
        assertThat(fourth.leftAlone()).isEqualTo(Map.of(Standing.TOO_OFTEN, 2L, Standing.PARKED, 1L));
    }

    @Test
    void a_key_that_is_parked_anew_while_a_run_comes_to_it_is_not_set_going() throws SQLException {
        parking();
        failing.add("bob1");
        publish("bob", 1, 2);
        bus.runUntilIdle();
        RedrivePlan plan = intoInbox().plan();
        boolean[] anew = {false};
        onStatement = sql -> {
            if (!anew[0] && sql.contains("FOR UPDATE")) {
                anew[0] = true;
                intoInbox().key("bob").plan().discard("nobody needs them");
                failing.add("bob3");
                publish("bob", 3);
                bus.runUntilIdle();
            }
        };
        RedriveResult result = plan.run("late");
        assertThat(anew[0]).isTrue();
        assertThat(result.handedOver()).isZero();
        assertThat(result.leftAlone(Standing.ALREADY_APPLIED)).isEqualTo(2);
        assertThat(inbox.parking().load(GROUP))
                .singleElement()
                .satisfies(key -> assertThat(key.state()).isEqualTo(State.PARKED));
    }

    @Test
    void a_parked_key_that_another_person_has_in_hand_is_held_and_not_said_to_be_under_way() throws SQLException {
        parking();
        failing.add("bob1");
        publish("bob", 1);
        bus.runUntilIdle();
        RedrivePlan plan = intoInbox().plan();
        try (Connection other = database.getConnection()) {
            other.setAutoCommit(false);
            other.createStatement().execute("SELECT state FROM eventbus_parked_key FOR UPDATE");
            assertThat(plan.run("now").leftAlone()).isEqualTo(Map.of(Standing.HELD, 1L, Standing.PARKED, 1L));
            other.rollback();
        }
        assertThat(plan.run("now").handedOver()).isEqualTo(1);
    }

    private int parkedEvents() throws SQLException {
        return Integer.parseInt(
                strings("SELECT count(*) FROM eventbus_parked_event").get(0));
    }
}
