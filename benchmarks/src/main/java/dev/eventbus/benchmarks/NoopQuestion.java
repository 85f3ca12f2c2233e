package dev.eventbus.benchmarks;

import java.util.List;
import java.util.OptionalDouble;

/** How fast are events read and given to a handler that does nothing, with few keys and with many? */
final class NoopQuestion {

    static final int FEW_KEYS = 1_000;
    static final int MANY_KEYS = 10_000;

    private static final int REPETITIONS = 3;

    private final ConsumeRun run;
    private final List<Consuming> contestants;
    private final Absent absent;
    private final ConsumerFaults faults;
    private final Backlog few;
    private final Backlog many;

    private final Figures fewRates = new Figures();
    private final Figures manyRates = new Figures();
    private final Figures cpu = new Figures();
    private final Counts violations = new Counts();
    private final Counts repeats = new Counts();

    NoopQuestion(
            Servers servers, List<Consuming> contestants, Absent absent, ConsumerFaults faults, List<Backlog> both) {
        this.run = new ConsumeRun(servers);
        this.contestants = contestants;
        this.absent = absent;
        this.faults = faults;
        this.few = both.get(0);
        this.many = both.get(1);
    }

    /** The first round warms up and counts for order only. */
    void ask() throws InterruptedException {
        for (int repetition = 0; repetition <= REPETITIONS; repetition++) {
            System.err.printf("no-op handler, %s%n", repetition == 0 ? "to warm up" : "turn " + repetition);
            for (Consuming contestant : absent.remaining(contestants)) {
                boolean counts = repetition > 0;
                measure(contestant, few, counts ? fewRates : new Figures(), counts);
                measure(contestant, many, counts ? manyRates : new Figures(), counts);
            }
        }
    }

    private void measure(Consuming contestant, Backlog backlog, Figures rates, boolean counts)
            throws InterruptedException {
        absent.unlessItFails(contestant, () -> {
            ConsumeRun.Handled handled = run.run(contestant, backlog, contestant.share(backlog.events()), number -> {});
            rates.add(contestant.name(), handled.rate());
            if (counts) {
                cpu.add(contestant.name(), handled.cpuMicros());
            }
            violations.add(contestant.name(), handled.violations());
            repeats.add(contestant.name(), handled.repeats());
            faults.violations(contestant.name(), handled.violations());
        });
    }

    void print(Verdict verdict) {
        Table table = new Table(
                "No-op handler: events a second (median of %d, %,d events)".formatted(REPETITIONS, few.events()),
                "",
                "%,d keys".formatted(few.keys()),
                "range",
                "%,d keys".formatted(many.keys()),
                "range",
                "of raw",
                "CPU µs",
                "order violations",
                "repeats");
        for (Consuming contestant : contestants) {
            String name = contestant.name();
            table.row(
                    name,
                    Table.cell(fewRates.median(name), "%,.0f"),
                    fewRates.range(name, "%,.0f"),
                    Table.cell(manyRates.median(name), "%,.0f"),
                    manyRates.range(name, "%,.0f"),
                    Table.cell(worse(name, ConsumerLineup.RAW), "%.2f"),
                    Table.cell(cpu.median(name), "%.2f"),
                    Long.toString(violations.of(name)),
                    Long.toString(repeats.of(name)));
        }
        table.print(System.out);
        verdict.put("consumer.noop.vs_raw", worse(ConsumerLineup.US, ConsumerLineup.RAW), "%.2f");
        verdict.put("consumer.noop.vs_raw_json", worse(ConsumerLineup.US, ConsumerLineup.RAW_JSON), "%.2f");
        verdict.put("consumer.noop.vs_spring", worse(ConsumerLineup.US, ConsumerLineup.SPRING), "%.2f");
        verdict.put("consumer.noop.vs_parallel_consumer", worse(ConsumerLineup.US, ConsumerLineup.PARALLEL), "%.2f");
        verdict.put("consumer.noop.keys_ratio", manyRates.against(fewRates, ConsumerLineup.US), "%.2f");
    }

    /** The lower one of the ratios with few keys and with many. */
    private OptionalDouble worse(String name, String to) {
        OptionalDouble withFew = fewRates.ratio(name, to);
        OptionalDouble withMany = manyRates.ratio(name, to);
        return withFew.isPresent() && withMany.isPresent()
                ? OptionalDouble.of(Math.min(withFew.getAsDouble(), withMany.getAsDouble()))
                : OptionalDouble.empty();
    }
}
