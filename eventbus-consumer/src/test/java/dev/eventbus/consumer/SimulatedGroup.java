package dev.eventbus.consumer;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.time.Duration;
import java.time.Instant;
import java.time.InstantSource;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.SplittableRandom;
import java.util.TreeMap;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Future;
import java.util.function.BiConsumer;
import java.util.function.BiPredicate;
import org.apache.kafka.clients.consumer.CloseOptions;
import org.apache.kafka.clients.consumer.CommitFailedException;
import org.apache.kafka.clients.consumer.Consumer;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.MockConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.OffsetCommitCallback;
import org.apache.kafka.clients.producer.Callback;
import org.apache.kafka.clients.producer.MockProducer;
import org.apache.kafka.clients.producer.Producer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.RebalanceInProgressException;
import org.apache.kafka.common.errors.TimeoutException;
import org.apache.kafka.common.errors.UnsupportedVersionException;
import org.apache.kafka.common.header.Headers;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.jspecify.annotations.Nullable;

/**
 * One topic and one group in one thread: who owns which partition, what was committed, and the truth about which event has ended,
 * by which the group's commits and starts are judged. Members are real poll loops; their tasks, letters and polls happen when the
 * simulation says so.
 */
final class SimulatedGroup {

    /** What a commit comes to. */
    enum CommitFault {
        REFUSED(new CommitFailedException("the group has moved on"), false),
        REBALANCING(new RebalanceInProgressException(), false),
        REPLY_LOST(new TimeoutException("no reply"), true);

        final KafkaException thrown;
        final boolean applied;

        CommitFault(KafkaException thrown, boolean applied) {
            this.thrown = thrown;
            this.applied = applied;
        }
    }

    private static final String EPOCH = "epoch";
    private static final String MEMBER = "member";

    /** A partition, and the truth about it. */
    static final class Log {
        final TopicPartition id;
        final TreeMap<Long, String> keys = new TreeMap<>(); // by offset
        final Set<Long> ended = new HashSet<>();
        final Map<Long, Integer> successes = new HashMap<>();
        final Map<Integer, Set<Long>> endedInEpoch = new HashMap<>();
        final Map<Integer, Long> beganAt = new HashMap<>(); // by epoch
        long end;
        long committed;

        /** Of the last commit; null before the first. */
        @Nullable
        String note;

        int epoch;

        @Nullable
        Member owner;

        Member wanted;

        Log(int number, Member wanted) {
            this.id = new TopicPartition(MockKafka.TOPIC, number);
            this.wanted = wanted;
        }

        void ended(int inEpoch, long offset) {
            ended.add(offset);
            endedInEpoch.computeIfAbsent(inEpoch, e -> new HashSet<>()).add(offset);
        }

        boolean isDone() {
            return keys.isEmpty() || committed > keys.lastKey();
        }
    }

    final List<String> violations = new ArrayList<>();
    final List<String> story = new ArrayList<>();
    final Map<TopicPartition, Log> logs = new LinkedHashMap<>();
    final SplittableRandom random;
    Instant now = Instant.parse("2030-01-01T00:00:00Z");

    /** Whose poll loop runs now, innermost. */
    @Nullable
    Member acting;

    /** What the truth of a commit is judged by: whether the event at an offset has ended. */
    BiPredicate<Log, Long> hasEnded =
            (log, offset) -> log.endedInEpoch.getOrDefault(log.epoch, Set.of()).contains(offset);

    /** Hears of letters that the broker has. */
    BiConsumer<Log, Long> lettered = (log, offset) -> {};

    private final boolean told;

    /** @param told whether to write its story */
    SimulatedGroup(SplittableRandom random, boolean told) {
        this.random = random;
        this.told = told;
    }

    void tell(String format, Object... arguments) {
        if (told) {
            story.add(format.formatted(arguments));
        }
    }

    void violated(String what) {
        tell("VIOLATED %s", what);
        violations.add(what);
    }

    Log log(ConsumerRecord<?, ?> record) {
        return log(new TopicPartition(record.topic(), record.partition()));
    }

    Log log(TopicPartition id) {
        return Objects.requireNonNull(logs.get(id));
    }

    /** Appends an event, now and then behind offsets that hold none. */
    void append(Log log, String key) {
        log.end += random.nextInt(5) == 0 ? random.nextInt(3) : 0;
        log.keys.put(log.end++, key);
        log.end += random.nextInt(10) == 0 ? 1 : 0;
    }

    private ConsumerRecord<byte[], byte[]> record(Log log, long offset, Member reader) {
        String key = Objects.requireNonNull(log.keys.get(offset));
        ConsumerRecord<byte[], byte[]> record = new ConsumerRecord<>(
                log.id.topic(),
                log.id.partition(),
                offset,
                key.getBytes(UTF_8),
                MockKafka.json(key, log.id.partition() + "-" + offset).getBytes(UTF_8));
        record.headers().add(EPOCH, Integer.toString(log.epoch).getBytes(UTF_8));
        record.headers().add(MEMBER, reader.name.getBytes(UTF_8));
        return record;
    }

    static int epochOf(Headers headers) {
        return Integer.parseInt(text(headers, EPOCH));
    }

    static String memberOf(Headers headers) {
        return text(headers, MEMBER);
    }

    private static String text(Headers headers, String name) {
        return new String(headers.lastHeader(name).value(), UTF_8);
    }

    /** Invariants I1 and I3, from the truth. */
    private void judgeCommit(Log log, long offset) {
        long began = log.beganAt.getOrDefault(log.epoch, 0L);
        for (long below : log.keys.subMap(Math.min(began, offset), offset).keySet()) {
            if (!hasEnded.test(log, below)) {
                violated("I1/I3: %s committed %d, but %d has not ended in epoch %d"
                        .formatted(log.id, offset, below, log.epoch));
            }
        }
        if (offset > log.end) {
            violated("committed %d beyond the end %d of %s".formatted(offset, log.end, log.id));
        }
    }

    /** A process of the group: a poll loop, its executor and its letters. */
    final class Member extends MockKafka {
        final String name;
        final ArrayDeque<Runnable> tasks = new ArrayDeque<>();
        final ArrayDeque<Letter> pending = new ArrayDeque<>();
        final Set<String> running = new HashSet<>();
        final Set<String> dying = new HashSet<>();
        final Runnable meanwhile;

        private @Nullable PollLoop loop;

        @Nullable
        CommitFault commitFault;

        boolean pollFails;
        boolean expelled;
        private boolean dead;
        boolean leaving;
        boolean inRound;

        /** How often the hand-over under way may still let others work. */
        private int turns;

        private @Nullable MemberConsumer opened;

        private final int turnsAHandOver;

        /** @param meanwhile what others do while a hand-over waits, and how often */
        Member(String name, Runnable meanwhile, int turnsAHandOver) {
            super(true);
            this.name = name;
            this.meanwhile = meanwhile;
            this.turnsAHandOver = turnsAHandOver;
        }

        PollLoop loop() {
            return Objects.requireNonNull(loop, name);
        }

        void runs(PollLoop runs) {
            loop = runs;
        }

        record Letter(ProducerRecord<byte[], byte[]> record, Callback callback) {}

        /** What it still does on its way out is seen by nobody. */
        void dies() {
            dead = true;
        }

        boolean isDead() {
            return dead;
        }

        /** Where a process that has died would not be any more. */
        void mustLive() {
            if (dead) {
                throw new KafkaException(name + " is dead");
            }
        }

        void round() {
            mustLive();
            acts(() -> loop().round());
            if (loop().fatal() != null) {
                violated("fatal: " + loop().fatal());
            }
        }

        void end() {
            mustLive();
            acts(() -> loop().end(true));
        }

        private void acts(Runnable what) {
            Member before = acting;
            acting = this;
            inRound = true;
            what.run();
            inRound = false;
            acting = before;
        }

        /** It has died, or left. */
        void isGone() {
            tasks.clear();
            pending.clear();
            for (Log log : logs.values()) {
                log.owner = log.owner == this ? null : log.owner;
            }
        }

        void letterEnds(boolean well) {
            Letter letter = pending.remove();
            if (!well) {
                letter.callback().onCompletion(null, new TimeoutException("not acknowledged"));
                return;
            }
            arrives(letter);
            letter.callback().onCompletion(new RecordMetadata(new TopicPartition(LETTERS, 0), 0, 0, 0, 0, 0), null);
        }

        /** The broker has it, whoever hears of that. */
        void arrives(Letter letter) {
            Headers headers = letter.record().headers();
            Log log = log(new TopicPartition(TOPIC, Integer.parseInt(text(headers, "eventbus-dlq-partition"))));
            long offset = Long.parseLong(text(headers, "eventbus-dlq-offset"));
            log.ended(epochOf(headers), offset);
            lettered.accept(log, offset);
        }

        @Override
        public Consumer<byte[], byte[]> consumer(Map<String, Object> with) {
            opened = new MemberConsumer(this);
            return opened;
        }

        @Override
        public Producer<byte[], byte[]> producer(Map<String, Object> with) {
            return new MockProducer<>(true, null, new ByteArraySerializer(), new ByteArraySerializer()) {
                @Override
                public Future<RecordMetadata> send(ProducerRecord<byte[], byte[]> record, Callback callback) {
                    if (!dead) {
                        pending.add(new Letter(record, callback));
                    }
                    return new CompletableFuture<>();
                }

                @Override
                public void close(Duration limit) {
                    List<Letter> left = List.copyOf(pending);
                    pending.clear();
                    left.forEach(letter -> letter.callback().onCompletion(null, new KafkaException("closed")));
                }
            };
        }

        @Override
        public InstantSource clock() {
            return () -> {
                if (turns > 0) {
                    turns--;
                    meanwhile.run();
                }
                return now;
            };
        }
    }

    /** Kafka's consumer as one member sees it. */
    private final class MemberConsumer extends MockConsumer<byte[], byte[]> {
        private final Member member;
        private final Map<TopicPartition, Long> positions = new LinkedHashMap<>();
        private final Set<TopicPartition> paused = new HashSet<>();
        private final List<Runnable> callbacks = new ArrayList<>();
        private @Nullable ConsumerRebalanceListener listener;

        MemberConsumer(Member member) {
            super("none");
            this.member = member;
        }

        @Override
        public synchronized void subscribe(Collection<String> topics, ConsumerRebalanceListener hears) {
            listener = hears;
        }

        @Override
        public synchronized Set<TopicPartition> assignment() {
            return Set.copyOf(positions.keySet());
        }

        @Override
        public synchronized Set<TopicPartition> paused() {
            return Set.copyOf(paused);
        }

        @Override
        public synchronized void pause(Collection<TopicPartition> partitions) {
            paused.addAll(partitions);
        }

        @Override
        public synchronized void resume(Collection<TopicPartition> partitions) {
            paused.removeAll(partitions);
        }

        @Override
        public synchronized ConsumerRecords<byte[], byte[]> poll(Duration timeout) {
            if (member.pollFails) {
                member.pollFails = false;
                throw new UnsupportedVersionException("the consumer ends");
            }
            runCallbacks();
            rebalance();
            member.mustLive(); // it may have died in a hand-over
            return fetch();
        }

        private void runCallbacks() {
            List<Runnable> due = List.copyOf(callbacks);
            callbacks.clear();
            due.forEach(Runnable::run);
        }

        private void rebalance() {
            lose();
            revoke(positions.keySet().stream()
                    .filter(id -> log(id).wanted != member)
                    .toList());
            lose(); // meanwhile
            List<TopicPartition> taken = new ArrayList<>();
            for (Log log : logs.values()) {
                if (log.owner == null && log.wanted == member) {
                    log.owner = member;
                    log.epoch++;
                    log.beganAt.put(log.epoch, log.committed);
                    positions.put(log.id, log.committed);
                    taken.add(log.id);
                }
            }
            if (!taken.isEmpty()) {
                tell("%s takes %s", member.name, positions);
                hears().onPartitionsAssigned(taken);
            }
        }

        private void lose() {
            if (member.expelled) {
                member.expelled = false;
                List<TopicPartition> lost = List.copyOf(positions.keySet());
                positions.clear();
                paused.clear();
                tell("%s loses %s", member.name, lost);
                lost.forEach(id -> log(id).owner = log(id).owner == member ? null : log(id).owner);
                hears().onPartitionsLost(lost);
            }
        }

        private void revoke(List<TopicPartition> going) {
            if (going.isEmpty()) {
                return;
            }
            tell("%s hands over %s", member.name, going);
            member.turns = member.turnsAHandOver;
            hears().onPartitionsRevoked(going);
            member.turns = 0;
            tell("%s has handed over %s", member.name, going);
            for (TopicPartition id : going) {
                positions.remove(id);
                paused.remove(id);
                Log log = log(id);
                log.owner = log.owner == member ? null : log.owner;
            }
        }

        private ConsumerRebalanceListener hears() {
            return Objects.requireNonNull(listener);
        }

        private ConsumerRecords<byte[], byte[]> fetch() {
            Map<TopicPartition, List<ConsumerRecord<byte[], byte[]>>> records = new LinkedHashMap<>();
            Map<TopicPartition, OffsetAndMetadata> next = new HashMap<>();
            for (TopicPartition id : positions.keySet()) {
                if (!paused.contains(id)) {
                    Log log = log(id);
                    List<ConsumerRecord<byte[], byte[]>> some = new ArrayList<>();
                    long position = Objects.requireNonNull(positions.get(id));
                    int most = random.nextInt(1, 6);
                    for (long offset : log.keys.tailMap(position).keySet()) {
                        if (some.size() < most) {
                            some.add(record(log, offset, member));
                            position = offset + 1;
                        }
                    }
                    if (!some.isEmpty()) {
                        records.put(id, some);
                        position = log.keys.tailMap(position).isEmpty() ? log.end : position;
                        positions.put(id, position);
                        next.put(id, new OffsetAndMetadata(position));
                    }
                }
            }
            return new ConsumerRecords<>(records, next);
        }

        @Override
        public synchronized Map<TopicPartition, OffsetAndMetadata> committed(Set<TopicPartition> ids, Duration limit) {
            Map<TopicPartition, OffsetAndMetadata> committed = new HashMap<>();
            ids.forEach(id -> {
                String note = log(id).note;
                committed.put(id, note == null ? null : new OffsetAndMetadata(log(id).committed, note));
            });
            return committed;
        }

        @Override
        public synchronized void seek(TopicPartition partition, long offset) {
            positions.put(partition, offset);
        }

        @Override
        public synchronized void commitSync(Map<TopicPartition, OffsetAndMetadata> offsets, Duration limit) {
            runCallbacks();
            commit(offsets);
        }

        @Override
        public synchronized void commitAsync(
                Map<TopicPartition, OffsetAndMetadata> offsets, @Nullable OffsetCommitCallback callback) {
            Exception failure = null;
            try {
                commit(offsets);
            } catch (KafkaException e) {
                failure = e;
            }
            Exception outcome = failure;
            callbacks.add(() -> Objects.requireNonNull(callback).onComplete(offsets, outcome));
        }

        private void commit(Map<TopicPartition, OffsetAndMetadata> offsets) {
            CommitFault fault = member.commitFault;
            member.commitFault = null;
            boolean mine = offsets.keySet().stream().allMatch(id -> log(id).owner == member);
            if (!mine || member.expelled || member.isDead()) {
                throw new CommitFailedException("not a member any more");
            }
            tell("%s commits %s %s", member.name, offsets, String.valueOf(fault));
            if (fault == null || fault.applied) {
                offsets.forEach((id, offset) -> {
                    judgeCommit(log(id), offset.offset());
                    log(id).committed = offset.offset();
                    log(id).note = offset.metadata();
                });
            }
            if (fault != null) {
                throw fault.thrown;
            }
        }

        @Override
        public synchronized void close(CloseOptions options) {
            lose();
            revoke(List.copyOf(positions.keySet()));
        }
    }
}
