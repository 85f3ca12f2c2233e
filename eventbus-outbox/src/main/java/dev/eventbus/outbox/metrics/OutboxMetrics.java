package dev.eventbus.outbox.metrics;

import dev.eventbus.internal.Checks;
import dev.eventbus.internal.InterruptFlag;
import dev.eventbus.internal.RunLoop;
import dev.eventbus.outbox.Outbox;
import dev.eventbus.outbox.OutboxAdmin;
import dev.eventbus.outbox.OutboxStats;
import dev.eventbus.outbox.RelayHealth;
import dev.eventbus.outbox.RelayListener;
import dev.eventbus.outbox.sql.DatabaseFault;
import io.micrometer.core.instrument.Counter;
import io.micrometer.core.instrument.Gauge;
import io.micrometer.core.instrument.Meter;
import io.micrometer.core.instrument.MeterRegistry;
import io.micrometer.core.instrument.Timer;
import io.micrometer.core.instrument.composite.CompositeMeterRegistry;
import java.sql.SQLException;
import java.time.Duration;
import java.time.Instant;
import java.time.InstantSource;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Function;
import java.util.function.Supplier;
import java.util.function.ToDoubleFunction;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Counts and times what an outbox and its relay do. Names and tags are listed in {@code docs/metrics.md}; a key or an id is never one.
 *
 * <pre>{@code
 * OutboxMetrics metrics = OutboxMetrics.of(registry, "orders", OutboxAdmin.of(outbox, dataSource));
 * OutboxRelay relay = OutboxRelay.builder(outbox, dataSource, kafka).listener(metrics).build();
 * Outbox publishing = metrics.timed(outbox);
 * metrics.start();
 * }</pre>
 *
 * <p>What is in the database is asked every 10 s, on a thread of its own that borrows one connection for as long as
 * {@link OutboxAdmin#stats()} takes, and less often if that is longer than half a second; a scrape reads what was answered last and never waits. A gauge is NaN until
 * there is an answer, and again once the last one is a minute old. At most {@value #MOST_TOPICS} topics and as many event types have a tag of
 * their own; more are counted together as {@code other}.
 *
 * <p>One object for one outbox and one relay of a process; thread-safe. {@link #close()} ends the thread and takes the meters out of
 * the registry, for good: what goes on being published or sent is not counted any more. Several outboxes of a process that send to topics
 * of one name count into one meter of a registry: close them together, or give each a registry of its own.
 */
public final class OutboxMetrics implements RelayListener, AutoCloseable {

    /** How many topics, and how many event types, have a tag of their own. */
    public static final int MOST_TOPICS = 100;

    private static final Logger LOG = LoggerFactory.getLogger(OutboxMetrics.class);

    private static final Duration ASKED_EVERY = Duration.ofSeconds(10);
    private static final Duration ANSWER_HOLDS = Duration.ofMinutes(1);

    /** Asking takes at most this part of the time. */
    private static final int REST_FACTOR = 20;

    private static final String OTHER = "other";

    private final MeterRegistry registry;
    private final String outbox;
    private final OutboxAdmin admin;
    private final InstantSource clock;
    private final RunLoop loop = new RunLoop("eventbus-outbox-metrics", this::poll, () -> {});

    /** Guarded by "this". */
    private final Set<Meter> meters = new HashSet<>();

    /** Guarded by "this". */
    private boolean closed;

    /** Topics, and event types, that have a tag of their own. Read freely, added to under their own lock. */
    private final Set<String> topics = ConcurrentHashMap.newKeySet();

    private final Set<String> types = ConcurrentHashMap.newKeySet();

    /** Tags of topics of which the waiting events are gauged. */
    private final Set<String> gaugedTopics = ConcurrentHashMap.newKeySet();

    /** By topic's tag and error. */
    private final Map<String, Sending> sendings = new ConcurrentHashMap<>();

    /** By event type's tag and outcome. */
    private final Map<String, Timer> publishTimers = new ConcurrentHashMap<>();

    private final Set<String> waitingTopics = ConcurrentHashMap.newKeySet();

    private volatile int ownedShards;

    /** Null before there is a relay. */
    private volatile @Nullable Supplier<RelayHealth> relay;

    private volatile Answer answer = new Answer(null, Instant.EPOCH);

    /** Whether the last question failed; the thread that asks, or whoever refreshes. */
    private volatile boolean failing;

    /** What the database said, and when. */
    private record Answer(@Nullable OutboxStats stats, Instant at) {}

    /** Meters of one topic with one outcome. */
    private record Sending(
            Counter sent, Timer send, @Nullable Timer latency) {}

    private OutboxMetrics(MeterRegistry registry, String outbox, OutboxAdmin admin) {
        this.registry = registry;
        this.outbox = outbox;
        this.admin = admin;
        this.clock = admin.clock();
        gauge("eventbus.outbox.oldest.age", "seconds", this::oldestAge);
        gauge("eventbus.outbox.blocked.keys", "keys", metrics -> metrics.asked(OutboxStats::blockedKeys));
        gauge("eventbus.relay.owned.shards", "shards", OutboxMetrics::ownedShards);
        gauge("eventbus.relay.waiting.topics", "topics", metrics -> metrics.waitingTopics.size());
    }

    /**
     * Registers the meters.
     *
     * @param outbox name of the outbox in the tag of that name; for instance the service's
     * @param admin for what is in the database
     * @throws IllegalArgumentException if the name is blank
     */
    public static OutboxMetrics of(MeterRegistry registry, String outbox, OutboxAdmin admin) {
        return new OutboxMetrics(registry, Checks.notBlank("outbox", outbox), admin);
    }

    private void gauge(String name, String unit, ToDoubleFunction<OutboxMetrics> value) {
        registered(Gauge.builder(name, this, value)
                .baseUnit(unit)
                .tag("outbox", outbox)
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

    /**
     * The same outbox, whose publishers time each call: {@code eventbus.publish} by event type and outcome. A call that publishes several
     * types at once is counted as {@code mixed}.
     */
    public Outbox timed(Outbox publishing) {
        return new TimedOutbox(publishing, this::publishTimer, registry);
    }

    private Timer publishTimer(String type, String outcome) {
        String tag = bounded(types, type);
        return publishTimers.computeIfAbsent(
                tag + " " + outcome,
                any -> registered(
                        Timer.builder("eventbus.publish").tag("event.type", tag).tag("outcome", outcome)::register));
    }

    /**
     * Begins to ask the database, until closed.
     *
     * @throws IllegalStateException if it was started or closed before
     */
    public void start() {
        loop.start();
    }

    private Duration poll() {
        long before = System.nanoTime();
        refresh();
        Duration rest = Duration.ofNanos(System.nanoTime() - before).multipliedBy(REST_FACTOR);
        return rest.compareTo(ASKED_EVERY) > 0 ? rest : ASKED_EVERY;
    }

    /** Asks the database now, in the calling thread: for tests, and for a scheduler of one's own instead of {@link #start()}. */
    public void refresh() {
        try {
            OutboxStats stats = admin.stats();
            answer = new Answer(stats, clock.instant());
            stats.pendingByTopic().keySet().forEach(this::gaugePending);
            if (failing) {
                LOG.info("The gauges of outbox {} are known again", outbox);
            }
            failing = false;
        } catch (SQLException e) {
            if (!failing) {
                LOG.warn(
                        "{} Its gauges show the last answer for a minute, and then nothing until it answers.",
                        DatabaseFault.explain(e));
            }
            failing = true;
        }
    }

    private void gaugePending(String topic) {
        String tag = bounded(topics, topic);
        if (gaugedTopics.add(tag)) {
            registered(Gauge.builder("eventbus.outbox.pending", this, metrics -> metrics.pending(tag))
                    .baseUnit("rows")
                    .tag("outbox", outbox)
                    .tag("topic", tag)
                    .strongReference(true)::register);
        }
    }

    private double pending(String tag) {
        return asked(stats -> stats.pendingByTopic().entrySet().stream()
                .filter(topic -> bounded(topics, topic.getKey()).equals(tag))
                .mapToLong(Map.Entry::getValue)
                .sum());
    }

    /** None once a relay that can tell nothing more must have lost them. */
    private double ownedShards() {
        Supplier<RelayHealth> asked = relay;
        return asked == null
                ? ownedShards
                : Math.min(ownedShards, asked.get().ownedShards().size());
    }

    private double oldestAge(OutboxMetrics metrics) {
        return metrics.asked(stats -> stats.oldestAge().map(Duration::toMillis).orElse(0L) / 1000.0);
    }

    private double asked(ToDoubleFunction<OutboxStats> value) {
        Answer last = answer;
        OutboxStats stats = last.stats();
        Duration since = Duration.between(last.at(), clock.instant()).abs(); // the clock may have been set back
        boolean known = stats != null && since.compareTo(ANSWER_HOLDS) < 0;
        return known ? value.applyAsDouble(stats) : Double.NaN;
    }

    @Override
    public void sent(Sent sent) {
        String topic = bounded(topics, sent.topic());
        boolean acknowledged = sent.error().isEmpty();
        Sending sending = sendings.computeIfAbsent(
                topic + " " + sent.error(), any -> sending(topic, acknowledged, acknowledged ? "none" : sent.error()));
        sending.sent().increment(sent.events());
        sending.send().record(sent.longestSend());
        Timer latency = sending.latency();
        if (latency != null) {
            latency.record(sent.longestLatency());
        }
    }

    private Sending sending(String topic, boolean acknowledged, String errorType) {
        String outcome = acknowledged ? "success" : "failure";
        return new Sending(
                registered(Counter.builder("eventbus.relay.sent")
                        .baseUnit("messages")
                        .tag("topic", topic)
                        .tag("outcome", outcome)::register),
                registered(Timer.builder("eventbus.relay.send")
                        .tag("topic", topic)
                        .tag("outcome", outcome)
                        .tag("error.type", errorType)::register),
                acknowledged
                        ? registered(Timer.builder("eventbus.relay.latency").tag("topic", topic)::register)
                        : null);
    }

    @Override
    public void relayStarts(Supplier<RelayHealth> health) {
        relay = health;
    }

    @Override
    public void topicWaits(String topic, String problem, Instant retryAt) {
        waitingTopics.add(topic);
    }

    @Override
    public void topicResumed(String topic) {
        waitingTopics.remove(topic);
    }

    @Override
    public void shardsChanged(Set<Integer> owned) {
        ownedShards = owned.size();
        if (owned.isEmpty()) {
            waitingTopics.clear(); // a relay that has nothing to send forgets which topics failed
        }
    }

    /** The name itself if it is one of the first so many, else that of all others. */
    private static String bounded(Set<String> known, String name) {
        if (known.contains(name)) {
            return name;
        }
        synchronized (known) {
            boolean own = known.contains(name) || known.size() < MOST_TOPICS && known.add(name);
            return own ? name : OTHER;
        }
    }

    /** Asks no more, and takes the meters out of the registry. Waits at most 2 s for a question that is being asked. */
    @Override
    public void close() {
        loop.stop();
        if (!loop.isLoopThread()) {
            try (InterruptFlag ignored = InterruptFlag.putOff()) {
                loop.awaitStopped(Duration.ofSeconds(2));
            }
        }
        synchronized (this) {
            closed = true;
            meters.forEach(registry::remove);
            meters.clear();
        }
    }
}
