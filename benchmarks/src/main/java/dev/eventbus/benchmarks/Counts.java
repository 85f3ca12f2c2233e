package dev.eventbus.benchmarks;

import java.util.HashMap;
import java.util.Map;

/** What is added up over all runs of a contestant. */
final class Counts {

    private final Map<String, Long> byName = new HashMap<>();

    void add(String name, long count) {
        byName.merge(name, count, Long::sum);
    }

    long of(String name) {
        return byName.getOrDefault(name, 0L);
    }

    /** Over all our own forms. */
    long ofUs() {
        return byName.entrySet().stream()
                .filter(count -> Lineup.isUs(count.getKey()))
                .mapToLong(Map.Entry::getValue)
                .sum();
    }
}
