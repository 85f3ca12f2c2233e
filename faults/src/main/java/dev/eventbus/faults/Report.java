package dev.eventbus.faults;

import com.fasterxml.jackson.databind.ObjectMapper;
import dev.eventbus.faults.check.Findings;
import dev.eventbus.faults.check.Violation;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.EnumSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * The figures of a run, for a person and for a program.
 *
 * @param counts by name, in the order in which they are told
 * @param faults made, by kind
 * @param reached crash points
 * @param soak what was held early and late in a time without faults, by name
 * @param open what keeps the run from telling anything: not drained, a point that was not reached, trouble of the harness
 */
record Report(
        Options options,
        String servers,
        Duration took,
        Map<String, Object> counts,
        Map<String, Integer> faults,
        List<String> reached,
        Map<String, String> soak,
        Findings findings,
        List<String> open) {

    private static final ObjectMapper JSON = new ObjectMapper();

    /** What a run has shown. */
    enum Verdict {
        PASSED,
        VIOLATED,
        /** Nothing was violated, and not all was seen. This is no pass. */
        UNKNOWN
    }

    Verdict verdict() {
        if (findings.total() > 0) {
            return Verdict.VIOLATED;
        }
        return open.isEmpty() ? Verdict.PASSED : Verdict.UNKNOWN;
    }

    /** A leak shows in a soak only. */
    private Set<Violation> lookedFor() {
        return soak.isEmpty() ? EnumSet.complementOf(EnumSet.of(Violation.LEAK)) : EnumSet.allOf(Violation.class);
    }

    private Map<String, Object> figures() {
        Map<String, Object> figures = new LinkedHashMap<>();
        figures.put("verdict", verdict().name());
        figures.put("tier", options.tier().lower());
        figures.put("commit", commit());
        figures.put("seed", options.seed());
        figures.put("sendMode", options.sendMode());
        figures.put("groupProtocol", options.groupProtocol());
        figures.put("afterRetries", options.afterRetries());
        figures.put("servers", servers);
        figures.put("seconds", took.toSeconds());
        figures.putAll(counts);
        figures.put("faultsByKind", faults);
        figures.put("crashPoints", reached);
        figures.put("soak", soak);
        Map<String, Integer> violations = new LinkedHashMap<>();
        for (Violation violation : lookedFor()) {
            violations.put(violation.code(), findings.count(violation));
        }
        figures.put("violations", violations);
        Map<String, List<String>> examples = new LinkedHashMap<>();
        findings.examples().forEach((violation, told) -> examples.put(violation.code(), told));
        figures.put("examples", examples);
        figures.put("open", open);
        return figures;
    }

    void writeTo(Path file) throws IOException {
        Path folder = file.toAbsolutePath().getParent();
        if (folder != null) {
            Files.createDirectories(folder);
        }
        Files.writeString(file, JSON.writeValueAsString(figures()) + '\n');
    }

    /** The same as a table. */
    String table() {
        StringBuilder table = new StringBuilder(servers).append(System.lineSeparator());
        line(
                table,
                "tier",
                "%s, %s, group protocol %s, %s"
                        .formatted(
                                options.tier().lower(),
                                options.sendMode(),
                                options.groupProtocol(),
                                options.afterRetries()));
        line(table, "commit", commit());
        line(table, "seed", options.seed());
        line(table, "took", took.toSeconds() + " s");
        counts.forEach((name, count) -> line(table, name, count));
        faults.forEach((kind, count) -> line(table, "  " + kind, count));
        line(
                table,
                "crash points",
                reached.size() + " of " + CrashTour.points(options.parks()) * options.tours() + " " + reached);
        soak.forEach((name, trend) -> line(table, "  " + name, trend));
        for (Violation violation : lookedFor()) {
            line(table, "  " + violation.code(), findings.count(violation));
        }
        findings.examples()
                .forEach((violation, told) ->
                        told.stream().limit(3).forEach(example -> line(table, "  e.g. " + violation.code(), example)));
        open.forEach(reason -> line(table, "open", reason));
        line(table, "verdict", verdict());
        return table.toString();
    }

    /** As {@code faults/run} says. */
    private static String commit() {
        return System.getProperty("eventbus.commit", "unknown");
    }

    private static void line(StringBuilder table, String name, Object value) {
        table.append("%-32s %s%n".formatted(name, value));
    }
}
