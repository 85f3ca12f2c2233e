package dev.eventbus.consumer;

import dev.eventbus.DecodeException;
import dev.eventbus.Event;
import dev.eventbus.consumer.FailurePolicy.Failure;
import dev.eventbus.consumer.FailurePolicy.OutageWatch;
import dev.eventbus.consumer.InFlight.Delivered;
import dev.eventbus.consumer.LaneWorkers.Progress;
import dev.eventbus.consumer.Routes.Route;
import dev.eventbus.consumer.deadletter.DeadLetter;
import dev.eventbus.consumer.inbox.HandlerTransactionException;
import dev.eventbus.consumer.inbox.JdbcInbox;
import dev.eventbus.consumer.inbox.Mark;
import dev.eventbus.consumer.inbox.MarkResult;
import dev.eventbus.consumer.inbox.Outcome;
import dev.eventbus.consumer.internal.AtWork;
import dev.eventbus.consumer.internal.CrashWatch;
import dev.eventbus.consumer.internal.HandlerMdc;
import dev.eventbus.consumer.internal.ParkedKeys;
import dev.eventbus.consumer.parking.ParkedEvent;
import dev.eventbus.internal.Fatal;
import dev.eventbus.topics.KafkaCluster;
import java.sql.SQLException;
import java.time.Duration;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * One step of one record: it is decoded, its handler is found and run; with an inbox in one transaction with its mark. A record
 * that dies goes on where {@link FailureRouter} left it.
 *
 * <p>Runs on the thread that runs the record's lane. While user code runs no lock is held, and the MDC has what {@link HandlerMdc} says.
 */
final class HandlerCall implements LaneWorkers.Work {

    private static final Logger LOG = LoggerFactory.getLogger(HandlerCall.class);

    /** The user's code, whatever it is. */
    interface UserCode {
        void run() throws Exception;
    }

    private final String group;
    private final KafkaCluster kafka;
    private final Routes routes;
    private final FailureRouter router;
    private final RunnerListener listener;
    private final @Nullable CrashWatch crashes;
    private final AtWork atWork = new AtWork();

    /** Set once: handlers have been interrupted because the runner's time to close is over. */
    private volatile boolean interrupted;

    HandlerCall(String group, KafkaCluster kafka, Routes routes, FailureRouter router, RunnerListener listener) {
        this.group = group;
        this.kafka = kafka;
        this.routes = routes;
        this.router = router;
        this.listener = listener;
        JdbcInbox inbox = routes.inbox();
        this.crashes = inbox == null ? null : new CrashWatch(inbox.attempts());
    }

    @Override
    public Progress advance(InFlight record) {
        startAfresh();
        try (AtWork.Step ignored = atWork(record)) {
            Progress progress = step(record);
            Event<?> event = record.event();
            if (crashes != null
                    && event != null
                    && (record.attempts() > 0 || !record.suspicion().isNone())) {
                boolean ended = progress instanceof Progress.Ended;
                crashes.after(record.suspicion(), markOf(record, event), ended, record.attempts());
            }
            return progress;
        }
    }

    private Progress step(InFlight record) {
        if (record.step() != InFlight.Step.HANDLE) {
            return router.proceed(record);
        }
        String topic = kafka.logicalTopic(record.record().topic());
        DeadLetterHandler letterHandler = routes.lettersOf(topic);
        if (letterHandler != null) {
            return handleLetter(record, letterHandler, new Delivered(group, topic, record));
        }
        Event<?> event;
        try {
            Progress held = record.suspicion().isNone() ? null : readUnderWatch(record);
            if (held != null) {
                return held;
            }
            event = decoded(record);
        } catch (DecodeException e) {
            return undecodable(record, e, topic);
        }
        Route route = routes.of(event);
        if (routes.skips(record.record(), group, route)) {
            listener.skipped(record.eventType(), new Delivered(group, topic, record));
            return Progress.ENDED;
        }
        if (route instanceof Route.Once && record.mark() == null) {
            record.mark(Mark.of(group, event.id(), record.record()));
        }
        ParkedKeys keys = router.parkedKeys();
        if (keys == null || record.record().key() == null) {
            return run(record, event, route, topic);
        }
        boolean parked = keys.contains(record.record().topic(), record.record().key());
        // not as a live one: that would keep the key's parked events from running
        Progress joins = parked ? follow(record, event, keys) : null;
        return joins != null
                ? joins
                : keys.live(List.of(record.record()), () -> {
                    Progress follows = follows(record, event, keys);
                    return follows != null ? follows : run(record, event, route, topic);
                });
    }

    private Progress run(InFlight record, Event<?> event, Route route, String topic) {
        Progress held = record.suspicion().isNone() ? null : held(record, record.suspicion(), markOf(record, event));
        if (held != null) {
            return held;
        }
        if (interrupted) { // the time to close is over, and a codec may have kept that from it
            return Progress.LET_GO;
        }
        Delivered delivery = new Delivered(group, topic, record);
        return route instanceof Route.Once once
                ? handleOnce(record, event, once, delivery)
                : handle(record, event, (Route.AtLeastOnce) route, delivery);
    }

    /** Null if its key is not parked, so that it may run now; of a live record, so that no drain begins meanwhile. */
    private @Nullable Progress follows(InFlight record, Event<?> event, ParkedKeys keys) {
        try {
            keys.know();
        } catch (SQLException | RuntimeException e) {
            return router.failed(record, new Failure.NotNoted(e));
        }
        String topic = record.record().topic();
        byte[] key = record.record().key();
        if (!keys.contains(topic, key)) {
            return null;
        }
        Progress follows = follow(record, event, keys);
        if (follows == null) {
            keys.forget(topic, key);
        }
        return follows;
    }

    /** Adds the next event of a parked key to it; null if the key is not parked any more, so that the event is live. */
    private @Nullable Progress follow(InFlight record, Event<?> event, ParkedKeys keys) {
        Mark mark = markOf(record, event);
        boolean room = keys.haveRoom(mark.topic(), record.record().key());
        Optional<MarkResult> followed;
        try {
            followed = room
                    ? keys.follow(mark, ParkedEvent.following(mark.eventId(), record.record()))
                    : routes.requireInbox().parking().decided(mark); // a repeat needs no room
        } catch (SQLException e) {
            return router.failed(record, new Failure.NotNoted(e));
        }
        if (followed.isEmpty()) {
            record.held().over();
            return room ? null : new Progress.Waits(ParkedKeys.LOOKS_AGAIN, ParkedKeys.TOO_MANY);
        }
        if (followed.get() instanceof MarkResult.Known known) {
            record.mark(mark);
            if (known.outcome() == Outcome.PARKED || known.outcome() == Outcome.DEAD) {
                record.suspicion().drop(); // what is noted may be of its handler as a parked event's
            }
            return router.known(record, known.outcome());
        }
        if (followed.get() instanceof MarkResult.HeldElsewhere) {
            return router.failed(record, new Failure.HeldElsewhere(true));
        }
        if (followed.get() instanceof MarkResult.IdConflict) {
            record.mark(null); // the mark is another event's, so this one dies without
            return router.failed(record, new Failure.IdConflict());
        }
        record.suspicion().drop(); // what is noted from now on is of its handler as a parked event's
        listener.parked(event.type().name(), new Delivered(group, kafka.logicalTopic(mark.topic()), record), null);
        return Progress.ENDED;
    }

    /** Whether a record may run together with others: it is known not to follow a parked key. */
    boolean mayShare(ConsumerRecord<byte[], byte[]> record) {
        ParkedKeys parked = router.parkedKeys();
        if (parked == null || record.key() == null) {
            return true;
        }
        if (!parked.areKnown()) {
            try (AtWork.Step ignored = atWork.begins(record)) {
                parked.know();
            } catch (Throwable e) { // whatever the user's transactions throw
                Fatal.rethrow(e);
                return false; // by itself that is dealt with
            }
        }
        return !parked.contains(record.topic(), record.key());
    }

    /** Of a runner with an inbox. */
    ParkedKeys requireParkedKeys() {
        return Objects.requireNonNull(router.parkedKeys(), "parked keys of a runner without an inbox");
    }

    /** As this, and several records in one step where their types allow it. */
    BatchCall inBatches() {
        return new BatchCall(this, routes, router, kafka, group);
    }

    /** Reads a watched record, which is noted meanwhile; null if it is read. Throws what decoding throws. */
    private @Nullable Progress readUnderWatch(InFlight record) {
        if (crashes == null || record.isRead() && !record.suspicion().isReading()) {
            return null;
        }
        Mark reading = CrashWatch.readingOf(group, record.record());
        Progress held = held(record, record.suspicion().reading(), reading);
        try {
            if (held == null) {
                crashes.read(record.suspicion(), reading, () -> decoded(record));
            }
            return held;
        } catch (SQLException e) {
            return router.failed(record, new Failure.NotNoted(e));
        }
    }

    /** Null if the handler may run now, or the record be read. */
    private @Nullable Progress held(InFlight record, CrashWatch.Suspicion suspicion, Mark mark) {
        if (crashes == null) {
            return null;
        }
        try {
            CrashWatch.Verdict verdict = crashes.begin(suspicion, mark);
            record.failedBefore(record.suspicion().failuresNoted());
            return switch (verdict) {
                case RUN -> null;
                case RUN_ALONE -> Progress.ALONE;
                case CONVICTED -> convicted(crashes, record, mark);
            };
        } catch (SQLException | RuntimeException e) {
            return router.failed(record, new Failure.NotNoted(e));
        }
    }

    /** Where that stops its partition, a person's restart runs the event once more. */
    private Progress convicted(CrashWatch watch, InFlight record, Mark mark) throws SQLException {
        if (record.event() == null) {
            record.mark(Mark.of(group, Mark.idOf(record.record()), record.record()));
        }
        Progress came = router.failed(record, new Failure.EndedTheProcess(CrashWatch.MAX_STARTS));
        if (came instanceof Progress.Stops) {
            watch.giveOneMore(mark, record.attempts());
        }
        return came;
    }

    private Mark markOf(InFlight record, Event<?> event) {
        Mark mark = record.mark();
        return mark == null ? Mark.of(group, event.id(), record.record()) : mark;
    }

    /** From now on an interrupted handler has not failed. */
    void interrupted() {
        interrupted = true;
    }

    boolean wasInterrupted() {
        return interrupted;
    }

    /** A step of a record begins, whose end is the caller's to tell. */
    AtWork.Step atWork(InFlight record) {
        return atWork.begins(record.record());
    }

    /** Poll thread: what has been at work for long, in words; null if nothing has. */
    @Nullable
    String takesLong() {
        return atWork.look(kafka.clock().instant());
    }

    /** As read once, until a handler has had it: then it is read anew. */
    Event<?> decoded(InFlight record) {
        return routes.read(record, type -> {
            String topic = kafka.logicalTopic(record.record().topic());
            listener.doubledKeys(type, new Delivered(group, topic, record));
        });
    }

    private Progress undecodable(InFlight record, DecodeException e, String topic) {
        if (interrupted) { // that may be why
            return Progress.LET_GO;
        }
        if (routes.ignores(e) || routes.skips(record.record(), group, null)) {
            listener.skipped(e.eventType(), new Delivered(group, topic, record));
            return Progress.ENDED;
        }
        if (routes.inbox() != null) {
            record.mark(Mark.of(group, e.eventId(), record.record()));
        }
        return router.failed(record, new Failure.Undecodable(e));
    }

    private Progress handle(InFlight record, Event<?> event, Route.AtLeastOnce route, Delivered delivery) {
        long began = System.nanoTime();
        try {
            inUserCode(event, delivery, () -> route.handler().handle(handedOut(record), delivery));
        } catch (Throwable e) {
            return failed(record, e, new Failure.HandlerFailed(e, route.watch()));
        }
        return handled(event, delivery, route.watch(), Duration.ofNanos(System.nanoTime() - began));
    }

    private Progress handleOnce(InFlight record, Event<?> event, Route.Once route, Delivered delivery) {
        Mark mark = markOf(record, event);
        long began = System.nanoTime();
        boolean[] ran = {false};
        MarkResult result;
        try {
            result = routes.requireInbox().run(mark, transaction -> {
                ran[0] = true;
                inUserCode(event, delivery, () -> route.handler().handle(handedOut(record), delivery.in(transaction)));
            });
        } catch (Throwable e) {
            return failed(record, e, ran[0] ? new Failure.HandlerFailed(e, route.watch()) : new Failure.NotNoted(e));
        }
        if (result instanceof MarkResult.Known known) {
            return router.known(record, known.outcome());
        }
        if (result instanceof MarkResult.HeldElsewhere) {
            return router.failed(record, new Failure.HeldElsewhere(false));
        }
        if (result instanceof MarkResult.IdConflict) {
            record.mark(null); // the mark is another event's, so this one dies without
            return router.failed(record, new Failure.IdConflict());
        }
        return handled(event, delivery, route.watch(), Duration.ofNanos(System.nanoTime() - began));
    }

    private Progress handleLetter(InFlight record, DeadLetterHandler handler, Delivered delivery) {
        try {
            inUserCode(null, delivery, () -> handler.handle(DeadLetter.of(record.record()), delivery));
        } catch (Throwable e) {
            return failed(record, e, new Failure.LetterHandlerFailed(e));
        }
        return Progress.ENDED;
    }

    Progress handled(Event<?> event, Delivered delivery, OutageWatch watch, Duration took) {
        if (watch.isReported()) {
            watch.succeeded(kafka.clock().instant());
        }
        LOG.debug("handled {} at {}/{}@{}", event, delivery.topic(), delivery.partition(), delivery.offset());
        listener.handled(event.type().name(), delivery, took);
        return Progress.ENDED;
    }

    private Progress failed(InFlight record, Throwable cause, Failure failure) {
        Fatal.rethrow(cause);
        if (cause instanceof HandlerTransactionException committed) {
            return router.stop(
                    record, committed.getMessage()); // else its next try would meet a mark that looks like a repeat's
        }
        return interrupted ? Progress.LET_GO : router.failed(record, failure);
    }

    /** The event for one run of a handler, with the payload that stands in the record. */
    @SuppressWarnings("unchecked") // a route's handler takes the payload class that the decoder has bound
    Event<Object> handedOut(InFlight record) {
        Event<?> event = decoded(record);
        record.handedOut();
        return (Event<Object>) event;
    }

    /** Before a worker begins something: an interrupt that somebody has left behind is none of a record's. */
    static void startAfresh() {
        Thread.interrupted();
    }

    void inUserCode(@Nullable Event<?> event, Delivered delivery, UserCode code) throws Exception {
        try (HandlerMdc mdc = new HandlerMdc()) {
            mdc.put(event, group, delivery.topic(), delivery.record, delivery.attempt());
            code.run();
        } finally {
            Thread.interrupted(); // a handler's interrupt must not meet our commit or the next handler
        }
    }
}
