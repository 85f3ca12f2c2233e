package dev.eventbus.consumer;

import dev.eventbus.DecodeException;
import dev.eventbus.Event;
import dev.eventbus.FailureReason;
import dev.eventbus.consumer.FailurePolicy.Disposition;
import dev.eventbus.consumer.FailurePolicy.Failure;
import dev.eventbus.consumer.HandlerCall.Delivered;
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
import dev.eventbus.topics.KafkaCluster;
import java.sql.SQLException;
import java.time.Duration;
import java.time.Instant;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.ConcurrentHashMap;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Carries out what {@link FailurePolicy} decides, and takes a dying record through its steps, each of which is repeated until it
 * has happened and none of which runs the handler again:
 *
 * <pre>
 *   DECIDE   the inbox notes DYING      whoever meets the mark from now on only publishes
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
     */
    record LettersOut(
            DeadLetterSink sink, String topic, @Nullable JdbcInbox inbox) {}

    private static final Duration HELD_TOO_LONG = Duration.ofSeconds(30);

    private static final Logger LOG = LoggerFactory.getLogger(FailureRouter.class);

    private final String group;
    private final KafkaCluster kafka;
    private final FailurePolicy policy;
    private final @Nullable LettersOut letters;
    private final RunnerListener listener;
    private final SparseLog sparse = new SparseLog();

    /** @param letters null if the runner only reads dead letters, which never die themselves */
    FailureRouter(
            String group,
            KafkaCluster kafka,
            FailurePolicy policy,
            @Nullable LettersOut letters,
            RunnerListener listener) {
        this.group = group;
        this.kafka = kafka;
        this.policy = policy;
        this.letters = letters;
        this.listener = listener;
    }

    /** Decides about a failure and takes the first step. */
    Progress failed(InFlight record, Failure failure) {
        Instant now = kafka.clock().instant();
        Delivery delivery = delivered(record);
        Disposition disposition = policy.decide(failure, record, now);
        Throwable cause = causeOf(failure);
        if (cause != null) {
            record.failed(now, nameOf(cause));
        }
        if (disposition instanceof Disposition.RetryAfter retry) {
            return retry(record, delivery, cause, retry.delay());
        }
        if (disposition instanceof Disposition.WaitFor wait) {
            return waits(record, failure, cause, wait.delay());
        }
        if (disposition instanceof Disposition.StopPartition stop) {
            return stop(record, "%s (%s)".formatted(stop.reason(), nameOf(cause)));
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
        try {
            noted = noted(record);
        } catch (SQLException e) {
            return failed(record, new Failure.DeadLetteringFailed(e));
        }
        FailureReason reason = policy.whyItDied(noted);
        record.failedBefore(noted.failures());
        record.suspicion().failedBefore(noted.failures());
        int runs = record.attempts() + (reason == FailureReason.CRASHED_HANDLER ? noted.starts() : 0);
        record.dies(origin(record, reason, null, kafka.clock().instant()).withAttempts(runs));
        record.step(Step.PUBLISH);
        return proceed(record);
    }

    private Attempts noted(InFlight record) throws SQLException {
        Mark mark = record.mark();
        JdbcInbox inbox = letters == null ? null : letters.inbox();
        return mark == null || inbox == null ? Attempts.NONE : inbox.attempts().of(mark);
    }

    /** Takes a dying record as far as it gets without waiting. */
    Progress proceed(InFlight record) {
        Origin origin = record.origin();
        LettersOut out = letters;
        if (origin == null || out == null) {
            throw new IllegalStateException("a record in step %s that does not die".formatted(record.step()));
        }
        try {
            if (record.step() == Step.DECIDE) {
                Progress decided = decide(record, out);
                if (decided != null) {
                    return decided;
                }
            }
            if (record.step() == Step.PUBLISH) {
                Progress published = publish(record, origin, out);
                if (published != null) {
                    return published;
                }
            }
            Mark mark = record.mark();
            if (mark != null && out.inbox() != null) {
                out.inbox().dead(mark);
            }
        } catch (SQLException e) {
            return failed(record, new Failure.DeadLetteringFailed(e));
        }
        listener.deadLettered(typeOf(record), delivered(record), origin.reason());
        logDeath(record, origin, out);
        return Progress.ENDED;
    }

    /** Null if the letter is to be sent. */
    private @Nullable Progress decide(InFlight record, LettersOut out) throws SQLException {
        Mark mark = record.mark();
        JdbcInbox inbox = out.inbox();
        if (mark != null && inbox != null) {
            MarkResult result = inbox.decide(mark, Outcome.DYING);
            if (result instanceof MarkResult.HeldElsewhere) {
                return failed(record, new Failure.HeldElsewhere());
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
        if (outcome == Outcome.PARKED) {
            return stop(record, "the event is parked, and this version cannot follow parked keys");
        }
        LOG.debug("{} is a repeat: {}", record.record().offset(), outcome);
        listener.repeated(typeNameOf(record), delivered(record), outcome);
        return Progress.ENDED;
    }

    private Progress retry(InFlight record, Delivery delivery, @Nullable Throwable cause, Duration delay) {
        String type = typeNameOf(record);
        int lines = sparse.due(type + nameOf(cause), kafka.clock().instant());
        if (lines > 0) {
            LOG.warn(
                    "{} failed attempt {} with {} and is tried again in {}; its key waits{}",
                    where(record),
                    record.attempts(),
                    nameOf(cause),
                    delay,
                    SparseLog.standingFor(lines));
        }
        LOG.debug("{} failed attempt {}: {}", where(record), record.attempts(), textOf(cause));
        if (cause != null) {
            listener.retried(type, delivery, cause, delay);
        }
        return new Progress.Waits(delay, null);
    }

    private Progress waits(InFlight record, Failure failure, @Nullable Throwable cause, Duration delay) {
        String problem = problemOf(record, failure, cause);
        int lines = problem == null ? 0 : sparse.due(problem, kafka.clock().instant());
        if (lines > 0) {
            LOG.warn(
                    "{}: {} waits and is tried again in {}, without using an attempt{}",
                    problem,
                    where(record),
                    delay,
                    SparseLog.standingFor(lines));
        }
        LOG.debug("{} waits {}: {}", where(record), delay, textOf(cause));
        listener.waited(typeOf(record), delivered(record), cause, delay);
        return new Progress.Waits(delay, problem);
    }

    private @Nullable String problemOf(InFlight record, Failure failure, @Nullable Throwable cause) {
        if (failure instanceof Failure.HeldElsewhere) {
            Instant now = kafka.clock().instant();
            return record.heldElsewhere(now).plus(HELD_TOO_LONG).isAfter(now)
                    ? null // the ordinary end of a hand-over
                    : "the mark of %s is held by a transaction that does not end".formatted(where(record));
        }
        if (failure instanceof Failure.NotNoted) {
            return "the inbox cannot note that a handler starts (%s)".formatted(nameOf(cause));
        }
        if (failure instanceof Failure.DeadLetteringFailed) {
            return cause instanceof SQLException
                    ? "the inbox cannot note a dead letter (%s)".formatted(nameOf(cause))
                    : "dead-letter topic %s cannot be written (%s)"
                            .formatted(letters == null ? "" : letters.topic(), nameOf(tellingOf(cause)));
        }
        return "what %s depends on is out of order (%s)".formatted(typeNameOf(record), nameOf(tellingOf(cause)));
    }

    private Progress stop(InFlight record, String why) {
        LOG.error(
                "{} stops its partition: {}. Nothing behind it is committed or started; mend the cause and start the runner again",
                where(record),
                why);
        return new Progress.Stops("%s: %s".formatted(where(record), why));
    }

    private void logDeath(InFlight record, Origin origin, LettersOut out) {
        int lines = sparse.due("dead " + origin.reason(), kafka.clock().instant());
        if (lines > 0) {
            LOG.warn(
                    "{} was dead-lettered to {} after {} attempts: {}{}{}",
                    where(record),
                    out.topic(),
                    origin.attempts(),
                    origin.reason(),
                    origin.message() == null ? "" : ", " + origin.message(),
                    SparseLog.standingFor(lines));
        }
    }

    private Origin origin(InFlight record, FailureReason reason, @Nullable Throwable cause, Instant now) {
        Event<?> event = record.event();
        String id = event != null ? event.id() : cause instanceof DecodeException e ? e.eventId() : null;
        Origin origin = Origin.of(record.record(), group, reason, now).withEventId(id);
        Instant first = record.firstFailedAt();
        return cause == null ? origin : origin.withFailure(cause, record.attempts(), first == null ? now : first);
    }

    private Delivery delivered(InFlight record) {
        return new Delivered(group, kafka.logicalTopic(record.record().topic()), record);
    }

    private static @Nullable Throwable causeOf(Failure failure) {
        if (failure instanceof Failure.Undecodable undecodable) {
            return undecodable.cause();
        }
        if (failure instanceof Failure.HandlerFailed handler) {
            return handler.cause();
        }
        if (failure instanceof Failure.LetterHandlerFailed letter) {
            return letter.cause();
        }
        if (failure instanceof Failure.NotNoted start) {
            return start.cause();
        }
        return failure instanceof Failure.DeadLetteringFailed dying ? dying.cause() : null;
    }

    private static @Nullable String typeOf(InFlight record) {
        Event<?> event = record.event();
        return event == null ? null : event.type().name();
    }

    private static String typeNameOf(InFlight record) {
        String type = typeOf(record);
        return type == null ? "record" : type;
    }

    private static String where(InFlight record) {
        return "%s at %s/%d@%d"
                .formatted(
                        typeNameOf(record),
                        record.record().topic(),
                        record.record().partition(),
                        record.record().offset());
    }

    /** What says most of a failure: the database's own word, else the cause of all. */
    private static @Nullable Throwable tellingOf(@Nullable Throwable failure) {
        Throwable telling = failure;
        for (int depth = 0; depth < 32 && telling != null && telling.getCause() != null; depth++) {
            if (telling instanceof SQLException sql && sql.getSQLState() != null) {
                return telling;
            }
            telling = telling.getCause();
        }
        return telling;
    }

    private static String textOf(@Nullable Throwable failure) {
        return failure == null ? "no exception" : FailureText.of(failure);
    }

    /** The class alone: the text may hold values of the event. */
    private static String nameOf(@Nullable Throwable failure) {
        if (failure == null) {
            return "no exception";
        }
        String state = FailureText.sqlStateOf(failure);
        String code = failure instanceof SQLException sql && sql.getErrorCode() != 0 ? "/" + sql.getErrorCode() : "";
        return failure.getClass().getName() + (state == null ? "" : " " + state + code);
    }

    /** One line a second for each subject; what is left out is counted. Thread-safe; subjects are few: types and classes. */
    private static final class SparseLog {

        private static final Duration PERIOD = Duration.ofSeconds(1);
        private static final int MOST_SUBJECTS = 1_000;

        private record Spoken(Instant at, int unspoken) {}

        private final ConcurrentHashMap<String, Spoken> spoken = new ConcurrentHashMap<>();

        /** How many lines one line stands for now; 0 if it is not yet time for one. */
        int due(String subject, Instant now) {
            if (spoken.size() > MOST_SUBJECTS) {
                spoken.clear();
            }
            Spoken before = spoken.get(subject);
            Spoken after = spoken.compute(
                    subject,
                    (name, last) -> last == null || !now.isBefore(last.at().plus(PERIOD))
                            ? new Spoken(now, 0)
                            : new Spoken(last.at(), last.unspoken() + 1));
            if (after.unspoken() > 0) {
                return 0;
            }
            return before == null ? 1 : before.unspoken() + 1;
        }

        static String standingFor(int lines) {
            return lines == 1 ? "" : " (one line for %d such)".formatted(lines);
        }
    }
}
