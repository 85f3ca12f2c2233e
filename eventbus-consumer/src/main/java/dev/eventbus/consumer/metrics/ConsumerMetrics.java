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
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.Function;
import java.util.function.LongSupplier;
import java.util.function.Supplier;
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
 * <p>A scrape never waits: gauges show what the runner has published last, a tenth of a second ago unless it hands partitions over or its
 * polling thread is held; once it has said nothing for two minutes its lag is unknown. Tags are bounded, since topics and types are
 * those that the runner was given in code, and partitions those that it owns.
 *
 * <p>One object for all runners of a group that share a registry: its gauges tell of them together. Thread-safe. {@link #close()} takes
 * the meters out of the registry, for good: what the runner goes on doing is not counted any more.
 */
public final class ConsumerMetrics implements RunnerListener, AutoCloseable {

    private static final String TOPIC = "topic";

    private record Handled(String topic, String type) {}

    private record Named(String name, String topic, String tag) {}

    private record Owned(String topic, int partition) {}

    private record Said(RunnerHealth health, long nanos) {}

    private static final String IN_FLIGHT = "eventbus.consumer.in.flight";

    /** No hand-over keeps a runner silent for so long. */
    static final Duration SILENT = Duration.ofMinutes(2);

    private final MeterRegistry registry;
    private final String group;
    private final LongSupplier nanoTime;

    // All below is shared by those of one group's runners.
    private final Map<Handled, Timer> timers;
    private final Map<Named, Counter> counters;

    /** What each runner has said last. */
    private final Map<ConsumerMetrics, Said> runners;

    /** Guarded by itself. */
    private final Set<Meter> meters;

    /** Of the partitions that are owned now. Guarded by meters. */
    private final Map<Owned, Gauge> lags;

    private final AtomicBoolean closed;

    /** @param nanoTime as {@link System#nanoTime} */
    ConsumerMetrics(MeterRegistry registry, String group, LongSupplier nanoTime) {
        this.registry = registry;
        this.group = group;
        this.nanoTime = nanoTime;
        this.timers = new ConcurrentHashMap<>();
        this.counters = new ConcurrentHashMap<>();
        this.runners = new ConcurrentHashMap<>();
        this.meters = new HashSet<>();
        this.lags = new HashMap<>();
        this.closed = new AtomicBoolean();
        gauge(IN_FLIGHT, "records", () -> sum(now -> sum(now, PartitionHealth::inFlight)));
        gauge("eventbus.consumer.waiting.keys", "keys", () -> sum(RunnerHealth::waitingKeys));
        gauge(
                "eventbus.consumer.parked.keys",
                "keys",
                () -> most(now -> now.parked().keys()));
        gauge(
                "eventbus.consumer.parked.events",
                "events",
                () -> most(now -> now.parked().events()));
        gauge(
                "eventbus.consumer.paused.partitions",
                "partitions",
                () -> sum(now -> sum(now, one -> one.pausedBecause() == null ? 0 : 1)));
    }

    /** Of another runner. */
    private ConsumerMetrics(ConsumerMetrics beside) {
        this.registry = beside.registry;
        this.group = beside.group;
        this.nanoTime = beside.nanoTime;
        this.timers = beside.timers;
        this.counters = beside.counters;
        this.runners = beside.runners;
        this.meters = beside.meters;
        this.lags = beside.lags;
        this.closed = beside.closed;
    }

    /**
     * Registers the meters.
     *
     * @param group the runner's, for the tag of that name
     * @throws IllegalArgumentException if it is blank
     * @throws IllegalStateException if the registry has them already
     */
    public static ConsumerMetrics of(MeterRegistry registry, String group) {
        if (registry.find(IN_FLIGHT).tag("group", group).gauge() != null) {
            throw new IllegalStateException(
                    "the registry has the meters of group %s already, and would show none of a second ConsumerMetrics; give the first one to each runner of the group, or close it before"
                            .formatted(group));
        }
        return new ConsumerMetrics(registry, Checks.notBlank("group", group), System::nanoTime);
    }

    @Override
    public void received(String topic, int partition, int records) {
        counter("eventbus.consumer.received", "messages", TOPIC, topic).increment(records);
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

    /** The meters are the same, and what its runner says is added to what others say. */
    @Override
    public RunnerListener ofRunner() {
        return new ConsumerMetrics(this);
    }

    /** Partitions that have come get a gauge, those that have gone lose theirs. */
    @Override
    public void observed(RunnerHealth now) {
        synchronized (meters) {
            if (closed.get()) {
                return; // the registry may have another's meters of these names by now
            }
            if (now.status() == Status.STOPPED) {
                runners.remove(this);
            } else {
                runners.put(this, new Said(now, nanoTime.getAsLong()));
            }
            Set<Owned> owned = new HashSet<>();
            runners.values()
                    .forEach(said ->
                            said.health().partitions().forEach(it -> owned.add(new Owned(it.topic(), it.partition()))));
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
        long now = nanoTime.getAsLong();
        return runners.values().stream()
                .filter(said -> now - said.nanos() <= SILENT.toNanos())
                .flatMap(said -> said.health().partitions().stream())
                .filter(one -> one.topic().equals(partition.topic()) && one.partition() == partition.partition())
                .mapToDouble(PartitionHealth::lag)
                .filter(lag -> lag >= 0)
                .max() // two have it while it moves
                .orElse(Double.NaN);
    }

    private double sum(ToDoubleFunction<RunnerHealth> figure) {
        return runners.values().stream().map(Said::health).mapToDouble(figure).sum();
    }

    /** Of what each runner says of the whole group. */
    private double most(ToDoubleFunction<RunnerHealth> figure) {
        return runners.values().stream()
                .map(Said::health)
                .mapToDouble(figure)
                .max()
                .orElse(0);
    }

    private static double sum(RunnerHealth now, ToDoubleFunction<PartitionHealth> figure) {
        return now.partitions().stream().mapToDouble(figure).sum();
    }

    private void gauge(String name, String unit, Supplier<Number> figure) {
        registered(
                Gauge.builder(name, figure).baseUnit(unit).tag("group", group).strongReference(true)::register);
    }

    /** Once closed, meters are made that no registry knows. */
    private <M extends Meter> M registered(Function<MeterRegistry, M> meter) {
        synchronized (meters) {
            if (closed.get()) {
                return meter.apply(new CompositeMeterRegistry());
            }
            M kept = meter.apply(registry);
            meters.add(kept);
            return kept;
        }
    }

    /** Guarded by meters. */
    private boolean dropped(Meter meter) {
        registry.remove(meter);
        meters.remove(meter);
        return true;
    }

    /** Takes the meters out of the registry. */
    @Override
    public void close() {
        synchronized (meters) {
            closed.set(true);
            meters.forEach(registry::remove);
            meters.clear();
            lags.clear();
        }
    }
}
