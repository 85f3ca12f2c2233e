package dev.eventbus.benchmarks;

import java.util.List;

/** How fast is an idempotent handler with one row of effect in PostgreSQL, and is each effect there once and in order? */
final class InboxQuestion implements AutoCloseable {

    private static final int REPETITIONS = 3;
    private static final int CONNECTIONS = 32;
    private static final long SLOW_EVENTS = 12_000;
    private static final long FAST_EVENTS = 100_000;

    private final ConsumeRun run;
    private final Ledger ledger;
    private final List<ConsumerLineup.Writing> contestants;
    private final Absent absent;
    private final ConsumerFaults faults;
    private final Backlog backlog;

    private final Figures rates = new Figures();
    private final Counts violations = new Counts();
    private final Counts doubled = new Counts();

    InboxQuestion(Servers servers, ConsumerLineup lineup, Absent absent, ConsumerFaults faults, Backlog backlog)
            throws Exception {
        this.run = new ConsumeRun(servers);
        this.ledger = Ledger.create(servers, CONNECTIONS);
        this.contestants = lineup.forInbox(ledger, backlog);
        this.absent = absent;
        this.faults = faults;
        this.backlog = backlog;
    }

    /** The first round warms up. */
    void ask() throws InterruptedException {
        for (int repetition = 0; repetition <= REPETITIONS; repetition++) {
            System.err.printf("idempotent handler, %s%n", repetition == 0 ? "to warm up" : "turn " + repetition);
            for (ConsumerLineup.Writing one : contestants) {
                Consuming contestant = one.contestant();
                boolean counts = repetition > 0;
                if (!absent.remaining(List.of(contestant)).isEmpty()) {
                    absent.unlessItFails(contestant, () -> measure(one, counts));
                }
            }
        }
    }

    private void measure(ConsumerLineup.Writing one, boolean counts) throws Exception {
        String name = one.contestant().name();
        long events = Math.min(backlog.events(), one.inBatches() ? FAST_EVENTS : SLOW_EVENTS);
        ledger.empty();
        ConsumeRun.Handled handled = run.run(one.contestant(), backlog, counts ? events : events / 3, one.handler());
        if (counts) {
            rates.add(name, handled.rate());
        }
        violations.add(name, handled.violations() + ledger.violations());
        doubled.add(name, ledger.doubled());
        faults.violations(name, handled.violations() + ledger.violations());
        faults.doubled(name, ledger.doubled());
    }

    void print(Verdict verdict) {
        Table table = new Table(
                "Idempotent PostgreSQL handler: events a second (median of %d, %,d keys)"
                        .formatted(REPETITIONS, backlog.keys()),
                "",
                "rate",
                "range",
                "order violations",
                "doubled effects");
        for (ConsumerLineup.Writing one : contestants) {
            String name = one.contestant().name();
            table.row(
                    name,
                    Table.cell(rates.median(name), "%,.0f"),
                    rates.range(name, "%,.0f"),
                    Long.toString(violations.of(name)),
                    Long.toString(doubled.of(name)));
        }
        table.print(System.out);
        verdict.put("consumer.inbox.vs_spring", rates.ratio(ConsumerLineup.US_INBOX, ConsumerLineup.SPRING), "%.2f");
        verdict.put(
                "consumer.inbox.vs_parallel_consumer",
                rates.ratio(ConsumerLineup.US_INBOX, ConsumerLineup.PARALLEL),
                "%.2f");
        verdict.put(
                "consumer.inbox_batch.vs_limit",
                rates.ratio(ConsumerLineup.US_INBOX_BATCH, ConsumerLineup.HAND_WRITTEN),
                "%.2f");
    }

    @Override
    public void close() {
        ledger.close();
    }
}
