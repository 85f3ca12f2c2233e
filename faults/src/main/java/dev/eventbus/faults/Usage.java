package dev.eventbus.faults;

import static java.nio.charset.StandardCharsets.UTF_8;

import com.sun.management.UnixOperatingSystemMXBean;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;

/**
 * What a process holds.
 *
 * @param heap bytes that are left after a collection
 * @param threads of the JVM that are alive
 * @param descriptors open files and sockets
 */
record Usage(long heap, long threads, long descriptors) {

    /** Collects first. */
    static Usage ofThisJvm() {
        System.gc();
        var system = (UnixOperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
        return new Usage(
                ManagementFactory.getMemoryMXBean().getHeapMemoryUsage().getUsed(),
                ManagementFactory.getThreadMXBean().getThreadCount(),
                system.getOpenFileDescriptorCount());
    }

    /** Adds a line to a file. */
    void appendTo(Path file) {
        try {
            Files.writeString(
                    file,
                    "%d %d %d%n".formatted(heap, threads, descriptors),
                    StandardOpenOption.CREATE,
                    StandardOpenOption.APPEND);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** All lines of a file, in order. */
    static List<Usage> readFrom(Path file) throws IOException {
        List<Usage> all = new ArrayList<>();
        for (String line : Files.readAllLines(file, UTF_8)) {
            String[] figures = line.split(" ", -1);
            all.add(new Usage(Long.parseLong(figures[0]), Long.parseLong(figures[1]), Long.parseLong(figures[2])));
        }
        return all;
    }
}
