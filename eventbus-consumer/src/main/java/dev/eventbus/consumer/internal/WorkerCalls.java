package dev.eventbus.consumer.internal;

import dev.eventbus.internal.InterruptFlag;
import java.time.Duration;
import java.time.Instant;
import java.time.InstantSource;
import java.util.concurrent.Executor;
import java.util.concurrent.atomic.AtomicInteger;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Calls for workers of the user's executor, which may refuse a call, begin it late, or drop it in silence.
 *
 * <p>A call that is dropped looks like one that has not begun. Where none has begun for ten seconds, while no worker runs and there is
 * work, all of them are given up, and one call at a time asks whether the executor works again, so that no queue of it fills. Should
 * one that was given up begin after all, it works in the place of another, if there is one left: it had only been late.
 *
 * <p>Thread-safe.
 */
public final class WorkerCalls {

    /** How long calls may wait, with nobody at work, until they count as dropped. */
    public static final Duration GIVEN_UP_AFTER = Duration.ofSeconds(10);

    private static final Duration REFUSED_TOO_LONG = Duration.ofSeconds(1);

    private static final Logger LOG = LoggerFactory.getLogger(WorkerCalls.class);

    private record Refusal(Instant since, String cause, boolean told) {}

    private final Executor executor;
    private final int most;
    private final InstantSource clock;
    private final Runnable work;
    private final Runnable afterwards;

    /** Calls that have not ended, and were not given up. */
    private final AtomicInteger workers = new AtomicInteger();

    /** How many of them have not begun. */
    private final AtomicInteger waiting = new AtomicInteger();

    /** Since when the executor has taken nothing; null while it does. */
    private volatile @Nullable Refusal refusal;

    /** Since when there is work, and all calls wait; null while that is not so. Poll thread only. */
    private @Nullable Instant waitingSince;

    /** Since when the calls waited that were given up last; null once one has begun. */
    private volatile @Nullable Instant droppedSince;

    /**
     * @param most workers at a time
     * @param work of one worker
     * @param afterwards when a worker has left
     */
    public WorkerCalls(Executor executor, int most, InstantSource clock, Runnable work, Runnable afterwards) {
        this.executor = executor;
        this.most = most;
        this.clock = clock;
        this.work = work;
        this.afterwards = afterwards;
    }

    /** Calls for a worker, if there may be one more. */
    public void call() {
        if (!isRoom(droppedSince == null ? most : 1)) {
            return;
        }
        waiting.incrementAndGet();
        try (InterruptFlag ignored = InterruptFlag.kept()) {
            executor.execute(this::run);
            refusal = null;
        } catch (RuntimeException | Error e) { // it is the user's: it may throw anything
            if (begins()) {
                workers.decrementAndGet();
            }
            if (e instanceof VirtualMachineError broken) {
                throw broken;
            }
            refused(e);
        }
    }

    private void run() {
        if (!begins() && !isRoom(most)) {
            return;
        }
        droppedSince = null;
        try {
            work.run();
        } finally {
            workers.decrementAndGet();
            afterwards.run();
        }
    }

    /** Takes a call from those that wait; false if none does. */
    private boolean begins() {
        return waiting.getAndUpdate(now -> Math.max(0, now - 1)) > 0;
    }

    /** Takes room for one more worker; false if there is none. */
    private boolean isRoom(int limit) {
        return workers.getAndUpdate(now -> now < limit ? now + 1 : now) < limit;
    }

    /** Poll thread: gives up what has waited for too long while there was work. */
    public void look(boolean isWork) {
        int all = waiting.get();
        if (!isWork || all == 0 || workers.get() > all) {
            waitingSince = null;
            return;
        }
        Instant now = clock.instant();
        Instant since = waitingSince;
        if (since == null || now.isBefore(since)) {
            waitingSince = now;
        } else if (!now.isBefore(since.plus(GIVEN_UP_AFTER))) {
            giveUp(since);
        }
    }

    private void giveUp(Instant since) {
        int dropped = waiting.getAndSet(0);
        workers.addAndGet(-dropped);
        waitingSince = null;
        if (droppedSince == null) {
            droppedSince = since;
            LOG.warn(
                    "the executor has begun none of {} tasks since {}: it has dropped them, or is busy with others; events wait, and it is asked again",
                    dropped,
                    since);
        }
    }

    /** A full queue is no news; an executor that takes nothing for a second is, once. */
    private void refused(Throwable cause) {
        Instant now = clock.instant();
        Refusal before = refusal;
        Instant since = before == null ? now : before.since();
        boolean tooLong = !now.isBefore(since.plus(REFUSED_TOO_LONG));
        String name = cause.getClass().getName();
        if (tooLong && (before == null || !before.told())) {
            LOG.warn("the executor has taken no work since {} ({}); events wait, and it is asked again", since, name);
        }
        refusal = new Refusal(since, name, tooLong);
    }

    /** What is wrong with the executor while there is work, in words; null if nothing is. */
    public @Nullable String problem() {
        Refusal now = refusal;
        if (now != null && !clock.instant().isBefore(now.since().plus(REFUSED_TOO_LONG))) {
            return "the executor has taken no work since %s (%s): events wait, and it is asked again"
                    .formatted(now.since(), now.cause());
        }
        Instant dropped = droppedSince;
        return dropped == null
                ? null
                : "the executor has begun no task since %s, it drops them or is busy with others: events wait, and it is asked again"
                        .formatted(dropped);
    }
}
