package dev.eventbus.consumer.internal;

import dev.eventbus.consumer.parking.ParkedKey;
import dev.eventbus.internal.RunLoop;
import java.nio.ByteBuffer;
import java.sql.SQLException;
import java.time.Duration;
import java.time.Instant;
import java.time.InstantSource;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.concurrent.Executor;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Consumer;
import java.util.stream.Stream;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.PartitionInfo;
import org.apache.kafka.common.TopicPartition;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Which parked keys are drained when: a look every second, on a thread of its own, finds those that are due and gives them turns on the
 * runner's executor, so many at a time. Without an executor all of it happens in the round.
 *
 * <p>A key is drained by the runner that owns the partition of its first event; if the topic has no such partition any more, by that of
 * partition 0. Thread-safe.
 */
public final class DrainLoop {

    /** How often parked keys are looked at. */
    public static final Duration PERIOD = Duration.ofSeconds(1);

    /** Keys that are drained at the same time. */
    public static final int MOST_AT_ONCE = 4;

    /** Events of a key in one turn; then other work of the executor comes first. */
    public static final int EVENTS_A_TURN = 16;

    /** What came of a turn. */
    public record Turn(int ended, boolean goesOn) {}

    /** Drains a key by some events, in the executor's thread. */
    @FunctionalInterface
    public interface Work {
        Turn drain(ParkedKey key) throws SQLException;
    }

    /**
     * What a runner lends.
     *
     * @param executor runs the turns; null to run them in the round
     * @param fatal told when the JVM itself is out of order
     */
    public record Lent(InstantSource clock, @Nullable Executor executor, Consumer<? super VirtualMachineError> fatal) {}

    /** What this runner owns, and how many partitions those topics have. */
    private record Owned(Set<TopicPartition> partitions, Map<String, Integer> counts) {}

    private record Id(String topic, ByteBuffer key) {

        static Id of(ParkedKey key) {
            return new Id(key.topic(), ByteBuffer.wrap(key.key()));
        }
    }

    /** A key that has a turn, or waits for one; of the turns that it was given only the first to begin is one. */
    private static final class Taken {
        private final ParkedKey key;
        private final Instant since;

        private Instant givenAgain;
        private boolean begun;

        Taken(ParkedKey key, Instant since) {
            this.key = key;
            this.since = since;
            this.givenAgain = since;
        }
    }

    private static final Duration LONGEST_QUESTION = Duration.ofSeconds(1);

    private static final Logger LOG = LoggerFactory.getLogger(DrainLoop.class);

    private final String name;
    private final ParkedKeys keys;
    private final Lent lent;
    private final Work work;
    private final Set<String> topics;
    private final RunLoop loop;

    private final AtomicInteger running = new AtomicInteger();

    /** Keys that have a turn, or wait for one. Guarded by itself. */
    private final Map<Id, Taken> taken = new HashMap<>();

    private volatile Owned owned = new Owned(Set.of(), Map.of());
    private volatile boolean stopping;
    private volatile @Nullable String lookProblem;
    private volatile @Nullable String drainProblem;
    private volatile @Nullable String unreadProblem;
    private volatile @Nullable String late;

    /** Since when the executor has refused all turns; null if it took the last one. */
    private volatile @Nullable Instant refusedSince;

    /** The partitions that this runner owned last, in their epochs. Poll thread only. */
    private Set<FlowControl.Read> seen = Set.of();

    /** Poll thread only. */
    private boolean started;

    /** @param topics that the runner reads, as the inbox has them */
    public DrainLoop(String group, ParkedKeys keys, Set<String> topics, Lent lent, Work work) {
        this.name = group;
        this.keys = keys;
        this.topics = topics;
        this.lent = lent;
        this.work = work;
        this.loop = new RunLoop("parked keys " + group, this::look, () -> {});
    }

    /**
     * Poll thread, before records are registered: what this runner owns from now. Once partitions have come, parked keys are read before
     * these are handled. The client knows how many partitions a topic has.
     *
     * @return whether that is news
     */
    public boolean owns(
            Collection<? extends FlowControl.Read> partitions,
            org.apache.kafka.clients.consumer.Consumer<?, ?> client) {
        if (seen.size() == partitions.size() && seen.containsAll(partitions)) {
            return false;
        }
        if (!seen.containsAll(partitions)) {
            keys.partitionsCame();
        }
        seen = Set.copyOf(partitions);
        Set<TopicPartition> ids = new HashSet<>();
        Map<String, Integer> counts = new HashMap<>();
        for (FlowControl.Read partition : partitions) {
            ids.add(partition.id());
            counts.computeIfAbsent(partition.id().topic(), topic -> count(client, topic));
        }
        owned = new Owned(ids, counts);
        return true;
    }

    private static @Nullable Integer count(org.apache.kafka.clients.consumer.Consumer<?, ?> consumer, String topic) {
        try {
            List<PartitionInfo> known = consumer.partitionsFor(topic, LONGEST_QUESTION);
            return known == null || known.isEmpty() ? null : known.size();
        } catch (KafkaException e) {
            return null; // then keys of partitions that are gone wait until the next rebalance
        }
    }

    /** Whether this runner is the one that drains the key. */
    public boolean isOurs(ParkedKey key) {
        Owned now = owned;
        Integer count = now.counts().get(key.topic());
        boolean gone = count != null && key.partition() >= count;
        return now.partitions().contains(new TopicPartition(key.topic(), gone ? 0 : key.partition()));
    }

    /** The sooner of a time and of that at which the first key that this runner drains is due. */
    public @Nullable Instant sooner(@Nullable Instant other) {
        Instant now = lent.clock().instant();
        Instant next = keys.asLoaded().stream()
                .filter(key -> key.state() != ParkedKey.State.PARKED && isOurs(key))
                .flatMap(key -> Stream.ofNullable(key.nextTry()))
                .filter(due -> due.isAfter(now))
                .min(Instant::compareTo)
                .orElse(null);
        return next == null || other != null && other.isBefore(next) ? other : next;
    }

    /** Poll thread: a part of a round; how much it did. */
    public int round() {
        if (lent.executor() == null) {
            keys.changed(); // virtual time jumps to what is due next, so that must be known
            return drainDue();
        }
        if (!started && !stopping) {
            started = true;
            loop.start();
        }
        return 0;
    }

    /** What is wrong, in words; null if nothing is. */
    public @Nullable String problem() {
        Instant refused = refusedSince;
        boolean refusesAll = refused != null && !lent.clock().instant().isBefore(refused.plus(PERIOD));
        String refusal = refusesAll ? "the executor refuses parked events since %s".formatted(refused) : null;
        return Stream.of(lookProblem, drainProblem, refusal, late, unreadProblem)
                .filter(Objects::nonNull)
                .findFirst()
                .orElse(null);
    }

    /** Whether a drain must not begin another event. */
    public boolean isStopping() {
        return stopping;
    }

    /** Any thread: begins nothing more. */
    public void stop() {
        stopping = true;
        loop.stop();
    }

    /** Whether no handler of a parked event runs. */
    public boolean isIdle() {
        return running.get() == 0;
    }

    /** Begins nothing more and waits until nothing runs, within the limit; false if something still does. */
    public boolean close(Duration limit) {
        stop();
        boolean idle = RunLoop.await(limit.dividedBy(2), this::isIdle);
        return loop.awaitStopped(limit.dividedBy(2)) && idle;
    }

    // ---- looking

    private Duration look() {
        drainDue();
        return PERIOD;
    }

    private int drainDue() {
        int done = 0;
        try {
            Instant now = lent.clock().instant();
            giveAgain(now);
            keys.refresh(now);
            List<ParkedKey> due = keys.due(now);
            List<ParkedKey> ours = due.stream()
                    .filter(key -> key.events() == 0 || isOurs(key)) // without events it is only to be lifted
                    .toList();
            done = ours.stream().mapToInt(this::begin).sum();
            if (ours.isEmpty()) { // what was wrong with those of before is others' by now
                drainProblem = null;
                refusedSince = null;
            }
            long unread =
                    due.stream().filter(key -> !topics.contains(key.topic())).count();
            unreadProblem = unread == 0
                    ? null
                    : "%d parked keys are to be handled, of topics that this runner does not read".formatted(unread);
            lookProblem = null;
        } catch (SQLException | RuntimeException | StackOverflowError e) {
            lookProblem = "the inbox cannot say what is parked (%s)"
                    .formatted(e.getClass().getName());
        } catch (VirtualMachineError e) {
            lent.fatal().accept(e);
        }
        return done;
    }

    private int begin(ParkedKey key) {
        Taken mine = stopping ? null : take(key);
        if (mine == null) {
            return 0;
        }
        Executor executor = lent.executor();
        return executor == null ? drain(key) : submit(mine, executor) ? 1 : 0;
    }

    /** To the user's executor, which may refuse a turn, drop it or begin it late. */
    private boolean submit(Taken mine, Executor executor) {
        try {
            executor.execute(() -> turn(mine, executor));
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

    private void turn(Taken mine, Executor executor) {
        synchronized (taken) {
            if (mine.begun || taken.get(Id.of(mine.key)) != mine) {
                return;
            }
            mine.begun = true;
        }
        Turn turn = safely(mine.key);
        Taken next = turn.goesOn() && !stopping ? takeAgain(mine.key) : null;
        if (next == null) {
            release(mine.key);
        } else {
            submit(next, executor);
        }
    }

    /** A turn that has not begun for long may have been dropped: the key gets another, ever more seldom. */
    private void giveAgain(Instant now) {
        Executor executor = lent.executor();
        List<Taken> again = new ArrayList<>();
        Instant oldest = null;
        synchronized (taken) {
            for (Taken one : taken.values()) {
                if (!one.begun && !now.isBefore(one.since.plus(WorkerCalls.GIVEN_UP_AFTER))) {
                    oldest = oldest == null || one.since.isBefore(oldest) ? one.since : oldest;
                    if (Duration.between(one.since, now)
                                    .compareTo(Duration.between(one.since, one.givenAgain)
                                            .multipliedBy(2))
                            >= 0) {
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
        if (executor != null) {
            again.forEach(one -> submit(one, executor));
        }
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
            LOG.error("BUG, please report: {} of {} could not be drained; it is tried again", key, name, e);
        } finally {
            running.decrementAndGet();
        }
        return new Turn(0, false);
    }

    private @Nullable Taken take(ParkedKey key) {
        Taken mine = new Taken(key, lent.clock().instant());
        synchronized (taken) {
            return taken.size() < MOST_AT_ONCE && taken.putIfAbsent(Id.of(key), mine) == null ? mine : null;
        }
    }

    private Taken takeAgain(ParkedKey key) {
        Taken mine = new Taken(key, lent.clock().instant());
        synchronized (taken) {
            taken.put(Id.of(key), mine);
        }
        return mine;
    }

    private void release(ParkedKey key) {
        synchronized (taken) {
            taken.remove(Id.of(key));
        }
    }
}
