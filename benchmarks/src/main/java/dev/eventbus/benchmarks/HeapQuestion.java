package dev.eventbus.benchmarks;

/** Does a relay with 256 MB of heap drain a large backlog? */
final class HeapQuestion {

    private static final String HEAP = "256m";

    private final DrainRun run;
    private final long rows;
    private String outcome = "n/a";
    private boolean failed;
    private long violations;
    private long duplicates;

    HeapQuestion(Servers servers, long rows) {
        this.run = new DrainRun(servers);
        this.rows = rows;
    }

    void ask() throws InterruptedException {
        try {
            DrainRun.Drained drained = run.run(new EventbusProcess("eventbus, -Xmx" + HEAP, HEAP), rows);
            violations = drained.seen().violations();
            duplicates = drained.seen().duplicates();
            outcome = "%,.0f events a second, %d order violations, %d repeats"
                    .formatted(drained.rate(), violations, duplicates);
        } catch (InterruptedException e) {
            throw e;
        } catch (Exception e) {
            failed = true;
            outcome = "FAILED: " + e;
        }
    }

    void print(Verdict verdict) {
        System.out.printf("%n%,d rows drained by a JVM with -Xmx%s: %s%n", rows, HEAP, outcome);
        verdict.put("relay.heap_256m", failed || violations > 0 || duplicates > 0 ? "failed" : "ok");
        verdict.addFaults(violations, duplicates);
    }
}
