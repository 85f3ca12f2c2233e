package dev.eventbus.benchmarks;

import com.sun.management.OperatingSystemMXBean;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.List;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/**
 * Processor time used so far, in seconds: by this JVM, by the broker, by PostgreSQL with all its processes, the ended ones included.
 * This JVM's is without its compiler threads, whose work belongs to the start and not to a row. From
 * {@code /proc}, so on Linux only.
 */
record Cpu(double relay, double broker, double database) {

    private static final double TICKS_PER_SECOND = 100;
    private static final Pattern COMPILER = Pattern.compile("C[12] Compiler");

    // fields of /proc/<pid>/stat, counted from the one after the command's name
    private static final int USER = 11;
    private static final int SYSTEM = 12;
    private static final int ENDED_CHILDREN_USER = 13;
    private static final int ENDED_CHILDREN_SYSTEM = 14;

    static Cpu now(Servers servers) throws IOException {
        return new Cpu(
                ofThisJvm(),
                ofProcess(servers.brokerPid(), false),
                ofTree(servers.postgres().pid()));
    }

    static double ofThisJvm() throws IOException {
        OperatingSystemMXBean own = (OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
        return own.getProcessCpuTime() / 1e9 - ofCompilerThreads();
    }

    Cpu since(Cpu before) {
        return new Cpu(relay - before.relay, broker - before.broker, database - before.database);
    }

    double total() {
        return relay + broker + database;
    }

    private static double ofCompilerThreads() throws IOException {
        double nanos = 0;
        try (DirectoryStream<Path> threads = Files.newDirectoryStream(Path.of("/proc/self/task"))) {
            for (Path thread : threads) {
                if (COMPILER.matcher(Files.readString(thread.resolve("comm"))).lookingAt()) {
                    String statistics = Files.readString(thread.resolve("schedstat"));
                    nanos += Long.parseLong(statistics.substring(0, statistics.indexOf(' ')));
                }
            }
        }
        return nanos / 1e9;
    }

    private static double ofTree(long pid) throws IOException {
        double sum = ofProcess(pid, true);
        List<ProcessHandle> children;
        try (Stream<ProcessHandle> found = ProcessHandle.of(pid).stream().flatMap(ProcessHandle::descendants)) {
            children = found.toList();
        }
        for (ProcessHandle child : children) {
            sum += ofProcess(child.pid(), false);
        }
        return sum;
    }

    private static double ofProcess(long pid, boolean withEndedChildren) throws IOException {
        String stat;
        try {
            stat = Files.readString(Path.of("/proc", Long.toString(pid), "stat"));
        } catch (NoSuchFileException e) {
            return 0; // it has just ended and counts for its parent now
        }
        String[] fields = stat.substring(stat.lastIndexOf(')') + 2).split(" ", -1);
        long ticks = Long.parseLong(fields[USER]) + Long.parseLong(fields[SYSTEM]);
        if (withEndedChildren) {
            ticks += Long.parseLong(fields[ENDED_CHILDREN_USER]) + Long.parseLong(fields[ENDED_CHILDREN_SYSTEM]);
        }
        return ticks / TICKS_PER_SECOND;
    }
}
