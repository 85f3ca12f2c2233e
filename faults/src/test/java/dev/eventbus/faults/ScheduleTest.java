package dev.eventbus.faults;

import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.faults.Schedule.Fault;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

class ScheduleTest {

    private static final Duration HOUR = Duration.ofHours(1);
    private static final Schedule.Gaps GAPS = Options.Tier.QUICK.gaps;

    private static List<Fault> faults(int seed, Duration length) {
        return Schedule.of(seed, length, GAPS, FaultRun.seenWithin(seed % 2 == 1));
    }

    private static List<Fault> ci(int seed) {
        return Schedule.of(seed, Duration.ofMinutes(12), Options.Tier.CI.gaps, FaultRun.seenWithin(seed % 2 == 1));
    }

    @Test
    void the_same_seed_makes_the_same_faults_and_another_makes_others() {
        assertThat(faults(7, HOUR)).isEqualTo(faults(7, HOUR)).isNotEqualTo(faults(8, HOUR));
    }

    @Test
    void a_shorter_run_is_the_beginning_of_a_longer_one() {
        List<Fault> shorter = faults(7, Duration.ofMinutes(1));
        assertThat(faults(7, HOUR)).startsWith(shorter.toArray(new Fault[0]));
        assertThat(shorter).hasSizeGreaterThan(30);
    }

    @Test
    void every_kind_of_fault_is_made_in_each_run_of_the_tiers_that_publish_figures() {
        for (int seed = 0; seed < 40; seed++) {
            assertThat(ci(seed)).extracting(Fault::kind).contains(FaultKind.values());
        }
    }

    @Test
    void a_quick_run_begins_with_what_lasts_long_and_leaves_few_kinds_out() {
        for (int seed = 0; seed < 40; seed++) {
            List<Fault> faults = faults(seed, Duration.ofMinutes(1));
            assertThat(faults.subList(0, 2)).allMatch(fault -> fault.kind().isLong());
            assertThat(faults.stream().map(Fault::kind).distinct().count())
                    .isGreaterThan(FaultKind.values().length - 7L);
        }
    }

    @ParameterizedTest
    @EnumSource(names = {"CI", "NIGHTLY"})
    void the_tiers_ask_for_no_more_hard_faults_than_they_make(Options.Tier tier) {
        Duration length = tier == Options.Tier.CI ? Duration.ofMinutes(12) : HOUR;
        for (int seed = 0; seed < 40; seed++) {
            long hard = Schedule.of(seed, length, tier.gaps, FaultRun.seenWithin(seed % 2 == 1)).stream()
                    .filter(fault -> fault.kind().isHard())
                    .filter(fault -> !fault.kind().code().endsWith("-redriver")) // whom not each run has
                    .count();
            assertThat(hard + CrashTour.points(false))
                    .as("some meet nobody")
                    .isGreaterThan(tier.least.hardFaults() + 4L);
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {6, 7})
    void again_and_again_there_is_a_calm_in_which_a_stuck_key_is_seen(int seed) {
        boolean strict = seed % 2 == 1;
        long calms = 0;
        long over = 0;
        for (Fault fault : faults(seed, HOUR)) {
            calms += fault.atMillis() - over >= FaultRun.seenWithin(strict).toMillis() ? 1 : 0;
            over = Math.max(over, fault.atMillis() + fault.forMillis());
        }
        assertThat(calms).isBetween(strict ? 24L : 27L, 30L);
    }

    @Test
    void commits_are_swallowed_on_the_way_from_those_who_make_any() {
        assertThat(faults(7, HOUR))
                .filteredOn(fault ->
                        fault.kind() == FaultKind.SWALLOW_COMMIT || fault.kind() == FaultKind.SWALLOW_COMMIT_ANSWER)
                .extracting(fault -> Role.values()[fault.target()])
                .containsOnly(Role.PUBLISHER, Role.CONSUMER, Role.REDRIVER);
    }

    @Test
    void answers_to_offset_commits_are_lost_on_all_networks_at_once_so_there_is_one_such_fault_at_a_time() {
        assertThat(faults(7, HOUR))
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
        for (Fault fault : faults(7, HOUR)) {
            String hit = fault.kind().on + " " + fault.target();
            assertThat(fault.atMillis()).isGreaterThanOrEqualTo(busyUntil.getOrDefault(hit, 0L));
            busyUntil.put(hit, fault.atMillis() + fault.forMillis());
        }
    }
}
