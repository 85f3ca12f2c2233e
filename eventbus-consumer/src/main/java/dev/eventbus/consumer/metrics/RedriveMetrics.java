package dev.eventbus.consumer.metrics;

import dev.eventbus.consumer.redrive.RedriveResult;
import dev.eventbus.internal.Checks;
import io.micrometer.core.instrument.Counter;
import io.micrometer.core.instrument.Meter;
import io.micrometer.core.instrument.MeterRegistry;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;

/**
 * Counts what redrives come to, in the process that runs them. Names and tags are listed in {@code docs/metrics.md}.
 *
 * <pre>{@code
 * RedriveMetrics metrics = RedriveMetrics.of(registry, "ledger.asset.events");
 * metrics.ended(plan.run("ticket 4711: the currency table was empty"));
 * }</pre>
 *
 * <p>Thread-safe. {@link #close()} takes the meters out of the registry.
 */
public final class RedriveMetrics implements AutoCloseable {

    private final MeterRegistry registry;
    private final String group;
    private final Set<Meter> meters = ConcurrentHashMap.newKeySet();

    private RedriveMetrics(MeterRegistry registry, String group) {
        this.registry = registry;
        this.group = group;
        counter("handed.over");
        counter("applied");
        counter("failed");
        counter("unknown");
        counter("discarded");
    }

    /**
     * Registers the meters.
     *
     * @param group whose letters and parked keys, for the tag of that name
     * @throws IllegalArgumentException if it is blank
     */
    public static RedriveMetrics of(MeterRegistry registry, String group) {
        return new RedriveMetrics(registry, Checks.notBlank("group", group));
    }

    /** A run or a discard has ended, with this. */
    public void ended(RedriveResult result) {
        counter("handed.over").increment(result.handedOver());
        counter("applied").increment(result.applied());
        counter("failed").increment(result.failedAgain());
        counter("unknown").increment(result.unknown());
        counter("discarded").increment(result.discarded());
        result.leftAlone()
                .forEach((standing, events) -> kept(Counter.builder("eventbus.redrive.left.alone")
                                .baseUnit("events")
                                .tag("group", group)
                                .tag("standing", standing.name())
                                .register(registry))
                        .increment(events));
    }

    private Counter counter(String what) {
        return kept(Counter.builder("eventbus.redrive." + what)
                .baseUnit("events")
                .tag("group", group)
                .register(registry));
    }

    private Counter kept(Counter counter) {
        meters.add(counter);
        return counter;
    }

    /** Takes the meters out of the registry. */
    @Override
    public void close() {
        meters.forEach(registry::remove);
        meters.clear();
    }
}
