package dev.eventbus.consumer.deadletter;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.Arrays;
import java.util.Objects;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.junit.jupiter.api.Test;

class DeadLetterTest {

    private final ConsumerRecord<byte[], byte[]> record =
            new ConsumerRecord<>("dlq.events", 0, 7, "alice".getBytes(UTF_8), "{}".getBytes(UTF_8));

    DeadLetterTest() {
        record.headers().add("tenant", "eu".getBytes(UTF_8)).add("empty", null);
    }

    @Test
    void its_headers_can_be_read_and_not_changed() {
        DeadLetter letter = DeadLetter.of(record);
        assertThat(letter.headers().lastHeader("tenant").value()).isEqualTo("eu".getBytes(UTF_8));
        assertThat(letter.headers().lastHeader("empty").value()).isNull();
        assertThatThrownBy(() -> letter.headers().add("mine", new byte[0])).isInstanceOf(IllegalStateException.class);
        assertThatThrownBy(() -> letter.headers().remove("tenant")).isInstanceOf(IllegalStateException.class);
    }

    @Test
    void a_handler_that_writes_into_its_bytes_changes_nothing_for_the_next_attempt() {
        DeadLetter letter = DeadLetter.of(record);
        Arrays.fill(letter.headers().lastHeader("tenant").value(), (byte) 0);
        Arrays.fill(Objects.requireNonNull(letter.key()), (byte) 0);
        Arrays.fill(Objects.requireNonNull(letter.value()), (byte) 0);

        DeadLetter again = DeadLetter.of(record);
        assertThat(again.headers().lastHeader("tenant").value()).isEqualTo("eu".getBytes(UTF_8));
        assertThat(again.keyText()).isEqualTo("alice");
        assertThat(again.value()).isEqualTo("{}".getBytes(UTF_8));
    }

    @Test
    void one_that_is_made_by_hand_keeps_the_headers_it_was_made_with() {
        DeadLetter letter = new DeadLetter(null, new byte[0], new byte[0], record.headers());
        record.headers().remove("tenant");
        assertThat(letter.headers().lastHeader("tenant")).isNotNull();
    }
}
