package dev.eventbus.faults;

import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.faults.check.Violation;
import java.util.List;
import java.util.stream.LongStream;
import org.junit.jupiter.api.Test;

class GrowthTest {

    private final Growth growth = new Growth(80);

    private static List<Long> growingBy(long each) {
        return LongStream.range(0, 90).map(i -> 12_000 + each * i).boxed().toList();
    }

    @Test
    void what_grows_is_a_leak() {
        growth.judge("relay-0 heap, KiB", growingBy(100), 4_096);
        assertThat(growth.findings().count(Violation.LEAK)).isEqualTo(1);
        assertThat(growth.figures()).containsEntry("relay-0 heap, KiB", "13500 → 19500");
        assertThat(growth.open()).isEmpty();
    }

    @Test
    void what_stays_as_it_is_is_none() {
        growth.judge("relay-0 threads", growingBy(0), 2);
        assertThat(growth.findings().total()).isZero();
        assertThat(growth.figures()).hasSize(1);
    }

    @Test
    void who_was_not_heard_to_the_end_leaves_the_verdict_open() {
        growth.judge("relay-0 heap, KiB", growingBy(0).subList(0, 30), 4_096);
        assertThat(growth.open()).singleElement().asString().contains("only 30 samples of relay-0 heap");
        assertThat(growth.figures()).isEmpty();
    }
}
