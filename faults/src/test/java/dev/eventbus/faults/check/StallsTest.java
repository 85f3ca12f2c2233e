package dev.eventbus.faults.check;

import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.faults.check.History.Effect;
import dev.eventbus.faults.check.History.Written;
import dev.eventbus.faults.check.Stalls.Stall;
import dev.eventbus.faults.check.Stalls.Window;
import java.time.Duration;
import java.util.List;
import org.junit.jupiter.api.Test;

class StallsTest {

    private static final Duration LIMIT = Duration.ofSeconds(10);

    private final Story story = new Story();

    private void event(String id, long number, long committed, long effect) {
        story.ledger.add(new Written(id, "alice", number, "", committed));
        story.effects.add(new Effect(id, "alice", number, number, "", false, false, effect));
    }

    private Stalls stalls() {
        return new Stalls(story.history());
    }

    @Test
    void a_key_stalls_from_its_oldest_waiting_event_or_its_last_effect() {
        event("x", 4, 1_000, 9_000);
        event("y", 5, 2_000, 9_500);
        assertThat(stalls().worst()).contains(new Stall("alice", 1_000, 9_000));
        assertThat(stalls().longerThan(Duration.ofMillis(400), List.of()))
                .containsExactly(new Stall("alice", 1_000, 9_000), new Stall("alice", 9_000, 9_500));
    }

    @Test
    void a_key_without_work_does_not_stall() {
        event("x", 4, 1_000, 1_010);
        event("y", 5, 100_000, 100_010);
        assertThat(stalls().longerThan(LIMIT, List.of())).isEmpty();
    }

    @Test
    void a_key_that_stalls_although_no_fault_lasts_is_stuck() {
        event("x", 4, 1_000, 30_000);
        assertThat(stalls().longerThan(LIMIT, List.of(new Window(0, 5_000)))).hasSize(1);
        assertThat(stalls().longerThan(LIMIT, List.of(new Window(0, 21_000)))).isEmpty();
        assertThat(stalls().longerThan(LIMIT, List.of(new Window(10_000, 20_000), new Window(15_000, 25_000))))
                .isEmpty();
    }

    @Test
    void a_stuck_key_is_a_violation_and_one_that_a_window_excuses_is_none() {
        event("x", 4, 1_000, 30_000);
        Findings found = stalls().judge(LIMIT, List.of(new Window(0, 5_000)));
        assertThat(found.count(Violation.STUCK_KEY)).isEqualTo(1);
        assertThat(found.total()).isEqualTo(1);
        assertThat(stalls().judge(LIMIT, List.of(new Window(0, 21_000))).total())
                .isZero();
    }

    @Test
    void while_a_fault_could_not_be_ended_no_key_is_stuck() {
        event("x", 4, 1_000, 30_000);
        event("y", 5, 100_000, 900_000);
        Window open = new Window(2_000, Window.NEVER);
        assertThat(open.longerBy(LIMIT)).isEqualTo(open);
        assertThat(new Window(2_000, 3_000).longerBy(LIMIT)).isEqualTo(new Window(2_000, 13_000));
        assertThat(stalls().judge(LIMIT, List.of(open)).total()).isZero();
    }
}
