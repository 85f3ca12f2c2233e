package dev.eventbus.faults;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.SQLException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.function.ToLongFunction;

/** A long time under load and without faults, in which heap, threads, sockets and database sessions have to stay as they are. */
final class Soak {

    /** What a child process is told; the file follows to which it adds its {@link Usage}. */
    static final String USAGE = "usage ";

    private static final Duration EVERY = Duration.ofSeconds(20);
    private static final int LEAST_SAMPLES = 9;
    private static final int MAY_MISS = 3;
    private static final int BYTES_OF_A_KIB = 1024;

    private static final long HEAP = 4L << 20;
    private static final long THREADS = 2;
    private static final long DESCRIPTORS = 6;
    private static final long SESSIONS = 4;

    private final Fleet fleet;
    private final Witness witness;
    private final Path folder;
    private final List<Long> sessions = new ArrayList<>();

    /** @param folder for what the processes say of themselves */
    Soak(Fleet fleet, Witness witness, Path folder) {
        this.fleet = fleet;
        this.witness = witness;
        this.folder = folder;
    }

    /** Lets it run for so long, and tells what has grown; with no time nothing is looked at. */
    Growth run(Duration length) throws IOException, InterruptedException {
        long end = System.nanoTime() + length.toNanos();
        int looks = 0;
        for (; System.nanoTime() - end < 0; looks++) {
            try {
                for (Fleet.Instance instance : fleet.instances()) {
                    instance.tell(USAGE + file(instance));
                }
                sessions.add((long) witness.sessions().size());
            } catch (IOException | SQLException e) { // what is missing then is seen in the end
                System.err.println("soak: " + e);
            }
            TimeUnit.NANOSECONDS.sleep(EVERY.toNanos());
        }
        Growth growth = new Growth(Math.max(LEAST_SAMPLES, looks - MAY_MISS));
        if (!length.isZero()) {
            judge(growth);
        }
        return growth;
    }

    private void judge(Growth growth) throws IOException {
        for (Fleet.Instance instance : fleet.instances()) {
            String name = instance.toString();
            List<Usage> usage = Files.exists(file(instance)) ? Usage.readFrom(file(instance)) : List.of();
            growth.judge(
                    name + " heap, KiB", figure(usage, each -> each.heap() / BYTES_OF_A_KIB), HEAP / BYTES_OF_A_KIB);
            growth.judge(name + " threads", figure(usage, Usage::threads), THREADS);
            growth.judge(name + " descriptors", figure(usage, Usage::descriptors), DESCRIPTORS);
        }
        growth.judge("database sessions", sessions, SESSIONS);
    }

    private static List<Long> figure(List<Usage> usage, ToLongFunction<Usage> part) {
        return usage.stream().mapToLong(part).boxed().toList();
    }

    private Path file(Fleet.Instance instance) {
        return folder.resolve(instance + ".usage").toAbsolutePath();
    }
}
