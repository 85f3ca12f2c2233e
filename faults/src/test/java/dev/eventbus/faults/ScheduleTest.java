package dev.eventbus.faults;

import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.faults.Schedule.Fault;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

class ScheduleTest {

    private static final Duration HOUR = Duration.ofHours(1);

    @Test
    void the_same_seed_makes_the_same_faults_and_another_makes_others() {
        assertThat(Schedule.of(7, HOUR)).isEqualTo(Schedule.of(7, HOUR)).isNotEqualTo(Schedule.of(8, HOUR));
    }

    @Test
    void a_shorter_run_is_the_beginning_of_a_longer_one() {
        List<Fault> shorter = Schedule.of(7, Duration.ofMinutes(1));
        assertThat(Schedule.of(7, HOUR)).startsWith(shorter.toArray(new Fault[0]));
        assertThat(shorter).hasSizeGreaterThan(30);
    }

    @Test
    void every_kind_of_fault_is_made() {
        assertThat(Schedule.of(7, HOUR)).extracting(Fault::kind).contains(FaultKind.values());
    }

    @Test
    void nothing_is_hit_by_two_faults_at_once() {
        Map<String, Long> busyUntil = new HashMap<>();
        for (Fault fault : Schedule.of(7, HOUR)) {
            String hit = fault.kind().on + " " + fault.target();
            assertThat(fault.atMillis()).isGreaterThanOrEqualTo(busyUntil.getOrDefault(hit, 0L));
            busyUntil.put(hit, fault.atMillis() + fault.forMillis());
        }
    }
}
