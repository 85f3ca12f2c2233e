package dev.eventbus.faults;

import dev.eventbus.faults.check.Findings;
import dev.eventbus.faults.check.Trend;
import dev.eventbus.faults.check.Violation;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Which figures have grown that should have stayed as they were: by more than a tenth, and by more than what each may. */
final class Growth {

    private static final double SHARE = 0.1;

    private final int leastSamples;
    private final Findings findings = new Findings();
    private final List<String> open = new ArrayList<>();
    private final Map<String, String> figures = new LinkedHashMap<>();

    /** @param leastSamples with fewer of a figure there is nothing to be said of it */
    Growth(int leastSamples) {
        this.leastSamples = leastSamples;
    }

    void judge(String name, List<Long> samples, long mayGrowBy) {
        if (samples.size() < leastSamples) {
            open.add("only %d samples of %s in the soak".formatted(samples.size(), name));
            return;
        }
        Trend trend = Trend.of(samples);
        figures.put(name, trend.toString());
        if (trend.grew(SHARE, mayGrowBy)) {
            findings.add(Violation.LEAK, name + ": " + samples);
        }
    }

    Findings findings() {
        return findings;
    }

    /** What could not be seen. */
    List<String> open() {
        return open;
    }

    /** Early and late figure by name; empty if nothing was looked at. */
    Map<String, String> figures() {
        return figures;
    }
}
