package dev.eventbus.consumer;

import static java.nio.charset.StandardCharsets.UTF_8;

import dev.eventbus.EventType;
import dev.eventbus.topics.KafkaCluster;
import java.time.Duration;
import java.time.Instant;
import java.time.InstantSource;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Queue;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.LockSupport;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.consumer.Consumer;
import org.apache.kafka.clients.consumer.ConsumerGroupMetadata;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.MockConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.MockProducer;
import org.apache.kafka.clients.producer.Producer;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.jspecify.annotations.Nullable;

/** A cluster of kafka-clients' own mocks: one consumer, one producer for dead letters, a clock that is set by hand. */
class MockKafka implements KafkaCluster {

    static final String TOPIC = "asset.events";
    static final String LETTERS = "dlq.events";
    static final TopicPartition P0 = new TopicPartition(TOPIC, 0);
    static final TopicPartition P1 = new TopicPartition(TOPIC, 1);

    record Asset(String userId, @Nullable Integer amount) {}

    static final EventType<Asset> ASSET =
            EventType.of("ASSET_UPDATED", Asset.class).topic(TOPIC).key(Asset::userId);

    /** The one that was opened last. */
    volatile ScriptedConsumer consumer = opened();

    final MockProducer<byte[], byte[]> letters;
    final Map<String, String> settings = new ConcurrentHashMap<>();
    private volatile boolean ticking;
    private final Map<TopicPartition, Long> ends = new HashMap<>();
    private volatile Instant now = Instant.parse("2030-01-01T00:00:00Z");

    MockKafka(boolean acknowledgesLetters) {
        letters = new MockProducer<>(acknowledgesLetters, null, new ByteArraySerializer(), new ByteArraySerializer());
    }

    private static ScriptedConsumer opened() {
        ScriptedConsumer opened = new ScriptedConsumer();
        opened.updateBeginningOffsets(Map.of(P0, 0L, P1, 0L, new TopicPartition(LETTERS, 0), 0L));
        return opened;
    }

    static MockKafka create() {
        return new MockKafka(true);
    }

    /** The same cluster as the next process meets it: what the group has not committed is read again. */
    @SafeVarargs
    final MockKafka forNextProcess(ConsumerRecord<byte[], byte[]>... records) {
        MockKafka next = new MockKafka(true);
        next.consumer.commits.putAll(consumer.commits);
        for (ConsumerRecord<byte[], byte[]> record : records) {
            OffsetAndMetadata from = consumer.commits.get(new TopicPartition(record.topic(), record.partition()));
            if (from == null || record.offset() >= from.offset()) {
                next.consumer.log.add(record);
            }
        }
        return next;
    }

    /** From now on time goes by itself. */
    MockKafka ticking() {
        ticking = true;
        return this;
    }

    void advance(Duration by) {
        now = now.plus(by);
    }

    void setTo(@Nullable Instant instant) {
        now = Objects.requireNonNull(instant, "nobody waits");
    }

    /** Assigns exactly these, in the next poll, revoking first what is not among them. */
    void assign(TopicPartition... partitions) {
        consumer.schedulePollTask(() -> consumer.rebalanceLikeKafka(List.of(partitions)));
    }

    /** As {@link #assign}; that poll returns events of theirs already. */
    void assignReading(TopicPartition... partitions) {
        consumer.schedulePollTask(() -> {
            consumer.rebalanceLikeKafka(List.of(partitions));
            consumer.log.removeIf(consumer::isAddable);
        });
    }

    /**
     * As {@link #assign}; the latch is down when the hand-over has begun. The poll thread is the only one that asks for the time
     * while all handlers are held, so two more {@link #clockReads} say that the hand-over has closed what goes and waits.
     */
    CountDownLatch assignTelling(TopicPartition... partitions) {
        CountDownLatch begun = new CountDownLatch(1);
        consumer.schedulePollTask(() -> {
            begun.countDown();
            consumer.rebalanceLikeKafka(List.of(partitions));
        });
        return begun;
    }

    /** In the next poll: another member has them already. */
    void lose(TopicPartition... partitions) {
        consumer.schedulePollTask(() -> consumer.loseLikeKafka(List.of(partitions)));
    }

    /** As {@link #lose}, in a poll that does something else first. */
    void loseAfter(Runnable first, TopicPartition... partitions) {
        consumer.schedulePollTask(() -> {
            first.run();
            consumer.loseLikeKafka(List.of(partitions));
        });
    }

    /** An event that the next poll returns. */
    ConsumerRecord<byte[], byte[]> event(TopicPartition partition, String user, String id) {
        return record(partition, user, json(user, id));
    }

    static String json(String user, String id) {
        return """
                {"eventId":"%s","eventType":"ASSET_UPDATED","timestamp":"2030-01-01T00:00:00Z","userId":"%s","amount":1}
                """.formatted(id, user);
    }

    ConsumerRecord<byte[], byte[]> record(TopicPartition partition, @Nullable String key, String value) {
        return record(partition, ends.getOrDefault(partition, 0L), key, value);
    }

    ConsumerRecord<byte[], byte[]> record(TopicPartition partition, long offset, @Nullable String key, String value) {
        ends.put(partition, offset + 1);
        ConsumerRecord<byte[], byte[]> record = new ConsumerRecord<>(
                partition.topic(),
                partition.partition(),
                offset,
                key == null ? null : key.getBytes(UTF_8),
                value.getBytes(UTF_8));
        consumer.log.add(record);
        return record;
    }

    long committed(TopicPartition partition) {
        return consumer.committedOffsets.getOrDefault(partition, -1L);
    }

    @Override
    public Consumer<byte[], byte[]> consumer(Map<String, Object> with) {
        if (consumer.closed()) {
            consumer = opened();
        }
        return consumer;
    }

    @Override
    public Producer<byte[], byte[]> producer(Map<String, Object> with) {
        return letters;
    }

    @Override
    public Admin admin() {
        throw new UnsupportedOperationException();
    }

    /** How often anybody has asked for the time; the poll thread does so whenever it looks. */
    final AtomicInteger clockReads = new AtomicInteger();

    @Override
    public InstantSource clock() {
        return () -> {
            clockReads.incrementAndGet();
            return ticking ? InstantSource.system().instant() : now;
        };
    }

    @Override
    public String setting(String name, String fallback) {
        return settings.getOrDefault(name, fallback);
    }

    @Override
    public KafkaCluster named(String name) {
        return this;
    }

    @Override
    public KafkaCluster topicPrefix(String prefix) {
        return this;
    }

    @Override
    public String name() {
        return "mock";
    }

    @Override
    public String bootstrapServers() {
        return "mock:9092";
    }

    @Override
    public String physicalTopic(String topic) {
        return topic;
    }

    @Override
    public String logicalTopic(String physicalTopic) {
        return physicalTopic;
    }

    /** Revokes before it assigns, as Kafka does; keeps what was committed; fails commits on demand. */
    static final class ScriptedConsumer extends MockConsumer<byte[], byte[]> {

        final Map<TopicPartition, Long> committedOffsets = new ConcurrentHashMap<>();
        final Map<TopicPartition, OffsetAndMetadata> commits = new ConcurrentHashMap<>();
        /** What the next polls return, as far as its partitions are assigned. */
        final Queue<ConsumerRecord<byte[], byte[]>> log = new ConcurrentLinkedQueue<>();

        volatile @Nullable KafkaException failCommitsWith;
        volatile @Nullable KafkaException failReadsWith;

        /** Whether its group has no coordinator, of which Kafka's client says nothing. */
        volatile boolean seesNoCoordinator;

        final AtomicInteger polls = new AtomicInteger();

        private @Nullable ConsumerRebalanceListener listener;

        ScriptedConsumer() {
            super("none");
        }

        @Override
        public synchronized void subscribe(Collection<String> topics, ConsumerRebalanceListener hears) {
            listener = hears;
            super.subscribe(topics, hears);
        }

        @Override
        public synchronized Map<TopicPartition, OffsetAndMetadata> committed(
                Set<TopicPartition> partitions, Duration limit) {
            if (failReadsWith != null) {
                throw failReadsWith;
            }
            Map<TopicPartition, OffsetAndMetadata> known = new HashMap<>(commits);
            known.keySet().retainAll(partitions);
            return known;
        }

        @Override
        public ConsumerGroupMetadata groupMetadata() {
            return seesNoCoordinator ? new ConsumerGroupMetadata("g") : super.groupMetadata();
        }

        private synchronized boolean isAddable(ConsumerRecord<byte[], byte[]> record) {
            boolean assigned = assignment().contains(new TopicPartition(record.topic(), record.partition()));
            if (assigned) {
                addRecord(record);
            }
            return assigned;
        }

        private void rebalanceLikeKafka(Collection<TopicPartition> wanted) {
            List<TopicPartition> going = new ArrayList<>(assignment());
            going.removeAll(wanted);
            if (listener != null && !going.isEmpty()) {
                listener.onPartitionsRevoked(going);
            }
            rebalance(wanted);
        }

        private void loseLikeKafka(Collection<TopicPartition> lost) {
            List<TopicPartition> staying = new ArrayList<>(assignment());
            staying.removeAll(lost);
            if (listener != null) {
                listener.onPartitionsLost(lost);
            }
            rebalance(staying);
        }

        @Override
        public ConsumerRecords<byte[], byte[]> poll(Duration timeout) {
            polls.incrementAndGet();
            ConsumerRecords<byte[], byte[]> records = super.poll(timeout);
            log.removeIf(this::isAddable);
            if (records.isEmpty()) {
                LockSupport.parkNanos(Math.min(timeout.toNanos(), 200_000));
            }
            return records;
        }

        @Override
        public synchronized void commitSync(Map<TopicPartition, OffsetAndMetadata> offsets) {
            if (failCommitsWith != null) {
                throw failCommitsWith;
            }
            super.commitSync(offsets);
            commits.putAll(offsets);
            offsets.forEach((partition, offset) -> committedOffsets.put(partition, offset.offset()));
        }

        @Override
        public void commitSync(Map<TopicPartition, OffsetAndMetadata> offsets, Duration limit) {
            commitSync(offsets);
        }

        @Override
        public synchronized void commitAsync(
                Map<TopicPartition, OffsetAndMetadata> offsets,
                org.apache.kafka.clients.consumer.OffsetCommitCallback callback) {
            if (failCommitsWith != null) {
                callback.onComplete(offsets, failCommitsWith);
                return;
            }
            super.commitAsync(offsets, callback);
            commits.putAll(offsets);
            offsets.forEach((partition, offset) -> committedOffsets.put(partition, offset.offset()));
        }
    }
}
