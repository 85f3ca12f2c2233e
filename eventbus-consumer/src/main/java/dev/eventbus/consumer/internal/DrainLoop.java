package dev.eventbus.consumer.internal;

import dev.eventbus.consumer.parking.ParkedKey;
import dev.eventbus.internal.InterruptFlag;
import dev.eventbus.internal.RunLoop;
import java.sql.SQLException;
import java.time.Duration;
import java.time.Instant;
import java.time.InstantSource;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.concurrent.Executor;
import java.util.function.Consumer;
import java.util.stream.Stream;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.PartitionInfo;
import org.apache.kafka.common.TopicPartition;
import org.jspecify.annotations.Nullable;

/**
 * Which parked keys are drained when: a look every second, on a thread of its own, finds those that are due and gives them turns on the
 * runner's executor, so many at a time; one that is soon due again by its failure here is looked for then: {@link LookTimes}. Without an
 * executor all of it happens in the round.
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
     * @param fatal told when the JVM itself has failed
     */
    public record Lent(InstantSource clock, @Nullable Executor executor, Consumer<? super VirtualMachineError> fatal) {}

    /** What this runner owns, and how many partitions those topics have. */
    private record Owned(Set<TopicPartition> partitions, Map<String, Integer> counts) {}

    private static final Duration LONGEST_QUESTION = Duration.ofSeconds(1);

    private final ParkedKeys keys;
    private final Lent lent;
    private final DrainTurns turns;
    private final Set<String> topics;
    private final RunLoop loop;
    private final LookTimes times = new LookTimes(System::nanoTime);

    private volatile Owned owned = new Owned(Set.of(), Map.of());
    private volatile @Nullable String lookProblem;
    private volatile @Nullable String unreadProblem;

    /** The partitions that this runner owned last, in their epochs. Poll thread only. */
    private Set<FlowControl.Read> seen = Set.of();

    /** Guarded by this. */
    private boolean started;

    /** @param topics that the runner reads, as the inbox has them */
    public DrainLoop(String group, ParkedKeys keys, Set<String> topics, Lent lent, Work work) {
        this.keys = keys;
        this.topics = topics;
        this.lent = lent;
        this.loop = new RunLoop("parked keys " + group, this::look, () -> {});
        this.turns = new DrainTurns(group, lent, key -> known(work.drain(key)), loop::wake, this::dueAt);
    }

    private Turn known(Turn turn) {
        if (turn.ended() > 0) {
            keys.changed();
        }
        return turn;
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
        boolean again = turns.haveFailed() && (next == null || next.isAfter(now.plus(PERIOD)));
        Instant first = again ? now.plus(PERIOD) : next; // what is due now is tried again by then
        return first == null || other != null && other.isBefore(first) ? other : first;
    }

    /** Poll thread: a part of a round; how much it did. */
    public int round() {
        if (lent.executor() == null) {
            keys.changed(); // virtual time jumps to what is due next, so that must be known
            return drainDue(true);
        }
        start();
        return 0;
    }

    private synchronized void start() {
        if (!started && !turns.isStopping()) {
            started = true;
            loop.start();
        }
    }

    /** What is wrong, in words; null if nothing is. */
    public @Nullable String problem() {
        return Stream.of(lookProblem, turns.problem(), unreadProblem)
                .filter(Objects::nonNull)
                .findFirst()
                .orElse(null);
    }

    /** Whether a drain must not begin another event. */
    public boolean isStopping() {
        return turns.isStopping();
    }

    /** In its turn: the key is due then, so that its next turn need not wait for a look that comes anyway. */
    public void dueAt(ParkedKey key, @Nullable Instant due) {
        turns.dueAt(key, due);
    }

    private void dueAt(Instant due) {
        if (times.dueIn(Duration.between(lent.clock().instant(), due))) {
            loop.wake();
        }
    }

    /** Any thread: begins nothing more. */
    public synchronized void stop() {
        turns.stop();
        loop.stop();
    }

    /** Whether no handler of a parked event runs. */
    public boolean isIdle() {
        return turns.isIdle();
    }

    /** Begins nothing more and waits until nothing runs, within the limit; false if something still does. */
    public boolean close(Duration limit) {
        stop();
        boolean idle = RunLoop.await(limit.dividedBy(2), this::isIdle);
        return loop.awaitStopped(limit.dividedBy(2)) && idle;
    }

    // ---- looking

    /** A turn that has ended in between only makes room for what was found last. */
    private Duration look() {
        LookTimes.Look look = times.begin();
        try (InterruptFlag ignored = InterruptFlag.kept()) { // the database's driver and transactions are the user's
            if (look == LookTimes.Look.NONE) {
                turns.fill();
            } else {
                drainDue(look == LookTimes.Look.ALL);
            }
        }
        return times.ended(look);
    }

    /** @param all whether to look after what is known of all keys too, and not only for those that are due */
    private int drainDue(boolean all) {
        int done = 0;
        try {
            Instant now = lent.clock().instant();
            if (all) {
                turns.giveAgain(now);
                keys.refresh(now);
            }
            List<ParkedKey> due = keys.due(now);
            List<ParkedKey> ours = due.stream()
                    .filter(key -> key.events() == 0 || isOurs(key)) // without events it is only to be lifted
                    .toList();
            done = turns.give(ours);
            long unread =
                    due.stream().filter(key -> !topics.contains(key.topic())).count();
            unreadProblem = unread == 0
                    ? null
                    : "%d parked keys are to be handled, of topics that this runner does not read".formatted(unread);
            lookProblem = all ? null : lookProblem; // others read less
        } catch (Throwable e) {
            if (e instanceof VirtualMachineError broken && !(e instanceof StackOverflowError)) {
                lent.fatal().accept(broken);
                return done;
            }
            lookProblem = "the inbox cannot say what is parked (%s)"
                    .formatted(e.getClass().getName());
        }
        return done;
    }
}
