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
    private static final Schedule.Gaps GAPS = Options.Tier.QUICK.gaps;

    @Test
    void the_same_seed_makes_the_same_faults_and_another_makes_others() {
        assertThat(Schedule.of(7, HOUR, GAPS))
                .isEqualTo(Schedule.of(7, HOUR, GAPS))
                .isNotEqualTo(Schedule.of(8, HOUR, GAPS));
    }

    @Test
    void a_shorter_run_is_the_beginning_of_a_longer_one() {
        List<Fault> shorter = Schedule.of(7, Duration.ofMinutes(1), GAPS);
        assertThat(Schedule.of(7, HOUR, GAPS)).startsWith(shorter.toArray(new Fault[0]));
        assertThat(shorter).hasSizeGreaterThan(30);
    }

    @Test
    void every_kind_of_fault_is_made_in_each_run_of_the_tiers_that_publish_figures() {
        for (int seed = 0; seed < 40; seed++) {
            assertThat(Schedule.of(seed, Duration.ofMinutes(12), Options.Tier.CI.gaps))
                    .extracting(Fault::kind)
                    .contains(FaultKind.values());
        }
    }

    @Test
    void a_quick_run_begins_with_what_lasts_long_and_leaves_few_kinds_out() {
        for (int seed = 0; seed < 40; seed++) {
            List<Fault> faults = Schedule.of(seed, Duration.ofMinutes(1), GAPS);
            assertThat(faults.subList(0, 2)).allMatch(fault -> fault.kind().isLong());
            assertThat(faults.stream().map(Fault::kind).distinct().count())
                    .isGreaterThan(FaultKind.values().length - 7L);
        }
    }

    @Test
    void the_tiers_ask_for_no_more_hard_faults_than_they_make() {
        for (int seed = 0; seed < 40; seed++) {
            long hard = Schedule.of(seed, Duration.ofMinutes(12), Options.Tier.CI.gaps).stream()
                    .filter(fault -> fault.kind().isHard())
                    .count();
            assertThat(hard + CrashTour.points(false))
                    .as("some meet nobody")
                    .isGreaterThan(Options.Tier.CI.least.hardFaults() + 10L);
        }
    }

    /** What recovers after the last fault takes up to 20 seconds. */
    @Test
    void every_two_minutes_there_is_a_calm_that_outlasts_all_recovery() {
        long calms = 0;
        long over = 0;
        for (Fault fault : Schedule.of(7, HOUR, GAPS)) {
            calms += fault.atMillis() - over > 25_000 ? 1 : 0;
            over = Math.max(over, fault.atMillis() + fault.forMillis());
        }
        assertThat(calms).isBetween(28L, 30L);
    }

    @Test
    void commits_are_swallowed_on_the_way_from_those_who_make_any() {
        assertThat(Schedule.of(7, HOUR, GAPS))
                .filteredOn(fault ->
                        fault.kind() == FaultKind.SWALLOW_COMMIT || fault.kind() == FaultKind.SWALLOW_COMMIT_ANSWER)
                .extracting(fault -> Role.values()[fault.target()])
                .containsOnly(Role.PUBLISHER, Role.CONSUMER, Role.REDRIVER);
    }

    @Test
    void answers_to_offset_commits_are_lost_on_all_networks_at_once_so_there_is_one_such_fault_at_a_time() {
        assertThat(Schedule.of(7, HOUR, GAPS))
                .filteredOn(fault -> fault.kind() == FaultKind.DROP_OFFSET_COMMIT_REPLIES)
                .extracting(Fault::target)
                .containsOnly(0);
    }

    @Test
    void kinds_that_were_never_made_are_counted_too() {
        Map<String, Integer> counts = FaultKind.counts(Map.of(FaultKind.KILL_RELAY, 3));
        assertThat(counts)
                .hasSize(FaultKind.values().length)
                .containsEntry("kill-relay", 3)
                .containsEntry("freeze-database", 0);
    }

    @Test
    void nothing_is_hit_by_two_faults_at_once() {
        Map<String, Long> busyUntil = new HashMap<>();
        for (Fault fault : Schedule.of(7, HOUR, GAPS)) {
            String hit = fault.kind().on + " " + fault.target();
            assertThat(fault.atMillis()).isGreaterThanOrEqualTo(busyUntil.getOrDefault(hit, 0L));
            busyUntil.put(hit, fault.atMillis() + fault.forMillis());
        }
    }
}
