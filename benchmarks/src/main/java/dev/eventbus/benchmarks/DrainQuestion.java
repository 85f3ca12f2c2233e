package dev.eventbus.benchmarks;

import java.util.List;
import java.util.OptionalDouble;

/** How fast is a backlog drained, small and large, and does order hold? */
final class DrainQuestion {

    private static final int REPETITIONS = 3;
    private static final long WARM_UP_ROWS = 100_000;

    private final DrainRun run;
    private final List<Contestant> contestants;
    private final long small;
    private final long large;

    private final Figures smallRates = new Figures();
    private final Figures largeRates = new Figures();
    private final Figures starts = new Figures();
    private final Counts violations = new Counts();
    private final Counts duplicates = new Counts();
    private final Absent absent;

    DrainQuestion(Servers servers, List<Contestant> contestants, Absent absent, Options options) {
        this.run = new DrainRun(servers);
        this.contestants = contestants;
        this.absent = absent;
        this.small = options.small();
        this.large = options.large();
    }

    /** The first round warms up and counts for order only. Who is given no more rows of the larger backlog drains it no second time. */
    void ask() throws InterruptedException {
        for (int repetition = 0; repetition <= REPETITIONS; repetition++) {
            long rows = repetition == 0 ? Math.min(WARM_UP_ROWS, large) : small;
            System.err.printf("draining %,d rows, %s%n", rows, repetition == 0 ? "to warm up" : "turn " + repetition);
            for (Contestant contestant : absent.remaining(contestants)) {
                OptionalDouble rate = drain(contestant, rows);
                if (repetition > 0) {
                    rate.ifPresent(figure -> smallRates.add(contestant.name(), figure));
                }
                if (repetition > 0 && contestant.share(large) <= small) {
                    rate.ifPresent(figure -> largeRates.add(contestant.name(), figure));
                }
            }
        }
        for (int repetition = 1; repetition <= REPETITIONS; repetition++) {
            System.err.printf("draining %,d rows, turn %d%n", large, repetition);
            for (Contestant contestant : absent.remaining(contestants)) {
                if (contestant.share(large) > small) {
                    drain(contestant, large).ifPresent(figure -> largeRates.add(contestant.name(), figure));
                }
            }
        }
    }

    private OptionalDouble drain(Contestant contestant, long rows) throws InterruptedException {
        Figures rate = new Figures();
        absent.unlessItFails(contestant, () -> {
            DrainRun.Drained drained = run.run(contestant, contestant.share(rows));
            rate.add(contestant.name(), drained.rate());
            starts.add(contestant.name(), drained.startMillis());
            violations.add(contestant.name(), drained.seen().violations());
            duplicates.add(contestant.name(), drained.seen().duplicates());
        });
        return rate.median(contestant.name());
    }

    void print(Verdict verdict) {
        Table table = new Table(
                "Drain: events a second, after a lead of %,d, until all are seen and the table is empty (median of %d, range)"
                        .formatted(DrainRun.LEAD, REPETITIONS),
                "",
                "%,d rows".formatted(small),
                "range",
                "%,d rows".formatted(large),
                "range",
                "of raw",
                "start ms",
                "order violations",
                "repeats");
        for (Contestant contestant : contestants) {
            String name = contestant.name();
            String rows = contestant.share(large) == large ? "" : " (%,d rows)".formatted(contestant.share(large));
            table.row(
                    name + rows,
                    Table.cell(smallRates.median(name), "%,.0f"),
                    smallRates.range(name, "%,.0f"),
                    Table.cell(largeRates.median(name), "%,.0f"),
                    largeRates.range(name, "%,.0f"),
                    Table.cell(largeRates.ratio(name, Lineup.RAW), "%.2f"),
                    Table.cell(starts.median(name), "%.0f"),
                    Long.toString(violations.of(name)),
                    Long.toString(duplicates.of(name)));
        }
        table.print(System.out);
        verdict.put("relay.drain.vs_raw", largeRates.ratio(Lineup.US, Lineup.RAW), "%.2f");
        verdict.put("relay.drain.vs_debezium", largeRates.ratio(Lineup.US, Lineup.DEBEZIUM), "%.2f");
        verdict.put("relay.drain.vs_gruelbox", largeRates.ratio(Lineup.US, Lineup.GRUELBOX), "%.1f");
        verdict.put("relay.two_instances.vs_one", largeRates.ratio(Lineup.US_TWICE, Lineup.US), "%.2f");
        verdict.put("relay.strict.vs_pipelined", largeRates.ratio(Lineup.US_STRICT, Lineup.US), "%.2f");
        verdict.put("relay.backlog.ratio", largeRates.against(smallRates, Lineup.US), "%.2f");
        verdict.addFaults(violations.ofUs(), duplicates.ofUs());
    }
}
