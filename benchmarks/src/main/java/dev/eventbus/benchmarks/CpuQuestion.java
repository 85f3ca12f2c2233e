package dev.eventbus.benchmarks;

import java.util.List;

/** What does a row cost, over relay, broker and database? Nobody reads the topic meanwhile. */
final class CpuQuestion {

    private static final int REPETITIONS = 3;
    private static final long MOST_ROWS = 100_000;

    private final DrainRun run;
    private final List<Contestant> contestants;
    private final long rows;
    private final Absent absent;
    private final Figures relay = new Figures();
    private final Figures broker = new Figures();
    private final Figures database = new Figures();
    private final Figures total = new Figures();

    CpuQuestion(Servers servers, List<Contestant> contestants, Absent absent, Options options) {
        this.run = new DrainRun(servers);
        this.contestants = contestants;
        this.absent = absent;
        this.rows = Math.min(MOST_ROWS, options.large());
    }

    void ask() throws InterruptedException {
        for (int repetition = 0; repetition <= REPETITIONS; repetition++) {
            boolean counts = repetition > 0;
            for (Contestant contestant : absent.remaining(contestants)) {
                absent.unlessItFails(contestant, () -> {
                    long share = contestant.share(counts ? rows : rows / 3);
                    Cpu used = run.unwatched(contestant, share);
                    if (counts) {
                        note(contestant.name(), used, share);
                    }
                });
            }
        }
    }

    private void note(String name, Cpu used, long share) {
        relay.add(name, used.relay() * 1e6 / share);
        broker.add(name, used.broker() * 1e6 / share);
        database.add(name, used.database() * 1e6 / share);
        total.add(name, used.total() * 1e6 / share);
    }

    void print(Verdict verdict) {
        Table table = new Table(
                "Processor time of a row, µs (median of %d, %,d rows, no reader)".formatted(REPETITIONS, rows),
                "",
                "relay",
                "broker",
                "database",
                "all",
                "range",
                "to raw");
        for (Contestant contestant : contestants) {
            String name = contestant.name();
            table.row(
                    name,
                    Table.cell(relay.median(name), "%.1f"),
                    Table.cell(broker.median(name), "%.1f"),
                    Table.cell(database.median(name), "%.1f"),
                    Table.cell(total.median(name), "%.1f"),
                    total.range(name, "%.1f"),
                    Table.cell(total.ratio(name, Lineup.RAW), "%.2f"));
        }
        table.print(System.out);
        verdict.put("relay.cpu_per_row.vs_raw", total.ratio(Lineup.US, Lineup.RAW), "%.2f");
    }
}
