package dev.eventbus.consumer;

import dev.eventbus.consumer.KeyLane.Report;
import dev.eventbus.consumer.inbox.AttemptStore.AloneTurn;
import dev.eventbus.consumer.internal.AloneRuns;
import dev.eventbus.consumer.internal.SuspectQueue;
import dev.eventbus.consumer.internal.WorkerCalls;
import dev.eventbus.internal.Fatal;
import java.time.Duration;
import java.time.Instant;
import java.time.InstantSource;
import java.util.Deque;
import java.util.Queue;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.ConcurrentLinkedDeque;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.Executor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.BooleanSupplier;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Runs ready lanes, so many at a time. A worker takes its lane's next record itself, without a word to the poll thread; after 16
 * records or 5 ms it gives the lane back, so that no busy key keeps others waiting. Where several records may share a step, it
 * collects them from the lanes that are ready. What came of a record goes to the poll thread through one queue.
 *
 * <p>A record that may end the process runs alone for a minute: beside nothing of this runner and no such record of the
 * others that share its inbox.
 *
 * <p>Thread-safe.
 */
final class LaneWorkers {

    /** What one step of a record came to. */
    sealed interface Progress {

        /** Ended, durably. */
        record Ended() implements Progress {}

        /** The same step again after the delay; the problem is for {@link RunnerHealth}, if it is one. */
        record Waits(Duration delay, @Nullable String problem) implements Progress {}

        /** Not begun: the same step again, with nothing beside it. */
        record Alone() implements Progress {}

        /** Its dead letter is on its way; the record goes on when the stage ends. */
        record Sends(CompletionStage<Void> letter) implements Progress {}

        /** Its partition is to stop before it. */
        record Stops(String why) implements Progress {}

        /** Not ended, and nobody's failure: the runner stops. */
        record LetGo() implements Progress {}

        /** Not ended and nothing done: it was run with others, and runs by itself now. Only from {@link SharedTurn.Together}. */
        record ByItself() implements Progress {}

        Progress ENDED = new Ended();
        Progress ALONE = new Alone();
        Progress LET_GO = new LetGo();
        Progress BY_ITSELF = new ByItself();
    }

    /** One step of a record, in the worker's thread. */
    @FunctionalInterface
    interface Work {
        Progress advance(InFlight record);

        /** Begins a step that this record may share with others; null if it runs by itself. */
        default SharedTurn.@Nullable Together together(InFlight first) {
            return null;
        }

        /** Held while a record runs alone; one for all who would die with it. */
        default AloneTurn alone() {
            return new AloneTurn();
        }
    }

    private static final Logger LOG = LoggerFactory.getLogger(LaneWorkers.class);

    private static final int RECORDS_A_TURN = 16;
    private static final long NANOS_A_TURN = TimeUnit.MILLISECONDS.toNanos(5);
    private static final Duration AFTER_A_BUG = Duration.ofSeconds(10);

    /** Null if the workers are the thread that calls {@link #runHere()}. */
    private final @Nullable WorkerCalls calls;

    private final int concurrency;
    private final Work work;
    private final AloneRuns alone;
    private final InstantSource clock;
    private final Consumer<? super VirtualMachineError> fatal;

    private final Queue<KeyLane> ready = new ConcurrentLinkedQueue<>();

    /** Ready lanes that come first: a worker had them in hand and gave them back, or a hand-over waits for them. */
    private final Deque<KeyLane> first = new ConcurrentLinkedDeque<>();

    /** Lanes whose first record must run alone; while one waits here nothing else is started. */
    private final SuspectQueue<KeyLane> suspects;

    /** Shared turns whose workers prepare a record. */
    final SharedTurn.Left left = new SharedTurn.Left();

    private final Queue<Report> reports = new ConcurrentLinkedQueue<>();
    private final AtomicInteger running = new AtomicInteger();

    /** Lanes whose letters have ended since the poll thread looked; it calls for their workers. */
    private final AtomicInteger woken = new AtomicInteger();

    /** Whether the JVM has failed: then no handler begins any more. */
    private volatile boolean broken;

    /**
     * @param executor runs the workers; null to run them by {@link #runHere()} only
     * @param fatal told when the JVM itself has failed
     */
    LaneWorkers(
            @Nullable Executor executor,
            int concurrency,
            Work work,
            InstantSource clock,
            Consumer<? super VirtualMachineError> fatal) {
        this.calls =
                executor == null ? null : new WorkerCalls(executor, concurrency, clock, this::work, this::workerLeft);
        this.concurrency = concurrency;
        this.work = work;
        this.alone = new AloneRuns(work.alone());
        this.suspects = new SuspectQueue<>(clock);
        this.clock = clock;
        this.fatal = fatal;
    }

    /** Takes a lane that has become ready; twice does no harm. */
    void ready(KeyLane lane) {
        enqueue(lane);
        hireOne();
    }

    private void enqueue(KeyLane lane) {
        (lane.partition().isClosed() ? first : ready).add(lane);
    }

    /** Runs all that is ready in the calling thread; does nothing if there is an executor. */
    void runHere() {
        if (calls == null) {
            work();
        }
    }

    /** Poll thread: calls for the workers that a refusal or the end of a letter has left to be called. */
    void hire() {
        if (calls != null) {
            calls.look(maySomethingStart());
        }
        if (suspects.keepOnly(lane -> lane.look().state() == KeyLane.State.READY)) {
            woken.addAndGet(concurrency); // all the others may go on
        }
        for (int more = woken.getAndSet(0); more > 1; more--) {
            hireOne();
        }
        hireOne();
    }

    /** What keeps ready lanes from running, in words; null if nothing does. */
    @Nullable
    String problem() {
        if (haveSuspects()) {
            return RunnerHealth.suspects(suspects.size());
        }
        return calls == null || isIdle() ? null : calls.problem();
    }

    /** The JVM has failed, as another thread has found: nothing begins any more. Returns what it was told. */
    VirtualMachineError startNothingAfter(VirtualMachineError error) {
        broken = true;
        return error;
    }

    /** Whether records that may end the process run or wait, at all. */
    private boolean haveSuspects() {
        return alone.isAny() || !suspects.isEmpty();
    }

    /** Any thread: whether these keep all others waiting now. */
    boolean holdOthers() {
        return !mayOthersStart();
    }

    /** Calls for a worker if lanes are ready and there may be one more. */
    private void hireOne() {
        if (calls != null && maySomethingStart()) {
            calls.call();
        }
    }

    /** Poll thread: the next report; null if there is none. */
    @Nullable
    Report nextReport() {
        return reports.poll();
    }

    /** Records that are being worked on now. */
    int running() {
        return running.get();
    }

    private void workerLeft() {
        if (suspects.isEmpty()) { // else the poll thread calls: this one may have left because others still run
            hireOne(); // a lane may have come between the last look and leaving
        }
    }

    private boolean isIdle() {
        return ready.isEmpty() && first.isEmpty() && !left.isAnyLate();
    }

    private @Nullable KeyLane nextReady() {
        KeyLane lane = first.poll();
        return lane != null ? lane : ready.poll();
    }

    /** A ready lane that nobody has had in hand yet; null if there is none. */
    @Nullable
    KeyLane takeReady() {
        return broken ? null : ready.poll();
    }

    /** A ready lane of those that come first; null if there is none. */
    @Nullable
    KeyLane takeFirst() {
        return broken ? null : first.poll();
    }

    /** Puts it back before the others. */
    void putBack(KeyLane lane) {
        first.addFirst(lane);
        hireOne();
    }

    /** Takes back a ready lane, which comes first now. */
    void takeBack(KeyLane lane) {
        first.add(lane);
        hireOne();
    }

    boolean haveThreads() {
        return calls != null;
    }

    void report(Report report) {
        reports.add(report);
    }

    void runsMore(int records) {
        running.addAndGet(records);
    }

    private void work() {
        while (!broken && guarded(() -> workOnSuspect() || workOnOther())) {}
    }

    /** False if no suspect waits, or others still run. It is noted before the look at who runs; the others look for it once they run. */
    private boolean workOnSuspect() {
        AloneTurn.Taken turn = suspects.isEmpty() || doOthersRun(0) ? null : alone.tryBegin();
        if (turn == null) {
            return false;
        }
        running.incrementAndGet();
        try {
            return guarded(() -> workOn(doOthersRun(1) ? null : suspects.poll(), turn));
        } finally {
            alone.end(turn);
            running.decrementAndGet();
            suspects.turnEnded();
            woken.addAndGet(concurrency); // all the others may go on
        }
    }

    /** Whether more run than so many and the suspects that nobody waits for any more. */
    private boolean doOthersRun(int ours) {
        return running.get() - alone.overdue() > ours;
    }

    /** False if nothing is ready, or a suspect comes first. */
    private boolean workOnOther() {
        running.incrementAndGet();
        try {
            return guarded(() -> !broken && mayOthersStart() && (left.runLate() || workOn(nextReady(), null)));
        } finally {
            running.decrementAndGet();
        }
    }

    private boolean workOn(@Nullable KeyLane lane, AloneTurn.@Nullable Taken alone) {
        if (lane != null) {
            turn(lane, alone);
        }
        return lane != null;
    }

    /** Once the JVM itself has failed nothing begins any more, so that is known before a turn is given back. */
    private boolean guarded(BooleanSupplier work) {
        try {
            return work.getAsBoolean();
        } catch (VirtualMachineError e) {
            fatal.accept(startNothingAfter(e));
            return false;
        }
    }

    private boolean mayOthersStart() {
        return !alone.holdOthers() && (suspects.isEmpty() || suspects.isTurnOfOthers());
    }

    private boolean maySomethingStart() {
        return !broken && (!suspects.isEmpty() && !doOthersRun(0) || mayOthersStart() && !isIdle());
    }

    /** One turn of a lane; time ends it only where others run beside it, so that a run in one thread is repeatable. */
    private void turn(KeyLane lane, AloneTurn.@Nullable Taken alone) {
        long began = System.nanoTime();
        InFlight record = lane.begin();
        SharedTurn.Together together = record == null ? null : work.together(record);
        if (record != null && together != null && new SharedTurn(this, together, lane, record).run()) {
            return;
        }
        for (int n = 1; record != null; n++) {
            record.suspicion().runsAlone(alone);
            Progress progress = advance(record);
            if (!(progress instanceof Progress.Ended)) {
                leave(lane, record, progress);
                return;
            }
            InFlight ended = record;
            boolean over =
                    alone != null || n >= RECORDS_A_TURN || calls != null && System.nanoTime() - began > NANOS_A_TURN;
            boolean later = over && lane.nextLater();
            record = over ? null : lane.next();
            reports.add(new Report.Ended(lane, ended));
            if (later) {
                enqueue(lane);
            }
        }
    }

    private Progress advance(InFlight record) {
        try {
            return work.advance(record);
        } catch (Throwable e) {
            Fatal.rethrow(e);
            LOG.error(
                    "BUG, please report: {} offset {} could not be advanced; its key waits, the next try follows in {}",
                    record.record().topic(),
                    record.record().offset(),
                    AFTER_A_BUG,
                    e);
            return new Progress.Waits(
                    AFTER_A_BUG, "a bug in the library: " + e.getClass().getName());
        }
    }

    private void leave(KeyLane lane, InFlight record, Progress progress) {
        Instant due = progress instanceof Progress.Waits waits ? clock.instant().plus(waits.delay()) : Instant.MIN;
        if (progress instanceof Progress.Waits waits && lane.waits(due)) {
            reports.add(new Report.Waits(lane, record, due, waits.problem()));
        } else if (progress instanceof Progress.Alone && lane.comesAgain()) {
            suspects.add(lane);
        } else if (progress instanceof Progress.Sends sends) {
            lane.sends();
            sends.letter().whenComplete((acknowledged, failure) -> {
                record.sent(new InFlight.Sent(failure));
                if (lane.wake()) { // on the producer's thread, which must not run anything of a user
                    enqueue(lane);
                    woken.incrementAndGet();
                }
            });
        } else if (progress instanceof Progress.Stops stops) {
            lane.partition().stopsAt(record);
            lane.letGo();
            reports.add(new Report.Stops(lane, record, stops.why()));
        } else {
            lane.letGo();
            reports.add(new Report.LetGo(lane, record));
        }
    }
}
