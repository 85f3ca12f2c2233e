package dev.eventbus.faults.check;

import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;

/** What is wrong, with a few examples of each kind. Confined to one thread. */
public final class Findings {

    private static final int EXAMPLES = 20;

    private final Map<Violation, Integer> counts = new EnumMap<>(Violation.class);
    private final Map<Violation, List<String>> examples = new EnumMap<>(Violation.class);

    /** Notes one case. */
    public void add(Violation violation, String what) {
        counts.merge(violation, 1, Integer::sum);
        List<String> told = examples.computeIfAbsent(violation, any -> new ArrayList<>());
        if (told.size() < EXAMPLES) {
            told.add(what);
        }
    }

    /** Notes all cases of another. */
    public void addAll(Findings others) {
        others.counts.forEach((violation, count) -> counts.merge(violation, count, Integer::sum));
        others.examples.forEach((violation, told) -> examples.merge(violation, told, Findings::firstOf));
    }

    private static List<String> firstOf(List<String> some, List<String> more) {
        List<String> all = new ArrayList<>(some);
        all.addAll(more);
        return new ArrayList<>(all.subList(0, Math.min(EXAMPLES, all.size())));
    }

    /** How many cases of a violation. */
    public int count(Violation violation) {
        return counts.getOrDefault(violation, 0);
    }

    /** How many cases in all. */
    public int total() {
        return counts.values().stream().mapToInt(Integer::intValue).sum();
    }

    /** The first cases of each violation that was found. */
    public Map<Violation, List<String>> examples() {
        return Map.copyOf(examples);
    }

    @Override
    public String toString() {
        return counts + " " + examples;
    }
}
