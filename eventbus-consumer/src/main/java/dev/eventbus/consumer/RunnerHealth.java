package dev.eventbus.consumer;

import java.time.Instant;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.TreeMap;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * How a runner is doing, as of its last pass: feed a probe with {@link #status()}, show a person {@link #problems()}.
 *
 * @param status in one word
 * @param problems in words, each with what happens next; empty if all is well
 * @param partitions one for each assigned partition
 * @param running handlers that run now
 * @param waitingKeys keys that wait for their next try
 * @param nextRetry when the first of them is due; null if none waits
 */
public record RunnerHealth(
        Status status,
        List<String> problems,
        List<PartitionHealth> partitions,
        int running,
        int waitingKeys,
        @Nullable Instant nextRetry) {

    /** How a runner is doing, in one word. */
    public enum Status {
        /** Built, but no pass has ended yet. */
        NEW,
        /** All is well. */
        UP,
        /** Something is wrong that ends by itself when its cause ends: see the problems. */
        DEGRADED,
        /** A person is needed: see the problems. */
        DOWN,
        /** Closing: running handlers are waited for. */
        STOPPING,
        /** Closed. */
        STOPPED
    }

    /**
     * One assigned partition. Offsets are -1 while unknown.
     *
     * @param topic logical topic
     * @param partition partition
     * @param position the next offset to be read
     * @param committed the offset last committed by this runner
     * @param openSpan records from the lowest unfinished one to the last one read
     * @param inFlight records that are queued, running or waiting
     * @param pausedBecause why nothing more is read; null if reading goes on
     */
    public record PartitionHealth(
            String topic,
            int partition,
            long position,
            long committed,
            int openSpan,
            int inFlight,
            @Nullable String pausedBecause) {}

    public RunnerHealth {
        problems = List.copyOf(problems);
        partitions = List.copyOf(partitions);
    }

    /** Of a runner whose JVM is out of order. */
    static RunnerHealth of(VirtualMachineError broken) {
        return new RunnerHealth(Status.DOWN, List.of(text(broken)), List.of(), 0, 0, null);
    }

    static String text(VirtualMachineError broken) {
        return "the JVM is out of order (%s): nothing more is committed; restart the process"
                .formatted(broken.getClass().getName());
    }

    static String suspects(int waiting) {
        return "the process has ended while records ran: these run one at a time, to find the one that ends it; %d of them wait, and so does all else"
                .formatted(waiting);
    }

    /** @param problems one for each key that waits; null if its waiting is none */
    static List<String> waiting(Stream<@Nullable String> problems) {
        Map<String, Integer> keys = new TreeMap<>();
        problems.filter(Objects::nonNull).forEach(problem -> keys.merge(problem, 1, Integer::sum));
        return keys.entrySet().stream()
                .map(e -> "%s: %d keys wait, without using attempts, until it ends".formatted(e.getKey(), e.getValue()))
                .toList();
    }

    /** With one problem more, if there is one; it alone degrades a runner that is well. */
    RunnerHealth with(@Nullable String problem) {
        if (problem == null) {
            return this;
        }
        List<String> all = Stream.concat(problems.stream(), Stream.of(problem)).toList();
        return new RunnerHealth(
                status == Status.UP ? Status.DEGRADED : status, all, partitions, running, waitingKeys, nextRetry);
    }

    static RunnerHealth of(Status status) {
        return new RunnerHealth(status, List.of(), List.of(), 0, 0, null);
    }
}
