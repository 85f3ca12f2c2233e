package dev.eventbus.consumer.internal;

import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.consumer.internal.LookTimes.Look;
import java.time.Duration;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.Test;

/** When parked keys are looked at, on a clock that is set by hand. */
class LookTimesTest {

    private final AtomicLong nanos = new AtomicLong(Long.MAX_VALUE - 5);
    private final LookTimes times = new LookTimes(nanos::get);

    private void passes(Duration time) {
        nanos.addAndGet(time.toNanos());
    }

    /** A look that takes no time. */
    private Look look() {
        Look look = times.begin();
        times.ended(look);
        return look;
    }

    private Duration rest() {
        return times.ended(Look.NONE);
    }

    @Test
    void all_is_looked_at_first_and_then_every_second() {
        assertThat(look()).isEqualTo(Look.ALL);
        assertThat(rest()).isEqualTo(DrainLoop.PERIOD);
        passes(Duration.ofMillis(999));
        assertThat(look()).isEqualTo(Look.NONE);
        passes(Duration.ofMillis(1));
        assertThat(look()).isEqualTo(Look.ALL);
    }

    @Test
    void each_of_several_keys_that_are_due_sooner_is_looked_for_when_it_is_due() {
        look();
        assertThat(times.dueIn(Duration.ofMillis(25))).isTrue();
        assertThat(times.dueIn(Duration.ofMillis(105))).isTrue();
        assertThat(rest()).isEqualTo(Duration.ofMillis(30));
        passes(Duration.ofMillis(30));
        assertThat(look()).isEqualTo(Look.DUE);
        assertThat(rest()).isEqualTo(Duration.ofMillis(80));
        passes(Duration.ofMillis(80));
        assertThat(look()).isEqualTo(Look.DUE);
        assertThat(rest()).isEqualTo(Duration.ofMillis(890));
    }

    @Test
    void many_keys_that_are_due_at_about_the_same_time_share_a_look() {
        look();
        assertThat(times.dueIn(Duration.ofMillis(20))).isTrue();
        assertThat(times.dueIn(Duration.ofMillis(25))).isFalse();
        assertThat(times.dueIn(Duration.ofSeconds(1))).as("a look comes anyway").isFalse();
        assertThat(times.dueIn(Duration.ofMillis(-7)))
                .as("it has waited long enough")
                .isTrue();
        assertThat(rest()).isEqualTo(Duration.ofMillis(10));
    }

    @Test
    void a_database_that_is_slow_to_answer_is_asked_a_fifth_of_the_time() {
        assertThat(times.begin()).isEqualTo(Look.ALL);
        passes(Duration.ofMillis(100));
        times.dueIn(Duration.ZERO);
        assertThat(times.ended(Look.ALL)).isEqualTo(Duration.ofMillis(400));
        passes(Duration.ofMillis(399));
        assertThat(look()).isEqualTo(Look.NONE);
        passes(Duration.ofMillis(1));
        assertThat(look()).isEqualTo(Look.DUE);
    }
}
