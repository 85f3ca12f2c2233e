package dev.eventbus.testkit;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.consumer.ConsumerRunner;
import dev.eventbus.consumer.parking.ParkedKey;
import dev.eventbus.consumer.redrive.PlannedKey;
import dev.eventbus.consumer.redrive.RedrivePlan;
import dev.eventbus.consumer.redrive.RedriveResult;
import dev.eventbus.consumer.redrive.Standing;
import java.io.IOException;
import java.sql.Connection;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.parallel.Execution;
import org.junit.jupiter.api.parallel.ExecutionMode;

/** What a person gives up: whatever a key waits for, fenced against the runner that handles it, and told why where nothing is. */
@Execution(ExecutionMode.CONCURRENT)
class DiscardTest extends RedriveStage {

    @AfterEach
    void no_event_is_left_without_its_key() throws SQLException {
        assertThat(strings("""
                        SELECT count(*) FROM eventbus_parked_event e WHERE NOT EXISTS
                          (SELECT 1 FROM eventbus_parked_key k WHERE k.topic = e.topic AND k.key_bytes = e.key_bytes)""")).containsExactly("0");
    }

    private void park(String user, int... numbers) {
        parking();
        failing.add(user + numbers[0]);
        publish(user, numbers);
        bus.runUntilIdle();
    }

    private void redriven(String user) throws SQLException {
        assertThat(inbox.parking().redrive(GROUP, "bookings", user.getBytes(UTF_8)))
                .isTrue();
    }

    // ---- that is being handled again

    @Test
    void a_key_that_is_being_redriven_is_discarded_once_it_is_named() throws SQLException {
        park("bob", 1, 2, 3);
        redriven("bob");
        RedrivePlan all = intoInbox().plan();
        assertThat(all.size()).isZero();
        assertThat(all.discardable()).as("what runs is not meant by 'all'").isZero();
        assertThat(all.standings()).containsEntry(Standing.UNDER_WAY, 3L);
        assertThat(all.leftOut()).singleElement().satisfies(key -> {
            assertThat(key.standing()).isEqualTo(Standing.UNDER_WAY);
            assertThat(key.parked()).isEqualTo(3);
        });
        RedrivePlan bob = intoInbox().key("bob").plan();
        assertThat(bob.size()).as("it is being redriven").isZero();
        assertThat(bob.discardable()).isEqualTo(3);
        RedriveResult result = bob.discard("nobody needs it");
        assertThat(result.discarded()).isEqualTo(3);
        assertThat(result.leftAlone(Standing.UNDER_WAY)).isZero();
        failing.clear();
        publish("bob", 4);
        bus.runUntilIdle();
        assertThat(booked("bob")).containsExactly(4);
        assertThat(outcomes("SKIPPED")).isEqualTo(3);
        assertThat(inbox.parking().load(GROUP)).isEmpty();
    }

    @Test
    void a_key_whose_handler_runs_is_left_alone_and_told_as_held_so_that_no_effect_is_of_a_discarded_event()
            throws SQLException {
        park("bob", 1, 2, 3);
        failing.clear();
        List<RedrivePlan> plan = new ArrayList<>();
        List<RedriveResult> during = new ArrayList<>();
        inHandler = id -> {
            if (id.equals("bob1")) {
                during.add(plan.get(0).discard("while it runs"));
            }
        };
        redriven("bob");
        plan.add(intoInbox().key("bob").plan());
        bus.runUntilIdle();
        assertThat(during).singleElement().satisfies(result -> {
            assertThat(result.discarded()).as("the runner has the key").isZero();
            assertThat(result.leftAlone(Standing.HELD)).isEqualTo(3);
        });
        assertThat(booked("bob")).containsExactly(1, 2, 3);
        assertThat(outcomes("SKIPPED")).isZero();
    }

    @Test
    void what_a_runner_has_read_of_a_key_that_is_discarded_before_its_handler_begins_is_not_handled()
            throws SQLException {
        park("bob", 1, 2);
        failing.clear();
        redriven("bob");
        RedrivePlan plan = intoInbox().key("bob").plan();
        boolean[] done = {false};
        onConnection = () -> {
            if (!done[0] && startsNoted() > 0) { // the runner has read the first event, and is about to run it
                done[0] = true;
                assertThat(plan.discard("just in time").discarded()).isEqualTo(2);
            }
        };
        bus.runUntilIdle();
        assertThat(done[0]).isTrue();
        assertThat(booked("bob")).isEmpty();
        assertThat(outcomes("SKIPPED")).isEqualTo(2);
        assertThat(inbox.parking().load(GROUP)).isEmpty();
    }

    private int startsNoted() {
        try {
            return Integer.parseInt(strings("SELECT count(*) FROM eventbus_attempt WHERE starts > 0")
                    .get(0));
        } catch (SQLException e) {
            throw new IllegalStateException(e);
        }
    }

    @Test
    void an_event_that_fails_while_it_is_discarded_puts_nothing_back() throws SQLException {
        park("bob", 1, 2);
        redriven("bob");
        RedrivePlan plan = intoInbox().key("bob").plan();
        boolean[] ran = {false};
        boolean[] done = {false};
        inHandler = id -> ran[0] = true;
        onConnection = () -> {
            if (ran[0] && !done[0]) { // it has failed and was rolled back, and that is about to be noted
                done[0] = true;
                assertThat(plan.discard("it fails again").discarded()).isEqualTo(2);
            }
        };
        bus.runUntilIdle();
        assertThat(done[0]).isTrue();
        assertThat(inbox.parking().load(GROUP)).isEmpty();
        assertThat(outcomes("SKIPPED")).isEqualTo(2);
        failing.clear();
        publish("bob", 3);
        bus.runUntilIdle();
        assertThat(booked("bob")).containsExactly(3);
    }

    @Test
    void a_letter_that_is_being_redriven_is_given_up_once_it_or_its_key_is_named() throws SQLException {
        goingOn();
        failing.addAll(List.of("bob1", "bob2", "cid1"));
        publish("bob", 1, 2);
        publish("cid", 1);
        bus.runUntilIdle();
        failing.clear();
        intoInbox().plan().run("mended");
        assertThat(intoInbox().plan().discardable()).isZero();
        assertThat(intoInbox().plan().standings()).isEqualTo(Map.of(Standing.UNDER_WAY, 3L));
        RedrivePlan one = intoInbox().event(bus.events(BOOKING).get(0).id()).plan();
        assertThat(one.discardable()).as("it alone, not all of its key").isEqualTo(1);
        assertThat(one.discard("not this one").discarded()).isEqualTo(1);
        RedriveResult cid = intoInbox().key("cid").plan().discard("nor this one");
        assertThat(cid.discarded()).isEqualTo(1);
        assertThat(cid.leftAlone()).as("all of it is given up").isEmpty();
        bus.runUntilIdle();
        assertThat(booked("bob")).containsExactly(2);
        assertThat(booked("cid")).isEmpty();
        assertThat(inbox.parking().load(GROUP)).isEmpty();
    }

    @Test
    void a_key_whose_event_somebody_else_has_locked_is_held_and_the_rest_is_discarded() throws SQLException {
        failing.add("cid1");
        park("bob", 1, 2);
        publish("cid", 1);
        bus.runUntilIdle();
        RedrivePlan plan = intoInbox().plan();
        try (Connection other = database.getConnection();
                Statement statement = other.createStatement()) {
            other.setAutoCommit(false);
            statement.execute("UPDATE eventbus_inbox SET decided_at = decided_at WHERE event_id = STRINGTOUTF8('%s')"
                    .formatted(bus.events(BOOKING).get(0).id()));
            RedriveResult result = plan.discard("one is in hand");
            assertThat(result.leftAlone(Standing.HELD)).isEqualTo(2);
            assertThat(result.discarded()).isEqualTo(1);
            other.rollback();
        }
        assertThat(intoInbox().plan().discard("now").discarded()).isEqualTo(2);
    }

    @Test
    void a_deadlock_ends_no_discard() throws SQLException {
        park("bob", 1, 2);
        RedrivePlan plan = intoInbox().plan();
        int[] connections = {0};
        onConnection = () -> {
            if (++connections[0] == 2) { // the first one is for the audit
                throw new SQLException("deadlock", "40001");
            }
        };
        assertThat(plan.discard("once more").discarded()).isEqualTo(2);
        assertThat(connections[0]).isGreaterThan(2);
    }

    // ---- that was redriven too often

    @Test
    void a_key_that_was_redriven_too_often_is_discarded_and_not_redriven() throws SQLException {
        park("bob", 1, 2, 3);
        for (int round = 0; round < 3; round++) {
            assertThat(intoInbox().plan().run("again").handedOver()).isEqualTo(3);
            bus.runUntilIdle();
        }
        RedrivePlan plan = intoInbox().plan();
        assertThat(plan.size()).isZero();
        assertThat(plan.standings()).containsEntry(Standing.TOO_OFTEN, 3L);
        assertThat(plan.leftOut()).extracting(PlannedKey::standing).containsExactly(Standing.TOO_OFTEN);
        assertThat(plan.discardable()).isEqualTo(3);
        RedriveResult result = plan.discard("it never will");
        assertThat(result.discarded()).isEqualTo(3);
        assertThat(result.leftAlone()).as("the copies of the first").containsOnlyKeys(Standing.PARKED);
        failing.clear();
        publish("bob", 4);
        bus.runUntilIdle();
        assertThat(booked("bob")).containsExactly(4);
        assertThat(strings("SELECT planned || ' ' || discarded FROM eventbus_redrive WHERE note = 'it never will'"))
                .containsExactly("3 3");
    }

    // ---- that waits

    @Test
    void a_key_that_waits_for_its_next_try_is_told_and_discarded_once_it_is_named() throws SQLException {
        parking();
        publish("bob", 1);
        bus.runUntilIdle();
        failing.add("bob2");
        publish("bob", 2, 3);
        bus.runUntilIdle();
        execute("UPDATE eventbus_parked_key SET state = 'WAITING', next_try = DATEADD(HOUR, 3, CURRENT_TIMESTAMP)");
        RedrivePlan all = intoInbox().plan();
        assertThat(all.size()).isZero();
        assertThat(all.discardable()).isZero();
        assertThat(all.standings()).containsEntry(Standing.WAITING, 2L);
        RedrivePlan bob = intoInbox().key("bob").plan();
        assertThat(bob.size()).isEqualTo(2);
        assertThat(bob.discard("nobody needs it").discarded()).isEqualTo(2);
        assertThat(inbox.parking().load(GROUP)).isEmpty();
    }

    private void letterAndKeyThatWaits() throws SQLException {
        ConsumerRunner first = goingOn();
        failing.add("bob1");
        publish("bob", 1);
        bus.runUntilIdle();
        first.close();
        park("bob", 2, 3);
        execute("UPDATE eventbus_parked_key SET state = 'WAITING', next_try = DATEADD(HOUR, 3, CURRENT_TIMESTAMP)");
        failing.clear();
    }

    @Test
    void a_key_that_waits_goes_as_a_whole_with_its_letter() throws SQLException {
        letterAndKeyThatWaits();
        RedrivePlan plan = intoInbox().plan();
        assertThat(plan.leftOut()).isEmpty();
        assertThat(plan.size()).isEqualTo(3);
        RedriveResult result = plan.run("mended");
        assertThat(result.handedOver()).isEqualTo(3);
        bus.runUntilIdle();
        assertThat(booked("bob")).containsExactly(1, 2, 3);
    }

    @Test
    void a_letter_of_a_key_that_waits_is_discarded_and_the_key_is_left_to_its_next_try() throws SQLException {
        letterAndKeyThatWaits();
        RedrivePlan plan = intoInbox().plan();
        assertThat(plan.discardable()).isEqualTo(1);
        execute("UPDATE eventbus_parked_key SET redrives = 9");
        assertThat(intoInbox().plan().discardable())
                .as("the key is not named, however often it was redriven")
                .isEqualTo(1);
        RedriveResult result = plan.discard("not this one");
        assertThat(result.discarded()).isEqualTo(1);
        assertThat(result.leftAlone(Standing.WAITING)).isEqualTo(2);
        assertThat(inbox.parking().load(GROUP)).extracting(ParkedKey::events).containsExactly(2L);
    }

    @Test
    void a_selection_that_finds_nothing_says_how_many_keys_there_are_beside_it() throws SQLException {
        park("bob", 1);
        assertThat(intoInbox().key("bbo").plan().unselectedKeys()).isEqualTo(1);
        assertThat(intoInbox().plan().unselectedKeys()).isZero();
    }

    // ---- a letter and its key

    @Test
    void an_event_that_is_named_takes_nothing_along_that_is_parked_with_its_key() throws SQLException {
        ConsumerRunner first = goingOn();
        failing.add("bob1");
        publish("bob", 1);
        bus.runUntilIdle();
        first.close();
        park("bob", 2, 3);
        RedrivePlan plan = intoInbox().event(bus.events(BOOKING).get(0).id()).plan();
        assertThat(plan.size()).as("whose letter is redriven, all of it is").isEqualTo(3);
        assertThat(plan.discardable()).isEqualTo(1);
        assertThat(plan.discard("not this one").discarded()).isEqualTo(1);
        assertThat(inbox.parking().load(GROUP)).extracting(ParkedKey::events).containsExactly(2L);
    }

    @Test
    void a_letter_that_was_the_last_of_a_parked_key_takes_the_key_along() throws SQLException {
        ConsumerRunner first = goingOn();
        failing.add("bob1");
        publish("bob", 1);
        bus.runUntilIdle();
        first.close();
        intoInbox().plan().run("handed over");
        execute("UPDATE eventbus_parked_key SET state = 'PARKED'");
        intoInbox().event(bus.events(BOOKING).get(0).id()).plan().discard("no");
        assertThat(inbox.parking().load(GROUP))
                .as("else later ones would follow for nothing")
                .isEmpty();
    }

    // ---- showing

    @Test
    void an_export_has_whatever_is_parked_and_what_is_absent_is_null() throws SQLException, IOException {
        park("bob", 1);
        byte[] key = "ann".getBytes(UTF_8);
        failing.add("ann1");
        publish("ann", 1);
        bus.runUntilIdle();
        execute(
                "UPDATE eventbus_parked_event SET value_bytes = NULL, reason = NULL, error = NULL WHERE key_bytes = X'%s'"
                        .formatted(HexFormat.of().formatHex(key)));
        execute("UPDATE eventbus_parked_key SET redrives = 9");
        redriven("bob");
        StringBuilder lines = new StringBuilder();
        long parked = intoInbox().plan().export(lines) - bus.deadLetters().size();
        assertThat(parked).as("one is redriven, one was too often").isEqualTo(2);
        assertThat(lines.toString())
                .contains("\"value\":null", "\"reason\":null", "\"message\":null")
                .doesNotContain("\"null\"");
    }

    @Test
    void an_export_of_a_key_with_more_than_memory_holds_reads_it_part_by_part() throws SQLException, IOException {
        park("bob", 1);
        execute("""
                INSERT INTO eventbus_parked_event (consumer_group, topic, key_bytes, event_id, partition_no, record_offset, value_bytes, headers,
                    record_time, attempts, reason, error, parked_at)
                SELECT consumer_group, topic, key_bytes, STRINGTOUTF8('more' || x), partition_no, record_offset, value_bytes, headers,
                    record_time, 0, NULL, NULL, parked_at
                FROM eventbus_parked_event CROSS JOIN SYSTEM_RANGE(1, 1200)""");
        int[] connections = {0};
        RedrivePlan plan = intoInbox().key("bob").plan();
        onConnection = () -> connections[0]++;
        StringBuilder lines = new StringBuilder();
        long letters = bus.deadLetters().size();
        assertThat(plan.export(lines)).isEqualTo(1_201 + letters);
        assertThat(connections[0]).as("the ids, then 500 at a time").isEqualTo(4);
    }
}
