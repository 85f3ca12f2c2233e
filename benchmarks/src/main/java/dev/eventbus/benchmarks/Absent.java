package dev.eventbus.benchmarks;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Peers that could not be measured, each with the reason. Their figures are n/a, and the run goes on without them. */
final class Absent {

    /** A measurement. */
    @FunctionalInterface
    interface Work {
        void run() throws Exception;
    }

    private final Map<String, String> reasons = new LinkedHashMap<>();

    <T extends Participant> List<T> remaining(List<T> contestants) {
        return contestants.stream()
                .filter(contestant -> !reasons.containsKey(contestant.name()))
                .toList();
    }

    /** A peer's failure is noted; ours, and the raw loop's, ends the run. */
    void unlessItFails(Participant contestant, Work work) throws InterruptedException {
        try {
            work.run();
        } catch (InterruptedException e) {
            throw e;
        } catch (Exception | LinkageError e) {
            if (!contestant.isPeer()) {
                throw new IllegalStateException(contestant.name() + " has failed", e);
            }
            reasons.put(contestant.name(), String.valueOf(e));
            System.out.printf("!! %s could not be measured, its figures are n/a: %s%n", contestant.name(), e);
            e.printStackTrace();
        }
    }

    void print() {
        reasons.forEach((name, reason) -> System.out.printf("%n!! %s is n/a: %s%n", name, reason));
    }
}
