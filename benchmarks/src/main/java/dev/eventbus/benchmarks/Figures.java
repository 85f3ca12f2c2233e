package dev.eventbus.benchmarks;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.OptionalDouble;
import java.util.Set;
import java.util.stream.DoubleStream;
import java.util.stream.IntStream;

/** Figures of one kind, by contestant and repetition. */
final class Figures {

    private final Map<String, List<Double>> byName = new LinkedHashMap<>();

    void add(String name, double figure) {
        byName.computeIfAbsent(name, any -> new ArrayList<>()).add(figure);
    }

    Set<String> names() {
        return byName.keySet();
    }

    /** The middle one of a contestant's repetitions; empty if it has none. */
    OptionalDouble median(String name) {
        return medianOf(byName.getOrDefault(name, List.of()).stream().mapToDouble(Double::doubleValue));
    }

    /** The greatest one of a contestant's repetitions; empty if it has none. */
    OptionalDouble greatest(String name) {
        return byName.getOrDefault(name, List.of()).stream()
                .mapToDouble(Double::doubleValue)
                .max();
    }

    /** The middle one of the ratios within the same repetition: what the machine does beside hits both alike. */
    OptionalDouble ratio(String name, String to) {
        List<Double> ours = byName.getOrDefault(name, List.of());
        List<Double> theirs = byName.getOrDefault(to, List.of());
        return medianOf(
                IntStream.range(0, Math.min(ours.size(), theirs.size())).mapToDouble(i -> ours.get(i) / theirs.get(i)));
    }

    /** A contestant's middle figure in relation to its middle figure of another kind. */
    OptionalDouble against(Figures others, String name) {
        OptionalDouble mine = median(name);
        OptionalDouble other = others.median(name);
        return mine.isPresent() && other.isPresent()
                ? OptionalDouble.of(mine.getAsDouble() / other.getAsDouble())
                : OptionalDouble.empty();
    }

    /** From the least to the greatest, as text. */
    String range(String name, String format) {
        List<Double> figures = byName.getOrDefault(name, List.of());
        double least = figures.stream().mapToDouble(Double::doubleValue).min().orElse(Double.NaN);
        double greatest =
                figures.stream().mapToDouble(Double::doubleValue).max().orElse(Double.NaN);
        return String.format(Locale.ROOT, format + "…" + format, least, greatest);
    }

    static OptionalDouble medianOf(DoubleStream figures) {
        double[] sorted = figures.sorted().toArray();
        return sorted.length == 0 ? OptionalDouble.empty() : OptionalDouble.of(percentile(sorted, 50));
    }

    /** The figure below which so many per cent lie, of sorted ones. */
    static double percentile(double[] sorted, int percent) {
        int rank = (int) Math.ceil(sorted.length * percent / 100.0);
        return sorted[Math.max(0, Math.min(sorted.length, rank) - 1)];
    }

    /** Of unsorted ones. */
    static double percentileOf(double[] figures, int percent) {
        double[] sorted = figures.clone();
        Arrays.sort(sorted);
        return percentile(sorted, percent);
    }
}
