package dev.eventbus.outbox.internal;

import static org.assertj.core.api.Assertions.assertThat;

import java.time.Duration;
import org.junit.jupiter.api.Test;

class RoundWatchTest {

    private long nanos;
    private final RoundWatch watch = new RoundWatch(Duration.ofSeconds(10), () -> nanos);

    private void passes(Duration time) {
        nanos += time.toNanos();
    }

    @Test
    void a_thread_is_held_if_it_has_not_come_by_for_longer_than_a_lease_and_a_rest() {
        watch.loops();
        passes(Duration.ofSeconds(12));
        assertThat(watch.heldFor()).isEmpty();
        watch.comesBy();
        passes(Duration.ofSeconds(12));
        assertThat(watch.heldFor()).isEmpty();
        passes(Duration.ofSeconds(1));
        assertThat(watch.heldFor()).contains(Duration.ofSeconds(13));
        watch.loops();
        assertThat(watch.heldFor()).isEmpty();
    }

    @Test
    void nobody_misses_a_round_that_is_made_by_hand() {
        watch.comesBy();
        passes(Duration.ofHours(1));
        assertThat(watch.heldFor()).isEmpty();
    }
}
