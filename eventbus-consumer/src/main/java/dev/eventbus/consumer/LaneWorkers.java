package dev.eventbus.consumer;

import dev.eventbus.consumer.KeyLane.Report;
import dev.eventbus.consumer.internal.Backoff;
import java.time.Duration;
import java.time.Instant;
import java.time.InstantSource;
import java.util.Comparator;
import java.util.List;
import java.util.PriorityQueue;
import java.util.Queue;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.Executor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Consumer;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Runs ready lanes, so many at a time. A worker takes its lane's next record itself, without a word to the poll thread; after 16
 * records or 5 ms it gives the lane back, so that no busy key keeps others waiting. Where several records may share a step, it
 * collects them from the lanes that are ready. What came of a record goes to the poll thread through one queue.
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

        /** Its dead letter is on its way; the record goes on when the stage ends. */
        record Sends(CompletionStage<Void> letter) implements Progress {}

        /** Its partition is to stop before it. */
        record Stops(String why) implements Progress {}

        /** Not ended, and nobody's failure: the runner stops. */
        record LetGo() implements Progress {}

        /** Not ended and nothing done: it was run with others, and runs by itself now. Only from {@link Together}. */
        record ByItself() implements Progress {}

        Progress ENDED = new Ended();
        Progress LET_GO = new LetGo();
        Progress BY_ITSELF = new ByItself();
    }

    /** One step of a record, in the worker's thread. */
    @FunctionalInterface
    interface Work {
        Progress advance(InFlight record);

        /** Begins a step that this record may share with others; null if it runs by itself. */
        default @Nullable Together together(InFlight first) {
            return null;
        }
    }

    /** One step of several records: of different lanes, and of one lane in their order. One thread's own. */
    interface Together {

        /** Takes one more record into the step; false if it cannot. */
        boolean takes(InFlight record);

        /** How many more it can take. */
        int room();

        /**
         * Runs the step.
         *
         * @return what came of each record, in the order taken: Ended, Stops or ByItself; in a lane nothing has ended behind one that has
         *     not
         */
        List<Progress> advance();
    }

    private record Refusal(Instant since, String cause, boolean told) {}

    private static final Logger LOG = LoggerFactory.getLogger(LaneWorkers.class);

    private static final int RECORDS_A_TURN = 16;
    private static final long NANOS_A_TURN = TimeUnit.MILLISECONDS.toNanos(5);
    private static final Duration AFTER_A_BUG = Duration.ofSeconds(10);
    private static final Duration REFUSED_TOO_LONG = Duration.ofSeconds(1);

    private final @Nullable Executor executor;
    private final int concurrency;
    private final Work work;
    private final InstantSource clock;
    private final Consumer<? super VirtualMachineError> fatal;

    private final Queue<KeyLane> ready = new ConcurrentLinkedQueue<>();

    /** Ready lanes that come first: a worker had them in hand and gave them back, or a hand-over waits for them. */
    private final Queue<KeyLane> first = new ConcurrentLinkedQueue<>();

    private final Queue<Report> reports = new ConcurrentLinkedQueue<>();
    private final AtomicInteger workers = new AtomicInteger();
    private final AtomicInteger running = new AtomicInteger();

    /** Lanes whose letters have ended since the poll thread looked; it calls for their workers. */
    private final AtomicInteger woken = new AtomicInteger();

    /** Since when the executor has taken nothing; null while it does. */
    private volatile @Nullable Refusal refusal;

    /**
     * @param executor runs the workers; null to run them by {@link #runHere()} only
     * @param fatal told when the JVM itself is out of order
     */
    LaneWorkers(
            @Nullable Executor executor,
            int concurrency,
            Work work,
            InstantSource clock,
            Consumer<? super VirtualMachineError> fatal) {
        this.executor = executor;
        this.concurrency = concurrency;
        this.work = work;
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
        if (executor == null) {
            work();
        }
    }

    /** Poll thread: calls for the workers that a refusal or the end of a letter has left to be called. */
    void hire() {
        for (int more = woken.getAndSet(0); more > 1; more--) {
            hireOne();
        }
        hireOne();
    }

    /** What keeps ready lanes from running, in words; null if nothing does. */
    @Nullable
    String problem() {
        Refusal now = refusal;
        if (now == null
                || ready.isEmpty() && first.isEmpty()
                || clock.instant().isBefore(now.since().plus(REFUSED_TOO_LONG))) {
            return null;
        }
        return "the executor has taken no work since %s (%s): events wait, and it is asked again"
                .formatted(now.since(), now.cause());
    }

    /** Calls for a worker if lanes are ready and there may be one more. */
    private void hireOne() {
        if (executor == null || ready.isEmpty() && first.isEmpty()) {
            return;
        }
        int now = workers.get();
        while (now < concurrency && !workers.compareAndSet(now, now + 1)) {
            now = workers.get();
        }
        if (now >= concurrency) {
            return;
        }
        try {
            executor.execute(this::workAndLeave);
            refusal = null;
        } catch (VirtualMachineError e) {
            workers.decrementAndGet();
            throw e;
        } catch (RuntimeException | Error e) { // it is the user's: it may throw anything
            workers.decrementAndGet();
            refused(e);
        }
    }

    /** A full queue is no news; an executor that takes nothing for a second is, once. */
    private void refused(Throwable cause) {
        Instant now = clock.instant();
        Refusal before = refusal;
        Instant since = before == null ? now : before.since();
        boolean told = before != null && before.told();
        boolean tooLong = !now.isBefore(since.plus(REFUSED_TOO_LONG));
        String name = cause.getClass().getName();
        if (tooLong && !told) {
            LOG.warn("the executor has taken no work since {} ({}); events wait, and it is asked again", since, name);
        }
        refusal = new Refusal(since, name, tooLong);
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

    private void workAndLeave() {
        try {
            work();
        } finally {
            workers.decrementAndGet();
            hireOne(); // a lane may have come between the last look and leaving
        }
    }

    private void work() {
        for (KeyLane lane = nextReady(); lane != null; lane = nextReady()) {
            running.incrementAndGet();
            try {
                turn(lane);
            } catch (VirtualMachineError e) {
                fatal.accept(e);
            } finally {
                running.decrementAndGet();
            }
        }
    }

    private @Nullable KeyLane nextReady() {
        KeyLane lane = first.poll();
        return lane != null ? lane : ready.poll();
    }

    // ---- what a shared turn needs

    /** A ready lane that nobody has had in hand yet; null if there is none. */
    @Nullable
    KeyLane takeReady() {
        return ready.poll();
    }

    /** Takes back a ready lane, which comes first now. */
    void takeBack(KeyLane lane) {
        first.add(lane);
        hireOne();
    }

    boolean haveThreads() {
        return executor != null;
    }

    void report(Report report) {
        reports.add(report);
    }

    void runsMore(int records) {
        running.addAndGet(records);
    }

    // ---- one turn

    /** One turn of a lane; time ends it only where others run beside it, so that a run in one thread is repeatable. */
    private void turn(KeyLane lane) {
        long began = System.nanoTime();
        InFlight record = lane.begin();
        Together together = record == null ? null : work.together(record);
        if (record != null && together != null && new SharedTurn(this, together, lane, record).run()) {
            return;
        }
        for (int n = 1; record != null; n++) {
            Progress progress = advance(record);
            if (!(progress instanceof Progress.Ended)) {
                leave(lane, record, progress);
                return;
            }
            InFlight ended = record;
            boolean over = n >= RECORDS_A_TURN || executor != null && System.nanoTime() - began > NANOS_A_TURN;
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
            if (e instanceof VirtualMachineError broken && !(e instanceof StackOverflowError)) {
                throw broken; // of a stack overflow only the record's own stack is gone
            }
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
            lane.partition().startNothing();
            lane.letGo();
            reports.add(new Report.Stops(lane, record, stops.why()));
        } else {
            lane.letGo();
            reports.add(new Report.LetGo(lane, record));
        }
    }

    /** Lanes whose first record waits for its next try. Poll thread only. */
    static final class Timers {

        private record Timer(Report.Waits waits, long order) {}

        private final PriorityQueue<Timer> timers = new PriorityQueue<>(
                Comparator.comparing((Timer timer) -> timer.waits().due()).thenComparing(Timer::order));

        private long set;

        void add(Report.Waits waits) {
            timers.add(new Timer(waits, set++));
        }

        /** Wakes the lanes that are due, and hands out those that are ready then. */
        int wakeDue(Instant now, Consumer<? super KeyLane> ready) {
            Instant far = now.plus(Backoff.LONGEST_IN_MEMORY); // no wait is longer: the clock was set back
            int woken = 0;
            for (Instant due = next(); due != null && (!due.isAfter(now) || due.isAfter(far)); due = next()) {
                KeyLane lane = timers.remove().waits().lane();
                if (lane.wake()) {
                    ready.accept(lane);
                    woken++;
                }
            }
            return woken;
        }

        /** When the next one is due; null if nobody waits. */
        @Nullable
        Instant next() {
            Timer next = timers.peek();
            return next == null ? null : next.waits().due();
        }

        /** Forgets lanes whose records were dropped. */
        void forgetDropped() {
            timers.removeIf(timer -> !timer.waits().lane().isWaiting());
        }

        int size() {
            return timers.size();
        }

        /** What they wait for, as far as it is a problem. */
        Stream<@Nullable String> problems() {
            return timers.stream().map(timer -> timer.waits().problem());
        }
    }
}
