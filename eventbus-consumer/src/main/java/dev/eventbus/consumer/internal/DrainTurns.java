package dev.eventbus.consumer.internal;

import dev.eventbus.consumer.internal.DrainLoop.Lent;
import dev.eventbus.consumer.internal.DrainLoop.Turn;
import dev.eventbus.consumer.internal.DrainLoop.Work;
import dev.eventbus.consumer.parking.ParkedKey;
import dev.eventbus.internal.InterruptFlag;
import java.nio.ByteBuffer;
import java.sql.SQLException;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.Executor;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Consumer;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Gives parked keys that are due their turns on the runner's executor, so many at a time, one after the other; without an executor in the
 * caller's thread. Thread-safe.
 */
final class DrainTurns {

    /** Names a key. */
    record Id(String topic, ByteBuffer key) {

        static Id of(ParkedKey key) {
            return new Id(key.topic(), ByteBuffer.wrap(key.key()));
        }
    }

    /** A key that has a turn, or waits for one; of the turns that it was given only the first to begin is one. */
    private static final class Taken {
        private final ParkedKey key;

        private Instant since;
        private Instant givenAgain;
        private boolean begun;

        /** When it is due again, as its turn has said. */
        private @Nullable Instant due;

        Taken(ParkedKey key, Instant since) {
            this.key = key;
            this.since = since;
            this.givenAgain = since;
        }
    }

    private static final Logger LOG = LoggerFactory.getLogger(DrainTurns.class);

    private static final Duration MOST_SELDOM = Duration.ofMinutes(1);

    private final String group;
    private final Lent lent;
    private final Work work;
    private final Runnable hasRoom;
    private final Consumer<Instant> isDue;

    private final AtomicInteger running = new AtomicInteger();

    /** Keys that have a turn, or wait for one. Guarded by itself. */
    private final Map<Id, Taken> taken = new HashMap<>();

    /** Due keys that found no room yet, in the order of their turns. Guarded by "taken". */
    private final Map<Id, ParkedKey> waiting = new LinkedHashMap<>();

    private volatile boolean stopping;
    private volatile @Nullable String drainProblem;
    private volatile @Nullable String late;

    /** Since when the executor has refused all turns; null if it took the last one. */
    private volatile @Nullable Instant refusedSince;

    /**
     * @param hasRoom told when a turn has ended and a key waits: {@link #fill} is to be called, by another thread
     * @param isDue told when a turn has ended whose key is due again, and when that is
     */
    DrainTurns(String group, Lent lent, Work work, Runnable hasRoom, Consumer<Instant> isDue) {
        this.group = group;
        this.lent = lent;
        this.work = work;
        this.hasRoom = hasRoom;
        this.isDue = isDue;
    }

    boolean isStopping() {
        return stopping;
    }

    /** Begins nothing more. */
    void stop() {
        stopping = true;
    }

    /** Whether no handler of a parked event runs. */
    boolean isIdle() {
        return running.get() == 0;
    }

    /** Whether the last turn failed, so that its key is as due as it was. */
    boolean haveFailed() {
        return drainProblem != null;
    }

    /** What is wrong, in words; null if nothing is. */
    @Nullable
    String problem() {
        Instant refused = refusedSince;
        boolean refusesAll = refused != null && !lent.clock().instant().isBefore(refused.plus(DrainLoop.PERIOD));
        String refusal = refusesAll ? "the executor refuses parked events since %s".formatted(refused) : null;
        return Stream.of(drainProblem, refusal, late)
                .filter(Objects::nonNull)
                .findFirst()
                .orElse(null);
    }

    /** All that is due now; how much was done, or begun. Those that have waited before come first. */
    int give(List<ParkedKey> due) {
        if (due.isEmpty()) { // what was wrong with those of before is others' by now
            drainProblem = null;
            refusedSince = null;
        }
        synchronized (taken) {
            Map<Id, ParkedKey> now = new LinkedHashMap<>();
            due.forEach(key -> now.put(Id.of(key), key));
            waiting.keySet().retainAll(now.keySet());
            waiting.putAll(now);
        }
        return lent.executor() == null ? drainHere() : fill();
    }

    private int drainHere() {
        int done = 0;
        for (Taken mine = next(); mine != null; mine = next()) {
            done += drain(mine.key);
        }
        return done;
    }

    /** Gives keys their turns while there is room; how many. */
    int fill() {
        int given = 0;
        for (Taken mine = next(); mine != null && submit(mine); mine = next()) {
            given++;
        }
        return given;
    }

    /** The next key that waits, and is from now on taken; null if there is none, or no room. */
    private @Nullable Taken next() {
        synchronized (taken) {
            waiting.keySet().removeAll(taken.keySet());
            if (stopping || waiting.isEmpty() || taken.size() >= DrainLoop.MOST_AT_ONCE) {
                return null;
            }
            ParkedKey key = waiting.values().iterator().next();
            Taken mine = new Taken(key, lent.clock().instant());
            waiting.remove(Id.of(key));
            taken.put(Id.of(key), mine);
            return mine;
        }
    }

    /** To the user's executor, which may refuse a turn, drop it or begin it late. */
    private boolean submit(Taken mine) {
        Executor executor = Objects.requireNonNull(lent.executor());
        try (InterruptFlag ignored = InterruptFlag.kept()) {
            executor.execute(() -> turn(mine));
            refusedSince = null;
            return true;
        } catch (RuntimeException | Error e) { // it is full, or anything of the user's: the next look tries again
            synchronized (taken) { // unless an earlier call has begun it
                taken.entrySet().removeIf(one -> one.getValue() == mine && !mine.begun);
            }
            refusedSince = refusedSince == null ? lent.clock().instant() : refusedSince;
            if (e instanceof VirtualMachineError broken) {
                lent.fatal().accept(broken);
            }
            LOG.debug("{} was refused by the executor", mine.key, e);
            return false;
        }
    }

    private void turn(Taken mine) {
        synchronized (taken) {
            if (mine.begun || taken.get(Id.of(mine.key)) != mine) {
                return;
            }
            mine.begun = true;
        }
        Turn turn = safely(mine.key);
        boolean someWait;
        Instant due;
        synchronized (taken) {
            release(mine.key);
            if (turn.goesOn()) { // behind those that wait: one that is never empty keeps no other from its turn
                waiting.put(Id.of(mine.key), mine.key);
            }
            someWait = !waiting.isEmpty();
            due = mine.due;
        }
        if (due != null) { // not before: a look that finds the key in its turn passes it over
            isDue.accept(due);
        }
        if (someWait) {
            hasRoom.run();
        }
    }

    /** In its turn: a key is due again then; the last word counts. */
    void dueAt(ParkedKey key, @Nullable Instant due) {
        synchronized (taken) {
            Taken mine = taken.get(Id.of(key));
            if (mine != null) {
                mine.due = due;
            }
        }
    }

    /** A turn that has not begun for long may have been dropped: the key gets another, ever more seldom down to one a minute. */
    void giveAgain(Instant now) {
        List<Taken> again = new ArrayList<>();
        Instant oldest = null;
        synchronized (taken) {
            for (Taken one : taken.values()) {
                if (one.since.isAfter(now) || one.givenAgain.isAfter(now)) { // the clock was set back
                    one.since = now;
                    one.givenAgain = now;
                }
                if (!one.begun && !now.isBefore(one.since.plus(WorkerCalls.GIVEN_UP_AFTER))) {
                    oldest = oldest == null || one.since.isBefore(oldest) ? one.since : oldest;
                    Duration tried = Duration.between(one.since, one.givenAgain);
                    Duration pause = tried.compareTo(MOST_SELDOM) < 0 ? tried : MOST_SELDOM;
                    if (!now.isBefore(one.givenAgain.plus(pause))) {
                        one.givenAgain = now;
                        again.add(one);
                    }
                }
            }
        }
        late = oldest == null
                ? null
                : "the executor has not begun what it took since %s, it drops tasks or is busy with others: parked events wait"
                        .formatted(oldest);
        again.forEach(this::submit);
    }

    private int drain(ParkedKey key) {
        int ended = 0;
        try {
            Turn turn;
            do {
                turn = safely(key);
                ended += turn.ended();
            } while (turn.goesOn() && !stopping);
        } finally {
            release(key);
        }
        return ended;
    }

    private Turn safely(ParkedKey key) {
        running.incrementAndGet();
        try {
            Turn turn = stopping ? new Turn(0, false) : work.drain(key);
            drainProblem = null;
            return turn;
        } catch (SQLException e) {
            drainProblem =
                    "parked events cannot be read (%s)".formatted(e.getClass().getName());
            LOG.debug("{} was not drained", key, e);
        } catch (Throwable e) {
            if (e instanceof VirtualMachineError broken && !(e instanceof StackOverflowError)) {
                stop();
                lent.fatal().accept(broken);
                return new Turn(0, false);
            }
            drainProblem = "a bug in the library: " + e.getClass().getName();
            LOG.error("BUG, please report: {} of {} could not be drained; it is tried again", key, group, e);
        } finally {
            running.decrementAndGet();
        }
        return new Turn(0, false);
    }

    private void release(ParkedKey key) {
        synchronized (taken) {
            taken.remove(Id.of(key));
        }
    }
}
