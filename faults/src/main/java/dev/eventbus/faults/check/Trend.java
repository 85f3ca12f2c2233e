package dev.eventbus.faults.check;

import java.util.List;

/**
 * How a figure moved over time.
 *
 * @param early median of the first third of the samples
 * @param late median of the last third
 */
public record Trend(long early, long late) {

    private static final int PARTS = 3;

    /** @param samples in the order in which they were taken, at least three */
    public static Trend of(List<Long> samples) {
        int third = samples.size() / PARTS;
        return new Trend(
                median(samples.subList(0, third)), median(samples.subList(samples.size() - third, samples.size())));
    }

    private static long median(List<Long> samples) {
        return samples.stream().sorted().toList().get(samples.size() / 2);
    }

    /** Whether it grew by more than a share of what it was, and by more than so much. */
    public boolean grew(double share, long atLeast) {
        return late - early > Math.max(share * early, atLeast);
    }

    @Override
    public String toString() {
        return early + " → " + late;
    }
}
