package dev.eventbus.benchmarks;

/** Does a runner with 256 MB of heap catch up with a large lag, and does the heap stay flat? */
final class LagQuestion {

    private static final String HEAP = "-Xmx256m";

    /** What collections may leave more than in the first tenth, if the heap is flat: they do not always come at the same moment. */
    private static final long NOISE_MEBIBYTES = 24;

    private final Servers servers;
    private final ConsumerFaults faults;
    private final long events;
    private String outcome = "n/a";
    private boolean failed;

    LagQuestion(Servers servers, ConsumerFaults faults, long events) {
        this.servers = servers;
        this.faults = faults;
        this.events = events;
    }

    void ask() throws Exception {
        System.err.printf("a lag of %,d%n", events);
        Backlog backlog = Backlog.fill(servers, events, NoopQuestion.MANY_KEYS);
        Participant us = () -> ConsumerLineup.US;
        try (ConsumerChild child =
                ConsumerChild.start(servers, ConsumerProcess.COUNTING, backlog, ConsumeRun.newGroup(), HEAP)) {
            DrainRun.await(us, () -> child.said().handled() >= events / 10);
            long early = child.mostHeapMebibytes();
            long start = System.nanoTime();
            long before = child.said().handled();
            DrainRun.await(us, () -> child.said().handled() >= events);
            ConsumerChild.Said said = child.said();
            long all = child.mostHeapMebibytes();
            failed = said.violations() > 0 || said.repeats() > 0 || all > early + NOISE_MEBIBYTES;
            outcome =
                    "%,.0f events a second, %d order violations, %d repeats; a collection has left at most %d MiB in the first tenth, %d in all"
                            .formatted(
                                    (said.handled() - before) / ((System.nanoTime() - start) / 1e9),
                                    said.violations(),
                                    said.repeats(),
                                    early,
                                    all);
            faults.violations(ConsumerLineup.US, said.violations());
        } catch (IllegalStateException e) {
            failed = true;
            outcome = "FAILED: " + e;
        } finally {
            servers.deleteTopic(backlog.topic());
        }
    }

    void print(Verdict verdict) {
        System.out.printf("%nA lag of %,d events in a JVM with %s: %s%n", events, HEAP, outcome);
        verdict.put("consumer.heap_256m", failed ? "failed" : "ok");
    }
}
