package dev.eventbus.faults;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;

import java.util.EnumMap;
import java.util.HashMap;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.UUID;
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
    void options_say_how_much_is_done() {
        Options nightly = Options.parse("--nightly", "--seed", "4", "--strict");
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
