package dev.eventbus.faults;

import dev.eventbus.faults.check.Findings;
import dev.eventbus.faults.check.Trend;
import dev.eventbus.faults.check.Violation;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.SQLException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.function.ToLongFunction;

/** A long time under load and without faults, in which heap, threads, sockets and database sessions have to stay as they are. */
final class Soak {

    /** What a child process is told; the file follows to which it adds its {@link Usage}. */
    static final String USAGE = "usage ";

    private static final Duration EVERY = Duration.ofSeconds(20);
    private static final int LEAST_SAMPLES = 9;
    private static final int BYTES_OF_A_KIB = 1024;

    private static final double SHARE = 0.1;
    private static final long HEAP = 4L << 20;
    private static final long THREADS = 2;
    private static final long DESCRIPTORS = 6;
    private static final long SESSIONS = 4;

    private final Fleet fleet;
    private final Witness witness;
    private final Path folder;
    private final List<Long> sessions = new ArrayList<>();
    private final Findings findings = new Findings();
    private final List<String> open = new ArrayList<>();
    private final Map<String, String> figures = new LinkedHashMap<>();

    /** @param folder for what the processes say of themselves */
    Soak(Fleet fleet, Witness witness, Path folder) {
        this.fleet = fleet;
        this.witness = witness;
        this.folder = folder;
    }

    /** Lets it run for so long; with none nothing is looked at. */
    void run(Duration length) throws IOException, SQLException, InterruptedException {
        long end = System.nanoTime() + length.toNanos();
        while (System.nanoTime() - end < 0) {
            for (Fleet.Instance instance : fleet.instances()) {
                instance.tell(USAGE + file(instance));
            }
            sessions.add((long) witness.sessions().size());
            TimeUnit.NANOSECONDS.sleep(EVERY.toNanos());
        }
        if (!length.isZero()) {
            judge();
        }
    }

    private void judge() throws IOException {
        for (Fleet.Instance instance : fleet.instances()) {
            String name = instance.toString();
            List<Usage> usage = Files.exists(file(instance)) ? Usage.readFrom(file(instance)) : List.of();
            judge(name + " heap, KiB", figure(usage, each -> each.heap() / BYTES_OF_A_KIB), HEAP / BYTES_OF_A_KIB);
            judge(name + " threads", figure(usage, Usage::threads), THREADS);
            judge(name + " descriptors", figure(usage, Usage::descriptors), DESCRIPTORS);
        }
        judge("database sessions", sessions, SESSIONS);
    }

    private static List<Long> figure(List<Usage> usage, ToLongFunction<Usage> part) {
        return usage.stream().mapToLong(part).boxed().toList();
    }

    private void judge(String name, List<Long> samples, long mayGrowBy) {
        if (samples.size() < LEAST_SAMPLES) {
            open.add("only %d samples of %s in the soak".formatted(samples.size(), name));
            return;
        }
        Trend trend = Trend.of(samples);
        figures.put(name, trend.toString());
        if (trend.grew(SHARE, mayGrowBy)) {
            findings.add(Violation.LEAK, name + ": " + samples);
        }
    }

    private Path file(Fleet.Instance instance) {
        return folder.resolve(instance + ".usage").toAbsolutePath();
    }

    Findings findings() {
        return findings;
    }

    /** What it could not see. */
    List<String> open() {
        return open;
    }

    /** Early and late figure by name; empty if nothing was looked at. */
    Map<String, String> figures() {
        return figures;
    }
}
