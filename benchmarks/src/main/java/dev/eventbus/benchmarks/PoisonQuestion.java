package dev.eventbus.benchmarks;

import java.util.List;
import java.util.OptionalDouble;
import java.util.stream.IntStream;

/** One key of a thousand fails again and again: what do the others feel of it? Runs with and without it take turns. */
final class PoisonQuestion {

    private static final int TURNS = 5;
    private static final int KEYS = 1_000;
    private static final int POISON = 77;
    private static final int EVENTS_PER_SECOND = 1_000;

    private final Servers servers;
    private final List<Consuming> contestants;
    private final Absent absent;
    private final ConsumerFaults faults;
    private final int events;

    private final Figures with = new Figures();
    private final Figures without = new Figures();
    private final Figures longest = new Figures();

    PoisonQuestion(Servers servers, List<Consuming> contestants, Absent absent, ConsumerFaults faults, boolean quick) {
        this.servers = servers;
        this.contestants = contestants;
        this.absent = absent;
        this.faults = faults;
        this.events = EVENTS_PER_SECOND * (quick ? 3 : 10);
    }

    void ask() throws InterruptedException {
        for (int turn = 1; turn <= TURNS; turn++) {
            System.err.printf("one poison key, turn %d%n", turn);
            for (Consuming contestant : absent.remaining(contestants)) {
                absent.unlessItFails(contestant, () -> {
                    double[] healthy = measure(contestant, -1);
                    double[] beside = measure(contestant, POISON);
                    without.add(contestant.name(), Figures.percentileOf(healthy, 99));
                    with.add(contestant.name(), Figures.percentileOf(beside, 99));
                    longest.add(contestant.name(), Figures.percentileOf(beside, 100));
                });
            }
        }
    }

    /** Milliseconds from sending to the handler's end, of all but the key that fails, once each key has had its first event. */
    private double[] measure(Consuming contestant, int poison) throws Exception {
        Backlog backlog = Backlog.empty(servers, KEYS + events, KEYS);
        long[] handledAt = new long[KEYS + events];
        HandlerWatch watch = new HandlerWatch(backlog, number -> {
            if (backlog.keyOf(number) == poison) {
                throw new IllegalStateException("poison");
            }
            handledAt[(int) number] = System.nanoTime();
        });
        try (Feeder feeder = new Feeder(servers, backlog, EVENTS_PER_SECOND);
                Consuming.Running running = contestant.start(servers, backlog, ConsumeRun.newGroup(), watch::handle)) {
            feeder.feed(0, KEYS);
            ConsumeRun.await(contestant, running, watch, healthy(KEYS, poison));
            feeder.check();
            feeder.feed(KEYS, KEYS + events);
            ConsumeRun.await(contestant, running, watch, healthy(KEYS + events, poison));
            faults.violations(contestant.name(), watch.violations());
            return IntStream.range(KEYS, KEYS + events)
                    .filter(number -> backlog.keyOf(number) != poison)
                    .mapToDouble(number -> (handledAt[number] - feeder.sentAt(number)) / 1e6)
                    .toArray();
        } finally {
            servers.deleteTopic(backlog.topic());
        }
    }

    private static long healthy(int all, int poison) {
        return poison < 0 ? all : all - all / KEYS;
    }

    void print(Verdict verdict) {
        Table table = new Table(
                "One poison key of %,d at %,d events a second: ms from sending to handled, healthy keys (median of %d)"
                        .formatted(KEYS, EVENTS_PER_SECOND, TURNS),
                "",
                "p99 without",
                "range",
                "p99 with",
                "range",
                "ratio",
                "longest with");
        for (Consuming contestant : contestants) {
            String name = contestant.name();
            table.row(
                    name,
                    Table.cell(without.median(name), "%.1f"),
                    without.range(name, "%.1f"),
                    Table.cell(with.median(name), "%.1f"),
                    with.range(name, "%.1f"),
                    Table.cell(ratio(name), "%.2f"),
                    longest.range(name, "%.0f"));
        }
        table.print(System.out);
        verdict.put("consumer.poison.healthy_p99_ratio", ratio(ConsumerLineup.US), "%.2f");
        verdict.put("consumer.poison.healthy_p99_ms", with.median(ConsumerLineup.US), "%.1f");
        verdict.put("consumer.poison.longest_ms", longest.greatest(ConsumerLineup.US), "%.0f");
    }

    private OptionalDouble ratio(String name) {
        return with.against(without, name);
    }
}
