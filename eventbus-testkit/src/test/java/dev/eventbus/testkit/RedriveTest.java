package dev.eventbus.testkit;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.eventbus.FailureReason;
import dev.eventbus.consumer.AfterRetries;
import dev.eventbus.consumer.ConsumerRunner;
import dev.eventbus.consumer.Delivery;
import dev.eventbus.consumer.RunnerListener;
import dev.eventbus.consumer.deadletter.DeadLetter;
import dev.eventbus.consumer.parking.ParkedKey;
import dev.eventbus.consumer.redrive.PlannedKey;
import dev.eventbus.consumer.redrive.Redrive;
import dev.eventbus.consumer.redrive.RedrivePlan;
import dev.eventbus.consumer.redrive.RedriveResult;
import dev.eventbus.consumer.redrive.Standing;
import io.github.resilience4j.retry.RetryConfig;
import java.io.IOException;
import java.sql.Connection;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.header.Headers;
import org.apache.kafka.common.header.internals.RecordHeaders;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.parallel.Execution;
import org.junit.jupiter.api.parallel.ExecutionMode;

/** Redrives, in virtual time and H2. */
@Execution(ExecutionMode.CONCURRENT)
class RedriveTest extends RedriveStage {

    @Test
    void V05_without_an_inbox_only_the_group_that_failed_handles_it_again_and_the_bytes_are_the_same() {
        plain();
        other();
        failing.add("bob1");
        publish("bob", 1, 2);
        bus.runUntilIdle();
        bus.advance(Duration.ofHours(3));
        failing.clear();
        RedriveResult result = ontoTopic().plan().run("mended");
        bus.runUntilIdle();
        assertThat(result.handedOver()).isEqualTo(1);
        assertThat(handled).containsExactly("bob2", "bob1");
        assertThat(elsewhere).containsExactly("bob1", "bob2");
        assertThat(skipped).containsExactly("bookings@2");
        ConsumerRecord<byte[], byte[]> first = bus.records("bookings").get(0);
        ConsumerRecord<byte[], byte[]> again = bus.records("bookings").get(2);
        assertThat(again.partition()).isEqualTo(first.partition());
        assertThat(again.key()).isEqualTo(first.key());
        assertThat(again.value()).isEqualTo(first.value());
        assertThat(again.timestamp()).isEqualTo(bus.now().toEpochMilli()).isGreaterThan(first.timestamp());
        first.headers()
                .forEach(header ->
                        assertThat(again.headers().lastHeader(header.key())).isEqualTo(header));
        assertThat(again.headers())
                .extracting(header -> header.key())
                .noneMatch(name -> name.startsWith("eventbus-dlq"));
        assertThat(text(again.headers(), "eventbus-redrive-group")).isEqualTo(GROUP);
        assertThat(text(again.headers(), "eventbus-redrives")).isEqualTo("1");
    }

    @Test
    void without_an_inbox_events_without_a_key_do_not_wait_for_each_other() {
        plain();
        for (int n = 1; n <= 3; n++) {
            failing.add("bob" + n);
            bus.publishRaw(
                    new ProducerRecord<>("bookings", null, """
                    {"eventId":"evt-%d","eventType":"BOOKING","timestamp":"2030-01-01T00:00:00Z","user":"bob","n":%d}""".formatted(n, n).getBytes(UTF_8)));
        }
        bus.runUntilIdle();
        failing.clear();
        bus.faults().failTimes(1).forSendsTo("bookings");
        RedriveResult result = ontoTopic().plan().run("mended");
        assertThat(result.leftAlone(Standing.HELD)).isZero();
        assertThat(result.unknown()).isEqualTo(1);
        assertThat(result.handedOver()).isEqualTo(2);
    }

    @Test
    void one_that_fails_again_is_a_letter_again_counts_its_redrives_and_is_left_alone_at_last() {
        plain();
        failing.add("bob1");
        publish("bob", 1);
        for (int round = 1; round <= 3; round++) {
            bus.runUntilIdle();
            RedrivePlan plan = ontoTopic().plan();
            assertThat(plan.copies()).isEqualTo(round - 1);
            assertThat(plan.run("again").handedOver()).isEqualTo(1);
        }
        bus.runUntilIdle();
        RedrivePlan last = ontoTopic().plan();
        assertThat(last.size()).isZero();
        assertThat(last.letters()).singleElement().satisfies(letter -> {
            assertThat(letter.standing()).isEqualTo(Standing.TOO_OFTEN);
            assertThat(letter.origin().redrives()).isEqualTo(3);
        });
        assertThat(last.run("again").leftAlone(Standing.TOO_OFTEN)).isEqualTo(1);
        failing.clear();
        assertThat(ontoTopic().mostRedrives(5).plan().run("mended").handedOver())
                .isEqualTo(1);
        bus.runUntilIdle();
        assertThat(handled).containsExactly("bob1");
    }

    @Test
    void one_that_fails_again_and_again_has_all_its_attempts_each_time() throws SQLException {
        List<String> runs = new ArrayList<>();
        inHandler = runs::add;
        goingOn();
        failing.add("bob1");
        publish("bob", 1);
        for (int round = 1; round <= 3; round++) {
            bus.runUntilIdle();
            assertThat(runs).hasSize(2 * round);
            assertThat(strings("SELECT failures FROM eventbus_attempt")).isEmpty();
            assertThat(intoInbox().plan().run("again").handedOver()).isEqualTo(1);
        }
    }

    @Test
    void V02_V03_what_was_put_back_before_is_left_alone_and_a_run_that_failed_half_way_is_finished_by_another() {
        plain();
        List<String> users = IntStream.range(0, 5).mapToObj(i -> "user" + i).toList();
        users.forEach(user -> failing.add(user + "1"));
        users.forEach(user -> publish(user, 1));
        bus.runUntilIdle();
        failing.clear();
        RedrivePlan one = ontoTopic().plan();
        RedrivePlan two = ontoTopic().stopsAfter(1).plan();
        bus.faults().failTimes(1).forSendsTo("bookings");
        RedriveResult stopped = two.run("mended");
        assertThat(stopped.stopped()).isPresent();
        assertThat(stopped.unknown()).as("sent, and not answered").isEqualTo(1);
        assertThat(stopped.failedAgain()).isZero();
        assertThat(two.run("mended").handedOver()).isEqualTo(5);
        assertThat(one.run("mended too").leftAlone(Standing.ALREADY_APPLIED)).isEqualTo(5);
        assertThat(ontoTopic().plan().standings()).containsEntry(Standing.ALREADY_APPLIED, 5L);
        bus.runUntilIdle();
        assertThat(handled).hasSize(5).doesNotHaveDuplicates();
    }

    @Test
    void S23_nothing_is_written_to_a_topic_that_the_group_has_never_read() {
        plain();
        other();
        failing.add("bob1");
        publish("bob", 1);
        bus.runUntilIdle();
        for (String target : List.of("__consumer_offsets", "secrets", "dlq")) {
            DeadLetter letter = bus.deadLetters().get(0);
            Headers headers = new RecordHeaders(letter.headers());
            headers.remove("eventbus-dlq-topic").add("eventbus-dlq-topic", target.getBytes(UTF_8));
            headers.remove("eventbus-dlq-event-id").add("eventbus-dlq-event-id", target.getBytes(UTF_8));
            bus.publishRaw(new ProducerRecord<>("dlq", null, letter.key(), letter.value(), headers));
        }
        bus.publishRaw("dlq", "bob", "by hand");
        RedrivePlan plan = ontoTopic().plan();
        assertThat(plan.standings()).containsEntry(Standing.FOREIGN_TOPIC, 3L).containsEntry(Standing.READY, 1L);
        assertThat(plan.others()).isEqualTo(1);
        assertThat(plan.run("x").handedOver()).isEqualTo(1);
        assertThat(bus.records("secrets")).isEmpty();
    }

    @Test
    void a_group_that_handles_in_batches_skips_and_counts_what_was_put_back_for_another() {
        plain();
        bus.start(ConsumerRunner.builder(bus.kafka(), "audit")
                .onBatch(
                        BOOKING,
                        200,
                        (events, batch) -> events.forEach(event -> elsewhere.add(
                                event.payload().user() + event.payload().n())))
                .listener(new RunnerListener() {
                    @Override
                    public void skipped(@Nullable String eventType, Delivery delivery) {
                        skipped.add(delivery.topic() + "@" + delivery.offset());
                    }
                })
                .afterRetries(AfterRetries.deadLetter("dlq"))
                .build());
        failing.add("bob1");
        publish("bob", 1);
        bus.runUntilIdle();
        failing.clear();
        ontoTopic().plan().run("mended");
        publish("alice", 1, 2);
        publish("bob", 2);
        bus.runUntilIdle();
        assertThat(elsewhere).containsExactlyInAnyOrder("bob1", "alice1", "alice2", "bob2");
        assertThat(skipped).containsExactly("bookings@1");
    }

    @Test
    void a_plain_type_of_a_runner_with_an_inbox_skips_what_was_put_back_for_another_group() {
        plain();
        bus.start(ConsumerRunner.builder(bus.kafka(), "audit")
                .on(
                        BOOKING,
                        (event, delivery) -> elsewhere.add(
                                event.payload().user() + event.payload().n()))
                .inTransaction(inbox, CANCELLED, (event, tx) -> {})
                .afterRetries(AfterRetries.deadLetter("dlq"))
                .build());
        failing.add("bob1");
        publish("bob", 1);
        bus.runUntilIdle();
        failing.clear();
        ontoTopic().plan().run("mended");
        bus.runUntilIdle();
        assertThat(elsewhere).containsExactly("bob1");
        assertThat(handled).containsExactly("bob1");
    }

    @Test
    void a_letter_with_a_time_that_kafka_cannot_hold_is_no_letter_and_none_stops_a_plan() {
        goingOn();
        failing.add("bob1");
        publish("bob", 1);
        bus.runUntilIdle();
        DeadLetter letter = bus.deadLetters().get(0);
        for (String time :
                List.of("+999999999-12-31T23:59:59Z", "-999999999-01-01T00:00:00Z", "+10000-01-01T00:00:00Z")) {
            Headers headers = new RecordHeaders(letter.headers());
            headers.remove("eventbus-dlq-timestamp").add("eventbus-dlq-timestamp", time.getBytes(UTF_8));
            bus.publishRaw(new ProducerRecord<>("dlq", null, letter.key(), letter.value(), headers));
        }
        RedrivePlan plan = intoInbox().plan();
        assertThat(plan.size()).isEqualTo(1);
        assertThat(plan.others()).isEqualTo(2);
        assertThat(plan.copies()).as("the year 10,000 can be held").isEqualTo(1);
        assertThat(plan.run("ticket 1").handedOver()).isEqualTo(1);
    }

    @Test
    void letters_behind_more_than_a_plan_takes_are_reached_and_those_that_cannot_be_redriven_are_counted()
            throws SQLException {
        goingOn();
        failing.addAll(List.of("bob1", "alice1"));
        publish("bob", 1);
        bus.runUntilIdle();
        DeadLetter letter = bus.deadLetters().get(0);
        Headers cut = new RecordHeaders(letter.headers()).add("eventbus-dlq-omitted", "headers".getBytes(UTF_8));
        cut.remove("eventbus-dlq-event-id");
        moreThanAPlanTakes(letter, cut);
        publish("alice", 1);
        bus.runUntilIdle();
        RedrivePlan plan = intoInbox().plan();
        assertThat(plan.size()).isEqualTo(2);
        assertThat(plan.hasMore()).isFalse();
        assertThat(plan.standings()).containsEntry(Standing.INCOMPLETE, Redrive.MOST_LETTERS + 500L);
        failing.clear();
        assertThat(plan.run("mended").handedOver()).isEqualTo(2);
        bus.runUntilIdle();
        assertThat(booked("bob")).containsExactly(1);
        assertThat(booked("alice")).containsExactly(1);
    }

    private void moreThanAPlanTakes(DeadLetter like, Headers withoutId) {
        for (int i = 0; i < Redrive.MOST_LETTERS + 500; i++) {
            Headers headers = new RecordHeaders(withoutId).add("eventbus-dlq-event-id", ("evt" + i).getBytes(UTF_8));
            bus.publishRaw(new ProducerRecord<>("dlq", null, like.key(), like.value(), headers));
        }
    }

    @Test
    void letters_that_were_redriven_too_often_keep_no_newer_letter_out_of_a_plan() throws SQLException {
        goingOn();
        failing.addAll(List.of("bob1", "alice1"));
        publish("bob", 1);
        bus.runUntilIdle();
        DeadLetter letter = bus.deadLetters().get(0);
        Headers often = new RecordHeaders(letter.headers());
        often.remove("eventbus-dlq-event-id").remove("eventbus-dlq-redrives");
        often.add("eventbus-dlq-redrives", "3".getBytes(UTF_8));
        moreThanAPlanTakes(letter, often);
        publish("alice", 1);
        bus.runUntilIdle();
        RedrivePlan plan = intoInbox().plan();
        assertThat(plan.size()).isEqualTo(2);
        assertThat(plan.hasMore()).isFalse();
        assertThat(plan.standings()).containsEntry(Standing.TOO_OFTEN, Redrive.MOST_LETTERS + 500L);

        for (int time = 0; time < 3; time++) {
            intoInbox().plan().discard("nobody needs them");
        }
        assertThat(intoInbox().plan().standings())
                .as("whoever repeats a discard comes to the end")
                .doesNotContainKey(Standing.TOO_OFTEN);
    }

    @Test
    void a_large_plan_is_read_window_by_window_and_each_letter_goes_out_once() throws SQLException {
        goingOn();
        List<String> users = IntStream.range(0, 1_200).mapToObj(i -> "user" + i).toList();
        users.forEach(user -> failing.add(user + "1"));
        users.forEach(user -> publish(user, 1));
        bus.runUntilIdle();
        failing.clear();
        assertThat(intoInbox().perSecond(10_000).plan().run("mended").handedOver())
                .isEqualTo(1_200);
        bus.runUntilIdle();
        assertThat(outcomes("DONE")).isEqualTo(1_200);
    }

    @Test
    void a_letter_behind_one_of_its_key_that_somebody_has_in_hand_waits_for_it() throws SQLException {
        goingOn();
        failing.addAll(List.of("bob1", "bob2"));
        publish("bob", 1, 2);
        publish("alice", 1);
        bus.runUntilIdle();
        failing.clear();
        RedrivePlan plan = intoInbox().plan();
        execute("DELETE FROM eventbus_inbox WHERE outcome = 'DEAD' AND record_offset = 0");
        try (Connection other = database.getConnection();
                Statement statement = other.createStatement()) {
            other.setAutoCommit(false);
            statement.execute(
                    "INSERT INTO eventbus_inbox (consumer_group, event_id, outcome, payload_hash, topic, partition_no, record_offset, decided_at) SELECT consumer_group, '%s', outcome, payload_hash, topic, partition_no, record_offset, decided_at FROM eventbus_inbox WHERE outcome = 'DEAD'"
                            .formatted(bus.events(BOOKING).get(0).id()));
            assertThat(plan.run("one is in hand").leftAlone(Standing.HELD)).isEqualTo(2);
            other.rollback();
        }
        assertThat(intoInbox().plan().run("now").handedOver()).isEqualTo(2);
        bus.runUntilIdle();
        assertThat(booked("bob")).containsExactly(1, 2);
    }

    @Test
    void without_an_inbox_nothing_can_be_discarded() {
        plain();
        failing.add("bob1");
        publish("bob", 1);
        bus.runUntilIdle();
        assertThatThrownBy(() -> ontoTopic().plan().discard("x"))
                .isInstanceOf(IllegalStateException.class)
                .hasMessageContaining("no inbox");
    }

    // ---- with an inbox

    @Test
    void with_an_inbox_the_topic_has_no_record_more_and_the_effect_is_there_once() throws SQLException {
        goingOn();
        failing.add("bob1");
        publish("bob", 1, 2, 3);
        publish("alice", 1);
        bus.runUntilIdle();
        RedrivePlan plan = intoInbox().plan();
        assertThat(plan.size()).isEqualTo(1);
        assertThat(plan.reasons()).containsExactly(Map.entry(FailureReason.ATTEMPTS_EXHAUSTED, 1L));
        PlannedKey key = plan.keys().get(0);
        assertThat(key.laterHandled()).as("an old event would be applied last").isEqualTo(2);
        assertThat(key.exact()).isTrue();
        failing.clear();
        RedriveResult result = plan.run("mended");
        assertThat(result.handedOver()).isEqualTo(1);
        assertThat(result.waiting()).isEqualTo(1);
        assertThat(intoInbox().plan().standings()).containsEntry(Standing.UNDER_WAY, 1L);
        publish("bob", 4);
        bus.runUntilIdle();
        assertThat(booked("bob")).containsExactly(2, 3, 1, 4);
        assertThat(bus.records("bookings")).hasSize(5);
        assertThat(outcomes("DEAD")).isZero();
        assertThat(outcomes("DONE")).isEqualTo(5);
        assertThat(inbox.parking().load(GROUP)).isEmpty();
    }

    @Test
    void V02_V03_two_who_redrive_at_once_give_one_effect_and_later_ones_find_it_applied() throws SQLException {
        goingOn();
        failing.add("bob1");
        publish("bob", 1);
        bus.runUntilIdle();
        failing.clear();
        RedrivePlan one = intoInbox().plan();
        RedrivePlan two = intoInbox().plan();
        assertThat(one.run("one").handedOver()).isEqualTo(1);
        assertThat(two.run("two").leftAlone(Standing.UNDER_WAY)).isEqualTo(1);
        bus.runUntilIdle();
        assertThat(two.run("two again").leftAlone(Standing.ALREADY_APPLIED)).isEqualTo(1);
        bus.runUntilIdle();
        assertThat(booked("bob")).containsExactly(1);
        assertThat(intoInbox().plan().standings()).containsOnlyKeys(Standing.ALREADY_APPLIED);
    }

    @Test
    void a_letter_that_fails_again_is_a_letter_again_and_its_key_goes_on() throws SQLException {
        goingOn();
        failing.add("bob1");
        publish("bob", 1);
        bus.runUntilIdle();
        intoInbox().plan().run("too early");
        publish("bob", 2);
        bus.runUntilIdle();
        assertThat(booked("bob")).containsExactly(2);
        assertThat(bus.deadLetters()).hasSize(2);
        assertThat(text(bus.deadLetters().get(1).headers(), "eventbus-dlq-redrives"))
                .isEqualTo("1");
        assertThat(outcomes("DEAD")).isEqualTo(1);
        assertThat(inbox.parking().load(GROUP)).isEmpty();
        failing.clear();
        RedrivePlan plan = intoInbox().plan();
        assertThat(plan.copies()).isEqualTo(1);
        plan.run("mended");
        bus.runUntilIdle();
        assertThat(booked("bob")).containsExactly(2, 1);
    }

    @Test
    void a_letter_whose_sending_fails_again_and_again_runs_no_handler_meanwhile() throws SQLException {
        goingOn();
        failing.add("bob1");
        publish("bob", 1);
        bus.runUntilIdle();
        bus.faults().failTimes(3).forSendsTo("dlq");
        intoInbox().plan().run("too early");
        bus.runUntilIdle();
        assertThat(bus.deadLetters()).hasSize(2);
        assertThat(outcomes("DEAD")).isEqualTo(1);
        assertThat(inbox.parking().load(GROUP)).isEmpty();
    }

    @Test
    void V04_a_parked_key_is_redriven_as_a_whole_and_its_copies_are_no_work_of_their_own() throws SQLException {
        parking();
        failing.add("bob2");
        publish("bob", 1, 2, 3);
        bus.runUntilIdle();
        RedrivePlan plan = intoInbox().key("bob").plan();
        assertThat(plan.size()).isEqualTo(2);
        assertThat(plan.standings()).containsExactly(Map.entry(Standing.PARKED, 1L));
        assertThat(plan.keys().get(0).laterHandled()).isZero();
        failing.clear();
        publish("bob", 4);
        RedriveResult result = plan.run("mended");
        publish("bob", 5);
        bus.runUntilIdle();
        assertThat(result.handedOver()).isEqualTo(2);
        assertThat(booked("bob")).containsExactly(1, 2, 3, 4, 5);
        assertThat(plan.run("again").leftAlone(Standing.ALREADY_APPLIED)).isEqualTo(2);
    }

    @Test
    void a_letter_of_a_parked_key_takes_its_place_before_what_stood_behind_it() throws SQLException {
        goingOn().close();
        failing.add("bob1");
        ConsumerRunner first = goingOn();
        publish("bob", 1);
        bus.runUntilIdle();
        first.close();
        parking();
        failing.add("bob2");
        publish("bob", 2, 3);
        bus.runUntilIdle();
        failing.clear();
        assertThat(intoInbox().plan().run("mended").handedOver()).isEqualTo(3);
        bus.runUntilIdle();
        assertThat(booked("bob")).containsExactly(1, 2, 3);
    }

    @Test
    void letters_of_a_publisher_whose_clock_is_hours_ahead_are_handled_in_the_order_of_the_topic() throws SQLException {
        goingOn();
        failing.addAll(List.of("bob1", "bob2"));
        publish("bob", 1, 2);
        bus.runUntilIdle();
        failing.clear();
        DeadLetter first = bus.deadLetters().get(0);
        Headers headers = new RecordHeaders(first.headers());
        String ahead = bus.now().plus(Duration.ofHours(3)).toString();
        headers.remove("eventbus-dlq-timestamp").add("eventbus-dlq-timestamp", ahead.getBytes(UTF_8));
        bus.publishRaw(new ProducerRecord<>("dlq", null, first.key(), first.value(), headers));
        RedrivePlan plan = intoInbox().plan();
        assertThat(plan.copies()).isEqualTo(1);
        assertThat(plan.run("mended").handedOver()).isEqualTo(2);
        bus.runUntilIdle();
        assertThat(booked("bob")).containsExactly(1, 2);
    }

    @Test
    void what_is_discarded_is_skipped_for_good() throws SQLException {
        parking();
        failing.add("bob1");
        publish("bob", 1, 2);
        bus.runUntilIdle();
        RedriveResult result = intoInbox().requestedBy("ann").plan().discard("test data");
        assertThat(result.discarded()).isEqualTo(2);
        publish("bob", 3);
        bus.runUntilIdle();
        assertThat(booked("bob")).containsExactly(3);
        assertThat(outcomes("SKIPPED")).isEqualTo(2);
        assertThat(intoInbox().plan().standings()).containsExactly(Map.entry(Standing.DISCARDED, 1L));
        assertThat(strings(
                        "SELECT requested_by || ' ' || note || ' ' || selection || ' ' || state FROM eventbus_redrive"))
                .containsExactly("ann test data all DONE");
    }

    @Test
    void an_old_plan_gives_up_what_it_saw_and_nothing_newer() throws SQLException {
        parking();
        failing.add("bob1");
        publish("bob", 1, 2);
        bus.runUntilIdle();
        RedrivePlan plan = intoInbox().plan();
        publish("bob", 3, 4);
        bus.runUntilIdle();
        RedriveResult result = plan.discard("test data");
        assertThat(result.discarded()).isEqualTo(2);
        assertThat(result.leftAlone(Standing.PARKED))
                .as("newer ones, and the copy")
                .isEqualTo(3);
        assertThat(outcomes("SKIPPED")).isEqualTo(2);
        assertThat(inbox.parking().load(GROUP))
                .singleElement()
                .satisfies(key -> assertThat(key.events()).isEqualTo(2));
        assertThat(plan.discard("again").leftAlone(Standing.ALREADY_APPLIED)).isEqualTo(2);
        failing.clear();
        intoInbox().plan().run("the rest");
        bus.runUntilIdle();
        assertThat(booked("bob")).containsExactly(3, 4);
    }

    @Test
    void an_old_plan_does_not_redrive_a_key_that_was_parked_anew() throws SQLException {
        parking();
        failing.add("bob1");
        publish("bob", 1);
        bus.runUntilIdle();
        RedrivePlan old = intoInbox().plan();
        failing.clear();
        intoInbox().plan().run("mended");
        bus.runUntilIdle();
        failing.add("bob2");
        publish("bob", 2, 3);
        bus.runUntilIdle();
        RedriveResult result = old.run("late");
        assertThat(result.handedOver()).isZero();
        assertThat(result.leftAlone(Standing.ALREADY_APPLIED)).isEqualTo(1);
        assertThat(inbox.parking().load(GROUP))
                .singleElement()
                .satisfies(key -> assertThat(key.state()).isEqualTo(ParkedKey.State.PARKED));
    }

    @Test
    void a_letter_does_not_set_going_a_key_that_was_parked_since_it_was_planned() throws SQLException {
        ConsumerRunner first = goingOn();
        failing.add("bob1");
        publish("bob", 1);
        bus.runUntilIdle();
        first.close();
        RedrivePlan old = intoInbox().plan();
        parking();
        failing.add("bob2");
        publish("bob", 2, 3);
        bus.runUntilIdle();
        failing.clear();
        RedriveResult result = old.run("late");
        bus.runUntilIdle();
        assertThat(result.handedOver()).isZero();
        assertThat(result.leftAlone(Standing.PARKED)).isEqualTo(1);
        assertThat(booked("bob")).isEmpty();
        intoInbox().plan().run("all of it");
        bus.runUntilIdle();
        assertThat(booked("bob")).containsExactly(1, 2, 3);
    }

    @Test
    void a_forged_redrive_header_skips_nothing_where_there_is_an_inbox() throws SQLException {
        goingOn();
        publish("bob", 1);
        ConsumerRecord<byte[], byte[]> record = bus.records("bookings").get(0);
        Headers headers = record.headers();
        headers.add("eventbus-redrive-group", "audit".getBytes(UTF_8));
        bus.runUntilIdle();
        byte[] value = new String(record.value(), UTF_8)
                .replace(bus.events(BOOKING).get(0).id(), "forged")
                .replace("\"n\":1", "\"n\":2")
                .getBytes(UTF_8);
        headers.remove("id");
        bus.publishRaw(new ProducerRecord<>("bookings", null, record.key(), value, headers));
        bus.runUntilIdle();
        assertThat(booked("bob")).containsExactly(1, 2);
    }

    @Test
    void a_letter_of_a_type_without_the_inbox_is_handled_again_too_and_a_forged_one_is_foreign() {
        bus.start(ConsumerRunner.builder(bus.kafka(), GROUP)
                .on(BOOKING, (event, delivery) -> {
                    String id = event.payload().user() + event.payload().n();
                    if (failing.contains(id)) {
                        throw new IllegalStateException("no luck");
                    }
                    handled.add(id);
                })
                .inTransaction(inbox, CANCELLED, (event, tx) -> {})
                .retry(RetryConfig.custom().maxAttempts(1).build())
                .afterRetries(AfterRetries.deadLetter("dlq"))
                .build());
        failing.add("bob1");
        publish("bob", 1, 2);
        bus.runUntilIdle();
        failing.clear();
        DeadLetter letter = bus.deadLetters().get(0);
        Headers headers = new RecordHeaders(letter.headers());
        headers.remove("eventbus-dlq-topic").add("eventbus-dlq-topic", "secrets".getBytes(UTF_8));
        headers.remove("eventbus-dlq-event-id").add("eventbus-dlq-event-id", "forged".getBytes(UTF_8));
        bus.publishRaw(new ProducerRecord<>("dlq", null, letter.key(), letter.value(), headers));
        RedrivePlan plan = intoInbox().plan();
        assertThat(plan.standings()).containsEntry(Standing.READY, 1L).containsEntry(Standing.FOREIGN_TOPIC, 1L);
        assertThat(plan.run("mended").handedOver()).isEqualTo(1);
        bus.runUntilIdle();
        assertThat(handled).containsExactly("bob2", "bob1");
    }

    @Test
    void only_what_is_selected_is_redriven_and_an_export_has_the_bytes() throws IOException, SQLException {
        goingOn();
        failing.add("bob1");
        failing.add("alice1");
        publish("bob", 1);
        publish("alice", 1);
        bus.publishRaw("bookings", "carol", "{nonsense");
        bus.runUntilIdle();
        Redrive all = intoInbox();
        assertThat(all.plan().size()).isEqualTo(3);
        assertThat(all.reason(FailureReason.MALFORMED_JSON).plan().size()).isEqualTo(1);
        assertThat(all.between(bus.now().plusSeconds(1), bus.now().plusSeconds(2))
                        .plan()
                        .size())
                .isZero();
        assertThat(all.event(bus.events(BOOKING).get(0).id()).plan().size()).isEqualTo(1);
        StringBuilder lines = new StringBuilder();
        assertThat(all.key("bob").plan().export(lines)).isEqualTo(1);
        assertThat(lines.toString())
                .contains("\"keyText\":\"bob\"", "\"valueText\":\"{", "\"reason\":\"ATTEMPTS_EXHAUSTED\"")
                .endsWith("\n");
        failing.clear();
        assertThat(all.key("alice").plan().run("only alice").handedOver()).isEqualTo(1);
        bus.runUntilIdle();
        assertThat(booked("alice")).containsExactly(1);
        assertThat(booked("bob")).isEmpty();
        assertThat(all.plan().toString()).doesNotContain("bob").doesNotContain("alice");
    }
}
