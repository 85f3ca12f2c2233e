package dev.eventbus.benchmarks;

/** What must never happen, by contestant, over all questions about consuming. */
final class ConsumerFaults {

    private final Counts violations = new Counts();
    private final Counts doubled = new Counts();

    void violations(String name, long count) {
        violations.add(name, count);
    }

    void doubled(String name, long count) {
        doubled.add(name, count);
    }

    void print(Verdict verdict) {
        verdict.add("consumer.order_violations", violations.ofUs());
        verdict.add("consumer.effects_doubled", doubled.ofUs());
    }
}
