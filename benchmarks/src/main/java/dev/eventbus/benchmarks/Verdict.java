package dev.eventbus.benchmarks;

import java.io.PrintStream;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;
import java.util.OptionalDouble;

/** The last lines, for machines: {@code name=value}. A figure that could not be taken says so and is never made up. */
final class Verdict {

    private final Map<String, String> lines = new LinkedHashMap<>();
    private final Map<String, Long> counts = new LinkedHashMap<>();

    void put(String name, OptionalDouble figure, String format) {
        put(name, figure.isPresent() ? String.format(Locale.ROOT, format, figure.getAsDouble()) : "n/a");
    }

    void put(String name, String value) {
        lines.put(name, value);
    }

    /** What must never happen, added up over all of the relay's questions that look for it. */
    void addFaults(long violations, long duplicates) {
        add("relay.order_violations", violations);
        add("relay.duplicates", duplicates);
    }

    /** Adds to a count, which stands among the last lines even if it is 0. */
    void add(String name, long count) {
        counts.merge(name, count, Long::sum);
    }

    /** Whether something was lost, doubled or out of order, which no speed makes up for. */
    boolean isBroken() {
        return counts.values().stream().anyMatch(count -> count > 0)
                || lines.entrySet().stream().anyMatch(line -> isBroken(line.getKey(), line.getValue()));
    }

    private static boolean isBroken(String name, String value) {
        boolean mustBeNone = name.endsWith(".lost") || name.endsWith(".order_violations");
        return value.equals("failed") || mustBeNone && !value.equals("0");
    }

    void print(PrintStream out) {
        out.println();
        lines.forEach((name, value) -> out.println(name + "=" + value));
        counts.forEach((name, count) -> out.println(name + "=" + count));
    }
}
