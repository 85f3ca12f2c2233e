package dev.eventbus.benchmarks;

import java.util.List;

/** The questions about consuming, in one run. */
final class ConsumerBenchmark {

    private final Servers servers;
    private final Options options;
    private final Verdict verdict;
    private final Absent absent = new Absent();
    private final ConsumerFaults faults = new ConsumerFaults();
    private final ConsumerLineup lineup;

    ConsumerBenchmark(Servers servers, Options options, Verdict verdict) {
        this.servers = servers;
        this.options = options;
        this.verdict = verdict;
        this.lineup = new ConsumerLineup(options);
    }

    void run() throws Exception {
        long events = options.quick() ? 2 * options.large() : options.large();
        Backlog many = Backlog.fill(servers, events, NoopQuestion.MANY_KEYS);
        if (options.asks("noop")) {
            Backlog few = Backlog.fill(servers, events, NoopQuestion.FEW_KEYS);
            NoopQuestion noop = new NoopQuestion(servers, lineup.forNoop(), absent, faults, List.of(few, many));
            noop.ask();
            noop.print(verdict);
        }
        if (options.asks("blocking")) {
            BlockingQuestion blocking = new BlockingQuestion(servers, lineup.forBlocking(), absent, faults, many);
            blocking.ask();
            blocking.print(verdict);
        }
        if (options.asks("inbox")) {
            try (InboxQuestion inbox = new InboxQuestion(servers, lineup, absent, faults, many)) {
                inbox.ask();
                inbox.print(verdict);
            }
        }
        if (options.asks("poison")) {
            PoisonQuestion poison = new PoisonQuestion(servers, lineup.forPoison(), absent, faults, options.quick());
            poison.ask();
            poison.print(verdict);
        }
        if (options.asks("join")) {
            JoinQuestion join = new JoinQuestion(servers, lineup.forJoining(), absent, faults, options.quick());
            join.ask();
            join.print(verdict);
        }
        if (options.asks("kill")) {
            KillQuestion kill = new KillQuestion(servers, faults, many, options.quick());
            kill.ask();
            kill.print(verdict);
        }
        if (options.asks("heap")) {
            LagQuestion heap = new LagQuestion(servers, faults, options.large());
            heap.ask();
            heap.print(verdict);
        }
        faults.print(verdict);
        absent.print();
    }
}
