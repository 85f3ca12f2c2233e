package dev.eventbus.testkit;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.eventbus.FailureReason;
import dev.eventbus.StartRefusedException;
import dev.eventbus.consumer.deadletter.DeadLetter;
import dev.eventbus.consumer.parking.ParkedKey;
import dev.eventbus.consumer.redrive.Redrive;
import dev.eventbus.consumer.redrive.RedrivePlan;
import dev.eventbus.consumer.redrive.RedriveResult;
import dev.eventbus.consumer.redrive.Standing;
import java.sql.SQLException;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.header.Headers;
import org.apache.kafka.common.header.internals.RecordHeaders;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.parallel.Execution;
import org.junit.jupiter.api.parallel.ExecutionMode;

/** Letters that cannot go the straight way, and runs that are cut short: told, counted, and never in the way of others. */
@Execution(ExecutionMode.CONCURRENT)
class RedriveLimitsTest extends RedriveStage {

    // ---- refused by the database

    @Test
    void a_letter_that_the_database_refuses_is_told_with_its_reason_and_holds_nothing_but_its_key()
            throws SQLException {
        deadLetters("bob1", "bob2", "alice1");
        refuse(idOf("bob", 1));
        RedriveResult result = intoInbox().plan().run("mended");
        assertThat(result.handedOver()).isEqualTo(1);
        assertThat(result.leftAlone(Standing.REFUSED)).isEqualTo(1);
        assertThat(result.leftAlone(Standing.HELD))
                .as("it must not be overtaken")
                .isEqualTo(1);
        assertThat(result.refused())
                .singleElement()
                .satisfies(text ->
                        assertThat(text).contains("bookings/", "SQLSTATE 23513").doesNotContain("bob"));
        assertThat(result.stopped()).isEmpty();
        bus.runUntilIdle();
        assertThat(booked("alice")).containsExactly(1);
        assertThat(booked("bob")).isEmpty();
        execute("ALTER TABLE eventbus_parked_event DROP CONSTRAINT odd");
        assertThat(intoInbox().plan().run("the column is wider").handedOver()).isEqualTo(2);
        bus.runUntilIdle();
        assertThat(booked("bob")).containsExactly(1, 2);
    }

    @Test
    void a_parked_key_does_not_overtake_its_letter_that_the_database_refuses() throws SQLException {
        deadLetters("bob1");
        parking();
        failing.add("bob2");
        publish("bob", 2, 3);
        bus.runUntilIdle();
        failing.clear();
        refuse(idOf("bob", 1));
        RedriveResult result = intoInbox().plan().run("mended");
        assertThat(result.handedOver()).isZero();
        assertThat(result.leftAlone(Standing.HELD)).isEqualTo(2);
        bus.runUntilIdle();
        assertThat(booked("bob")).isEmpty();
    }

    @Test
    void what_is_parked_goes_on_only_when_all_letters_of_its_key_stand_before_it() throws SQLException {
        deadLetters("bob1", "bob2");
        parking();
        failing.add("bob3");
        publish("bob", 3, 4);
        bus.runUntilIdle();
        failing.clear();
        refuse(idOf("bob", 2));
        RedriveResult result = intoInbox().plan().run("mended");
        assertThat(result.handedOver()).isZero();
        assertThat(result.leftAlone(Standing.PARKED))
                .as("in its place, as is bob 3")
                .isEqualTo(2);
        bus.runUntilIdle();
        assertThat(booked("bob")).as("bob 2 is still missing").isEmpty();

        execute("ALTER TABLE eventbus_parked_event DROP CONSTRAINT odd");
        result = intoInbox().plan().run("the column is wider");
        assertThat(result.handedOver()).isEqualTo(4);
        assertThat(result.leftAlone()).as("the copy of bob 3").isEqualTo(Map.of(Standing.PARKED, 1L));
        bus.runUntilIdle();
        assertThat(booked("bob")).containsExactly(1, 2, 3, 4);
    }

    @Test
    void when_the_database_refuses_again_and_again_the_run_stops() throws SQLException {
        deadLetters("ann1", "bob1", "cid1", "dan1");
        execute("ALTER TABLE eventbus_parked_event ADD CONSTRAINT odd CHECK (partition_no < 0)");
        RedriveResult result = intoInbox().stopsAfter(2).plan().run("mended");
        assertThat(result.stopped()).hasValueSatisfying(why -> assertThat(why).contains("SQLSTATE 23513"));
        assertThat(result.leftAlone(Standing.REFUSED)).isEqualTo(2);
        assertThat(strings("SELECT state FROM eventbus_redrive")).containsExactly("STOPPED");
    }

    // ---- that cannot be redriven

    @Test
    void whatever_cannot_be_redriven_can_be_given_up() throws SQLException {
        deadLetters("bob1", "cid1");
        DeadLetter letter = bus.deadLetters().get(0);
        letter(letter, "eventbus-dlq-event-id", "without a key", null);
        letter(letter, "eventbus-dlq-topic", "secrets", letter.key());
        letter(letter, "eventbus-dlq-redrives", "3", letter.key());
        Headers cut = headersOf(letter);
        cut.remove("eventbus-dlq-event-id")
                .add("eventbus-dlq-event-id", "cut".getBytes(UTF_8))
                .add("eventbus-dlq-omitted", "headers".getBytes(UTF_8));
        bus.publishRaw(new ProducerRecord<>("dlq", null, letter.key(), letter.value(), cut));
        DeadLetter other = bus.deadLetters().get(1);
        bus.publishRaw(new ProducerRecord<>("dlq", null, other.key(), letter.value(), other.headers()));
        RedrivePlan plan = intoInbox().plan();
        assertThat(plan.standings())
                .isEqualTo(Map.of(
                        Standing.READY, 2L,
                        Standing.WITHOUT_KEY, 1L,
                        Standing.FOREIGN_TOPIC, 1L,
                        Standing.INCOMPLETE, 1L,
                        Standing.ID_CONFLICT, 1L,
                        Standing.TOO_OFTEN, 1L));
        assertThat(plan.discardable()).isEqualTo(7);
        RedriveResult result = plan.discard("test data");
        assertThat(result.discarded()).isEqualTo(7);
        assertThat(result.leftAlone()).isEmpty();
        assertThat(strings("SELECT DISTINCT UTF8TOSTRING(topic) FROM eventbus_inbox ORDER BY 1"))
                .as("which the group's runners purge")
                .containsExactly("bookings", "dlq");
        RedrivePlan after = intoInbox().plan();
        assertThat(after.standings()).isEqualTo(Map.of(Standing.DISCARDED, 7L));
        assertThat(after.discardable()).isZero();
        assertThat(after.discard("again").discarded()).isZero();
        assertThat(strings("SELECT discarded FROM eventbus_redrive ORDER BY at"))
                .containsExactly("7", "0");
    }

    @Test
    void giving_up_a_forged_letter_skips_no_event_that_is_still_to_come() throws SQLException {
        deadLetters("bob1");
        DeadLetter letter = bus.deadLetters().get(0);
        Headers forged = headersOf(letter);
        forged.remove("eventbus-dlq-topic").add("eventbus-dlq-topic", "secrets".getBytes(UTF_8));
        forged.remove("eventbus-dlq-event-id").add("eventbus-dlq-event-id", "tomorrow".getBytes(UTF_8));
        bus.publishRaw(new ProducerRecord<>("dlq", null, letter.key(), letter.value(), forged));
        assertThat(intoInbox().event("tomorrow").plan().discard("forged").discarded())
                .isEqualTo(1);
        raw("tomorrow", "bob", 7);
        bus.runUntilIdle();
        assertThat(booked("bob")).containsExactly(7);
    }

    @Test
    void an_id_with_control_characters_is_one_and_its_letter_is_redriven() throws SQLException {
        goingOn();
        failing.add("bob1");
        publish("bob", 2);
        raw("evt\\t1", "bob", 1);
        bus.runUntilIdle();
        failing.clear();
        RedrivePlan plan = intoInbox().plan();
        assertThat(plan.others()).isZero();
        assertThat(plan.letters())
                .singleElement()
                .satisfies(letter -> assertThat(letter.eventId()).isEqualTo("evt\t1"));
        assertThat(plan.run("mended").handedOver()).isEqualTo(1);
        bus.runUntilIdle();
        assertThat(booked("bob")).containsExactly(2, 1);
    }

    @Test
    void a_letter_that_lacks_its_value_is_seen_for_what_became_of_its_event() throws SQLException {
        deadLetters("bob1", "cid1");
        for (DeadLetter letter : bus.deadLetters()) {
            Headers headers = headersOf(letter);
            headers.add("eventbus-dlq-omitted", "headers,value".getBytes(UTF_8));
            bus.publishRaw(new ProducerRecord<>("dlq", null, letter.key(), null, headers));
        }
        assertThat(intoInbox().plan().standings()).isEqualTo(Map.of(Standing.READY, 2L, Standing.INCOMPLETE, 2L));
        intoInbox().key("bob").plan().run("mended");
        bus.runUntilIdle();
        intoInbox().key("cid").plan().discard("nobody needs it");
        assertThat(intoInbox().plan().standings())
                .isEqualTo(Map.of(Standing.ALREADY_APPLIED, 2L, Standing.DISCARDED, 2L));
    }

    @Test
    void a_letter_whose_arrival_its_group_has_not_noted_is_redriven_all_the_same() throws SQLException {
        deadLetters("bob1", "cid1");
        execute("UPDATE eventbus_inbox SET outcome = 'DYING'");
        assertThat(intoInbox().key("bob").plan().run("the record is gone").handedOver())
                .isEqualTo(1);
        bus.runUntilIdle();
        assertThat(booked("bob")).containsExactly(1);
        assertThat(intoInbox().key("cid").plan().discard("the record is gone").discarded())
                .isEqualTo(1);
        assertThat(intoInbox().plan().standings())
                .isEqualTo(Map.of(Standing.ALREADY_APPLIED, 1L, Standing.DISCARDED, 1L));
    }

    @Test
    void a_group_whose_offsets_have_expired_has_its_letters_and_is_not_told_that_they_are_foreign()
            throws SQLException {
        deadLetters("bob1", "cid1");
        try (FakeEventBus later = FakeEventBus.create()) {
            for (DeadLetter letter : bus.deadLetters()) {
                later.publishRaw(new ProducerRecord<>("dlq", null, letter.key(), letter.value(), letter.headers()));
            }
            Redrive redrive = Redrive.of(later.kafka(), GROUP, "dlq", inbox);
            assertThat(redrive.plan().standings()).as("the inbox knows them").isEqualTo(Map.of(Standing.READY, 2L));
            execute("DELETE FROM eventbus_inbox");
            assertThat(redrive.plan().standings()).isEqualTo(Map.of(Standing.NO_OFFSETS, 2L));
            assertThat(Redrive.of(later.kafka(), GROUP, "dlq").plan().standings())
                    .isEqualTo(Map.of(Standing.NO_OFFSETS, 2L));
        }
    }

    // ---- the audit

    @Test
    void the_audit_tells_what_had_its_effect_from_what_was_only_handed_over() throws SQLException {
        deadLetters("bob1", "cid1");
        intoInbox().key("bob").requestedBy("ann").plan().run("not waited for");
        bus.runUntilIdle();
        bus.advance(Duration.ofSeconds(1));
        duringTheRun(bus::runUntilIdle);
        intoInbox()
                .key("cid")
                .requestedBy("ben")
                .waits(Duration.ofSeconds(20))
                .plan()
                .run("waited for");
        assertThat(strings("SELECT requested_by || ' ' || done || ' ' || state FROM eventbus_redrive ORDER BY at"))
                .containsExactly("ann 0 HANDED_OVER", "ben 1 DONE");
    }

    @Test
    void a_run_that_ends_with_an_error_is_noted_as_stopped_and_the_first_error_is_the_one_told() throws SQLException {
        deadLetters("bob1", "cid1");
        RedrivePlan plan = intoInbox().plan();
        failConnection(3, 3);
        assertThatThrownBy(() -> plan.discard("half way")).isInstanceOf(StartRefusedException.class);
        assertThat(strings("SELECT discarded || ' ' || state FROM eventbus_redrive"))
                .containsExactly("1 STOPPED");
        failConnection(2, 99);
        assertThatThrownBy(() -> plan.run("the database goes away"))
                .isInstanceOf(StartRefusedException.class)
                .satisfies(e -> assertThat(e.getSuppressed()).hasSize(1));
    }

    // ---- event by event

    @Test
    void a_run_that_is_interrupted_ends_before_the_next_event_of_the_same_key() throws SQLException {
        deadLetters("bob1", "bob2", "bob3", "bob4");
        RedrivePlan plan = intoInbox().plan();
        int[] count = {0};
        onConnection = () -> {
            if (++count[0] == 2) {
                Thread.currentThread().interrupt();
            }
        };
        RedriveResult result = plan.run("interrupted");
        assertThat(Thread.interrupted()).isTrue();
        onConnection = () -> {};
        assertThat(result.stopped()).contains("interrupted");
        assertThat(result.handedOver()).isEqualTo(1);
    }

    @Test
    void only_the_event_that_was_tried_has_failed_and_those_behind_it_are_back() throws SQLException {
        parking();
        failing.add("bob1");
        publish("bob", 1, 2, 3, 4);
        bus.runUntilIdle();
        RedrivePlan plan = intoInbox().waits(Duration.ofSeconds(20)).plan();
        duringTheRun(bus::runUntilIdle);
        RedriveResult result = plan.run("too early");
        assertThat(result.failedAgain()).isEqualTo(1);
        assertThat(result.leftAlone(Standing.PARKED)).as("three and the copy").isEqualTo(4);
        assertThat(result.waiting()).isZero();
        assertThat(result.stopped()).isEmpty();
        assertThat(inbox.parking().load(GROUP))
                .singleElement()
                .satisfies(key -> assertThat(key.state()).isEqualTo(ParkedKey.State.PARKED));
        assertThat(strings("SELECT done || ' ' || failed || ' ' || state FROM eventbus_redrive"))
                .containsExactly("0 1 DONE");
    }

    @Test
    void what_somebody_gave_up_meanwhile_has_had_no_effect() throws SQLException {
        deadLetters("bob1");
        RedrivePlan other = intoInbox().plan();
        RedrivePlan plan = intoInbox().waits(Duration.ofSeconds(20)).plan();
        duringTheRun(() -> other.discard("no"));
        RedriveResult result = plan.run("yes");
        assertThat(result.applied()).isZero();
        assertThat(result.leftAlone(Standing.DISCARDED)).isEqualTo(1);
    }

    // ---- without an inbox

    @Test
    void of_two_events_with_equal_bytes_one_that_is_back_is_not_taken_for_the_other() {
        plain();
        bus.publishRaw("bookings", "bob", "{nonsense");
        bus.publishRaw("bookings", "bob", "{nonsense");
        publish("alice", 1);
        bus.runUntilIdle();
        ConsumerRecord<byte[], byte[]> first = bus.records("bookings").get(0);
        String id = "bookings/%d/%d".formatted(first.partition(), first.offset());
        assertThat(ontoTopic().plan().size()).isEqualTo(2);
        assertThat(ontoTopic().event(id).plan().run("half").handedOver()).isEqualTo(1);
        assertThat(ontoTopic().plan().standings()).isEqualTo(Map.of(Standing.READY, 1L, Standing.ALREADY_APPLIED, 1L));
        assertThat(ontoTopic().plan().run("the rest").handedOver()).isEqualTo(1);
        assertThat(ontoTopic().plan().standings()).isEqualTo(Map.of(Standing.ALREADY_APPLIED, 2L));
    }

    // ---- the loop guard

    @Test
    void how_often_an_event_was_redriven_is_known_whichever_of_its_letters_is_selected() {
        goingOn();
        failing.add("bob1");
        publish("bob", 1);
        for (int round = 0; round < 3; round++) {
            bus.runUntilIdle();
            bus.advance(Duration.ofDays(1));
            intoInbox().plan().run("again");
        }
        bus.runUntilIdle();
        RedrivePlan old = intoInbox()
                .between(bus.now().minus(Duration.ofDays(9)), bus.now().minus(Duration.ofDays(2)))
                .plan();
        assertThat(old.standings()).isEqualTo(Map.of(Standing.TOO_OFTEN, 1L));
    }

    @Test
    void a_count_of_redrives_that_no_redrive_has_written_is_not_believed() {
        plain();
        failing.add("bob1");
        publish("bob", 1);
        ConsumerRecord<byte[], byte[]> record = bus.records("bookings").get(0);
        Headers headers = new RecordHeaders(record.headers());
        headers.add("eventbus-redrives", "1000".getBytes(UTF_8));
        bus.publishRaw(new ProducerRecord<>("bookings", null, record.key(), record.value(), headers));
        bus.runUntilIdle();
        assertThat(ontoTopic().plan().standings()).containsOnlyKeys(Standing.READY);
    }

    // ---- selection

    @Test
    void a_redrive_of_one_topic_names_it_as_the_program_does() throws SQLException {
        deadLetters("bob1");
        assertThat(intoInbox().topic("others").plan().size()).isZero();
        assertThat(intoInbox().topic("bookings").plan().run("mended").handedOver())
                .isEqualTo(1);
        assertThat(strings("SELECT selection FROM eventbus_redrive")).containsExactly("topic bookings");
    }

    // ----

    @Test
    void the_loop_guard_holds_behind_more_redriven_letters_than_a_plan_remembers() {
        plain();
        failing.addAll(List.of("bob1", "cid1"));
        publish("cid", 1);
        bus.runUntilIdle();
        DeadLetter like = bus.deadLetters().get(0);
        publish("bob", 1);
        ConsumerRecord<byte[], byte[]> bob = bus.records("bookings").stream()
                .filter(record -> "bob".equals(new String(record.key(), UTF_8)))
                .findFirst()
                .orElseThrow();
        for (int event = 0; event <= 2 * Redrive.MOST_LETTERS; event++) {
            forged(like, bob, "other" + event, 1);
        }
        forged(like, bob, idOf("bob", 1), 3);
        bus.runUntilIdle();
        RedrivePlan plan =
                ontoTopic().reason(FailureReason.ATTEMPTS_EXHAUSTED).key("bob").plan();
        assertThat(plan.standings()).isEqualTo(Map.of(Standing.TOO_OFTEN, 1L));
    }

    private void forged(DeadLetter like, ConsumerRecord<byte[], byte[]> of, String eventId, int redrives) {
        Headers headers = headersOf(like);
        headers.remove("eventbus-dlq-reason").add("eventbus-dlq-reason", "NOT_RETRYABLE".getBytes(UTF_8));
        headers.remove("eventbus-dlq-event-id").add("eventbus-dlq-event-id", eventId.getBytes(UTF_8));
        headers.remove("eventbus-dlq-redrives")
                .add("eventbus-dlq-redrives", Integer.toString(redrives).getBytes(UTF_8));
        bus.publishRaw(new ProducerRecord<>("dlq", null, of.key(), of.value(), headers));
    }

    private String idOf(String user, int n) {
        return bus.events(BOOKING).stream()
                .filter(event -> event.payload().equals(new Booking(user, n)))
                .findFirst()
                .orElseThrow()
                .id();
    }

    private void refuse(String eventId) throws SQLException {
        execute("ALTER TABLE eventbus_parked_event ADD CONSTRAINT odd CHECK (event_id <> STRINGTOUTF8('%s'))"
                .formatted(eventId));
    }

    private static Headers headersOf(DeadLetter letter) {
        return new RecordHeaders(letter.headers());
    }

    /** A letter with one header changed. */
    private void letter(DeadLetter of, String header, String value, byte @Nullable [] key) {
        Headers headers = headersOf(of);
        headers.remove(header).add(header, value.getBytes(UTF_8));
        if (!header.equals("eventbus-dlq-event-id")) {
            headers.remove("eventbus-dlq-event-id").add("eventbus-dlq-event-id", header.getBytes(UTF_8));
        }
        bus.publishRaw(new ProducerRecord<>("dlq", null, key, of.value(), headers));
    }

    /** An event with an id of somebody else's making, as it stands in JSON. */
    private void raw(String id, String user, int n) {
        ConsumerRecord<byte[], byte[]> like = bus.records("bookings").get(0);
        String value = new String(like.value(), UTF_8)
                .replaceAll("\"eventId\":\"[^\"]*\"", "\"eventId\":\"" + id.replace("\\", "\\\\") + "\"")
                .replaceAll("\"user\":\"[^\"]*\"", "\"user\":\"" + user + "\"")
                .replaceAll("\"n\":\\d+", "\"n\":" + n);
        Headers headers = new RecordHeaders(like.headers());
        headers.remove("id");
        bus.publishRaw(new ProducerRecord<>("bookings", null, user.getBytes(UTF_8), value.getBytes(UTF_8), headers));
    }

    /** Once, when the run looks how those fare that it has handed over. */
    private void duringTheRun(Runnable work) {
        int before = parkedEvents() + (int) parkedKeysRedriven();
        boolean[] done = {false};
        onConnection = () -> {
            if (!done[0] && parkedEvents() + parkedKeysRedriven() > before) {
                done[0] = true;
                work.run();
            }
        };
    }

    private int parkedEvents() {
        return number("SELECT count(*) FROM eventbus_parked_event");
    }

    private int parkedKeysRedriven() {
        return number("SELECT count(*) FROM eventbus_parked_key WHERE state = 'REDRIVE'");
    }

    private int number(String sql) {
        try {
            return Integer.parseInt(strings(sql).get(0));
        } catch (SQLException e) {
            throw new IllegalStateException(e);
        }
    }

    /** From one connection that the inbox takes to another the database does not answer. */
    private void failConnection(int from, int to) {
        int[] count = {0};
        onConnection = () -> {
            count[0]++;
            if (count[0] >= from && count[0] <= to) {
                throw new SQLException("no answer", "08001");
            }
        };
    }
}
