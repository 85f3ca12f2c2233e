package dev.eventbus.consumer.redrive;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.FailureReason;
import dev.eventbus.consumer.deadletter.Origin;
import java.time.Instant;
import java.util.Set;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.junit.jupiter.api.Test;

class RoundsTest {

    private final Rounds rounds = new Rounds(100);

    @Test
    void the_most_that_any_letter_of_an_event_says_counts() {
        rounds.read(letter("a", 2), Set.of());
        rounds.read(letter("a", 3), Set.of());
        rounds.read(letter("a", 1), Set.of());
        assertThat(rounds.of(letter("a", 0).identity())).isEqualTo(3);
        assertThat(rounds.of(letter("b", 0).identity())).isZero();
        assertThat(rounds.isComplete()).isTrue();
    }

    @Test
    void however_many_letters_there_are_only_so_many_events_are_remembered_and_a_second_reading_finds_the_rest() {
        Set<String> listed = Set.of(letter("last", 0).identity(), letter("7", 0).identity());
        for (int event = 0; event < 3_000; event++) {
            rounds.read(letter(Integer.toString(event % 1_000), 1), Set.of());
        }
        rounds.read(letter("last", 3), Set.of());
        assertThat(rounds.size()).isEqualTo(100);
        assertThat(rounds.isComplete()).isFalse();

        rounds.keepOnly(listed);
        rounds.readAgain(letter("999", 2), listed);
        rounds.readAgain(letter("last", 3), listed);
        assertThat(rounds.size()).isEqualTo(2);
        assertThat(rounds.of(letter("last", 0).identity())).isEqualTo(3);
        assertThat(rounds.of(letter("7", 0).identity())).isEqualTo(1);
    }

    @Test
    void what_is_listed_is_remembered_though_there_is_no_room() {
        for (int event = 0; event < 101; event++) {
            rounds.read(letter("other" + event, 1), Set.of());
        }
        rounds.read(letter("mine", 2), Set.of(letter("mine", 0).identity()));
        assertThat(rounds.of(letter("mine", 0).identity())).isEqualTo(2);
    }

    @Test
    void events_that_were_never_redriven_take_no_room() {
        for (int event = 0; event < 101; event++) {
            rounds.read(letter("other" + event, 0), Set.of());
        }
        assertThat(rounds.size()).isZero();
        assertThat(rounds.isComplete()).isTrue();
    }

    private static Found letter(String eventId, int redrives) {
        Instant time = Instant.parse("2030-01-01T00:00:00Z");
        Origin origin = new Origin(
                "t", 0, 0, time, "g", eventId, 1, time, time, FailureReason.NOT_RETRYABLE, null, null, redrives);
        return Found.of(new ConsumerRecord<>("dlq", 0, 0, "bob".getBytes(UTF_8), new byte[] {1}), origin);
    }
}
