package dev.eventbus.outbox;

import static org.assertj.core.api.Assertions.assertThat;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

class LookScheduleTest {

    private long now = 1_000_000_000L;
    private int wakes;
    private final LookSchedule schedule = new LookSchedule(() -> wakes++, () -> now);

    /** Rests and looks, without finding anything, as often as a list is long. */
    private List<Long> restsInMicros(int looks) {
        List<Long> rests = new ArrayList<>();
        for (int i = 0; i < looks; i++) {
            Duration rest = schedule.untilNextLook();
            rests.add(rest.toNanos() / 1_000);
            now += rest.toNanos();
            assertThat(schedule.due()).isTrue();
            schedule.looked(false);
        }
        return rests;
    }

    @Test
    void an_idle_relay_looks_less_and_less_often() {
        schedule.looked(true);
        List<Long> rests = restsInMicros(20);
        assertThat(rests).startsWith(2_000L, 2_500L, 3_125L, 3_906L).endsWith(88_817L, 100_000L, 100_000L);
    }

    @Test
    void after_a_publish_it_looks_soon_and_often_for_a_quarter_of_a_second() {
        restsInMicros(10);
        schedule.published();
        assertThat(restsInMicros(9))
                .containsExactly(500L, 1_000L, 2_000L, 4_000L, 8_000L, 16_000L, 32_000L, 64_000L, 100_000L);
    }

    @Test
    void many_looks_right_after_a_publish_do_not_make_it_look_without_rest() {
        restsInMicros(10);
        schedule.published();
        restsInMicros(1);
        for (int i = 0; i < 100; i++) {
            schedule.looked(true);
        }
        assertThat(schedule.untilNextLook()).isEqualTo(Duration.ofMillis(100));
    }

    @Test
    void a_publish_wakes_a_resting_relay_once_and_a_busy_one_never() {
        restsInMicros(10);
        schedule.published();
        schedule.published();
        assertThat(wakes).as("it is not resting").isZero();
        restsInMicros(12);
        schedule.untilNextLook();
        schedule.published();
        schedule.published();
        assertThat(wakes).isEqualTo(1);
    }

    @Test
    void publishing_without_a_pause_does_not_put_the_look_off() {
        restsInMicros(10);
        schedule.published();
        assertThat(schedule.due()).isFalse();
        for (int i = 0; i < 5; i++) {
            now += 100_000;
            schedule.published();
            boolean due = schedule.due();
            assertThat(due).isEqualTo(i == 4);
        }
    }

    @Test
    void a_known_commit_is_looked_at_at_once_and_once() {
        restsInMicros(10);
        schedule.untilNextLook();
        schedule.committed();
        assertThat(wakes).isEqualTo(1);
        assertThat(schedule.untilNextLook()).isZero();
        assertThat(schedule.due()).isTrue();
        schedule.looked(false);
        assertThat(schedule.due()).isFalse();
    }
}
