package dev.eventbus.testkit;

import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.EventRecords;
import dev.eventbus.consumer.ConsumerRunner;
import dev.eventbus.consumer.deadletter.DeadLetter;
import dev.eventbus.consumer.redrive.PlannedKey;
import dev.eventbus.consumer.redrive.Redrive;
import java.sql.SQLException;
import java.util.List;
import java.util.stream.IntStream;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.junit.jupiter.api.Test;

/** What a plan says about the events that were handled behind the oldest letter of a key: all of them, or that it does not know. */
class LaterHandledTest extends RedriveStage {

    private PlannedKey planned(String user) {
        List<PlannedKey> keys = intoInbox().key(user).plan().keys();
        assertThat(keys).hasSize(1);
        return keys.get(0);
    }

    @Test
    void events_of_a_key_that_has_moved_since_its_topic_has_grown_are_counted_and_not_said_to_be_all()
            throws SQLException {
        bus.topic("bookings", 3);
        ConsumerRunner before = goingOn();
        String moves = user(true);
        String stays = user(false);
        failing.addAll(List.of(moves + "1", stays + "1"));
        publish(moves, 1, 2);
        publish(stays, 1, 2);
        bus.runUntilIdle();
        before.close();
        bus.topic("bookings", 6);
        goingOn();
        publish(moves, 3, 4);
        publish(stays, 3, 4);
        bus.runUntilIdle();
        assertThat(booked(moves)).containsExactly(2, 3, 4);
        assertThat(planned(moves).laterHandled()).isEqualTo(3);
        assertThat(planned(moves).exact()).as("there may be others between").isFalse();
        assertThat(planned(stays).laterHandled()).isEqualTo(3);
        assertThat(planned(stays).exact()).isTrue();
    }

    private static String user(boolean moves) {
        return IntStream.range(0, 100)
                .mapToObj(i -> "user" + i + "-")
                .filter(user -> moves == (EventRecords.partition(user, 3) != EventRecords.partition(user, 6)))
                .findFirst()
                .orElseThrow();
    }

    @Test
    void of_a_key_with_a_letter_and_parked_events_what_was_handled_between_is_counted_and_what_is_parked_is_not()
            throws SQLException {
        ConsumerRunner first = goingOn();
        failing.add("bob1");
        publish("bob", 1, 2, 3);
        bus.runUntilIdle();
        first.close();
        parking();
        failing.add("bob4");
        publish("bob", 4, 5);
        bus.runUntilIdle();
        PlannedKey bob = planned("bob");
        assertThat(bob.letters()).isEqualTo(1);
        assertThat(bob.parked()).isEqualTo(2);
        assertThat(bob.laterHandled()).as("2 and 3").isEqualTo(2);
        assertThat(bob.exact()).isTrue();
        failing.clear();
        intoInbox().plan().run("mended");
        bus.runUntilIdle();
        assertThat(booked("bob")).containsExactly(2, 3, 1, 4, 5);
    }

    @Test
    void of_a_topic_that_was_made_again_nobody_knows() throws SQLException {
        goingOn();
        publish("bob", 1, 2, 3);
        failing.add("bob4");
        publish("bob", 4);
        bus.runUntilIdle();
        List<DeadLetter> letters = bus.deadLetters();
        bus.close();
        bus = FakeEventBus.create();
        letters.forEach(letter ->
                bus.publishRaw(new ProducerRecord<>("dlq", null, letter.key(), letter.value(), letter.headers())));
        goingOn();
        bus.publishRaw("bookings", "bob", """
                {"eventId":"again-5","eventType":"BOOKING","timestamp":"2030-01-01T00:00:00Z","userId":"bob","user":"bob","n":5}""");
        bus.runUntilIdle();
        assertThat(booked("bob")).containsExactly(1, 2, 3, 5);
        PlannedKey bob = planned("bob");
        assertThat(bob.exact())
                .as("5 stands at a smaller offset than the letter")
                .isFalse();
        assertThat(Redrive.of(bus.kafka(), GROUP, "dlq", inbox).plan().size()).isEqualTo(1);
    }
}
