package dev.eventbus.faults;

import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.function.Predicate;
import org.jspecify.annotations.Nullable;

/**
 * Which faults are made when: the same for the same seed. First each kind once, those that last long before the others, then again and
 * again as often as their weights say. Pure.
 */
final class Schedule {

    /** So long there are faults, and then a calm, long enough for all to recover and be seen to: during faults a key may stand still. */
    private static final long FAULTS_MILLIS = 80_000;

    /** Faults that began before a calm last so long into it at most. */
    private static final long LAST_FAULT_MILLIS = 13_000;

    /** Time in which what was hit recovers before it is hit again; a JVM or a broker takes so long to start. */
    private static final long REST_MILLIS = 6_000;

    /**
     * A fault to be made.
     *
     * @param atMillis when it begins, from the first on
     * @param target which of what its kind hits, from 0
     * @param dice chooses what else there is to choose
     */
    record Fault(FaultKind kind, int target, long atMillis, long forMillis, int dice) {

        /** What it hits. */
        String hit() {
            return kind.on + " " + target;
        }
    }

    /** Least and most time from the beginning of one fault to that of the next. */
    record Gaps(long leastMillis, long mostMillis) {}

    /** How long there are faults and calm together, and a calm's rest when its last fault is over. */
    private record Turns(long millis, long restMillis) {

        static Turns with(Duration seen) {
            return new Turns(FAULTS_MILLIS + LAST_FAULT_MILLIS + seen.toMillis(), seen.toMillis());
        }

        boolean endsBeforeRest(Fault fault) {
            return fault.atMillis() % millis + fault.forMillis() <= millis - restMillis;
        }

        long afterCalm(long at) {
            return at % millis < FAULTS_MILLIS ? at : at - at % millis + millis;
        }
    }

    private Schedule() {}

    /** @param seen time in which all recovers from a fault, and then is looked at whether it does */
    static List<Fault> of(long seed, Duration length, Gaps gaps, Duration seen) {
        Turns turns = Turns.with(seen);
        SplittableRandom random = new SplittableRandom(seed);
        Deck deck = new Deck(random);
        Map<String, Long> busyUntil = new HashMap<>();
        List<Fault> faults = new ArrayList<>();
        long at = 0;
        while (at < length.toMillis()) {
            long now = at;
            Fault fault =
                    deck.next(now, next -> busyUntil.getOrDefault(next.hit(), 0L) <= now && turns.endsBeforeRest(next));
            if (fault == null) {
                at += 50;
            } else {
                faults.add(fault);
                busyUntil.put(fault.hit(), at + fault.forMillis() + REST_MILLIS);
                at = turns.afterCalm(at + random.nextLong(gaps.leastMillis(), gaps.mostMillis()));
            }
        }
        return List.copyOf(faults);
    }

    /** Kinds that are still to be dealt; what does not fit now is dealt later. */
    private static final class Deck {

        private final SplittableRandom random;
        private final List<FaultKind> left = new ArrayList<>();

        Deck(SplittableRandom random) {
            this.random = random;
            List<FaultKind> each = shuffled(List.of(FaultKind.values()));
            each.stream().filter(FaultKind::isLong).forEach(left::add);
            each.stream().filter(kind -> !kind.isLong()).forEach(left::add);
        }

        private List<FaultKind> shuffled(List<FaultKind> kinds) {
            List<FaultKind> shuffled = new ArrayList<>(kinds);
            for (int i = shuffled.size(); i > 1; i--) {
                shuffled.add(shuffled.remove(random.nextInt(i)));
            }
            return shuffled;
        }

        /** The next that fits; null if none does. */
        @Nullable
        Fault next(long at, Predicate<Fault> fits) {
            if (left.size() < FaultKind.values().length / 2) {
                List<FaultKind> round = new ArrayList<>();
                for (FaultKind kind : FaultKind.values()) {
                    for (int i = 0; i < kind.weight; i++) {
                        round.add(kind);
                    }
                }
                left.addAll(shuffled(round));
            }
            for (int i = 0; i < left.size(); i++) {
                FaultKind kind = left.get(i);
                Fault fault =
                        new Fault(kind, kind.chooseTarget(random), at, kind.chooseMillis(random), random.nextInt(100));
                if (fits.test(fault)) {
                    left.remove(i);
                    return fault;
                }
            }
            return null;
        }
    }
}
