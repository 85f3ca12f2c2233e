package dev.eventbus.benchmarks;

import java.time.Duration;
import java.util.concurrent.atomic.AtomicInteger;

/** One contestant reads one topic from its beginning, once, as a new group. */
final class ConsumeRun {

    private static final long MOST_LEAD = 50_000;
    private static final Duration LIMIT = Duration.ofSeconds(90);
    private static final AtomicInteger GROUPS = new AtomicInteger();

    /**
     * What came of it.
     *
     * @param rate events a second, from when a fifth of them (50,000 at most) was handled to when all were
     * @param cpuMicros processor time of one of those events in this JVM
     */
    record Handled(double rate, double cpuMicros, long violations, long repeats) {}

    private final Servers servers;

    ConsumeRun(Servers servers) {
        this.servers = servers;
    }

    static String newGroup() {
        return "bench-" + GROUPS.incrementAndGet();
    }

    /** Handles the first events of the topic, so many or a few more. */
    Handled run(Consuming contestant, Backlog backlog, long events, Consuming.Handler handler) throws Exception {
        HandlerWatch watch = new HandlerWatch(backlog, handler);
        long lead = Math.min(MOST_LEAD, events / 5);
        long warmAt;
        long warmCount;
        double warmCpu;
        long end;
        long count;
        double cpu;
        try (Consuming.Running running = contestant.start(servers, backlog, newGroup(), watch::handle)) {
            await(contestant, running, watch, lead);
            warmAt = System.nanoTime();
            warmCount = watch.count();
            warmCpu = Cpu.ofThisJvm();
            await(contestant, running, watch, events);
            end = System.nanoTime();
            count = watch.count();
            cpu = Cpu.ofThisJvm();
        }
        return new Handled(
                (count - warmCount) / ((end - warmAt) / 1e9),
                (cpu - warmCpu) * 1e6 / (count - warmCount),
                watch.violations(),
                watch.repeats());
    }

    /** Looks every two milliseconds until so many different events have been handled. */
    static void await(Consuming contestant, Consuming.Running running, HandlerWatch watch, long events) {
        try {
            DrainRun.await(contestant, LIMIT, () -> {
                running.check();
                return watch.count() >= events;
            });
        } catch (IllegalStateException e) {
            throw new IllegalStateException(
                    "%d of %d events handled; %s".formatted(watch.count(), events, running.describe()), e);
        }
    }
}
