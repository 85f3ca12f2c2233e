package dev.eventbus.testkit;

import java.util.EnumMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/** Which process ends where. Guarded by "this"; what a death sets off runs in the calling thread, outside the lock. */
final class Crashes {

    /** The end of a process, thrown by the call in which it dies and by every later one: the engine takes it for its JVM's. */
    static final class Crash extends VirtualMachineError {
        private static final long serialVersionUID = 1;

        Crash(CrashPoint at) {
            super("the process has crashed %s because the test asked for it".formatted(at));
        }
    }

    /** What a runner owns in the world outside: its clients and connections, all of which end with it. */
    static final class SimulatedProcess {

        /** Both guarded by "this". */
        private final Set<Runnable> atDeath = new LinkedHashSet<>();

        private @Nullable CrashPoint diedAt;

        synchronized void atDeath(Runnable what) {
            atDeath.add(what);
        }

        synchronized void noLongerAtDeath(Runnable what) {
            atDeath.remove(what);
        }

        synchronized boolean isDead() {
            return diedAt != null;
        }

        /** @throws Crash if it is dead */
        void checkAlive() {
            CrashPoint at;
            synchronized (this) {
                at = diedAt;
            }
            if (at != null) {
                throw new Crash(at);
            }
        }

        void dieWith(SimulatedProcess crashed) {
            CrashPoint at;
            synchronized (crashed) {
                at = crashed.diedAt;
            }
            if (at != null) {
                die(at);
            }
        }

        void die(CrashPoint at) {
            List<Runnable> all;
            synchronized (this) {
                diedAt = at;
                all = List.copyOf(atDeath);
                atDeath.clear();
            }
            all.forEach(Runnable::run);
        }
    }

    private final Map<CrashPoint, Integer> reached = new EnumMap<>(CrashPoint.class);
    private @Nullable SimulatedProcess running;

    /** After how many more times at a point the next one dies there. */
    private final Map<CrashPoint, Integer> wanted = new EnumMap<>(CrashPoint.class);

    /** The next to reach the point for the {@code nth} time from now on dies there. */
    synchronized void crashAt(CrashPoint point, int nth) {
        wanted.put(point, nth);
    }

    /** A crash that has not come about is wanted no more. */
    synchronized void forget() {
        wanted.clear();
    }

    /** The crash that has not come about, as the test asked for it. */
    synchronized List<String> unmet() {
        return wanted.entrySet().stream()
                .map(left -> "crashAt(%s), %d more times".formatted(left.getKey(), left.getValue()))
                .toList();
    }

    /** How often the point was reached so far. */
    synchronized int reached(CrashPoint point) {
        return reached.getOrDefault(point, 0);
    }

    /** Whose pass is being made; null if nobody's who can die. */
    synchronized @Nullable SimulatedProcess running() {
        return running;
    }

    synchronized void run(@Nullable SimulatedProcess process) {
        running = process;
    }

    /** The process is at a point of its pass; does not return if it dies there. */
    void reached(CrashPoint here, @Nullable SimulatedProcess by) {
        if (by != null && isEnd(here, by)) {
            by.die(here);
            throw new Crash(here);
        }
    }

    private synchronized boolean isEnd(CrashPoint here, SimulatedProcess by) {
        if (by != running || by.isDead()) {
            return false;
        }
        reached.merge(here, 1, Integer::sum);
        Integer left = wanted.computeIfPresent(here, (point, times) -> times - 1);
        return left != null && left <= 0 && wanted.remove(here) != null;
    }
}
