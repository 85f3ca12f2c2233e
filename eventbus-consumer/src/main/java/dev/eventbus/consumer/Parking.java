package dev.eventbus.consumer;

import dev.eventbus.DecodeException;
import dev.eventbus.Event;
import dev.eventbus.consumer.ConsumerRunnerBuilder.Settings;
import dev.eventbus.consumer.FailurePolicy.Disposition;
import dev.eventbus.consumer.FailurePolicy.Failure;
import dev.eventbus.consumer.InFlight.Delivered;
import dev.eventbus.consumer.Routes.Route;
import dev.eventbus.consumer.deadletter.DeadLetterSink;
import dev.eventbus.consumer.deadletter.FailureText;
import dev.eventbus.consumer.inbox.HandlerTransactionException;
import dev.eventbus.consumer.inbox.Mark;
import dev.eventbus.consumer.inbox.Outcome;
import dev.eventbus.consumer.inbox.ParkingStore;
import dev.eventbus.consumer.inbox.ParkingStore.Change;
import dev.eventbus.consumer.inbox.ParkingStore.Drained;
import dev.eventbus.consumer.internal.AtWork;
import dev.eventbus.consumer.internal.CrashWatch;
import dev.eventbus.consumer.internal.DeadAgain;
import dev.eventbus.consumer.internal.DrainLoop;
import dev.eventbus.consumer.internal.DrainLoop.Turn;
import dev.eventbus.consumer.internal.DrainProblems;
import dev.eventbus.consumer.internal.DrainStep;
import dev.eventbus.consumer.internal.ParkedKeys;
import dev.eventbus.consumer.internal.SparseLog;
import dev.eventbus.consumer.parking.ParkedEvent;
import dev.eventbus.consumer.parking.ParkedKey;
import dev.eventbus.consumer.parking.ParkedKey.State;
import dev.eventbus.internal.Fatal;
import dev.eventbus.topics.KafkaCluster;
import java.sql.SQLException;
import java.time.Duration;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.Collection;
import java.util.Optional;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.BooleanSupplier;
import org.apache.kafka.clients.consumer.Consumer;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Handles the events of parked keys that wait no more: redriven ones, and those whose next try is due. A key is drained in order, event by
 * event, and lifted when none is left; {@link DrainLoop} says when.
 *
 * <p>Each start of a handler is noted before, and taken off when it returns. One that was noted already was running when its process
 * ended: it runs alone from then on, as {@link CrashWatch} has it, and nothing is drained while others do.
 */
final class Parking {

    private static final int MOST_REMEMBERED = 10_000;
    private static final Logger LOG = LoggerFactory.getLogger(Parking.class);

    private final String group;
    private final KafkaCluster kafka;
    private final Routes routes;
    private final RunnerListener listener;
    private final FailurePolicy policy;
    private final HandlerCall call;
    private final ParkingStore store;
    private final DrainStep step;
    private final CrashWatch crashes;
    private final ParkedKeys keys;
    private final DrainLoop loop;
    private final BooleanSupplier suspects;
    private final DeadAgain deadAgain;
    private final SparseLog sparse = new SparseLog(LOG);

    /** First events that run or have failed here, these without what the database keeps of them; by id. */
    private final ConcurrentHashMap<String, InFlight> failing = new ConcurrentHashMap<>();

    private final DrainProblems problems = new DrainProblems();

    /** @param suspects whether records that may end the process run or wait in the runner's lanes */
    Parking(Settings settings, DeadLetterSink sink, HandlerCall call, DrainLoop.Lent lent, BooleanSupplier suspects) {
        this.group = settings.group();
        this.kafka = settings.kafka();
        this.routes = settings.routes();
        this.listener = settings.listener();
        this.policy = new FailurePolicy(settings.retry(), settings.classify(), settings.afterRetries());
        this.call = call;
        this.keys = call.requireParkedKeys();
        this.store = routes.requireInbox().parking();
        this.step = new DrainStep(store, group, kafka.clock());
        this.crashes = new CrashWatch(routes.requireInbox().attempts());
        this.suspects = suspects;
        this.deadAgain = new DeadAgain(store, sink, group, policy.goesOn());
        this.loop = new DrainLoop(group, keys, routes.physicalTopics(kafka), lent, this::drain);
    }

    DrainLoop loop() {
        return loop;
    }

    /** What is wrong, in words; null if nothing is. */
    @Nullable
    String problem() {
        String ours = loop.problem();
        return ours != null ? ours : problems.ofParked(keys, loop::isOurs);
    }

    /** How much is parked, as far as this runner knows. */
    RunnerHealth.Parked parked() {
        return new RunnerHealth.Parked(keys.size(), keys.events());
    }

    /** As {@link DrainLoop#owns}. */
    void owns(Collection<Partition> assigned, Consumer<?, ?> client) {
        if (loop.owns(assigned, client)) {
            forgetEvents();
        }
    }

    private void forgetEvents() {
        failing.clear();
        problems.forgetAll();
    }

    /** What came of a key's first event. */
    private enum Came {
        /** It is out of the way. */
        ENDED,
        /** It is not, and its key is not due any more. */
        CHANGED,
        /** It is a dead letter again: nothing is noted of it, and its key goes on. */
        SET_ASIDE,
        /** Nothing is noted of it. */
        NOTHING
    }

    private Turn drain(ParkedKey key) throws SQLException {
        int done = 0;
        Came came = Came.ENDED;
        while (came == Came.ENDED && done < DrainLoop.EVENTS_A_TURN && mayGoOn(key)) {
            Optional<ParkedEvent> first = store.first(group, key);
            if (first.isEmpty()) {
                came = lift(key) ? Came.CHANGED : Came.NOTHING;
            } else {
                came = begin(key, first.get());
            }
            done += came == Came.NOTHING ? 0 : 1;
        }
        return new Turn(done, came == Came.ENDED && done > 0);
    }

    private Came begin(ParkedKey key, ParkedEvent event) throws SQLException {
        HandlerCall.startAfresh();
        remember(event, event.record());
        try {
            return DeadAgain.isLetterDue(key, event) ? sendLetter(key, event, null) : run(key, event);
        } finally {
            remember(event, new ConsumerRecord<>(event.topic(), event.partition(), event.offset(), null, null));
        }
    }

    private void remember(ParkedEvent event, ConsumerRecord<byte[], byte[]> as) {
        failing.computeIfPresent(event.eventId(), (id, known) -> known.as(as));
    }

    private boolean mayGoOn(ParkedKey key) {
        keys.met(key.topic(), key.key()); // a lane that asked before it was parked may have forgotten it since
        boolean suspectsRun = suspects.getAsBoolean() || crashes.holdsOthers() || keys.isLive(key.topic(), key.key());
        // else one that is live no more has forgotten it, and the next would run beside a parked one
        boolean known = keys.contains(key.topic(), key.key());
        return !loop.isStopping() && !suspectsRun && known && (key.events() == 0 || loop.isOurs(key));
    }

    private boolean lift(ParkedKey key) throws SQLException {
        boolean lifted = store.lift(group, key);
        if (lifted) { // its lane may have parked it again by now, so it is not forgotten here
            LOG.info("a key of {} is not parked any more: all its events are handled", key.topic());
        }
        return lifted;
    }

    private Came run(ParkedKey key, ParkedEvent event) throws SQLException {
        InFlight record = inFlight(event);
        Mark mark = Mark.of(group, event.eventId(), record.record());
        try (AtWork.Step ignored = call.atWork(record)) {
            Came came = crashes.run(
                    record.suspicion(),
                    mark,
                    () -> step.isFree(key),
                    () -> read(key, event, record, mark),
                    () -> convicted(key, event, mark));
            return came == null ? Came.NOTHING : came;
        }
    }

    private Came convicted(ParkedKey key, ParkedEvent event, Mark mark) throws SQLException {
        Came came = failed(key, event, new Failure.EndedTheProcess(CrashWatch.MAX_STARTS));
        if (came != Came.NOTHING) {
            crashes.forget(mark);
        }
        return came;
    }

    /** What it is read with may end the process, too, so that its start is noted by now. */
    private Came read(ParkedKey key, ParkedEvent event, InFlight record, Mark mark) throws SQLException {
        record.failedBefore(record.suspicion().failuresNoted());
        Came came = Came.NOTHING;
        try {
            call.decoded(record);
        } catch (DecodeException e) {
            if (!call.wasInterrupted()) { // else that may be why
                came = routes.ignores(e) ? skip(key, event, e) : failed(key, event, new Failure.Undecodable(e));
            }
        }
        if (record.event() != null && !call.wasInterrupted()) {
            return handle(key, event, record, mark);
        }
        if (came != Came.SET_ASIDE) {
            crashes.after(record.suspicion(), mark, came == Came.ENDED, record.attempts());
        }
        return came;
    }

    private Came handle(ParkedKey key, ParkedEvent event, InFlight record, Mark mark) throws SQLException {
        Event<?> decoded = call.decoded(record);
        Route route = routes.of(decoded);
        Delivered delivery = delivered(record);
        boolean isBeside =
                route instanceof Route.AtLeastOnce && routes.requireInbox().hasOwnTransactions();
        BooleanSupplier stands = () -> isBeside && !record.took().isZero();
        boolean[] ran = {false};
        Drained drained = new Drained.Nothing();
        Throwable failure = null;
        try {
            drained = step.run(key, event, stands, transaction -> {
                long began = System.nanoTime();
                ran[0] = true;
                call.inUserCode(decoded, delivery, () -> route.handle(call.handedOut(record), delivery, transaction));
                record.took(Duration.ofNanos((System.nanoTime() - began) | 1));
            });
        } catch (Throwable e) {
            Fatal.rethrow(e); // its start stays noted
            failure = e;
        }
        if (drained instanceof Drained.Ran) {
            call.handled(decoded, delivery, route.watch(), record.took());
        } else if (drained instanceof Drained.AlreadyApplied) {
            listener.repeated(decoded.type().name(), delivery, Outcome.DONE);
        }
        if (!(drained instanceof Drained.Nothing)) {
            forget(key, event);
            return Came.ENDED;
        }
        boolean committed = failure instanceof HandlerTransactionException;
        if (failure != null && committed) {
            LOG.error("{}", failure.getMessage()); // the next look finds it applied
        }
        boolean hasFailed = failure != null && !committed && !call.wasInterrupted();
        Came came = Came.NOTHING;
        try {
            if (hasFailed && (!ran[0] || stands.getAsBoolean())) {
                throw failure instanceof SQLException said ? said : new SQLException("no handler has failed", failure);
            }
            if (hasFailed && failure != null) {
                came = failed(key, event, new Failure.HandlerFailed(failure, route.watch()));
            }
            return came;
        } finally {
            if (came != Came.SET_ASIDE) {
                crashes.after(record.suspicion(), mark, false, record.attempts());
            }
        }
    }

    private Came skip(ParkedKey key, ParkedEvent event, DecodeException ignored) throws SQLException {
        Delivered delivery = delivered(inFlight(event));
        if (store.skip(group, key, event.eventId()::equals) == 0) {
            return Came.NOTHING;
        }
        listener.skipped(ignored.eventType(), delivery);
        forget(key, event);
        return Came.ENDED;
    }

    /** As it is known since it failed here first. */
    private InFlight inFlight(ParkedEvent parked) {
        if (failing.size() >= MOST_REMEMBERED) {
            forgetEvents();
        }
        return failing.computeIfAbsent(parked.eventId(), id -> {
            InFlight record = new InFlight(parked.record(), 0);
            record.failedBefore(parked.attempts());
            return record;
        });
    }

    private void forget(ParkedKey key, ParkedEvent event) {
        failing.remove(event.eventId());
        problems.forget(key);
    }

    private Delivered delivered(InFlight record) {
        return new Delivered(group, kafka.logicalTopic(record.record().topic()), record);
    }

    // ---- after a failure

    private Came failed(ParkedKey key, ParkedEvent event, Failure failure) throws SQLException {
        InFlight record = inFlight(event);
        Delivered delivery = delivered(record);
        Instant now = kafka.clock().instant().truncatedTo(ChronoUnit.MICROS);
        Disposition disposition = policy.decide(failure, record, now);
        Throwable cause = failure.cause();
        Duration delay = disposition.delay();
        if (cause != null) {
            record.failed(now, FailureText.nameOf(cause));
        }
        if (disposition instanceof Disposition.WaitFor wait) {
            return waits(key, event, cause, wait.delay());
        }
        problems.forget(key);
        if (event.hasFailedForGood()) { // a redrive is one try
            return staysParked(key, dead(event, disposition, cause), key.redrives() + 1);
        }
        if (delay != null) {
            ParkedEvent later = event.failed(record.attempts(), ParkedEvent.RETRY_LATER, FailureText.textOf(cause));
            LOG.debug("{} failed and is tried again in {}", later, delay);
            if (cause != null) {
                listener.retried(record.typeName(), delivery, cause, delay);
            }
            return noted(key, later, new Change(key.state(), now.plus(delay), key.redrives()));
        }
        int redrives = key.redrives() + (key.state() == State.REDRIVE ? 1 : 0);
        ParkedEvent dead = dead(event, disposition, cause);
        Came noted = noted(key, dead, new Change(State.WAITING, now, redrives)); // so that a crash forgets no letter
        return noted == Came.NOTHING
                ? noted
                : sendLetter(key.changed(State.WAITING, String.valueOf(dead.reason()), now, redrives), dead, cause);
    }

    private ParkedEvent dead(ParkedEvent event, Disposition disposition, @Nullable Throwable cause) {
        String text = cause == null ? event.error() : FailureText.of(cause);
        return event.failed(inFlight(event).attempts(), disposition.reason().name(), text);
    }

    private Came waits(ParkedKey key, ParkedEvent event, @Nullable Throwable cause, Duration delay)
            throws SQLException {
        InFlight record = inFlight(event);
        String problem = "what parked events of type %s depend on is unavailable (%s)"
                .formatted(record.typeName(), FailureText.nameOf(FailureText.tellingOf(cause)));
        problems.put(key, problem);
        sparse.warn(kafka.clock().instant(), problem, "{}: {} is tried again in {}{}", problem, event, delay);
        listener.waited(record.eventType(), delivered(record), cause, delay);
        ParkedEvent same = event.reason() != null
                ? event
                : event.failed(event.attempts(), ParkedEvent.RETRY_LATER, FailureText.textOf(cause));
        State state = event.hasFailedForGood() ? State.REDRIVE : key.state();
        Instant due = kafka.clock().instant().plus(delay).truncatedTo(ChronoUnit.MICROS);
        return noted(key, same, new Change(state, due, key.redrives()));
    }

    private Came noted(ParkedKey key, ParkedEvent event, Change change) throws SQLException {
        if (!store.failed(group, key, event, change)) {
            return Came.NOTHING;
        }
        loop.dueAt(key, change.nextTry());
        return Came.CHANGED;
    }

    /** The copy goes to the dead-letter topic, then the key waits for a person; if it cannot be sent, only that is tried again. */
    private Came sendLetter(ParkedKey key, ParkedEvent event, @Nullable Throwable cause) throws SQLException {
        Instant firstFailed = inFlight(event).firstFailedAt();
        if (!deadAgain.send(key, event, cause, firstFailed, kafka.clock().instant())) {
            problems.put(key, "a parked event's copy cannot be sent to its dead-letter topic; it is tried again");
            Instant due = kafka.clock().instant().plus(ParkedKeys.LOOKS_AGAIN).truncatedTo(ChronoUnit.MICROS);
            return noted(key, event, new Change(State.WAITING, due, key.redrives()));
        }
        return deadAgain.goesBack(event) ? isDeadAgain(key, event) : staysParked(key, event, key.redrives());
    }

    private Came isDeadAgain(ParkedKey key, ParkedEvent event) throws SQLException {
        Instant now = kafka.clock().instant();
        if (!deadAgain.setAside(key, event, now)) {
            return Came.NOTHING;
        }
        loop.dueAt(key, now); // with its next event
        listener.deadLettered(inFlight(event).eventType(), delivered(inFlight(event)), event.failureReason());
        forget(key, event);
        return Came.SET_ASIDE;
    }

    private Came staysParked(ParkedKey key, ParkedEvent event, int redrives) throws SQLException {
        if (!store.failed(group, key, event, new Change(State.PARKED, null, redrives))) {
            return Came.NOTHING;
        }
        InFlight record = inFlight(event);
        listener.parked(record.typeName(), delivered(record), event.failureReason());
        deadAgain.tellParked(event, redrives, kafka.clock().instant());
        forget(key, event);
        return Came.CHANGED;
    }
}
