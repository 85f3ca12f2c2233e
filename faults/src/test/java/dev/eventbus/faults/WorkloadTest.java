package dev.eventbus.faults;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;

import dev.eventbus.faults.check.Ending;
import java.util.EnumMap;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;
import java.util.SplittableRandom;
import java.util.UUID;
import java.util.stream.IntStream;
import org.assertj.core.data.Percentage;
import org.junit.jupiter.api.Test;

class WorkloadTest {

    private static final int MANY = 100_000;

    private final SplittableRandom random = new SplittableRandom(1);

    @Test
    void events_meet_their_fates_as_often_as_is_said() {
        Map<Fate, Integer> met = new EnumMap<>(Fate.class);
        for (int i = 0; i < MANY; i++) {
            met.merge(Fate.of(new UUID(random.nextLong(), random.nextLong()).toString()), 1, Integer::sum);
        }
        assertThat(met.get(Fate.FAILS_ONCE)).isCloseTo(3_000, Percentage.withPercentage(10));
        assertThat(met.get(Fate.FAILS_THRICE)).isCloseTo(1_000, Percentage.withPercentage(15));
        assertThat(met.get(Fate.FAILS_ALWAYS)).isCloseTo(500, Percentage.withPercentage(20));
        assertThat(met.get(Fate.SLOW)).isCloseTo(200, Percentage.withPercentage(30));
    }

    @Test
    void one_key_is_hot_and_all_others_are_used() {
        Keys keys = new Keys();
        Map<String, Integer> used = new HashMap<>();
        for (int i = 0; i < MANY; i++) {
            used.merge(keys.choose(random), 1, Integer::sum);
        }
        assertThat(used).hasSize(Keys.COUNT).doesNotContainKey("key-" + Keys.COUNT);
        assertThat(used.get("key-0")).isCloseTo(MANY / 8, Percentage.withPercentage(5));
        assertThat(used.get("key-1")).isGreaterThan(2 * used.getOrDefault("key-199", 0));
    }

    @Test
    void of_every_fourth_key_or_so_only_lockKeys_keeps_the_transactions_apart() {
        long without = IntStream.range(0, Keys.COUNT)
                .filter(key -> Keys.hasNoRowLock("key-" + key))
                .count();
        assertThat(without).isBetween(40L, 60L);
    }

    @Test
    void half_of_what_is_parked_succeeds_when_it_is_redriven_and_what_ends_the_process_is_known_by_its_id() {
        int parked = 0;
        int mended = 0;
        for (int i = 0; i < MANY; i++) {
            String id = new UUID(random.nextLong(), random.nextLong()).toString();
            Ending ending = Fate.ending(id, true);
            parked += ending == Ending.EFFECT ? 0 : 1;
            mended += ending == Ending.PARKED_THEN_EFFECT ? 1 : 0;
            assertThat(Fate.ending(id, false)).isEqualTo(ending == Ending.EFFECT ? Ending.EFFECT : Ending.LETTER);
        }
        assertThat(2 * mended).isCloseTo(parked, Percentage.withPercentage(20));
        assertThat(Fate.ending(Fate.HALTING + "1", true)).isEqualTo(Ending.CONVICTION);
        assertThat(Fate.ending(Fate.HALTING + "1", false)).isEqualTo(Ending.CONVICTION);
    }

    @Test
    void what_is_not_said_the_seed_chooses_so_that_eight_in_a_row_have_all_of_it() {
        Set<String> seen = new HashSet<>();
        for (int seed = 16; seed < 24; seed++) {
            Options options = Options.parse("--ci", "--seed", String.valueOf(seed));
            seen.add(options.sendMode() + options.groupProtocol() + options.afterRetries());
        }
        assertThat(seen).hasSize(8).contains("PIPELINEDclassicdead-letter", "STRICTconsumerpark-key");
        Options said = Options.parse(
                "--seed",
                "7",
                "--send-mode",
                "pipelined",
                "--group-protocol",
                "classic",
                "--after-retries",
                "dead-letter");
        assertThat(said.isStrict() || said.parks()).isFalse();
        assertThat(said.groupProtocol()).isEqualTo("classic");
        assertThatIllegalArgumentException().isThrownBy(() -> Options.parse("--send-mode", "quick"));
        assertThat(Options.parse("--seed", "7", "--no-inbox").parks()).isFalse();
        assertThat(Options.parse("--quick", "--seed", "0").parks())
                .as("so that all crash points are visited")
                .isTrue();
    }

    @Test
    void a_ci_run_has_to_show_60000_events_and_80_hard_faults() {
        assertThat(Options.parse("--ci").least()).isEqualTo(new Options.Least(60_000, 80));
        assertThat(Options.parse("--ci", "--minutes", "2").least().events()).isLessThan(60_000);
    }

    @Test
    void options_say_how_much_is_done() {
        Options nightly = Options.parse("--nightly", "--seed", "4", "--send-mode", "strict");
        assertThat(nightly.faultsFor()).hasHours(1);
        assertThat(nightly.soaksFor()).hasMinutes(30);
        assertThat(Options.parse("--ci", "--soak", "4").soaksFor()).hasMinutes(4);
        assertThatIllegalArgumentException().isThrownBy(() -> Options.parse("--soak", "3"));
        assertThat(nightly.seed()).isEqualTo(4);
        assertThat(nightly.sendMode()).isEqualTo("STRICT");
        assertThat(Options.parse().tier()).isEqualTo(Options.Tier.QUICK);
        assertThatIllegalArgumentException().isThrownBy(() -> Options.parse("--sometimes"));
        assertThatIllegalArgumentException().isThrownBy(() -> Options.parse("--seed"));
        assertThatIllegalArgumentException().isThrownBy(() -> Options.parse("--seed", "x"));
    }
}
