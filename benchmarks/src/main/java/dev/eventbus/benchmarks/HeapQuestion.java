package dev.eventbus.benchmarks;

/** Does a relay with 256 MB of heap drain a large backlog, as fast as one with plenty? */
final class HeapQuestion {

    private static final String HEAP = "256m";
    private static final String PLENTY = "4g";

    private final DrainRun run;
    private final long rows;
    private final int repetitions;
    private final Figures rates = new Figures();
    private String failure = "";
    private long violations;
    private long duplicates;

    HeapQuestion(Servers servers, long rows, boolean quick) {
        this.repetitions = quick ? 1 : 3;
        this.run = new DrainRun(servers);
        this.rows = rows;
    }

    void ask() throws InterruptedException {
        try {
            for (int repetition = 0; repetition < repetitions; repetition++) {
                drain(PLENTY);
                drain(HEAP);
            }
        } catch (InterruptedException e) {
            throw e;
        } catch (Exception e) {
            failure = "FAILED: " + e;
        }
    }

    private void drain(String heap) throws Exception {
        DrainRun.Drained drained = run.run(new EventbusProcess("eventbus, -Xmx" + heap, heap), rows);
        rates.add(heap, drained.rate());
        violations += drained.seen().violations();
        duplicates += drained.seen().duplicates();
    }

    void print(Verdict verdict) {
        System.out.printf(
                "%n%,d rows drained by a JVM with -Xmx%s, median of %d: %s events a second, with -Xmx%s %s; %d order violations, %d repeats %s%n",
                rows,
                HEAP,
                repetitions,
                Table.cell(rates.median(HEAP), "%,.0f"),
                PLENTY,
                Table.cell(rates.median(PLENTY), "%,.0f"),
                violations,
                duplicates,
                failure);
        verdict.put("relay.heap_256m", !failure.isEmpty() || violations > 0 || duplicates > 0 ? "failed" : "ok");
        verdict.put("relay.heap_256m.vs_4g", rates.ratio(HEAP, PLENTY), "%.2f");
        verdict.addFaults(violations, duplicates);
    }
}
