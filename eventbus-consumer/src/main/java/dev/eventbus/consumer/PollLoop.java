package dev.eventbus.consumer;

import dev.eventbus.consumer.ConsumerRunnerBuilder.Settings;
import dev.eventbus.consumer.KeyLane.Report;
import dev.eventbus.consumer.RunnerHealth.PartitionWatch;
import dev.eventbus.consumer.RunnerHealth.Status;
import dev.eventbus.consumer.deadletter.DeadLetterSink;
import dev.eventbus.consumer.internal.ClosingTime;
import dev.eventbus.consumer.internal.CrashWatch;
import dev.eventbus.consumer.internal.DeniedTopics;
import dev.eventbus.consumer.internal.DrainLoop;
import dev.eventbus.consumer.internal.EverySoOften;
import dev.eventbus.consumer.internal.FlowControl;
import dev.eventbus.consumer.internal.PollWatch;
import dev.eventbus.consumer.internal.Timers;
import dev.eventbus.internal.RunLoop;
import dev.eventbus.topics.KafkaCluster;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.Executor;
import java.util.function.BooleanSupplier;
import java.util.function.LongSupplier;
import java.util.stream.Stream;
import org.apache.kafka.clients.consumer.Consumer;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.common.TopicPartition;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * One round of a runner, on one thread at a time: wake the lanes whose time has come, take what the workers report, pause and
 * resume, poll, commit, and give what was read to its lanes.
 *
 * <p>Everything but the work itself happens here, so that Kafka's consumer, the windows, the budgets and the timers need no lock.
 * A round never waits for a handler, except at a hand-over and then for a bounded time; so polling goes on however long it runs.
 */
final class PollLoop implements AssignedPartitions.Loop {

    private static final Logger LOG = LoggerFactory.getLogger(PollLoop.class);
    private static final Duration REST_AFTER_A_FAULT = Duration.ofSeconds(1);

    private final Settings settings;
    private final KafkaCluster kafka;
    private final boolean threads;
    private final HandlerCall call;
    private final LaneWorkers workers;
    private final FlowControl flow;
    private final PartitionWatch watch;
    private final PollWatch pollWatch;
    private final AssignedPartitions assigned;
    private final RecordSource source;
    private final OffsetCommitter committer;
    private final @Nullable DeadLetterSink sink;
    private final @Nullable Parking parking;

    // Poll thread only.
    private final Timers<KeyLane> timers = new Timers<>();
    private @Nullable Consumer<byte[], byte[]> consumer;
    private boolean ending;
    private final EverySoOften healthTime = new EverySoOften(Duration.ofMillis(100));

    // Read by any thread.
    private volatile boolean closing;
    private volatile ClosingTime time = new ClosingTime(0, 0);
    private volatile boolean drained;
    private volatile @Nullable VirtualMachineError fatal;
    private volatile RunnerHealth health = RunnerHealth.of(Status.NEW);

    /** @param executor runs the handlers; null to run them in the thread that makes the round */
    PollLoop(Settings settings, @Nullable Executor executor, LongSupplier nanoTime) {
        this.settings = settings;
        this.pollWatch = new PollWatch(settings.group(), nanoTime);
        this.kafka = settings.kafka();
        this.threads = executor != null;
        AfterRetries afterRetries = settings.afterRetries();
        this.sink = afterRetries == null ? null : new DeadLetterSink(kafka, afterRetries.topic());
        FailureRouter router = new FailureRouter(settings, sink);
        this.call = new HandlerCall(settings.group(), kafka, settings.routes(), router, settings.listener());
        this.workers =
                new LaneWorkers(executor, settings.concurrency(), call.inBatches(), kafka.clock(), e -> fatal = e);
        DrainLoop.Lent lent = new DrainLoop.Lent(kafka.clock(), executor, e -> fatal = workers.startNothingAfter(e));
        this.parking = sink == null || settings.routes().inbox() == null
                ? null
                : new Parking(settings, sink, call, lent, workers::holdOthers);
        DeniedTopics denied = new DeniedTopics(kafka.clock());
        this.flow = new FlowControl(settings.maxRecords(), settings.maxBytes(), denied);
        this.watch = new PartitionWatch(kafka, flow);
        this.assigned = new AssignedPartitions(this, workers::ready, settings.listener(), settings.handOverLimit());
        this.source = new RecordSource(settings, denied, threads);
        this.committer = new OffsetCommitter(
                settings.listener(), settings.routes().inbox() == null ? 0 : CrashWatch.window(kafka));
    }

    /** One round; how much it did. */
    int round() {
        try {
            return roundOf(kafka.clock().instant());
        } catch (StackOverflowError e) { // only this thread's own stack is gone
            health = health.afterBug(e);
            throw new IllegalStateException("the stack of a round ran over", e);
        } catch (VirtualMachineError e) {
            fatal = workers.startNothingAfter(e);
            health = RunnerHealth.of(e);
            settings.listener().observed(health);
            return 0;
        } catch (RuntimeException | Error e) {
            health = health.afterBug(e);
            settings.listener().observed(health);
            throw e;
        }
    }

    private int roundOf(Instant now) {
        int done = pump();
        if (closing && !drained) {
            assigned.closeAll();
            drained = flow.records() == 0 && (parking == null || parking.loop().isIdle());
        }
        consumer = source.open(assigned);
        if (consumer != null && fatal == null) {
            done += round(consumer, now);
        }
        publishHealth();
        return done;
    }

    private int round(Consumer<byte[], byte[]> opened, Instant now) {
        flow.apply(opened, assigned.all());
        boolean commits = committer.isDue(opened, assigned.all(), now);
        Duration timeout = commits ? Duration.ZERO : flow.pollTimeout(now, timers.next());
        ConsumerRecords<byte[], byte[]> polled = source.poll(opened, timeout, this::gap, assigned);
        committer.commitIfDue(opened, assigned.all(), now); // after the poll, which says what is lost
        int read = register(opened, polled);
        read += parking == null ? 0 : parking.loop().round();
        if (threads) {
            return read;
        }
        workers.runHere();
        int reported = takeReports();
        commitNow(assigned.all());
        return read + reported;
    }

    /** How long the thread may rest before the next round. */
    Duration rest() {
        return source.hasFault() ? REST_AFTER_A_FAULT : Duration.ZERO;
    }

    /**
     * Any thread: start nothing more.
     *
     * @param limit for all of it, {@link #end()} included
     */
    void close(Duration limit) {
        time = ClosingTime.of(limit);
        pollWatch.closesWithin(limit);
        closing = true;
        if (parking != null) {
            parking.loop().stop();
        }
    }

    /** Any thread: whether nothing runs any more since {@link #close()}. */
    boolean isDrained() {
        return drained;
    }

    /** Any thread: the time to close is over, so what handlers throw from now on is no failure. */
    void interrupted() {
        call.interrupted();
    }

    /** Any thread: what is wrong with the JVM itself; the loop must end, and commits nothing more. */
    @Nullable
    VirtualMachineError fatal() {
        return fatal;
    }

    RunnerHealth health() {
        String held = threads ? pollWatch.problem() : null; // rounds that a test makes come when it likes
        return held == null ? health : health.down(held);
    }

    /** The last thing: commits what has ended, leaves the group, closes what was opened; waits for handlers if nobody has. */
    void end(boolean awaited) {
        boolean asked = closing;
        try {
            leave(awaited);
        } finally {
            pollWatch.ended();
            health = RunnerHealth.ended(fatal, asked);
            settings.listener().observed(health);
        }
    }

    private void leave(boolean awaited) {
        if (!closing) {
            close(OffsetCommitter.LONGEST_SYNC);
        }
        assigned.closeAll();
        assigned.startNothingMore();
        boolean waits = !threads || !awaited && fatal == null;
        pumpUntil(() -> flow.records() == 0, waits ? time.third() : Duration.ZERO);
        commitNow(assigned.all());
        ending = true;
        if (parking != null && !parking.loop().close(time.third())) {
            LOG.warn("{} closed while a parked event was handled; it has ended or is handled again", settings.group());
        }
        try {
            source.close(time.third());
        } finally {
            if (sink != null) {
                sink.close(time.third());
            }
        }
        if (flow.records() > 0) {
            LOG.warn("{} closed while {} records still run; they are repeated", settings.group(), flow.records());
        } else {
            LOG.info("{} closed; nothing was left", settings.group());
        }
    }

    @Override
    public boolean pumpUntil(BooleanSupplier condition, Duration limit) {
        RunLoop.await(ending ? Duration.ZERO : limit, () -> {
            pump();
            if (!threads) {
                workers.runHere();
                takeReports();
            }
            return condition.getAsBoolean() || closing && time.untilFifth(4).isZero();
        });
        return condition.getAsBoolean();
    }

    @Override
    public Instant finishBy() {
        Duration longest = closing ? time.untilFifth(1) : AssignedPartitions.FINISHING;
        return kafka.clock().instant().plus(threads ? longest : Duration.ZERO);
    }

    @Override
    public void commitNow(Collection<Partition> partitions) {
        if (consumer != null && fatal == null) {
            committer.commitNow(consumer, partitions, closing ? time.third() : OffsetCommitter.LONGEST_SYNC);
        }
    }

    @Override
    public void dropped(Collection<InFlight> records) {
        records.forEach(record -> flow.returned(record.bytes()));
        timers.forgetDropped();
    }

    private int pump() {
        if (closing) { // here, since a hand-over may be under way
            assigned.closeAll();
            if (time.untilFifth(1).isZero()) {
                assigned.startNothingMore();
            }
        }
        Instant now = kafka.clock().instant();
        pollWatch.comesBy(now);
        int done = timers.wakeDue(now, workers::ready);
        workers.hire();
        return done + takeReports();
    }

    private int takeReports() {
        int taken = 0;
        for (Report report = workers.nextReport(); report != null; report = workers.nextReport()) {
            taken++;
            if (report instanceof Report.Waits waits) {
                if (assigned.waits(waits)) {
                    timers.add(waits.lane(), waits.due(), waits.problem());
                }
            } else {
                left(report);
            }
        }
        return taken;
    }

    /** A record has left its lane; only if it has ended, and in the epoch that is current, its offset is finished. */
    private void left(Report report) {
        flow.returned(report.record().bytes());
        Partition partition = report.lane().partition();
        boolean current = assigned.isCurrent(partition);
        if (current && report instanceof Report.Ended) {
            partition.offsets().ended(report.record().slot());
        }
        KeyLane waited = assigned.released(report.lane(), report.record());
        if (waited != null) {
            workers.ready(waited);
        }
        if (current && !(report instanceof Report.Ended)) {
            assigned.letGo(partition, report.record());
        }
        if (current && report instanceof Report.Stops stops) {
            stop(partition, stops.why());
        }
    }

    private void stop(Partition partition, String why) {
        assigned.stop(partition, why);
        TopicPartition id = partition.id();
        settings.listener().partitionStopped(kafka.logicalTopic(id.topic()), id.partition(), why);
    }

    // ---- Kafka

    private void gap(TopicPartition id, RunnerListener.OffsetGap gap, @Nullable String stops) {
        Partition partition = assigned.passed(id, gap, stops != null);
        settings.listener().offsetGap(gap);
        if (partition != null && stops != null) {
            stop(partition, stops);
        }
    }

    /**
     * Gives what was read to its lanes, all of it or nothing: if it is abandoned, the partitions are read again from what is
     * unfinished, since the client's position is past records that nobody has.
     */
    private int register(Consumer<byte[], byte[]> opened, ConsumerRecords<byte[], byte[]> records) {
        List<KeyLane> ready = new ArrayList<>();
        try {
            assigned.leaveStopped(opened, records);
            committer.takeOver(opened, records, assigned);
            if (parking != null) {
                parking.owns(assigned.all(), opened);
            }
            register(records, ready);
        } catch (RuntimeException | Error e) {
            assigned.readAgain(opened, records);
            throw e;
        }
        ready.forEach(workers::ready);
        source.received(records);
        return records.count();
    }

    private void register(ConsumerRecords<byte[], byte[]> records, List<KeyLane> ready) {
        for (TopicPartition id : records.partitions()) {
            Partition partition = assigned.get(id);
            List<ConsumerRecord<byte[], byte[]>> read = records.records(id);
            if (partition != null && read.get(0).offset() < partition.offsets().position()) {
                partition = assigned.restart(partition); // the position was set back
            }
            if (partition != null && !partition.isClosed()) {
                for (ConsumerRecord<byte[], byte[]> record : read) {
                    InFlight inFlight = committer.watched(partition, partition.register(record));
                    flow.took(inFlight.bytes());
                    KeyLane lane = assigned.laneOf(partition, record.key());
                    if (lane.add(inFlight)) {
                        ready.add(lane);
                    }
                }
            }
        }
        assigned.reached(records.nextOffsets());
    }

    private void publishHealth() {
        Instant now = kafka.clock().instant();
        if (threads && !healthTime.isDue(now)) {
            return;
        }
        List<String> problems = problems();
        Status status = fatal != null || source.isReplaced() || assigned.isAnyStopped()
                ? Status.DOWN
                : closing ? Status.STOPPING : problems.isEmpty() ? Status.UP : Status.DEGRADED;
        health = new RunnerHealth(
                status,
                problems,
                watch.look(assigned.all(), source.opened(), now),
                workers.running(),
                timers.size(),
                parking == null ? timers.next() : parking.loop().sooner(timers.next()),
                parking == null ? RunnerHealth.NOTHING_PARKED : parking.parked());
        settings.listener().observed(health);
    }

    /** What is wrong, in words, the widest first. */
    private List<String> problems() {
        List<String> problems = new ArrayList<>(fatal == null ? List.of() : List.of(RunnerHealth.text(fatal)));
        problems.addAll(source.problems());
        Stream.of(committer.problem(), workers.problem(), call.takesLong(), parking == null ? null : parking.problem())
                .filter(Objects::nonNull)
                .forEach(problems::add);
        problems.addAll(flow.problems(assigned.all(), timers.size() > 0));
        problems.addAll(RunnerHealth.waiting(timers.problems()));
        return problems;
    }
}
