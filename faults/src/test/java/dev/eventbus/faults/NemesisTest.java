package dev.eventbus.faults;

import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.faults.Schedule.Fault;
import dev.eventbus.faults.check.Stalls.Window;
import java.util.List;
import org.junit.jupiter.api.Test;

class NemesisTest {

    private static final List<Fault> ONE = List.of(new Fault(FaultKind.KILL_BROKER, 0, 0, 0, 0));

    @Test
    void a_fault_lasts_until_what_it_hit_is_back() throws InterruptedException {
        long before = System.currentTimeMillis();
        Nemesis nemesis = new Nemesis(fault -> true);
        nemesis.make(ONE);
        assertThat(nemesis.windows()).singleElement().satisfies(window -> {
            assertThat(window.from()).isGreaterThanOrEqualTo(before);
            assertThat(window.to()).isBetween(window.from(), System.currentTimeMillis());
        });
        assertThat(nemesis.made()).containsOnlyKeys(FaultKind.KILL_BROKER).containsValue(1);
        assertThat(nemesis.troubles()).isEmpty();
    }

    @Test
    void the_window_of_a_fault_that_could_not_be_ended_stays_open_and_the_verdict_too() throws InterruptedException {
        Nemesis nemesis = new Nemesis(fault -> {
            throw new IllegalStateException("broker 1 has not come back within 180 s");
        });
        nemesis.make(ONE);
        assertThat(nemesis.windows()).extracting(Window::to).containsExactly(Window.NEVER);
        assertThat(nemesis.troubles()).singleElement().asString().contains("broker 1 has not come back");
        assertThat(nemesis.made()).isEmpty();
    }

    @Test
    void a_fault_that_has_met_nobody_was_not_made() throws InterruptedException {
        Nemesis nemesis = new Nemesis(fault -> false);
        nemesis.make(ONE);
        assertThat(nemesis.made()).isEmpty();
        assertThat(nemesis.windows()).hasSize(1);
    }
}
