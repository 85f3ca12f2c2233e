package dev.eventbus.benchmarks;

import java.util.List;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicLongArray;
import java.util.concurrent.atomic.LongAdder;
import java.util.stream.IntStream;

/** A second instance joins while events flow: what is repeated, and for how long is a partition silent? */
final class JoinQuestion {

    private static final int KEYS = 1_000;
    private static final int EVENTS_PER_SECOND = 2_000;

    private final Servers servers;
    private final List<Consuming> contestants;
    private final Absent absent;
    private final ConsumerFaults faults;
    private final int before;
    private final int after;

    private final Figures silence = new Figures();
    private final Counts repeats = new Counts();
    private final Counts violations = new Counts();
    private final Counts byTheSecond = new Counts();

    JoinQuestion(Servers servers, List<Consuming> contestants, Absent absent, ConsumerFaults faults, boolean quick) {
        this.servers = servers;
        this.contestants = contestants;
        this.absent = absent;
        this.faults = faults;
        this.before = KEYS + EVENTS_PER_SECOND;
        this.after = EVENTS_PER_SECOND * (quick ? 8 : 12);
    }

    void ask() throws InterruptedException {
        System.err.println("a second instance joins");
        for (Consuming contestant : absent.remaining(contestants)) {
            absent.unlessItFails(contestant, () -> measure(contestant));
        }
    }

    private void measure(Consuming contestant) throws Exception {
        Backlog backlog = Backlog.empty(servers, before + after, KEYS);
        Silence longest = new Silence();
        LongAdder second = new LongAdder();
        HandlerWatch watch = new HandlerWatch(
                backlog, number -> longest.heard(backlog.partitionOf(backlog.keyOf(number)), System.nanoTime()));
        String group = ConsumeRun.newGroup();
        try (Feeder feeder = new Feeder(servers, backlog, EVENTS_PER_SECOND);
                Consuming.Running first = contestant.start(servers, backlog, group, watch::handle)) {
            feeder.feed(0, KEYS);
            ConsumeRun.await(contestant, first, watch, KEYS);
            feeder.feed(KEYS, before);
            longest.beginsNow();
            try (Consuming.Running joining = contestant.start(servers, backlog, group, number -> {
                second.increment();
                watch.handle(number);
            })) {
                feeder.feed(before, before + after);
                ConsumeRun.await(contestant, first, watch, before + after);
                joining.check();
                feeder.check();
                note(contestant.name(), watch, longest, second.sum());
            }
        } finally {
            servers.deleteTopic(backlog.topic());
        }
    }

    private void note(String name, HandlerWatch watch, Silence longest, long second) {
        silence.add(name, longest.millis());
        repeats.add(name, watch.repeats());
        violations.add(name, watch.violations());
        byTheSecond.add(name, second);
        faults.violations(name, watch.violations());
    }

    void print(Verdict verdict) {
        Table table = new Table(
                "A second instance joins at %,d events a second".formatted(EVENTS_PER_SECOND),
                "",
                "longest silence of a partition, ms",
                "repeats",
                "order violations",
                "handled by the second");
        for (Consuming contestant : contestants) {
            String name = contestant.name();
            table.row(
                    name,
                    Table.cell(silence.median(name), "%.0f"),
                    Long.toString(repeats.of(name)),
                    Long.toString(violations.of(name)),
                    "%,d".formatted(byTheSecond.of(name)));
        }
        table.print(System.out);
        verdict.put("consumer.join.repeats", Long.toString(repeats.of(ConsumerLineup.US)));
        verdict.put("consumer.join.silence_ms", silence.median(ConsumerLineup.US), "%.0f");
        verdict.put("consumer.join.raw_silence_ms", silence.median(ConsumerLineup.RAW), "%.0f");
    }

    /** The longest time in which nothing of a partition was handled. */
    private static final class Silence {

        private final AtomicLongArray lastAt = new AtomicLongArray(Servers.PARTITIONS);
        private final AtomicLong longest = new AtomicLong();

        void heard(int partition, long now) {
            long nanos = now - lastAt.getAndSet(partition, now);
            longest.accumulateAndGet(nanos, Math::max);
        }

        void beginsNow() {
            long now = System.nanoTime();
            IntStream.range(0, Servers.PARTITIONS).forEach(partition -> lastAt.set(partition, now));
            longest.set(0);
        }

        double millis() {
            return longest.get() / 1e6;
        }
    }
}
