package dev.eventbus.consumer;

import dev.eventbus.DecodeException;
import dev.eventbus.Event;
import dev.eventbus.FailureReason;
import dev.eventbus.consumer.ConsumerRunnerBuilder.Settings;
import dev.eventbus.consumer.FailurePolicy.Disposition;
import dev.eventbus.consumer.FailurePolicy.Failure;
import dev.eventbus.consumer.FailurePolicy.OutageWatch;
import dev.eventbus.consumer.InFlight.Delivered;
import dev.eventbus.consumer.Routes.Route;
import dev.eventbus.consumer.deadletter.DeadLetterSink;
import dev.eventbus.consumer.deadletter.FailureText;
import dev.eventbus.consumer.deadletter.Origin;
import dev.eventbus.consumer.inbox.Outcome;
import dev.eventbus.consumer.inbox.ParkingStore;
import dev.eventbus.consumer.inbox.ParkingStore.Change;
import dev.eventbus.consumer.inbox.ParkingStore.Drained;
import dev.eventbus.consumer.internal.ParkedKeys;
import dev.eventbus.consumer.parking.ParkedEvent;
import dev.eventbus.consumer.parking.ParkedKey;
import dev.eventbus.consumer.parking.ParkedKey.State;
import dev.eventbus.internal.RunLoop;
import dev.eventbus.topics.KafkaCluster;
import java.sql.Connection;
import java.sql.SQLException;
import java.time.Duration;
import java.time.Instant;
import java.util.Collection;
import java.util.HashSet;
import java.util.Objects;
import java.util.Set;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Executor;
import org.apache.kafka.common.TopicPartition;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Handles the events of parked keys that wait no more: redriven ones, and those whose next try is due. A key is drained in order, event by
 * event, by the runner that owns the partition of its first event, and lifted when none is left.
 *
 * <p>A look every second, on a thread of its own, gives the keys to the runner's executor; without one all of it happens in the round.
 */
final class Parking {

    /** How often parked keys are looked at. */
    static final Duration PERIOD = Duration.ofSeconds(1);

    /** Keys that are drained at the same time, so that live ones are not kept waiting. */
    static final int MOST_AT_ONCE = 4;

    /** How long it is waited for room, or for the dead-letter topic. */
    static final Duration LOOKS_AGAIN = Duration.ofSeconds(5);

    static final String TOO_MANY =
            "as many events are parked as may be (%d of a key, %d of a group): redrive or discard some"
                    .formatted(ParkedKeys.MOST_EVENTS_OF_A_KEY, ParkedKeys.MOST_EVENTS);

    private static final Logger LOG = LoggerFactory.getLogger(Parking.class);

    /** The handler of this event is out of it, and its letter is still to be acknowledged. */
    private static final class LetterIsDue extends Exception {
        private static final long serialVersionUID = 1;

        LetterIsDue() {
            super(null, null, false, false);
        }
    }

    private final String group;
    private final KafkaCluster kafka;
    private final Routes routes;
    private final RunnerListener listener;
    private final FailurePolicy policy;
    private final DeadLetterSink sink;
    private final HandlerCall call;
    private final ParkingStore store;
    private final ParkedKeys keys;
    private final @Nullable Executor executor;
    private final RunLoop loop;
    private final boolean parksKeys;

    /** First events that run or have failed here; by id. */
    private final ConcurrentHashMap<String, InFlight> failing = new ConcurrentHashMap<>();

    private volatile Set<TopicPartition> owned = Set.of();
    private volatile boolean stopping;
    private volatile @Nullable String problem;

    /** The partitions that records were registered for last. Poll thread only. */
    private Set<Partition> seen = Set.of();

    private boolean started;

    private Parking(
            Settings settings, DeadLetterSink sink, HandlerCall call, ParkedKeys keys, @Nullable Executor executor) {
        this.group = settings.group();
        this.kafka = settings.kafka();
        this.routes = settings.routes();
        this.listener = settings.listener();
        this.policy = new FailurePolicy(settings.retry(), settings.classify(), settings.afterRetries());
        this.sink = sink;
        this.call = call;
        this.keys = keys;
        this.store = routes.requireInbox().parking();
        this.executor = executor;
        AfterRetries after = settings.afterRetries();
        this.parksKeys = after != null && after.inbox() != null;
        this.loop = new RunLoop("parked keys " + group, this::look, () -> {});
    }

    /**
     * Null if keys are not parked.
     *
     * @param executor runs the handlers; null to run them in the round
     */
    static @Nullable Parking of(
            Settings settings, @Nullable DeadLetterSink sink, HandlerCall call, @Nullable Executor executor) {
        ParkedKeys keys = call.parkedKeys();
        return sink == null || keys == null ? null : new Parking(settings, sink, call, keys, executor);
    }

    // ---- on the poll thread

    /** Before records are registered: whether partitions have come, so that parked keys must be read before these are handled. */
    void partitions(Collection<Partition> assigned) {
        if (seen.size() == assigned.size() && seen.containsAll(assigned)) {
            return;
        }
        Set<TopicPartition> ids = new HashSet<>();
        assigned.forEach(partition -> ids.add(partition.id()));
        if (!seen.containsAll(assigned)) {
            keys.partitionsCame();
        }
        failing.clear();
        owned = Set.copyOf(ids);
        seen = Set.copyOf(assigned);
    }

    /** A part of a round; how much it did. */
    int round() {
        if (executor == null) {
            return drainDue();
        }
        if (!started) {
            started = true;
            loop.start();
        }
        return 0;
    }

    /** What is wrong, in words; null if nothing is. */
    @Nullable
    String problem() {
        return problem;
    }

    /** How much is parked, as far as this runner knows. */
    RunnerHealth.Parked parked() {
        return new RunnerHealth.Parked(keys.size(), keys.events());
    }

    /** The sooner of a time and of that at which the first key is due. */
    @Nullable
    Instant sooner(@Nullable Instant other) {
        Instant next = keys.nextTry(kafka.clock().instant(), this::isOurs);
        return next == null || other != null && other.isBefore(next) ? other : next;
    }

    /** Begins nothing more and waits until nothing runs, within the limit. */
    void close(Duration limit) {
        stopping = true;
        loop.stop();
        RunLoop.await(limit.dividedBy(2), keys::areAllReleased);
        if (!loop.awaitStopped(limit.dividedBy(2)) || !keys.areAllReleased()) {
            LOG.warn("{} closed while a parked event was handled; it has ended or is handled again", group);
        }
    }

    // ---- looking

    private Duration look() {
        drainDue();
        return PERIOD;
    }

    private int drainDue() {
        if (stopping) {
            return 0;
        }
        int done = 0;
        try {
            keys.load();
            problem = null;
            Instant now = kafka.clock().instant();
            for (ParkedKey key : keys.asLoaded()) {
                if (key.events() == 0) { // its last event has ended, and who handled it did not come to lift it
                    done += lift(key) ? 1 : 0;
                } else if (key.isDue(now) && isOurs(key)) {
                    done += begin(key);
                }
            }
        } catch (SQLException | RuntimeException e) {
            problem = "the inbox cannot say what is parked (%s)"
                    .formatted(e.getClass().getName());
        }
        return done;
    }

    private boolean isOurs(ParkedKey key) {
        return owned.contains(new TopicPartition(key.topic(), key.partition()));
    }

    private int begin(ParkedKey key) {
        if (call.runs(key.topic(), key.key()) || !keys.take(key, MOST_AT_ONCE)) {
            return 0;
        }
        if (executor == null) {
            return drainAndRelease(key);
        }
        try {
            executor.execute(() -> drainAndRelease(key));
            return 1;
        } catch (RuntimeException e) { // it is full, or the runner ends: the next look tries again
            keys.release(key);
            return 0;
        }
    }

    // ---- draining

    private int drainAndRelease(ParkedKey key) {
        try {
            return drain(key);
        } finally {
            keys.release(key);
        }
    }

    /** How many events have ended. */
    private int drain(ParkedKey key) {
        int ended = 0;
        while (!stopping && isOurs(key)) {
            ParkedEvent[] head = {null};
            Drained drained;
            try {
                drained = store.drain(group, key, kafka.clock().instant(), (event, transaction) -> {
                    head[0] = event;
                    if (key.state() == State.WAITING && event.hasFailedForGood()) { // but for its letter
                        throw new LetterIsDue();
                    }
                    handle(event, transaction);
                });
                if (drained instanceof Drained.Empty) {
                    return ended + (lift(key) ? 1 : 0);
                }
            } catch (Throwable e) {
                if (e instanceof VirtualMachineError broken && !(e instanceof StackOverflowError)) {
                    throw broken;
                }
                return ended + (failed(key, head[0], e) ? 1 : 0);
            }
            if (drained instanceof Drained.Nothing) {
                return ended;
            }
            ended++;
            if (drained instanceof Drained.Ran ran) {
                failing.remove(ran.event().eventId());
            } else if (drained instanceof Drained.AlreadyApplied before) {
                listener.repeated("record", delivered(inFlight(before.event())), Outcome.DONE);
                failing.remove(before.event().eventId());
            }
        }
        return ended;
    }

    private void handle(ParkedEvent parked, Connection transaction) throws Exception {
        InFlight record = inFlight(parked);
        Event<?> event = call.decoded(record);
        Route route = routes.of(event);
        Delivered delivery = delivered(record);
        long began = System.nanoTime();
        call.inUserCode(event, delivery, () -> {
            if (route instanceof Route.Once once) {
                once.handler().handle(HandlerCall.asHandled(event), delivery.in(transaction));
            } else if (route instanceof Route.AtLeastOnce plain) {
                plain.handler().handle(HandlerCall.asHandled(event), delivery);
            }
        });
        call.handled(event, delivery, route.watch(), Duration.ofNanos(System.nanoTime() - began));
    }

    /** As it is known since it failed here first. */
    private InFlight inFlight(ParkedEvent parked) {
        return failing.computeIfAbsent(parked.eventId(), id -> {
            InFlight record = new InFlight(parked.record(), 0);
            record.failedBefore(parked.attempts());
            return record;
        });
    }

    private Delivered delivered(InFlight record) {
        return new Delivered(group, kafka.logicalTopic(record.record().topic()), record);
    }

    private boolean lift(ParkedKey key) throws SQLException {
        boolean lifted = store.lift(group, key);
        if (lifted) {
            keys.forget(key.topic(), key.key());
            LOG.info("a key of {} is not parked any more: all its events are handled", key.topic());
        }
        return lifted;
    }

    // ---- after a failure

    /** True if the key has changed, so that it was worth it. */
    private boolean failed(ParkedKey key, @Nullable ParkedEvent event, Throwable cause) {
        try {
            if (event == null) { // nobody's handler has run
                problem = "parked events cannot be read (%s)"
                        .formatted(cause.getClass().getName());
                LOG.debug("{} was not drained", key, cause);
                return false;
            }
            if (cause instanceof LetterIsDue) {
                sendLetter(key, event, null);
                return true;
            }
            InFlight record = inFlight(event);
            decide(key, event, record, cause);
            return true;
        } catch (SQLException | RuntimeException e) {
            problem = "what came of a parked event cannot be noted (%s)"
                    .formatted(e.getClass().getName());
            LOG.debug("what came of {} could not be noted", event, e);
            return false;
        }
    }

    private void decide(ParkedKey key, ParkedEvent event, InFlight record, Throwable cause) throws SQLException {
        Instant now = kafka.clock().instant();
        Disposition disposition = policy.decide(failureOf(record, cause), record, now);
        String text = FailureText.of(cause);
        record.failed(now, cause.getClass().getName());
        Duration delay = disposition.delay();
        if (disposition instanceof Disposition.WaitFor) {
            String reason = event.reason() == null ? ParkedEvent.RETRY_LATER : event.reason();
            store.failed(
                    group,
                    event.failed(event.attempts(), reason, text),
                    new Change(key.state(), now.plus(Objects.requireNonNull(delay)), key.redrives()));
        } else if (key.state() == State.REDRIVE && !goesBack(event)) {
            waitsForAPerson(event.failed(record.attempts(), disposition.reason().name(), text), key.redrives() + 1);
        } else if (delay != null) {
            store.failed(
                    group,
                    event.failed(record.attempts(), ParkedEvent.RETRY_LATER, text),
                    new Change(State.WAITING, now.plus(delay), key.redrives()));
            LOG.debug("{} failed attempt {} and is tried again in {}", event, record.attempts(), delay);
        } else {
            sendLetter(key, event.failed(record.attempts(), disposition.reason().name(), text), cause);
        }
    }

    private Failure failureOf(InFlight record, Throwable cause) {
        Event<?> event = record.event();
        return cause instanceof DecodeException unreadable
                ? new Failure.Undecodable(unreadable)
                : new Failure.HandlerFailed(
                        cause,
                        event == null ? new OutageWatch() : routes.of(event).watch());
    }

    /** The copy goes to the dead-letter topic, then the key waits for a person; if it cannot be sent, only that is tried again. */
    private void sendLetter(ParkedKey key, ParkedEvent event, @Nullable Throwable cause) throws SQLException {
        Instant now = kafka.clock().instant();
        FailureReason reason = event.failureReason();
        Origin origin = Origin.of(event.record(), group, reason, now).withEventId(event.eventId());
        Origin full = cause == null
                ? origin.withAttempts(event.attempts())
                : origin.withFailure(cause, event.attempts(), now);
        boolean back = goesBack(event);
        try {
            sink.send(event.record(), back ? full.withRedrives(key.redrives() + 1) : full)
                    .toCompletableFuture()
                    .join();
        } catch (CompletionException e) {
            problem = "a parked event's copy cannot be sent to its dead-letter topic; it is tried again";
            store.failed(group, event, new Change(State.WAITING, now.plus(LOOKS_AGAIN), key.redrives()));
            return;
        }
        if (back) {
            store.setAside(group, event);
            failing.remove(event.eventId());
            LOG.warn("{} failed ({}) and is a dead letter again; its key goes on", event, event.reason());
        } else {
            waitsForAPerson(event, key.redrives());
        }
    }

    /** Whether its place is the dead-letter topic: it has come from there, or this runner parks no keys. */
    private boolean goesBack(ParkedEvent event) throws SQLException {
        return !parksKeys || store.isDead(group, event.eventId());
    }

    private void waitsForAPerson(ParkedEvent event, int redrives) throws SQLException {
        store.failed(group, event, new Change(State.PARKED, null, redrives));
        failing.remove(event.eventId());
        LOG.warn(
                "{} failed ({}) and stays parked with its key, {} redrives of which have failed; later events of the key wait behind it: mend the cause, then redrive or discard the key",
                event,
                event.reason(),
                redrives);
    }
}
