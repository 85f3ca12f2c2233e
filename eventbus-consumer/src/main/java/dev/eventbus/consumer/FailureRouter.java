package dev.eventbus.consumer;

import dev.eventbus.DecodeException;
import dev.eventbus.Event;
import dev.eventbus.FailureReason;
import dev.eventbus.consumer.ConsumerRunnerBuilder.Settings;
import dev.eventbus.consumer.FailurePolicy.Disposition;
import dev.eventbus.consumer.FailurePolicy.Failure;
import dev.eventbus.consumer.InFlight.Delivered;
import dev.eventbus.consumer.InFlight.Step;
import dev.eventbus.consumer.LaneWorkers.Progress;
import dev.eventbus.consumer.deadletter.DeadLetterSink;
import dev.eventbus.consumer.deadletter.FailureText;
import dev.eventbus.consumer.deadletter.Origin;
import dev.eventbus.consumer.inbox.AttemptStore.Attempts;
import dev.eventbus.consumer.inbox.JdbcInbox;
import dev.eventbus.consumer.inbox.Mark;
import dev.eventbus.consumer.inbox.MarkResult;
import dev.eventbus.consumer.inbox.Outcome;
import dev.eventbus.consumer.internal.Backoff;
import dev.eventbus.consumer.internal.ParkedKeys;
import dev.eventbus.consumer.internal.SparseLog;
import dev.eventbus.consumer.parking.ParkedEvent;
import dev.eventbus.consumer.parking.ParkedKey;
import dev.eventbus.topics.KafkaCluster;
import java.sql.SQLException;
import java.time.Duration;
import java.time.Instant;
import java.util.Objects;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Carries out what {@link FailurePolicy} decides, and takes a dying record through its steps, each of which is repeated until it
 * has happened and none of which runs the handler again:
 *
 * <pre>
 *   DECIDE   the inbox notes DYING      whoever meets the mark from now on only publishes
 *   PARK     its key is parked instead  whoever meets the mark from now on follows it
 *   PUBLISH  the letter is sent         the lane is left while it is on its way
 *   SETTLE   the inbox notes DEAD       after the broker's acknowledgement; only then the offset is finished
 * </pre>
 *
 * <p>Of a record without a mark PUBLISH alone remains. Runs on the thread that runs the record's lane.
 */
final class FailureRouter {

    /**
     * Where dead letters go, and who is told first.
     *
     * @param topic logical dead-letter topic
     * @param inbox null if the runner has none
     * @param parked keys that are, whatever the policy now; null without an inbox
     */
    record LettersOut(
            DeadLetterSink sink,
            String topic,
            @Nullable JdbcInbox inbox,
            @Nullable ParkedKeys parked) {}

    private static final Logger LOG = LoggerFactory.getLogger(FailureRouter.class);

    private final String group;
    private final KafkaCluster kafka;
    private final FailurePolicy policy;
    private final @Nullable LettersOut letters;
    private final RunnerListener listener;
    private final SparseLog sparse = new SparseLog(LOG);

    /** @param sink null if the runner only reads dead letters, which never die themselves */
    FailureRouter(Settings settings, @Nullable DeadLetterSink sink) {
        this.group = settings.group();
        this.kafka = settings.kafka();
        this.policy = new FailurePolicy(settings.retry(), settings.classify(), settings.afterRetries());
        this.listener = settings.listener();
        AfterRetries after = settings.afterRetries();
        JdbcInbox inbox = settings.routes().inbox();
        ParkedKeys parked = inbox == null ? null : new ParkedKeys(inbox.parking(), group);
        this.letters = sink == null || after == null ? null : new LettersOut(sink, after.topic(), inbox, parked);
    }

    /** Decides about a failure and takes the first step. */
    Progress failed(InFlight record, Failure failure) {
        Instant now = kafka.clock().instant();
        Delivery delivery = delivered(record);
        Disposition disposition = policy.decide(failure, record, now);
        Throwable cause = failure.cause();
        if (!(failure instanceof Failure.HeldElsewhere)) {
            record.held().over();
        }
        if (cause != null) {
            record.failed(now, FailureText.nameOf(cause));
        }
        if (disposition instanceof Disposition.RetryAfter retry) {
            return retry(record, delivery, cause, retry.delay());
        }
        if (disposition instanceof Disposition.WaitFor wait) {
            return waits(record, failure, cause, wait.delay());
        }
        if (disposition instanceof Disposition.StopPartition stop) {
            return stop(record, "%s (%s)".formatted(stop.reason(), FailureText.nameOf(cause)));
        }
        if (disposition instanceof Disposition.ParkKey park) {
            record.dies(origin(record, park.reason(), cause, now));
            record.parks(park.delay() == null ? Instant.MIN : now.plus(park.delay()));
            record.step(Step.PARK);
            return proceed(record);
        }
        if (disposition instanceof Disposition.SetAside aside) {
            Origin origin = origin(record, aside.reason(), cause, now);
            record.dies(
                    failure instanceof Failure.EndedTheProcess ended
                            ? origin.withAttempts(record.attempts() + ended.starts())
                            : origin);
            record.step(record.mark() == null ? Step.PUBLISH : Step.DECIDE);
            return proceed(record);
        }
        throw new IllegalStateException("no way to carry out " + disposition);
    }

    /**
     * An earlier owner of the event has decided that it dies, but nobody knows whether its letter has arrived. Why it dies only that
     * letter says, so it is told from what is noted of its attempts.
     */
    private Progress dyingAlready(InFlight record) {
        Attempts noted;
        Mark mark = record.mark();
        JdbcInbox inbox = letters == null ? null : letters.inbox();
        try {
            noted = mark == null || inbox == null
                    ? Attempts.NONE
                    : inbox.attempts().of(mark);
        } catch (SQLException e) {
            return failed(record, new Failure.DeadLetteringFailed(e));
        }
        FailureReason reason = policy.whyItDied(noted);
        record.parks(null); // its mark says that it goes on
        record.failedBefore(noted.failures());
        record.suspicion().failedBefore(noted.failures());
        int runs = record.attempts() + (reason == FailureReason.CRASHED_HANDLER ? noted.starts() : 0);
        record.dies(origin(record, reason, null, kafka.clock().instant()).withAttempts(runs));
        record.step(Step.PUBLISH);
        return proceed(record);
    }

    /** Takes a dying record as far as it gets without waiting. */
    Progress proceed(InFlight record) {
        Origin origin = record.origin();
        LettersOut out = letters;
        if (origin == null || out == null) {
            throw new IllegalStateException("a record in step %s that does not die".formatted(record.step()));
        }
        try {
            Progress left = record.step() == Step.DECIDE ? decide(record, out) : null;
            left = left == null && record.step() == Step.PARK ? park(record, origin, out) : left;
            left = left == null && record.step() == Step.PUBLISH ? publish(record, origin, out) : left;
            if (left != null) {
                return left;
            }
            Mark mark = record.mark();
            if (mark != null && out.inbox() != null && !record.isParked()) {
                out.inbox().dead(mark);
            }
        } catch (SQLException e) {
            return failed(record, new Failure.DeadLetteringFailed(e));
        }
        if (record.isParked()) {
            return parked(record, origin.reason());
        }
        listener.deadLettered(record.eventType(), delivered(record), origin.reason());
        warn(
                "dead " + origin.reason(),
                "{} was dead-lettered to {} after {} attempts: {}{}{}",
                record.where(),
                out.topic(),
                origin.attempts(),
                origin.reason(),
                origin.message() == null ? "" : ", " + origin.message());
        return Progress.ENDED;
    }

    /** Null if the letter is to be sent. */
    private @Nullable Progress decide(InFlight record, LettersOut out) throws SQLException {
        Mark mark = record.mark();
        JdbcInbox inbox = out.inbox();
        if (mark != null && inbox != null) {
            MarkResult result = inbox.decide(mark, Outcome.DYING);
            if (result instanceof MarkResult.HeldElsewhere) {
                return failed(record, new Failure.HeldElsewhere(false));
            }
            if (result instanceof MarkResult.Known known && known.outcome() != Outcome.DYING) {
                return known(record, known.outcome());
            }
            if (result instanceof MarkResult.IdConflict) {
                record.mark(null); // the mark is another event's
            }
        }
        record.step(Step.PUBLISH);
        return null;
    }

    /** Null if the key is parked and a copy is to be sent. */
    private @Nullable Progress park(InFlight record, Origin origin, LettersOut out) throws SQLException {
        Mark mark = record.mark();
        ParkedKeys keys = out.parked();
        Instant due = record.parkedUntil();
        if (mark == null || keys == null || due == null) {
            throw new IllegalStateException("a record that cannot be parked");
        }
        boolean later = due.isAfter(Instant.MIN);
        if (!keys.haveRoom(mark.topic(), record.record().key())) {
            record.held().over();
            return new Progress.Waits(ParkedKeys.LOOKS_AGAIN, ParkedKeys.TOO_MANY);
        }
        String reason = later ? ParkedEvent.RETRY_LATER : origin.reason().name();
        ParkedEvent event = ParkedEvent.following(mark.eventId(), record.record())
                .failed(record.attempts(), reason, origin.message());
        ParkedKey.State state = later ? ParkedKey.State.WAITING : ParkedKey.State.PARKED;
        MarkResult result = keys.park(mark, event, state, later ? due : null);
        if (result instanceof MarkResult.HeldElsewhere) {
            return failed(record, new Failure.HeldElsewhere(true));
        }
        if (result instanceof MarkResult.Known known) {
            return known(record, known.outcome());
        }
        if (result instanceof MarkResult.IdConflict) {
            record.mark(null); // the mark is another event's, so this one only dies
            record.parks(null);
        } else if (later) {
            warn(
                    "later " + record.typeName(),
                    "{} is tried again at {}: its key is parked until then{}",
                    record.where(),
                    due);
            listener.parked(record.typeName(), delivered(record), null);
            return Progress.ENDED;
        }
        record.step(Step.PUBLISH);
        return null;
    }

    private Progress parked(InFlight record, FailureReason reason) {
        warn(
                "parked " + reason,
                "{} is parked with its key: {} after {} attempts; later events of the key wait behind it: mend the cause, then redrive or discard the key{}",
                record.where(),
                reason,
                record.attempts());
        listener.parked(record.typeName(), delivered(record), reason);
        return Progress.ENDED;
    }

    private void warn(String subject, String text, Object... arguments) {
        sparse.warn(kafka.clock().instant(), subject, text, arguments);
    }

    /** The event was parked before, so that its key is; whether a copy of one that failed has arrived nobody knows. */
    private Progress parkedAlready(InFlight record, LettersOut out, ParkedKeys keys, Mark mark) {
        keys.met(mark.topic(), record.record().key());
        Optional<ParkedEvent> parked;
        try {
            parked = Objects.requireNonNull(out.inbox()).parking().find(group, mark.eventId());
        } catch (SQLException e) {
            return failed(record, new Failure.NotNoted(e));
        }
        if (parked.isEmpty()) {
            record.held().over();
            return new Progress.Waits(Backoff.HELD_ELSEWHERE, null); // it was handled meanwhile: the mark says so now
        }
        if (!parked.get().hasFailedForGood()) {
            listener.repeated(record.typeName(), delivered(record), Outcome.PARKED);
            return Progress.ENDED;
        }
        record.dies(
                origin(record, parked.get().failureReason(), null, kafka.clock().instant())
                        .withError(parked.get().error(), parked.get().attempts()));
        record.parks(Instant.MIN);
        record.step(Step.PUBLISH);
        return proceed(record);
    }

    /** Null if keys are not parked. */
    @Nullable
    ParkedKeys parkedKeys() {
        return letters == null ? null : letters.parked();
    }

    /** Null if the broker has the letter. */
    private @Nullable Progress publish(InFlight record, Origin origin, LettersOut out) {
        InFlight.Sent sent = record.takeSendResult();
        if (sent == null) {
            CompletionStage<Void> letter = out.sink().send(record.record(), origin);
            CompletableFuture<Void> now = letter.toCompletableFuture();
            if (!now.isDone()) {
                return new Progress.Sends(letter);
            }
            sent = new InFlight.Sent(now.handle((acknowledged, e) -> e).join());
        }
        if (sent.failure() != null) {
            return failed(record, new Failure.DeadLetteringFailed(sent.failure()));
        }
        record.step(Step.SETTLE);
        return null;
    }

    /** Somebody has dealt with the event before, and we obey. */
    Progress known(InFlight record, Outcome outcome) {
        if (outcome == Outcome.DYING) {
            return dyingAlready(record);
        }
        LettersOut out = letters;
        Mark mark = record.mark();
        boolean hasKey = record.record().key() != null; // without one it is a copy, and nothing comes behind it
        if (outcome == Outcome.PARKED && hasKey && out != null && out.parked() != null && mark != null) {
            return parkedAlready(record, out, out.parked(), mark);
        }
        listener.repeated(record.typeName(), delivered(record), outcome);
        return Progress.ENDED;
    }

    private Progress retry(InFlight record, Delivery delivery, @Nullable Throwable cause, Duration delay) {
        String type = record.typeName();
        warn(
                type + FailureText.nameOf(cause),
                "{} failed attempt {} with {} and is tried again in {}; its key waits{}",
                record.where(),
                record.attempts(),
                FailureText.nameOf(cause),
                delay);
        LOG.debug("{} failed attempt {}: {}", record.where(), record.attempts(), FailureText.textOf(cause));
        if (cause != null) {
            listener.retried(type, delivery, cause, delay);
        }
        return new Progress.Waits(delay, null);
    }

    private Progress waits(InFlight record, Failure failure, @Nullable Throwable cause, Duration delay) {
        String problem = problemOf(record, failure, cause);
        if (problem != null) {
            warn(
                    problem,
                    "{}: {} waits and is tried again in {}, without using an attempt{}",
                    problem,
                    record.where(),
                    delay);
        }
        listener.waited(record.eventType(), delivered(record), cause, delay);
        return new Progress.Waits(delay, problem);
    }

    /** The same for all that wait for the same thing, since it is what they are counted and told by: where they stand is not in it. */
    private @Nullable String problemOf(InFlight record, Failure failure, @Nullable Throwable cause) {
        String telling = FailureText.nameOf(FailureText.tellingOf(cause));
        if (failure instanceof Failure.HeldElsewhere held) {
            if (!record.held().isForLong(held.follows(), kafka.clock().instant())) {
                return null; // the ordinary end of a hand-over
            }
            return held.follows()
                    ? "an event follows a parked key that is in hand: another event of the key runs for long, or a transaction does not end"
                    : "the mark of an event is held by a transaction that does not end";
        }
        if (failure instanceof Failure.NotNoted) {
            return "the inbox cannot note that a handler starts or a record is read (%s)".formatted(telling);
        }
        if (failure instanceof Failure.DeadLetteringFailed) {
            return cause instanceof SQLException
                    ? "the inbox cannot note a dead letter (%s)".formatted(FailureText.nameOf(cause))
                    : "dead-letter topic %s cannot be written (%s)"
                            .formatted(letters == null ? "" : letters.topic(), telling);
        }
        return "what %s depends on is unavailable (%s)".formatted(record.typeName(), telling);
    }

    Progress stop(InFlight record, String because) {
        String why = because.endsWith(".") ? because.substring(0, because.length() - 1) : because;
        LOG.error(
                "{} stops its partition: {}. Nothing behind it is committed or started; mend the cause and restart the process, or close this runner and build a new one",
                record.where(),
                why);
        return new Progress.Stops("%s: %s".formatted(record.where(), why));
    }

    private Origin origin(InFlight record, FailureReason reason, @Nullable Throwable cause, Instant now) {
        Event<?> event = record.event();
        String id = event != null
                ? event.id()
                : cause instanceof DecodeException e ? e.eventId() : Mark.idOf(record.record());
        Origin origin = record.origin(group, reason, now, parkedKeys() == null).withEventId(id);
        Instant first = record.firstFailedAt();
        return cause == null ? origin : origin.withFailure(cause, record.attempts(), first == null ? now : first);
    }

    private Delivery delivered(InFlight record) {
        return new Delivered(group, kafka.logicalTopic(record.record().topic()), record);
    }
}
