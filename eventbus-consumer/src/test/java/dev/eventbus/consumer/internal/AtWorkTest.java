package dev.eventbus.consumer.internal;

import static org.assertj.core.api.Assertions.assertThat;

import java.time.Instant;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.junit.jupiter.api.Test;

class AtWorkTest {

    private static final Instant NOON = Instant.parse("2030-01-01T12:00:00Z");

    private final AtWork atWork = new AtWork();

    private AtWork.Step begins(long offset) {
        return atWork.begins(new ConsumerRecord<>("asset.events", 2, offset, new byte[0], new byte[0]));
    }

    @Test
    void what_takes_long_is_a_problem_until_it_ends() {
        AtWork.Step hangs = begins(7);
        assertThat(atWork.look(NOON)).isNull();
        AtWork.Step later = begins(9);
        assertThat(atWork.look(NOON.plusSeconds(60))).as("not longer yet").isNull();
        assertThat(atWork.look(NOON.plusSeconds(61)))
                .startsWith(
                        "EB-3004 1 records have been at work for more than 60 s, asset.events-2@7 since 2030-01-01T12:00:00Z: their handlers or codecs do not return, or the inbox's database does not answer.");
        assertThat(atWork.look(NOON.plusSeconds(121)))
                .startsWith("EB-3004 2 records")
                .contains("asset.events-2@7");
        hangs.close();
        assertThat(atWork.look(NOON.plusSeconds(122)))
                .startsWith("EB-3004 1 records")
                .contains("asset.events-2@9");
        later.close();
        assertThat(atWork.look(NOON.plusSeconds(123))).isNull();
    }

    @Test
    void after_the_clock_was_set_back_what_takes_long_is_found_by_the_new_time() {
        begins(7);
        assertThat(atWork.look(NOON)).isNull();
        Instant morning = NOON.minusSeconds(3_600);
        assertThat(atWork.look(morning)).isNull();
        assertThat(atWork.look(morning.plusSeconds(61))).contains("asset.events-2@7");
    }

    @Test
    void of_records_that_are_handled_together_the_first_is_named_and_all_are_counted() {
        AtWork.Step hangs = begins(7);
        hangs.goesOnWith(new ConsumerRecord<>("asset.events", 2, 8, new byte[0], new byte[0]), 200);
        assertThat(atWork.look(NOON)).isNull();
        begins(9);
        assertThat(atWork.look(NOON.plusSeconds(1))).isNull();
        assertThat(atWork.look(NOON.plusSeconds(62)))
                .startsWith(
                        "EB-3004 201 records have been at work for more than 60 s, asset.events-2@8 (the first of 200 that are handled together) since 2030-01-01T12:00:00Z: ");
    }

    @Test
    void each_record_of_a_step_has_a_time_of_its_own() {
        AtWork.Step step = begins(7);
        for (int i = 0; i < 10; i++) {
            step.goesOnWith(new ConsumerRecord<>("asset.events", 2, 8 + i, new byte[0], new byte[0]), 1);
            assertThat(atWork.look(NOON.plusSeconds(30L * i))).isNull();
        }
        assertThat(atWork.look(NOON.plusSeconds(400)))
                .startsWith("EB-3004 1 records")
                .contains("asset.events-2@17 since 2030-01-01T12:04:30Z");
    }

    @Test
    void many_short_ones_are_none() {
        for (int i = 0; i < 10; i++) {
            try (AtWork.Step ignored = begins(i)) {
                assertThat(atWork.look(NOON.plusSeconds(30L * i))).isNull();
            }
        }
    }
}
