package dev.eventbus.faults.check;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import java.util.stream.LongStream;
import org.junit.jupiter.api.Test;

class TrendTest {

    private static List<Long> samples(LongStream figures) {
        return figures.boxed().toList();
    }

    @Test
    void what_grows_a_little_with_each_sample_is_seen() {
        Trend trend = Trend.of(samples(LongStream.range(0, 90).map(i -> 20_000 + 100 * i)));
        assertThat(trend.grew(0.1, 4_000)).isTrue();
        assertThat(trend).hasToString("21500 → 27500");
    }

    @Test
    void what_goes_up_and_down_does_not_grow() {
        Trend trend = Trend.of(samples(LongStream.range(0, 90).map(i -> 20_000 + i % 7 * 1_000)));
        assertThat(trend.grew(0.1, 1_000)).isFalse();
    }

    @Test
    void one_peak_is_no_growth_and_neither_is_a_fall() {
        assertThat(Trend.of(List.of(10L, 10L, 10L, 10L, 10L, 10L, 10L, 500L, 10L))
                        .grew(0, 0))
                .isFalse();
        assertThat(Trend.of(List.of(50L, 50L, 50L, 20L, 20L, 20L, 10L, 10L, 10L))
                        .grew(0, 0))
                .isFalse();
    }

    @Test
    void growth_has_to_exceed_both_the_share_and_the_least() {
        Trend trend = Trend.of(List.of(100L, 100L, 115L));
        assertThat(trend.grew(0.1, 14)).isTrue();
        assertThat(trend.grew(0.1, 15)).isFalse();
        assertThat(trend.grew(0.2, 0)).isFalse();
    }
}
