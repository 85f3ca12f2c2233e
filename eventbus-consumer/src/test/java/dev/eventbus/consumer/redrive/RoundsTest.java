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
        rounds.readAgain(letter("999", 2));
        rounds.readAgain(letter("last", 3));
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

    /** Where each redrive ends in a letter that is too large to be whole, only the first one is, and it says nothing of them. */
    @Test
    void a_letter_without_its_value_counts_for_the_event_of_its_id() {
        rounds.read(cut("a", 4, "headers,value"), Set.of());
        assertThat(rounds.of(letter("a", 0).identity())).isEqualTo(4);
        assertThat(rounds.of(letter("b", 0).identity())).isZero();
    }

    @Test
    void it_counts_too_when_only_the_second_reading_finds_it() {
        Set<String> listed = Set.of(letter("mine", 0).identity());
        for (int event = 0; event < 101; event++) {
            rounds.read(letter("other" + event, 1), Set.of());
        }
        rounds.read(cut("mine", 3, "headers,value"), listed);
        assertThat(rounds.isComplete()).isFalse();
        rounds.keepOnly(listed);
        rounds.readAgain(cut("mine", 3, "headers,value"));
        rounds.readAgain(cut("other1", 3, "headers,value"));
        assertThat(rounds.of(letter("mine", 0).identity())).isEqualTo(3);
        assertThat(rounds.of(letter("other1", 0).identity())).isZero();
    }

    @Test
    void letters_are_read_again_on_the_way_only_when_so_many_more_have_been_met() {
        for (int event = 0; event < 150; event++) {
            rounds.read(letter("a" + event, 1), Set.of());
        }
        assertThat(rounds.isFull()).isTrue();
        rounds.keepOnly(Set.of());
        for (int event = 0; event < 100; event++) {
            rounds.read(letter("b" + event, 1), Set.of());
        }
        assertThat(rounds.isFull()).isFalse();
        assertThat(rounds.isComplete()).as("at the end they are").isFalse();
        rounds.read(letter("c", 1), Set.of());
        assertThat(rounds.isFull()).isTrue();
    }

    @Test
    void a_whole_letter_counts_before_one_that_lacks_something_and_among_equals_the_later_round() {
        Found whole = letter("a", 0);
        Found cut = cut("a", 1, "headers");
        assertThat(cut.identity()).isEqualTo(whole.identity());
        assertThat(whole.countsBefore(cut)).isTrue();
        assertThat(cut.countsBefore(whole)).isFalse();
        assertThat(letter("a", 2).countsBefore(whole)).isTrue();
        assertThat(cut("a", 2, "headers").countsBefore(cut)).isTrue();
    }

    private static Found cut(String eventId, int redrives, String omitted) {
        Found whole = letter(eventId, redrives);
        boolean hasValue = !omitted.contains("value");
        ConsumerRecord<byte[], byte[]> letter = new ConsumerRecord<>(
                "dlq", 0, 1, "bob".getBytes(UTF_8), hasValue ? new byte[] {1} : "a stub".getBytes(UTF_8));
        letter.headers().add("eventbus-dlq-omitted", omitted.getBytes(UTF_8));
        return Found.of(letter, whole.origin());
    }

    private static Found letter(String eventId, int redrives) {
        Instant time = Instant.parse("2030-01-01T00:00:00Z");
        Origin origin = new Origin(
                "t", 0, 0, time, "g", eventId, 1, time, time, FailureReason.NOT_RETRYABLE, null, null, redrives);
        return Found.of(new ConsumerRecord<>("dlq", 0, 0, "bob".getBytes(UTF_8), new byte[] {1}), origin);
    }
}
