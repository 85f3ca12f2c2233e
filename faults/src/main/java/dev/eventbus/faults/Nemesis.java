package dev.eventbus.faults;

import dev.eventbus.faults.Schedule.Fault;
import dev.eventbus.faults.check.Stalls.Window;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;

/** Makes the faults of a {@link Schedule}, each on a thread of its own, and ends them. */
final class Nemesis {

    private static final int AT_ONCE = 12;

    /** A server may come late, and its last try to start takes a minute. */
    private static final Duration ENDS_WITHIN = Comeback.WITHIN.plusSeconds(90);

    private static final Duration BREAKS_OFF_WITHIN = Duration.ofSeconds(10);

    /** Makes a fault and ends it. */
    @FunctionalInterface
    interface Deed {

        /**
         * Returns whether it has met anybody.
         *
         * @throws Exception if it cannot be made, or what was hit cannot be brought back
         */
        boolean carryOut(Fault fault) throws Exception;
    }

    /** Something that happened to the harness itself, not to what is tested. */
    private final List<String> troubles = Collections.synchronizedList(new ArrayList<>());

    /** What is hit now: some faults last longer than planned, since a server takes its time to start. */
    private final Set<String> hit = ConcurrentHashMap.newKeySet();

    private final List<Window> windows = Collections.synchronizedList(new ArrayList<>());
    private final Map<FaultKind, Integer> made = Collections.synchronizedMap(new EnumMap<>(FaultKind.class));
    private final Deed deed;

    Nemesis(Deed deed) {
        this.deed = deed;
    }

    /** Makes all of them and returns when the last is over. */
    void make(List<Fault> faults) throws InterruptedException {
        ScheduledExecutorService threads = Executors.newScheduledThreadPool(AT_ONCE);
        for (Fault fault : faults) {
            var unused = threads.schedule(() -> make(fault), fault.atMillis(), TimeUnit.MILLISECONDS);
        }
        threads.shutdown(); // what is scheduled still runs
        long last = faults.stream()
                .mapToLong(fault -> fault.atMillis() + fault.forMillis())
                .max()
                .orElse(0);
        if (!threads.awaitTermination(last + ENDS_WITHIN.toMillis(), TimeUnit.MILLISECONDS)) {
            troubles.add("faults did not end: " + threads.shutdownNow());
            windows.add(new Window(System.currentTimeMillis() - ENDS_WITHIN.toMillis(), Window.NEVER));
            boolean unused = threads.awaitTermination(BREAKS_OFF_WITHIN.toMillis(), TimeUnit.MILLISECONDS);
        }
    }

    private void make(Fault fault) {
        if (!hit.add(fault.hit())) {
            return; // what it is to hit has not recovered from the last one
        }
        try {
            makeNow(fault);
        } finally {
            hit.remove(fault.hit());
        }
    }

    private void makeNow(Fault fault) {
        long from = System.currentTimeMillis();
        long to = Window.NEVER; // what could not be ended is not the library's to recover from
        System.err.printf("%tT.%<tL %s %d for %d ms%n", from, fault.kind().code(), fault.target(), fault.forMillis());
        try {
            if (deed.carryOut(fault)) {
                made.merge(fault.kind(), 1, Integer::sum);
            }
            to = System.currentTimeMillis();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        } catch (Exception e) { // a fault that cannot be made must not end the others
            String trouble = fault + ": " + e.toString().lines().findFirst().orElse("");
            troubles.add(trouble);
            System.err.println(trouble);
        }
        windows.add(new Window(from, to));
    }

    List<String> troubles() {
        return List.copyOf(troubles);
    }

    /** When faults lasted; that of one that could not be ended has no end. */
    List<Window> windows() {
        return List.copyOf(windows);
    }

    /** How many faults of each kind were made. */
    Map<FaultKind, Integer> made() {
        return Map.copyOf(made);
    }
}
