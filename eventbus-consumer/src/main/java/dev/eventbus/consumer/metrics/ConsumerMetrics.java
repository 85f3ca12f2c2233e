package dev.eventbus.consumer.metrics;

import dev.eventbus.FailureReason;
import dev.eventbus.consumer.Delivery;
import dev.eventbus.consumer.RunnerHealth;
import dev.eventbus.consumer.RunnerHealth.PartitionHealth;
import dev.eventbus.consumer.RunnerHealth.Status;
import dev.eventbus.consumer.RunnerListener;
import dev.eventbus.consumer.inbox.Outcome;
import dev.eventbus.internal.Checks;
import io.micrometer.core.instrument.Counter;
import io.micrometer.core.instrument.Gauge;
import io.micrometer.core.instrument.Meter;
import io.micrometer.core.instrument.MeterRegistry;
import io.micrometer.core.instrument.Timer;
import io.micrometer.core.instrument.composite.CompositeMeterRegistry;
import java.time.Duration;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Function;
import java.util.function.ToDoubleFunction;
import org.jspecify.annotations.Nullable;

/**
 * Counts and times what a runner does. Names and tags are listed in {@code docs/metrics.md}; a payload, a key or an id is never one.
 *
 * <pre>{@code
 * ConsumerMetrics metrics = ConsumerMetrics.of(registry, "calculator.asset.events");
 * ConsumerRunner runner = ConsumerRunner.builder(kafka, "calculator.asset.events").listener(metrics)....build();
 * }</pre>
 *
 * <p>A scrape never waits: gauges show what the runner has published last, a tenth of a second ago. Tags are bounded, since topics and
 * types are those that the runner was given in code, and partitions those that it owns.
 *
 * <p>One object for one runner; thread-safe. {@link #close()} takes the meters out of the registry, for good: what the runner goes on
 * doing is not counted any more.
 */
public final class ConsumerMetrics implements RunnerListener, AutoCloseable {

    private static final String TOPIC = "topic";

    private record Handled(String topic, String type) {}

    private record Named(String name, String topic, String tag) {}

    private record Owned(String topic, int partition) {}

    private final MeterRegistry registry;
    private final String group;

    private final Map<Handled, Timer> timers = new ConcurrentHashMap<>();
    private final Map<Named, Counter> counters = new ConcurrentHashMap<>();

    /** Guarded by "this". */
    private final Set<Meter> meters = new HashSet<>();

    /** Of the partitions that are owned now. Guarded by "this". */
    private final Map<Owned, Gauge> lags = new HashMap<>();

    /** Guarded by "this". */
    private boolean closed;

    private volatile RunnerHealth health =
            new RunnerHealth(Status.NEW, List.of(), List.of(), 0, 0, null, new RunnerHealth.Parked(0, 0));

    private ConsumerMetrics(MeterRegistry registry, String group) {
        this.registry = registry;
        this.group = group;
        gauge("eventbus.consumer.in.flight", "records", now -> sum(now, PartitionHealth::inFlight));
        gauge("eventbus.consumer.waiting.keys", "keys", RunnerHealth::waitingKeys);
        gauge("eventbus.consumer.parked.keys", "keys", now -> now.parked().keys());
        gauge("eventbus.consumer.parked.events", "events", now -> now.parked().events());
        gauge(
                "eventbus.consumer.paused.partitions",
                "partitions",
                now -> sum(now, one -> one.pausedBecause() == null ? 0 : 1));
    }

    /**
     * Registers the meters.
     *
     * @param group the runner's, for the tag of that name
     * @throws IllegalArgumentException if it is blank
     */
    public static ConsumerMetrics of(MeterRegistry registry, String group) {
        return new ConsumerMetrics(registry, Checks.notBlank("group", group));
    }

    @Override
    public void handled(String eventType, Delivery delivery, Duration took) {
        timers.computeIfAbsent(
                        new Handled(delivery.topic(), eventType),
                        of -> registered(Timer.builder("eventbus.consumer.process")
                                .tag("group", group)
                                .tag(TOPIC, of.topic())
                                .tag("event.type", of.type())::register))
                .record(took);
    }

    @Override
    public void repeated(String eventType, Delivery delivery, Outcome known) {
        counter("eventbus.consumer.duplicates", "events", TOPIC, delivery.topic())
                .increment();
    }

    @Override
    public void retried(String eventType, Delivery delivery, Throwable cause, Duration delay) {
        counter("eventbus.consumer.retries", "attempts", TOPIC, delivery.topic())
                .increment();
    }

    @Override
    public void waited(@Nullable String eventType, Delivery delivery, @Nullable Throwable cause, Duration delay) {
        counter("eventbus.consumer.waits", "waits", TOPIC, delivery.topic()).increment();
    }

    @Override
    public void skipped(@Nullable String eventType, Delivery delivery) {
        counter("eventbus.consumer.skipped", "events", TOPIC, delivery.topic()).increment();
    }

    @Override
    public void doubledKeys(String eventType, Delivery delivery) {
        counter("eventbus.consumer.doubled.keys", "records", "event.type", eventType)
                .increment();
    }

    @Override
    public void parked(String eventType, Delivery delivery, @Nullable FailureReason reason) {
        because("eventbus.consumer.parkings", "events", delivery, reason == null ? "WAITS" : reason.name());
    }

    @Override
    public void deadLettered(@Nullable String eventType, Delivery delivery, FailureReason reason) {
        because("eventbus.dlq.published", "messages", delivery, reason.name());
    }

    private void because(String name, String unit, Delivery delivery, String reason) {
        counters.computeIfAbsent(
                        new Named(name, delivery.topic(), reason),
                        of -> registered(Counter.builder(of.name())
                                .baseUnit(unit)
                                .tag("group", group)
                                .tag(TOPIC, of.topic())
                                .tag("reason", of.tag())::register))
                .increment();
    }

    @Override
    public void offsetGap(OffsetGap gap) {
        counter("eventbus.consumer.offset.gaps", "gaps", TOPIC, gap.topic()).increment();
    }

    @Override
    public void commitFailed(Exception cause) {
        counters.computeIfAbsent(
                        new Named("eventbus.consumer.commit.failures", "", ""),
                        of -> registered(
                                Counter.builder(of.name()).baseUnit("commits").tag("group", group)::register))
                .increment();
    }

    @Override
    public void rebalanced(int assigned, int revoked, int lost) {
        moved("assigned", assigned);
        moved("revoked", revoked);
        moved("lost", lost);
    }

    private void moved(String kind, int partitions) {
        if (partitions > 0) {
            counter("eventbus.consumer.rebalances", "rebalances", "kind", kind).increment();
        }
    }

    private Counter counter(String name, String unit, String tag, String value) {
        return counters.computeIfAbsent(
                new Named(name, value, tag),
                of -> registered(
                        Counter.builder(name).baseUnit(unit).tag("group", group).tag(tag, value)::register));
    }

    /** Partitions that have come get a gauge, those that have gone lose theirs. */
    @Override
    public void observed(RunnerHealth now) {
        health = now;
        Set<Owned> owned = new HashSet<>();
        now.partitions().forEach(one -> owned.add(new Owned(one.topic(), one.partition())));
        synchronized (this) {
            if (owned.equals(lags.keySet())) {
                return;
            }
            lags.entrySet().removeIf(one -> !owned.contains(one.getKey()) && dropped(one.getValue()));
            owned.forEach(one -> lags.computeIfAbsent(one, this::lagGauge));
        }
    }

    private Gauge lagGauge(Owned partition) {
        return registered(Gauge.builder("eventbus.consumer.lag", this, metrics -> metrics.lag(partition))
                .baseUnit("records")
                .tag("group", group)
                .tag(TOPIC, partition.topic())
                .tag("partition", Integer.toString(partition.partition()))
                .strongReference(true)::register);
    }

    private double lag(Owned partition) {
        return health.partitions().stream()
                .filter(one -> one.topic().equals(partition.topic()) && one.partition() == partition.partition())
                .mapToDouble(one -> one.lag() < 0 ? Double.NaN : one.lag())
                .findAny()
                .orElse(Double.NaN);
    }

    private static double sum(RunnerHealth now, ToDoubleFunction<PartitionHealth> figure) {
        return now.partitions().stream().mapToDouble(figure).sum();
    }

    private void gauge(String name, String unit, ToDoubleFunction<RunnerHealth> figure) {
        registered(Gauge.builder(name, this, metrics -> figure.applyAsDouble(metrics.health))
                .baseUnit(unit)
                .tag("group", group)
                .strongReference(true)::register);
    }

    /** Once closed, meters are made that no registry knows. */
    private synchronized <M extends Meter> M registered(Function<MeterRegistry, M> meter) {
        if (closed) {
            return meter.apply(new CompositeMeterRegistry());
        }
        M kept = meter.apply(registry);
        meters.add(kept);
        return kept;
    }

    private synchronized boolean dropped(Meter meter) {
        registry.remove(meter);
        meters.remove(meter);
        return true;
    }

    /** Takes the meters out of the registry. */
    @Override
    public synchronized void close() {
        closed = true;
        meters.forEach(registry::remove);
        meters.clear();
    }
}
