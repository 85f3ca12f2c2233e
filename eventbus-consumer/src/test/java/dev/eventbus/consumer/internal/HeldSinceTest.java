package dev.eventbus.consumer.internal;

import static org.assertj.core.api.Assertions.assertThat;

import java.time.Instant;
import org.junit.jupiter.api.Test;

/** When something is held for so long that it is told. */
class HeldSinceTest {

    private final HeldSince held = new HeldSince();

    private boolean isForLong(boolean byKey, int second) {
        return held.isForLong(byKey, Instant.ofEpochSecond(second));
    }

    @Test
    void it_is_long_after_half_a_minute() {
        assertThat(held.isOver()).isTrue();
        assertThat(isForLong(false, 0)).isFalse();
        assertThat(isForLong(false, 29)).isFalse();
        assertThat(isForLong(false, 30)).isTrue();
        assertThat(held.isOver()).isFalse();
    }

    @Test
    void it_counts_anew_once_it_was_over() {
        isForLong(false, 0);
        held.over();
        assertThat(held.isOver()).isTrue();
        assertThat(isForLong(false, 30)).isFalse();
        assertThat(isForLong(false, 60)).isTrue();
    }

    @Test
    void how_often_it_was_found_is_counted_anew_once_it_was_over_or_is_held_in_another_way() {
        assertThat(held.again(false)).isEqualTo(1);
        assertThat(held.again(false)).isEqualTo(2);
        held.over();
        assertThat(held.again(false)).isEqualTo(1);
        assertThat(held.again(true)).isEqualTo(1);
        assertThat(held.again(true)).isEqualTo(2);
    }

    @Test
    void it_counts_anew_for_another_kind_of_holder() {
        isForLong(true, 0);
        assertThat(isForLong(false, 30)).isFalse();
        assertThat(isForLong(true, 60)).isFalse();
        assertThat(isForLong(true, 90)).isTrue();
    }
}
