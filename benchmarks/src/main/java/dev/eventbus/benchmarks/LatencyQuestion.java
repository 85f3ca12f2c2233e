package dev.eventbus.benchmarks;

import java.util.List;
import java.util.concurrent.locks.LockSupport;

/** How long from a commit until a plain consumer in the same JVM sees the event, at 100 events a second? */
final class LatencyQuestion {

    private static final int REPETITIONS = 3;
    private static final long EVERY_NANOS = 10_000_000;
    private static final int WARM_UP = 50;

    private final Servers servers;
    private final List<Contestant> contestants;
    private final Absent absent;
    private final int events;
    private final Figures middle = new Figures();
    private final Figures slow = new Figures();
    private final Counts violations = new Counts();
    private final Counts duplicates = new Counts();

    LatencyQuestion(Servers servers, List<Contestant> contestants, Absent absent, boolean quick) {
        this.servers = servers;
        this.contestants = contestants;
        this.absent = absent;
        this.events = quick ? 250 : 2_000;
    }

    void ask() throws Exception {
        servers.execute(BarePublishing.BUSINESS_TABLE);
        for (int repetition = 0; repetition < REPETITIONS; repetition++) {
            for (Contestant contestant : absent.remaining(contestants)) {
                absent.unlessItFails(contestant, () -> measure(contestant));
            }
        }
    }

    private void measure(Contestant contestant) throws Exception {
        contestant.empty(servers);
        String topic = servers.createTopic();
        int all = WARM_UP + events;
        long[] committedAt = new long[all];
        try (Witness witness = Witness.start(servers.bootstrapServers(), topic, 0, all)) {
            try (Contestant.Running running = contestant.start(servers, topic);
                    Publishing publishing = running.publishing()) {
                publishing.publish(0); // opens what is opened with the first event
                DrainRun.await(contestant, () -> witness.count() >= 1);
                long next = System.nanoTime();
                for (int number = 1; number < all; number++) {
                    next += EVERY_NANOS;
                    parkUntil(next);
                    publishing.publish(number);
                    committedAt[number] = System.nanoTime();
                }
                DrainRun.await(contestant, () -> witness.count() >= all);
            }
            Witness.Seen seen = witness.finish();
            violations.add(contestant.name(), seen.violations());
            duplicates.add(contestant.name(), seen.duplicates());
            note(contestant.name(), witness, committedAt);
        } finally {
            servers.deleteTopic(topic);
        }
    }

    private static void parkUntil(long nanoTime) {
        for (long left = nanoTime - System.nanoTime(); left > 0; left = nanoTime - System.nanoTime()) {
            LockSupport.parkNanos(left);
        }
    }

    private void note(String name, Witness witness, long[] committedAt) {
        double[] millis = new double[events];
        for (int i = 0; i < events; i++) {
            int number = WARM_UP + i;
            millis[i] = (witness.seenAt(number) - committedAt[number]) / 1e6;
        }
        middle.add(name, Figures.percentileOf(millis, 50));
        slow.add(name, Figures.percentileOf(millis, 99));
    }

    void print(Verdict verdict) {
        Table table = new Table(
                "Commit to seen by a plain consumer, ms, at 100 events a second (median of %d × %,d events)"
                        .formatted(REPETITIONS, events),
                "",
                "p50",
                "range",
                "p99",
                "range",
                "p50 to raw",
                "p99 to raw",
                "order violations",
                "repeats");
        for (Contestant contestant : contestants) {
            String name = contestant.name();
            table.row(
                    name,
                    Table.cell(middle.median(name), "%.2f"),
                    middle.range(name, "%.2f"),
                    Table.cell(slow.median(name), "%.2f"),
                    slow.range(name, "%.2f"),
                    Table.cell(middle.ratio(name, Lineup.RAW), "%.2f"),
                    Table.cell(slow.ratio(name, Lineup.RAW), "%.2f"),
                    Long.toString(violations.of(name)),
                    Long.toString(duplicates.of(name)));
        }
        table.print(System.out);
        verdict.put("relay.latency.p50_vs_raw", middle.ratio(Lineup.US, Lineup.RAW), "%.2f");
        verdict.put("relay.latency.p99_vs_raw", slow.ratio(Lineup.US, Lineup.RAW), "%.2f");
        verdict.put("relay.latency.raw_p50_vs_raw", middle.ratio(Lineup.RAW_AGAIN, Lineup.RAW), "%.2f");
        verdict.put("relay.latency.raw_p99_vs_raw", slow.ratio(Lineup.RAW_AGAIN, Lineup.RAW), "%.2f");
        verdict.put("relay.latency.other_jvm_p50_ms", middle.median(Lineup.US_ELSEWHERE), "%.1f");
        verdict.addFaults(violations.ofUs(), duplicates.ofUs());
    }
}
