package dev.eventbus.consumer.internal;

import static org.assertj.core.api.Assertions.assertThat;

import java.time.Duration;
import java.time.Instant;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.Test;

/** When a polling thread is missed. */
class PollWatchTest {

    private static final Instant NOON = Instant.parse("2030-01-01T12:00:00Z");

    private final AtomicLong nanos = new AtomicLong();
    private final PollWatch watch = new PollWatch("g", nanos::get);

    private void passes(Duration time) {
        nanos.addAndGet(time.toNanos());
    }

    @Test
    void it_is_missed_since_it_came_by_last() {
        passes(Duration.ofDays(1));
        assertThat(watch.problem()).as("it has not begun").isNull();
        watch.comesBy(NOON);
        passes(PollWatch.LONGEST);
        assertThat(watch.problem()).isNull();
        passes(Duration.ofNanos(1));
        assertThat(watch.problem())
                .startsWith("the polling thread \"runner g\" has not come back since 2030-01-01T12:00:00Z: nothing is");
        watch.comesBy(NOON.minusSeconds(3_600));
        assertThat(watch.problem()).as("whatever the clock for people says").isNull();
    }

    @Test
    void a_runner_that_closes_may_wait_for_as_long_as_it_was_told() {
        watch.comesBy(NOON);
        watch.closesWithin(Duration.ofMinutes(10));
        passes(PollWatch.LONGEST.plusMinutes(10));
        assertThat(watch.problem()).isNull();
        passes(Duration.ofNanos(1));
        assertThat(watch.problem()).isNotNull();
        watch.ended();
        assertThat(watch.problem()).isNull();
    }

    @Test
    void a_close_hides_no_thread_that_was_missed_before() {
        watch.comesBy(NOON);
        passes(PollWatch.LONGEST.plusNanos(1));
        watch.closesWithin(Duration.ofMinutes(10));
        assertThat(watch.problem()).isNotNull();
    }
}
