package dev.eventbus.consumer;

import static java.nio.charset.StandardCharsets.UTF_8;

import dev.eventbus.ErrorCode;
import dev.eventbus.EventType;
import dev.eventbus.StartRefusedException;
import dev.eventbus.consumer.FailurePolicy.OutageWatch;
import dev.eventbus.consumer.Routes.Batched;
import dev.eventbus.consumer.Routes.Batching;
import dev.eventbus.consumer.Routes.Ignored;
import dev.eventbus.consumer.Routes.Route;
import dev.eventbus.consumer.batch.Batch;
import dev.eventbus.consumer.batch.BatchHandler;
import dev.eventbus.consumer.batch.TransactionalBatch;
import dev.eventbus.consumer.inbox.JdbcInbox;
import dev.eventbus.consumer.internal.Backoff;
import dev.eventbus.consumer.internal.FlowControl;
import dev.eventbus.internal.Checks;
import dev.eventbus.topics.KafkaCluster;
import io.github.resilience4j.core.IntervalFunction;
import io.github.resilience4j.retry.RetryConfig;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.concurrent.Executor;
import java.util.function.Function;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.jspecify.annotations.Nullable;

/**
 * Says what a {@link ConsumerRunner} handles, and how.
 *
 * <pre>{@code
 * ConsumerRunner.builder(kafka, "calculator.asset.events")
 *     .on(ASSET_UPDATED, (event, delivery) -> redis.del("asset:" + event.key()))
 *     .afterRetries(AfterRetries.deadLetter("dlq.events"))
 *     .build()
 * }</pre>
 *
 * <p>Each method refuses a bad value at once; {@link #build()} refuses what contradicts each other, all in one exception. For one
 * thread; may be used again after {@code build()}.
 */
public final class ConsumerRunnerBuilder {

    /** Default: handlers that run at the same time. */
    public static final int DEFAULT_CONCURRENCY = 32;

    /** Default: records that are queued, running or waiting. */
    public static final int DEFAULT_MAX_RECORDS = FlowControl.MAX_RECORDS;

    /** Default: bytes of records that are queued, running or waiting, 64 MiB. */
    public static final long DEFAULT_MAX_BYTES = FlowControl.MAX_BYTES;

    /** Default: how long running handlers are waited for at close and at a hand-over of their partition. */
    public static final Duration DEFAULT_DRAIN = Duration.ofSeconds(30);

    private static final int MAX_GROUP_BYTES = 255; // what the inbox's tables hold
    private static final String KAFKAS_MAX_POLL_INTERVAL_MILLIS = "300000";

    /** What a runner was told, checked. */
    record Settings(
            KafkaCluster kafka,
            String group,
            Routes routes,
            RetryConfig retry,
            Function<? super Throwable, ? extends @Nullable FailureKind> classify,
            @Nullable AfterRetries afterRetries,
            RunnerListener listener,
            int concurrency,
            @Nullable Executor executor,
            int maxRecords,
            long maxBytes,
            Duration handOverLimit) {}

    private final KafkaCluster kafka;
    private final String group;

    private final List<Route> routes = new ArrayList<>();
    private final Set<JdbcInbox> inboxes = new LinkedHashSet<>();
    private final Map<String, DeadLetterHandler> letters = new LinkedHashMap<>();
    private final Set<String> ignored = new LinkedHashSet<>();
    private final List<String> problems = new ArrayList<>();
    private boolean ignoresOthers;

    private RetryConfig retry = RetryConfig.custom()
            .maxAttempts(4)
            .intervalFunction(IntervalFunction.ofExponentialRandomBackoff(
                    Duration.ofMillis(200), 2.0, 0.5, Duration.ofSeconds(10)))
            .build();
    private Function<? super Throwable, ? extends @Nullable FailureKind> classify = failure -> FailureKind.RETRY;
    private @Nullable AfterRetries afterRetries;
    private RunnerListener listener = RunnerListener.NONE;
    private int concurrency = DEFAULT_CONCURRENCY;
    private @Nullable Executor executor;
    private int maxRecords = DEFAULT_MAX_RECORDS;
    private long maxBytes = DEFAULT_MAX_BYTES;

    ConsumerRunnerBuilder(KafkaCluster kafka, String group) {
        this.kafka = Objects.requireNonNull(kafka, "kafka");
        this.group = Checks.notBlank("group", group);
        Checks.inRange("bytes of the group's name", group.getBytes(UTF_8).length, 1, MAX_GROUP_BYTES);
    }

    /**
     * Handles events of a type with any effect, at least once: after a crash or a hand-over the handler may run again for an
     * event it has handled. The type's topic is subscribed to.
     */
    @SuppressWarnings("unchecked") // the decoder binds the payload to the type's own class
    public <P> ConsumerRunnerBuilder on(EventType<P> type, EventHandler<? super P, ? super Delivery> handler) {
        Objects.requireNonNull(handler, "handler");
        return add(new Route.AtLeastOnce(
                type, (EventHandler<Object, Delivery>) handler, new OutageWatch(), Batching.NONE));
    }

    /**
     * Handles events of a type many at a time with any effect, at least once.
     *
     * <pre>{@code
     * .onBatch(ASSET_UPDATED, 200, (events, batch) -> index.putAll(events))
     * }</pre>
     *
     * <p>If it fails, each event of the list is given to it by itself: see {@link BatchHandler}.
     *
     * @param most how many events one call gets at most, 2 to 10,000
     */
    @SuppressWarnings("unchecked") // the decoder binds the payload to the type's own class
    public <P> ConsumerRunnerBuilder onBatch(EventType<P> type, int most, BatchHandler<P, ? super Batch> handler) {
        Checks.inRange("most", most, 2, 10_000);
        BatchHandler<Object, Batch> many =
                (BatchHandler<Object, Batch>) (BatchHandler<?, ?>) Objects.requireNonNull(handler, "handler");
        return add(new Route.AtLeastOnce(
                type,
                (event, delivery) -> many.handle(List.of(event), new Batched(group, delivery.attempt(), null)),
                new OutageWatch(),
                new Batching(most, many::handle)));
    }

    /**
     * Handles events of a type with effects once: what the handler writes through {@link TransactionalDelivery#connection()}
     * commits together with the inbox's mark, or not at all. Give one inbox to all types of a runner.
     */
    @SuppressWarnings("unchecked") // the decoder binds the payload to the type's own class
    public <P> ConsumerRunnerBuilder inTransaction(
            JdbcInbox inbox, EventType<P> type, EventHandler<? super P, ? super TransactionalDelivery> handler) {
        Objects.requireNonNull(handler, "handler");
        inboxes.add(Objects.requireNonNull(inbox, "inbox"));
        return add(new Route.Once(
                type,
                (EventHandler<Object, TransactionalDelivery>) handler,
                new OutageWatch(),
                new Batching(inbox.batching(), null)));
    }

    /**
     * Handles events of a type many at a time with effects once: what the handler writes through {@link
     * TransactionalBatch#connection()} commits together with the marks of all events of the list, or not at all. One list has at
     * most as many events as {@link JdbcInbox#batching(int)} says.
     *
     * <pre>{@code
     * .inTransactionBatch(JdbcInbox.postgres(dataSource).batching(200), ASSET_UPDATED, (events, tx) -> ledger.bookAll(tx.connection(), events))
     * }</pre>
     *
     * <p>If it fails, each event of the list is given to it by itself: see {@link BatchHandler}.
     */
    @SuppressWarnings("unchecked") // the decoder binds the payload to the type's own class
    public <P> ConsumerRunnerBuilder inTransactionBatch(
            JdbcInbox inbox, EventType<P> type, BatchHandler<P, ? super TransactionalBatch> handler) {
        BatchHandler<Object, TransactionalBatch> many = (BatchHandler<Object, TransactionalBatch>)
                (BatchHandler<?, ?>) Objects.requireNonNull(handler, "handler");
        inboxes.add(Objects.requireNonNull(inbox, "inbox"));
        if (inbox.batching() == 1) {
            problems.add(
                    "type %s has a handler of batches, and its inbox has batching(1): say how many events one transaction may take, for instance JdbcInbox.postgres(dataSource).batching(200)"
                            .formatted(type));
        }
        return add(new Route.Once(
                type,
                (event, delivery) ->
                        many.handle(List.of(event), new Batched(group, delivery.attempt(), delivery.connection())),
                new OutageWatch(),
                new Batching(inbox.batching(), many)));
    }

    /**
     * Handles every record of a dead-letter topic. A handler that fails is tried again for ever: a dead letter is never
     * dead-lettered.
     *
     * @param topic logical name
     */
    public ConsumerRunnerBuilder onDeadLetters(String topic, DeadLetterHandler handler) {
        Objects.requireNonNull(handler, "handler");
        if (letters.put(Checks.topicName("dead-letter topic", topic), handler) != null) {
            problems.add("dead letters of topic %s have two handlers; keep one".formatted(topic));
        }
        return this;
    }

    /** Skips and counts events of these types instead of dead-lettering them as unknown. */
    public ConsumerRunnerBuilder ignoring(String... typeNames) {
        for (String name : typeNames) {
            ignored.add(Checks.notBlank("ignored type", name));
        }
        return this;
    }

    /** As {@link #ignoring(String...)}. */
    public ConsumerRunnerBuilder ignoring(EventType<?>... types) {
        for (EventType<?> type : types) {
            ignored.add(type.name());
        }
        return this;
    }

    /** Skips and counts events of every type without a handler. */
    public ConsumerRunnerBuilder ignoringOtherTypes() {
        ignoresOthers = true;
        return this;
    }

    /**
     * How often and when a failed event is tried again, and after which exceptions at all; these are matched along the chain of
     * causes. Default: 4 attempts, 200 ms × 2 ± 50 %, at most 10 s. The policy is a calculator here: nothing sleeps, and a key
     * that waits holds no thread.
     *
     * @throws IllegalArgumentException if it retries on results, of which a handler has none
     */
    public ConsumerRunnerBuilder retry(RetryConfig policy) {
        if (policy.getResultPredicate() != null) {
            throw new IllegalArgumentException("retry must not retry on results: a handler has none");
        }
        this.retry = policy;
        return this;
    }

    /** What becomes of an event that failed for the last time. Required as soon as events are handled. */
    public ConsumerRunnerBuilder afterRetries(AfterRetries policy) {
        this.afterRetries = Objects.requireNonNull(policy, "policy");
        return this;
    }

    /**
     * Says what a handler's failure means. Default: {@link FailureKind#RETRY}, so the library's table of database and Kafka
     * faults decides. Called on the handler's thread.
     *
     * <pre>{@code
     * .classify(e -> e instanceof JedisConnectionException ? FailureKind.OUTAGE : FailureKind.RETRY)
     * }</pre>
     */
    public ConsumerRunnerBuilder classify(Function<? super Throwable, ? extends @Nullable FailureKind> classifier) {
        this.classify = Objects.requireNonNull(classifier, "classifier");
        return this;
    }

    /** How many handlers run at the same time, 1 to 10,000. Default 32. */
    public ConsumerRunnerBuilder concurrency(int handlers) {
        this.concurrency = Checks.inRange("concurrency", handlers, 1, 10_000);
        return this;
    }

    /**
     * Runs handlers on an executor of yours, for instance {@code Executors.newVirtualThreadPerTaskExecutor()}; {@link
     * #concurrency} still holds. Default: a pool of our own. It is not closed with the runner, and at close its threads are not
     * interrupted. One that runs tasks in the calling thread makes handlers run on the polling thread.
     */
    public ConsumerRunnerBuilder executor(Executor yours) {
        this.executor = Objects.requireNonNull(yours, "yours");
        return this;
    }

    /**
     * How much may be queued, running or waiting before reading pauses; looked at before each poll. Of several
     * partitions each may hold half of it, and the last fifth is for those that hold little, so that keys that wait in a few
     * partitions do not stop the others; for that it must be ten times {@code max.poll.records} at least. Default 10,000 records and
     * 64 MiB.
     */
    public ConsumerRunnerBuilder maxInFlight(int records, long bytes) {
        this.maxRecords = Checks.atLeast("maxInFlight records", records, 1);
        this.maxBytes = Checks.atLeast("maxInFlight bytes", bytes, 1);
        return this;
    }

    /** Hears what the runner does. What it throws is logged and changes nothing. */
    public ConsumerRunnerBuilder listener(RunnerListener hears) {
        this.listener = Objects.requireNonNull(hears, "hears");
        return this;
    }

    /**
     * Builds the runner; it does nothing yet and has no connection.
     *
     * @throws StartRefusedException with everything that contradicts each other, each with its fix
     */
    public ConsumerRunner build() {
        return new ConsumerRunner(settings());
    }

    /** What was said, checked. */
    Settings settings() {
        List<String> found = new ArrayList<>(problems);
        found.addAll(contradictions());
        if (!found.isEmpty()) {
            throw StartRefusedException.of(
                    ErrorCode.RUNNER_CONTRADICTS_ITSELF,
                    "Runner of group %s was".formatted(Checks.printable(group)),
                    found);
        }
        JdbcInbox inbox = inboxes.isEmpty() ? null : inboxes.iterator().next();
        Routes all = new Routes(routes, letters, new Ignored(ignored, ignoresOthers), inbox, kafka::logicalTopic);
        return new Settings(
                kafka,
                group,
                all,
                retry,
                classify,
                afterRetries,
                new ConsumerRunner.GuardedListener(listener.ofRunner()),
                concurrency,
                executor,
                maxRecords,
                maxBytes,
                handOverLimit());
    }

    private ConsumerRunnerBuilder add(Route route) {
        routes.add(route);
        return this;
    }

    private List<String> contradictions() {
        List<String> found = new ArrayList<>();
        if (routes.isEmpty() && letters.isEmpty()) {
            found.add(
                    "it handles nothing; say on(type, handler), inTransaction(inbox, type, handler) or onDeadLetters(topic, handler)");
        }
        Set<String> handled = new HashSet<>();
        Set<String> topics = new LinkedHashSet<>();
        for (Route route : routes) {
            String name = route.type().name();
            if (!handled.add(name)) {
                found.add("event type %s has two handlers; keep one, it may call both".formatted(name));
            }
            if (ignored.contains(name)) {
                found.add("event type %s is handled and ignored; keep one".formatted(name));
            }
            topics.add(route.type().topic());
        }
        if (inboxes.size() > 1) {
            found.add(
                    "it has %d inboxes; one runner marks its events in one inbox: give the same object to all inTransaction, or build a runner for each"
                            .formatted(inboxes.size()));
        }
        for (String topic : letters.keySet()) {
            if (topics.contains(topic)) {
                found.add("topic %s is read for events and for dead letters; use two topics".formatted(topic));
            }
        }
        if (!routes.isEmpty()) {
            found.addAll(contradictionsAfterRetries(topics));
        }
        return found;
    }

    private List<String> contradictionsAfterRetries(Set<String> topics) {
        List<String> found = new ArrayList<>();
        if (afterRetries == null) {
            found.add(
                    "it does not say what becomes of an event that failed for the last time; say afterRetries(AfterRetries.deadLetter(\"…\"))");
        } else if (topics.contains(afterRetries.topic())) {
            found.add(
                    "dead letters would go to %s, which is read for events: they would come back for ever; use another topic"
                            .formatted(afterRetries.topic()));
        }
        if (afterRetries != null && afterRetries.inbox() != null) {
            found.addAll(afterRetries.contradictions(inboxes, routes));
            return found;
        }
        Duration longest = new Backoff(retry).longest(retry.getMaxAttempts());
        if (longest.compareTo(Backoff.LONGEST_IN_MEMORY) > 0) {
            found.add(
                    "its retry policy may wait %s between two attempts; a key that waits is kept in memory, for %s at most: give the interval function a cap, jitter included, or say parkKey"
                            .formatted(longest, Backoff.LONGEST_IN_MEMORY));
        }
        return found;
    }

    /** Half of the time after which Kafka takes a silent member's partitions away, at most the time to drain. */
    private Duration handOverLimit() {
        long interval = Long.parseLong(
                kafka.setting(ConsumerConfig.MAX_POLL_INTERVAL_MS_CONFIG, KAFKAS_MAX_POLL_INTERVAL_MILLIS));
        Duration half = Duration.ofMillis(interval / 2);
        return half.compareTo(DEFAULT_DRAIN) < 0 ? half : DEFAULT_DRAIN;
    }
}
