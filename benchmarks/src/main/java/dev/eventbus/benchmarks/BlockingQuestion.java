package dev.eventbus.benchmarks;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;

/** How near to threads ÷ time does a handler come that blocks, as one that waits for Redis or HTTP does? */
final class BlockingQuestion {

    private static final int REPETITIONS = 3;

    private final ConsumeRun run;
    private final List<Consuming> contestants;
    private final Absent absent;
    private final ConsumerFaults faults;
    private final Backlog backlog;

    /** By milliseconds. */
    private final Map<Integer, Figures> rates = new LinkedHashMap<>();

    BlockingQuestion(
            Servers servers, List<Consuming> contestants, Absent absent, ConsumerFaults faults, Backlog backlog) {
        this.run = new ConsumeRun(servers);
        this.contestants = contestants;
        this.absent = absent;
        this.faults = faults;
        this.backlog = backlog;
    }

    void ask() throws InterruptedException {
        for (int millis : new int[] {2, 10}) {
            System.err.printf("handler that blocks for %d ms%n", millis);
            Figures figures = new Figures();
            rates.put(millis, figures);
            long events = Math.min(backlog.events(), (long) (ideal(millis) * 3));
            for (int repetition = 0; repetition < REPETITIONS; repetition++) {
                for (Consuming contestant : absent.remaining(contestants)) {
                    absent.unlessItFails(contestant, () -> {
                        ConsumeRun.Handled handled = run.run(contestant, backlog, events, number -> block(millis));
                        figures.add(contestant.name(), handled.rate() / ideal(millis));
                        faults.violations(contestant.name(), handled.violations());
                    });
                }
            }
        }
    }

    private static double ideal(int millis) {
        return ConsumerLineup.BLOCKING_THREADS * 1000.0 / millis;
    }

    private static void block(int millis) {
        long end = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(millis);
        for (long left = end - System.nanoTime(); left > 0; left = end - System.nanoTime()) {
            LockSupport.parkNanos(left);
        }
    }

    void print(Verdict verdict) {
        Table table = new Table(
                "Blocking handler on %d threads, part of threads ÷ time (median of %d, %,d keys)"
                        .formatted(ConsumerLineup.BLOCKING_THREADS, REPETITIONS, backlog.keys()),
                "",
                "2 ms",
                "range",
                "10 ms",
                "range");
        for (Consuming contestant : contestants) {
            String name = contestant.name();
            table.row(
                    name,
                    Table.cell(of(2).median(name), "%.2f"),
                    of(2).range(name, "%.2f"),
                    Table.cell(of(10).median(name), "%.2f"),
                    of(10).range(name, "%.2f"));
        }
        table.print(System.out);
        verdict.put("consumer.blocking2.vs_ideal", of(2).median(ConsumerLineup.US), "%.2f");
        verdict.put("consumer.blocking10.vs_ideal", of(10).median(ConsumerLineup.US), "%.2f");
        for (int millis : new int[] {2, 10}) {
            verdict.put(
                    "consumer.blocking%d.vs_parallel_consumer".formatted(millis),
                    of(millis).ratio(ConsumerLineup.US, ConsumerLineup.PARALLEL),
                    "%.2f");
        }
    }

    private Figures of(int millis) {
        return rates.getOrDefault(millis, new Figures());
    }
}
