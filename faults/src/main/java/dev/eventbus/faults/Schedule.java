package dev.eventbus.faults;

import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;

/** Which faults are made when: the same for the same seed. Pure. */
final class Schedule {

    /** So often there is a calm, long enough for all to recover and be seen to: during faults a key may stand still. */
    private static final long CALM_EVERY_MILLIS = 120_000;

    private static final long CALM_MILLIS = 40_000;

    /** Time in which what was hit recovers before it is hit again; a JVM or a broker takes so long to start. */
    private static final long REST_MILLIS = 6_000;

    /**
     * A fault to be made.
     *
     * @param atMillis when it begins, from the first on
     * @param target which of what its kind hits, from 0
     * @param dice chooses what else there is to choose
     */
    record Fault(FaultKind kind, int target, long atMillis, long forMillis, int dice) {}

    /** Least and most time from the beginning of one fault to that of the next. */
    record Gaps(long leastMillis, long mostMillis) {}

    private Schedule() {}

    static List<Fault> of(long seed, Duration length, Gaps gaps) {
        SplittableRandom random = new SplittableRandom(seed);
        Map<String, Long> busyUntil = new HashMap<>();
        List<Fault> faults = new ArrayList<>();
        long at = 0;
        while (at < length.toMillis()) {
            FaultKind kind = kind(random);
            Fault fault =
                    new Fault(kind, kind.chooseTarget(random), at, kind.chooseMillis(random), random.nextInt(100));
            String hit = kind.on + " " + fault.target();
            if (busyUntil.getOrDefault(hit, 0L) <= at) {
                faults.add(fault);
                busyUntil.put(hit, at + fault.forMillis() + REST_MILLIS);
                at = afterCalm(at + random.nextLong(gaps.leastMillis(), gaps.mostMillis()));
            } else {
                at += 50;
            }
        }
        return List.copyOf(faults);
    }

    private static long afterCalm(long at) {
        long calm = CALM_EVERY_MILLIS - CALM_MILLIS;
        return at % CALM_EVERY_MILLIS < calm ? at : at - at % CALM_EVERY_MILLIS + CALM_EVERY_MILLIS;
    }

    private static FaultKind kind(SplittableRandom random) {
        int all = 0;
        for (FaultKind kind : FaultKind.values()) {
            all += kind.weight;
        }
        int dice = random.nextInt(all);
        for (FaultKind kind : FaultKind.values()) {
            dice -= kind.weight;
            if (dice < 0) {
                return kind;
            }
        }
        throw new IllegalStateException("weights do not add up");
    }
}
