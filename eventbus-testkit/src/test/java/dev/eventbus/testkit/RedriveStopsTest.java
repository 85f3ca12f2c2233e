package dev.eventbus.testkit;

import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.consumer.redrive.RedrivePlan;
import dev.eventbus.consumer.redrive.RedriveResult;
import dev.eventbus.consumer.redrive.Standing;
import dev.eventbus.internal.RunLoop;
import java.sql.SQLException;
import java.sql.Timestamp;
import java.time.Duration;
import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

/** How fast a redrive goes, and when it stops by itself. In real time, for a run's pace is. */
class RedriveStopsTest extends RedriveStage {

    private static final Duration WAITS = Duration.ofSeconds(20);

    @Test
    void a_redrive_whose_cause_is_not_mended_stops_after_three_failures_and_leaves_the_rest_as_it_was()
            throws SQLException {
        deadLetters(40);
        failing.addAll(events(40));
        theGroupIsThere();
        RedriveResult result = intoInbox().waits(WAITS).plan().run("too early");
        assertThat(result.failedAgain()).isEqualTo(3);
        assertThat(result.handedOver()).isEqualTo(3);
        assertThat(result.waiting()).isZero();
        assertThat(result.stopped()).contains("3 events have failed again");
        assertThat(strings("SELECT done || ' ' || failed || ' ' || state FROM eventbus_redrive"))
                .containsExactly("0 3 STOPPED");
        assertThat(bus.deadLetters()).as("three letters more").hasSize(43);
        assertThat(intoInbox().plan().size()).isEqualTo(40);
        failing.clear();
        assertThat(intoInbox()
                        .waits(WAITS)
                        .perSecond(1_000)
                        .plan()
                        .run("mended")
                        .applied())
                .isEqualTo(40);
    }

    @Test
    void three_parked_keys_that_fail_again_stop_it_too_and_their_events_are_in_their_places() throws SQLException {
        parking();
        failing.addAll(events(10));
        IntStream.range(0, 10).forEach(user -> publish("user" + user, 1, 2, 3));
        bus.runUntilIdle();
        theGroupIsThere();
        RedriveResult result = intoInbox().waits(WAITS).perSecond(1_000).plan().run("too early");
        assertThat(result.failedAgain()).isEqualTo(3);
        assertThat(result.stopped()).isPresent();
        assertThat(strings("SELECT count(*) FROM eventbus_parked_key WHERE redrives = 1 AND state = 'PARKED'"))
                .containsExactly("3");
        failing.clear();
        assertThat(intoInbox()
                        .waits(WAITS)
                        .perSecond(10_000)
                        .plan()
                        .run("mended")
                        .applied())
                .isEqualTo(30);
        for (int user = 0; user < 10; user++) {
            assertThat(booked("user" + user)).containsExactly(1, 2, 3);
        }
    }

    @Test
    void two_failures_stop_nothing_and_the_limit_is_what_was_said() throws SQLException {
        deadLetters(12);
        failing.addAll(List.of("user01", "user51"));
        theGroupIsThere();
        RedriveResult result = intoInbox().waits(WAITS).perSecond(1_000).plan().run("mended for most");
        assertThat(result.stopped()).isEmpty();
        assertThat(result.failedAgain()).isEqualTo(2);
        assertThat(result.applied()).isEqualTo(10);
        failing.clear();
        failing.addAll(events(12));
        assertThat(intoInbox()
                        .waits(WAITS)
                        .stopsAfter(1)
                        .plan()
                        .run("too early")
                        .failedAgain())
                .isEqualTo(1);
    }

    @Test
    void a_run_that_does_not_wait_stops_once_it_sees_that_three_have_failed() throws SQLException {
        deadLetters(400);
        failing.addAll(events(400));
        theGroupIsThere();
        RedriveResult result = intoInbox().perSecond(100).plan().run("too early");
        assertThat(result.stopped()).isPresent();
        assertThat(result.failedAgain()).isGreaterThanOrEqualTo(3);
        assertThat(result.handedOver())
                .as("what goes in the second between two looks")
                .isLessThan(250);
    }

    @Test
    void a_group_that_is_not_there_is_waited_for_once_and_gets_all_of_it() throws SQLException {
        deadLetters(12);
        onConnection = () -> {}; // nobody handles anything
        RedriveResult result = intoInbox()
                .waits(Duration.ofMillis(300))
                .perSecond(1_000)
                .plan()
                .run("its runners are off");
        assertThat(result.stopped()).isEmpty();
        assertThat(result.handedOver()).isEqualTo(12);
        assertThat(result.waiting()).isEqualTo(12);
        assertThat(strings("SELECT state FROM eventbus_redrive")).containsExactly("HANDED_OVER");
    }

    @Test
    void failures_that_come_slowly_one_by_one_stop_it_after_three_too() throws SQLException {
        deadLetters(12);
        fails(Duration.ofMillis(1_200));
        RedriveResult result =
                intoInbox().waits(Duration.ofSeconds(2)).perSecond(1_000).plan().run("too early");
        assertThat(result.failedAgain()).isEqualTo(3);
        assertThat(result.handedOver()).isEqualTo(3);
        assertThat(result.stopped()).isPresent();
    }

    @Test
    void a_group_that_has_begun_is_waited_for_however_long_its_handlers_take_to_fail() throws SQLException {
        deadLetters(12);
        fails(Duration.ofMillis(5_800));
        Hook slowly = onConnection;
        boolean[] noted = {false};
        onConnection = () -> {
            slowly.run();
            if (!noted[0] && !handedOver().isEmpty()) { // as the runner does before it calls a handler
                noted[0] = true;
                execute("INSERT INTO eventbus_attempt (consumer_group, event_id, failures, starts, at)"
                        + " SELECT consumer_group, event_id, 0, 1, parked_at FROM eventbus_parked_event");
            }
        };
        RedriveResult result =
                intoInbox().waits(WAITS).perSecond(1_000).stopsAfter(1).plan().run("too early");
        assertThat(result.handedOver()).isEqualTo(1);
        assertThat(result.stopped()).contains("1 events have failed again");
    }

    /** So long after they were handed over, and after one another, events are letters again. */
    private void fails(Duration each) {
        long[] last = {0};
        onConnection = () -> {
            if (last[0] == 0 && !handedOver().isEmpty()) {
                last[0] = System.nanoTime();
            }
            if (last[0] != 0 && System.nanoTime() - last[0] > each.toNanos()) {
                last[0] = System.nanoTime();
                execute("DELETE FROM eventbus_parked_event WHERE event_id ="
                        + " (SELECT event_id FROM eventbus_parked_event ORDER BY parked_at LIMIT 1)");
            }
        };
    }

    @Test
    void in_no_second_more_is_handed_over_than_was_said_neither_at_the_beginning_nor_after_a_pause()
            throws SQLException {
        deadLetters(45);
        boolean[] paused = {false};
        onConnection = () -> {
            if (!paused[0] && handedOver().size() == 15) {
                paused[0] = true;
                RunLoop.await(Duration.ofMillis(700), () -> false); // the database takes its time
            }
        };
        RedrivePlan plan = intoInbox().perSecond(20).plan();
        assertThat(plan.run("mended").handedOver()).isEqualTo(45);
        assertThat(paused[0]).isTrue();
        List<Long> millis = handedOver();
        for (int n = 0; n + 21 < millis.size(); n++) {
            assertThat(millis.get(n + 21) - millis.get(n))
                    .as("the 21 behind the one at %d ms", millis.get(n) - millis.get(0))
                    .isGreaterThanOrEqualTo(990);
        }
    }

    @Test
    void what_is_behind_a_parked_key_waits_for_as_long_as_its_events_are_worth() throws SQLException {
        parking();
        failing.addAll(List.of("ann1", "bob1"));
        publish("ann", IntStream.rangeClosed(1, 20).toArray());
        publish("bob", IntStream.rangeClosed(1, 20).toArray());
        bus.runUntilIdle();
        failing.clear();
        long began = System.nanoTime();
        RedriveResult result = intoInbox().perSecond(20).plan().run("mended");
        assertThat(result.handedOver()).isEqualTo(40);
        assertThat(Duration.ofNanos(System.nanoTime() - began)).isGreaterThan(Duration.ofMillis(900));
        assertThat(result.leftAlone(Standing.PARKED)).as("their copies").isEqualTo(2);
    }

    private static List<String> events(int users) {
        return IntStream.range(0, users).mapToObj(user -> "user" + user + "1").toList();
    }

    private void deadLetters(int users) {
        goingOn();
        failing.addAll(events(users));
        IntStream.range(0, users).forEach(user -> publish("user" + user, 1));
        bus.runUntilIdle();
        failing.clear();
    }

    /** Whenever the run takes a connection, the group has handled by then what it was given before. */
    private void theGroupIsThere() {
        boolean[] within = {false};
        onConnection = () -> {
            if (!within[0]) {
                within[0] = true;
                bus.runUntilIdle();
                within[0] = false;
            }
        };
    }

    /** When the letters were, in milliseconds. */
    private List<Long> handedOver() throws SQLException {
        return strings("SELECT CAST(parked_at AS timestamp(6)) FROM eventbus_parked_event ORDER BY parked_at").stream()
                .map(time -> Timestamp.valueOf(time).getTime())
                .toList();
    }
}
