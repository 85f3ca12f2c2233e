package dev.eventbus.consumer;

import dev.eventbus.FailureReason;
import dev.eventbus.StartRefusedException;
import dev.eventbus.consumer.ConsumerRunnerBuilder.Settings;
import dev.eventbus.consumer.Routes.Route;
import dev.eventbus.consumer.RunnerHealth.BlockedOffset;
import dev.eventbus.consumer.RunnerHealth.Status;
import dev.eventbus.consumer.deadletter.FailureText;
import dev.eventbus.consumer.inbox.InboxPurge;
import dev.eventbus.consumer.inbox.JdbcInbox;
import dev.eventbus.consumer.inbox.Outcome;
import dev.eventbus.consumer.internal.DrainLoop;
import dev.eventbus.internal.Checks;
import dev.eventbus.internal.Fatal;
import dev.eventbus.internal.InterruptFlag;
import dev.eventbus.internal.NamedThreads;
import dev.eventbus.internal.RunLoop;
import dev.eventbus.topics.KafkaCluster;
import java.time.Duration;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import java.util.concurrent.Executor;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.BooleanSupplier;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Reads events from Kafka and gives them to handlers: in order for each key, in parallel across keys, tried again while only their
 * own key waits, and never lost.
 *
 * <pre>{@code
 * ConsumerRunner runner = ConsumerRunner.builder(kafka, "calculator.asset.events")
 *     .on(ASSET_UPDATED, (event, delivery) -> redis.del("asset:" + event.key()))
 *     .afterRetries(AfterRetries.deadLetter("dlq.events"))
 *     .build();
 * runner.start(); ... runner.close();
 * }</pre>
 *
 * <p>Defaults: {@link ConsumerRunnerBuilder}. A record's offset is committed once it has ended: its handler has succeeded (with an
 * inbox: its transaction has committed), it was recognised as a repeat, its dead letter was acknowledged, it was parked in the
 * inbox's database, or it was skipped on purpose. A runner that cannot reach Kafka, lacks a topic or has its partitions taken away keeps trying and says so in
 * {@link #health()}.
 *
 * <p>{@link #start()} runs it on threads of its own; {@link #runOnce()} makes one round in the calling thread, for tests in virtual
 * time. One of the two; all other methods may be called from any thread.
 */
public final class ConsumerRunner implements AutoCloseable {

    private static final Logger LOG = LoggerFactory.getLogger(ConsumerRunner.class);

    private enum State {
        NEW,
        STEPPED,
        STARTED,
        CLOSED
    }

    private final Settings settings;
    private final ReentrantLock lock = new ReentrantLock();
    private volatile boolean awaited; // running handlers, by the thread that closes

    // All below guarded by lock.
    private State state = State.NEW;
    private @Nullable PollLoop poll;
    private @Nullable RunLoop thread;
    private @Nullable ExecutorService pool;
    private @Nullable InboxPurge purge;

    ConsumerRunner(Settings settings) {
        this.settings = settings;
    }

    /**
     * Begins a runner.
     *
     * @param group the consumer group: runners of one group share the work, groups do not know of each other
     * @throws IllegalArgumentException if the group is blank or longer than 255 bytes
     */
    public static ConsumerRunnerBuilder builder(KafkaCluster kafka, String group) {
        return new ConsumerRunnerBuilder(kafka, group);
    }

    /**
     * Starts reading, on threads of the runner's own, and returns at once. Kafka need not be there yet.
     *
     * @return this runner
     * @throws StartRefusedException if the inbox's tables are missing or wrong, or its database does not answer
     * @throws IllegalStateException if it was started, stepped or closed before
     */
    public ConsumerRunner start() {
        settings.routes().verifyInbox();
        lock.lock();
        try {
            if (state != State.NEW) {
                throw new IllegalStateException("%s is %s; build a new one".formatted(this, state));
            }
            state = State.STARTED;
            PollLoop loop = new PollLoop(settings, executor(), System::nanoTime);
            RunLoop runs = new RunLoop("runner " + settings.group(), () -> round(loop), () -> loop.end(awaited));
            poll = loop;
            thread = runs;
            LOG.info("{}", describe());
            runs.start();
            startPurge();
            return this;
        } finally {
            lock.unlock();
        }
    }

    /**
     * Makes one round in the calling thread, handlers included, and returns: for tests. One thread at a time.
     *
     * @return how much it did; 0 if there was nothing to do before {@link RunnerHealth#nextRetry()}
     * @throws IllegalStateException if it was started or closed
     */
    public int runOnce() {
        return stepped().round();
    }

    /** How it is doing, as of its last round, or that its rounds have ceased. Cheap; any thread. */
    public RunnerHealth health() {
        lock.lock();
        try {
            if (poll == null) {
                return RunnerHealth.of(state == State.CLOSED ? Status.STOPPED : Status.NEW);
            }
            return poll.health().with(purge == null ? null : purge.problem());
        } finally {
            lock.unlock();
        }
    }

    /**
     * Which record of a logical topic's partition holds up the committed offset, and why, as of the last round; empty if none does.
     */
    public Optional<BlockedOffset> explain(String topic, int partition) {
        return health().blockedBy(topic, partition);
    }

    /** Closes within 30 s. */
    @Override
    public void close() {
        close(ConsumerRunnerBuilder.DEFAULT_DRAIN);
    }

    /**
     * Takes nothing more, waits for running handlers, commits what has ended and leaves the group. For a fifth of the limit at most
     * it still starts what was read before an event that has ended, so that the next owner need not repeat that one. What still
     * runs when three fifths are over is interrupted, if its thread is the runner's own, and has not failed: the next owner repeats it.
     * A second call waits for the first.
     * A thread that was interrupted before closes in order all the same; an interrupt that comes meanwhile ends the waiting.
     *
     * @param limit for all of it
     */
    public void close(Duration limit) {
        Duration within = Checks.atMostAYear(Checks.positive("limit", limit));
        try (InterruptFlag ignored = InterruptFlag.putOff()) {
            closeWithin(within);
        }
    }

    private void closeWithin(Duration within) {
        PollLoop loop;
        RunLoop runs;
        ExecutorService own;
        InboxPurge purging;
        lock.lock();
        boolean again = state == State.CLOSED;
        try {
            state = State.CLOSED;
            loop = poll;
            runs = thread;
            own = pool;
            purging = purge;
        } finally {
            lock.unlock();
        }
        if (loop == null || again && (runs == null || runs.isLoopThread())) {
            return;
        }
        long deadline = System.nanoTime() + within.toNanos();
        if (purging != null) {
            purging.stop();
        }
        if (runs != null && again) {
            runs.awaitStopped(within);
        } else {
            loop.close(within);
            end(loop, runs, own, within);
        }
        if (purging != null && !purging.awaitStopped(Duration.ofNanos(Math.max(0, deadline - System.nanoTime())))) {
            LOG.warn("the purge of {}'s inbox has not ended; it ends with its statement", settings.group());
        }
    }

    @Override
    public String toString() {
        return "runner " + settings.group();
    }

    private void end(PollLoop loop, @Nullable RunLoop runs, @Nullable ExecutorService own, Duration limit) {
        if (runs == null) {
            loop.end(false);
            return;
        }
        long deadline = System.nanoTime() + limit.toNanos();
        if (!runs.isLoopThread()) {
            BooleanSupplier over = () -> loop.isDrained() || loop.fatal() != null || !runs.isRunning();
            RunLoop.await(limit.multipliedBy(3).dividedBy(5), over);
            if (!over.getAsBoolean() && own != null) {
                loop.interrupted();
                own.shutdownNow();
                RunLoop.await(limit.dividedBy(5), over);
            }
            awaited = true;
        }
        runs.stop();
        if (!runs.isLoopThread() && !runs.awaitStopped(Duration.ofNanos(Math.max(0, deadline - System.nanoTime())))) {
            LOG.warn(
                    "{} has not ended {}; it ends when Kafka's client lets it",
                    this,
                    Thread.currentThread().isInterrupted() ? "when its close was interrupted" : "within " + limit);
        }
        if (own != null) {
            own.shutdown();
        }
    }

    private Duration round(PollLoop loop) {
        loop.round();
        VirtualMachineError broken = loop.fatal();
        if (broken != null) {
            LOG.error("{} ends: {}", this, RunnerHealth.text(broken));
            lock.lock();
            try {
                Objects.requireNonNull(thread).stop();
            } finally {
                lock.unlock();
            }
        }
        return loop.rest();
    }

    private PollLoop stepped() {
        lock.lock();
        try {
            if (state != State.NEW && state != State.STEPPED) {
                throw new IllegalStateException("%s is %s and cannot be stepped".formatted(this, state));
            }
            if (poll == null) {
                settings.routes().verifyInbox();
                state = State.STEPPED;
                poll = new PollLoop(settings, null, System::nanoTime);
            }
            return poll;
        } finally {
            lock.unlock();
        }
    }

    /** Guarded by lock. */
    private void startPurge() {
        JdbcInbox inbox = settings.routes().inbox();
        if (inbox != null) {
            AfterRetries after = settings.afterRetries();
            purge = new InboxPurge(
                    inbox,
                    settings.kafka(),
                    new InboxPurge.Reads(
                            settings.group(), settings.routes().topics(), after == null ? null : after.topic()));
            purge.start();
        }
    }

    /** Guarded by lock. */
    private Executor executor() {
        Executor yours = settings.executor();
        if (yours != null) {
            return yours;
        }
        int threads = settings.concurrency() + (settings.routes().inbox() == null ? 0 : DrainLoop.MOST_AT_ONCE);
        pool = NamedThreads.pool("handler " + settings.group(), threads);
        return pool;
    }

    /** The effective configuration in one line. */
    private String describe() {
        List<String> once = settings.routes().names(Route.Once.class);
        return "runner %s reads %s from %s; at least once: %s; effects once: %s; %d attempts, then %s; %d handlers at a time%s"
                .formatted(
                        settings.group(),
                        settings.routes().topics(),
                        settings.kafka(),
                        settings.routes().names(Route.AtLeastOnce.class),
                        once,
                        settings.retry().getMaxAttempts(),
                        settings.afterRetries() == null ? "for ever again" : settings.afterRetries(),
                        settings.concurrency(),
                        once.isEmpty()
                                ? ""
                                : ", which want as many connections of the inbox's database, and 6 for parked events and its purge: size its pool for %d"
                                        .formatted(settings.concurrency() + DrainLoop.MOST_AT_ONCE + 2));
    }

    /** Keeps what a listener throws away from the engine, and what it does to its thread's interrupt flag. */
    static final class GuardedListener implements RunnerListener {

        private final RunnerListener guarded;

        GuardedListener(RunnerListener guarded) {
            this.guarded = guarded;
        }

        @Override
        public void received(String topic, int partition, int records) {
            tell(() -> guarded.received(topic, partition, records));
        }

        @Override
        public void handled(String eventType, Delivery delivery, Duration took) {
            tell(() -> guarded.handled(eventType, delivery, took));
        }

        @Override
        public void repeated(String eventType, Delivery delivery, Outcome known) {
            tell(() -> guarded.repeated(eventType, delivery, known));
        }

        @Override
        public void retried(String eventType, Delivery delivery, Throwable cause, Duration delay) {
            tell(() -> guarded.retried(eventType, delivery, cause, delay));
        }

        @Override
        public void waited(@Nullable String eventType, Delivery delivery, @Nullable Throwable cause, Duration delay) {
            tell(() -> guarded.waited(eventType, delivery, cause, delay));
        }

        @Override
        public void deadLettered(@Nullable String eventType, Delivery delivery, FailureReason reason) {
            tell(() -> guarded.deadLettered(eventType, delivery, reason));
        }

        @Override
        public void parked(String eventType, Delivery delivery, @Nullable FailureReason reason) {
            tell(() -> guarded.parked(eventType, delivery, reason));
        }

        @Override
        public void skipped(@Nullable String eventType, Delivery delivery) {
            tell(() -> guarded.skipped(eventType, delivery));
        }

        @Override
        public void doubledKeys(String eventType, Delivery delivery) {
            tell(() -> guarded.doubledKeys(eventType, delivery));
        }

        @Override
        public void offsetGap(OffsetGap gap) {
            tell(() -> guarded.offsetGap(gap));
        }

        @Override
        public void partitionStopped(String topic, int partition, String why) {
            tell(() -> guarded.partitionStopped(topic, partition, why));
        }

        @Override
        public void commitFailed(Exception cause) {
            tell(() -> guarded.commitFailed(cause));
        }

        @Override
        public void rebalanced(int assigned, int revoked, int lost) {
            tell(() -> guarded.rebalanced(assigned, revoked, lost));
        }

        @Override
        public void observed(RunnerHealth health) {
            tell(() -> guarded.observed(health));
        }

        private static void tell(Runnable what) {
            try (InterruptFlag ignored = InterruptFlag.kept()) {
                what.run();
            } catch (Throwable e) {
                Fatal.rethrow(e);
                LOG.warn("a listener failed; the runner goes on: {}", FailureText.of(e)); // its text may quote an event
            }
        }
    }
}
