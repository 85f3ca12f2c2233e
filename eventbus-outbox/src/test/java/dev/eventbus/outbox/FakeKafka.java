package dev.eventbus.outbox;

import static java.nio.charset.StandardCharsets.UTF_8;

import dev.eventbus.EventHeaders;
import dev.eventbus.topics.KafkaCluster;
import java.time.Duration;
import java.time.Instant;
import java.time.InstantSource;
import java.util.ArrayDeque;
import java.util.Collection;
import java.util.Deque;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.Future;
import java.util.function.Function;
import java.util.function.Supplier;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.consumer.Consumer;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.consumer.MockConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.Callback;
import org.apache.kafka.clients.producer.MockProducer;
import org.apache.kafka.clients.producer.Producer;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.PartitionInfo;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.TimeoutException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.jspecify.annotations.Nullable;

/** A cluster in memory whose producers do as the test says. Time stands still unless the test moves it. */
final class FakeKafka implements KafkaCluster {

    /** What becomes of a record that is sent. */
    enum Answer {
        ACK,
        /** Neither acknowledged nor refused until the test says so. */
        HOLD
    }

    /** Records in the order in which the brokers took them. */
    final List<ProducerRecord<byte[], byte[]>> log = new CopyOnWriteArrayList<>();

    final List<FakeProducer> producers = new CopyOnWriteArrayList<>();
    final FakeTransactions transactions = new FakeTransactions(this);
    final Map<String, Integer> partitions = new ConcurrentHashMap<>();

    volatile Answer answer = Answer.ACK;

    /** Refuses a record at once, from within send(), if it gives an exception. */
    volatile Function<String, @Nullable Exception> refusal = id -> null;

    /** How often a client is asked for a topic before it has learnt of any. */
    int coldAnswers;

    /** Of every partition: where it ends, where the first transaction that is open begins, and what every group has handled. */
    long logEnd;

    long stableEnd = Long.MAX_VALUE;
    long handled;

    volatile Instant now = Instant.parse("2026-01-15T10:00:00Z");
    volatile @Nullable RuntimeException unreachable;

    /** A cluster in memory has nobody to ask, unless the test says so. */
    volatile Supplier<Admin> admin = () -> {
        throw new UnsupportedOperationException();
    };

    FakeKafka() {
        partitions.put("asset.events", 3);
        partitions.put("housing.events", 3);
    }

    List<String> ids() {
        return log.stream().map(FakeKafka::id).toList();
    }

    List<String> idsOf(String key) {
        return log.stream()
                .filter(message -> new String(message.key(), UTF_8).equals(key))
                .map(FakeKafka::id)
                .toList();
    }

    static String id(ProducerRecord<byte[], byte[]> message) {
        return new String(message.headers().lastHeader(EventHeaders.ID).value(), UTF_8);
    }

    FakeProducer producer() {
        return producers.get(producers.size() - 1);
    }

    void advance(Duration by) {
        now = now.plus(by);
    }

    private static List<PartitionInfo> partitionsOf(String topic, int count) {
        return IntStream.range(0, count)
                .mapToObj(partition -> new PartitionInfo(topic, partition, null, null, null))
                .toList();
    }

    /** A record that waits for its answer. */
    record Held(ProducerRecord<byte[], byte[]> message, Callback callback) {}

    final class FakeProducer extends MockProducer<byte[], byte[]> {
        final Deque<Held> held = new ArrayDeque<>();
        volatile @Nullable Duration closedWith;
        volatile boolean inCallback;
        volatile boolean closedInCallback;

        /** The threads that flushed, in turn. */
        final List<String> flushedBy = new CopyOnWriteArrayList<>();

        FakeProducer() {
            super(false, null, new ByteArraySerializer(), new ByteArraySerializer());
        }

        @Override
        public List<PartitionInfo> partitionsFor(String topic) {
            if (coldAnswers > 0) {
                coldAnswers--;
                throw new TimeoutException("Topic %s not present in metadata after 0 ms.".formatted(topic));
            }
            RuntimeException trouble = unreachable;
            if (trouble != null) {
                throw trouble;
            }
            Integer count = partitions.get(topic);
            if (count == null) {
                throw new TimeoutException(
                        "Topic %s not present in metadata after 0 ms.".formatted(topic),
                        new UnknownTopicOrPartitionException("This server does not host this topic-partition."));
            }
            return partitionsOf(topic, count);
        }

        @Override
        public synchronized Future<RecordMetadata> send(ProducerRecord<byte[], byte[]> message, Callback callback) {
            if (closedWith != null) {
                throw new IllegalStateException("Cannot perform operation after producer has been closed");
            }
            Exception refused = refusal.apply(id(message));
            if (refused != null) {
                callback.onCompletion(null, refused);
            } else if (answer == Answer.ACK) {
                ack(new Held(message, callback));
            } else {
                held.add(new Held(message, callback));
            }
            return new CompletableFuture<>();
        }

        @Override
        public void flush() {
            flushedBy.add(Thread.currentThread().getName());
        }

        List<String> heldIds() {
            return held.stream().map(one -> id(one.message())).toList();
        }

        void ackNext() {
            ack(held.remove());
        }

        /** Takes a record out, to be answered by the test itself. */
        Held take(String id) {
            Held taken = held.stream()
                    .filter(one -> id(one.message()).equals(id))
                    .findFirst()
                    .orElseThrow();
            held.remove(taken);
            return taken;
        }

        void ackAll() {
            while (!held.isEmpty()) {
                ack(held.remove());
            }
        }

        private void ack(Held one) {
            log.add(one.message());
            TopicPartition partition =
                    new TopicPartition(one.message().topic(), one.message().partition());
            one.callback().onCompletion(new RecordMetadata(partition, log.size(), 0, 0, 0, 0), null);
        }

        /** A held record fails, as on the client's sender thread; if nobody closes the producer, the others get through. */
        void fail(String id, Exception error) {
            Held failing = take(id);
            inCallback = true;
            failing.callback().onCompletion(null, error);
            inCallback = false;
            if (closedWith == null) {
                ackAll();
            } else {
                while (!held.isEmpty()) {
                    held.remove()
                            .callback()
                            .onCompletion(
                                    null, new org.apache.kafka.common.KafkaException("Producer is closed forcefully."));
                }
            }
        }

        @Override
        public void close(Duration timeout) {
            closedInCallback = inCallback;
            closedWith = timeout;
        }
    }

    @Override
    public Producer<byte[], byte[]> producer(Map<String, Object> settings) {
        if (settings.containsKey(ProducerConfig.TRANSACTIONAL_ID_CONFIG)) {
            return transactions.producer(settings);
        }
        FakeProducer producer = new FakeProducer();
        producers.add(producer);
        return producer;
    }

    @Override
    public KafkaCluster named(String name) {
        throw new UnsupportedOperationException();
    }

    @Override
    public KafkaCluster topicPrefix(String prefix) {
        throw new UnsupportedOperationException();
    }

    @Override
    public String name() {
        return "kafka-events";
    }

    @Override
    public String bootstrapServers() {
        return "broker-1:9092";
    }

    @Override
    public String physicalTopic(String topic) {
        return topic;
    }

    @Override
    public String logicalTopic(String physicalTopic) {
        return physicalTopic;
    }

    /** Somebody who asks how far topics and groups are, and never finds a record. */
    private final class FakeReader extends MockConsumer<byte[], byte[]> {
        private final boolean committedOnly;

        FakeReader(Map<String, Object> settings) {
            super("none");
            this.committedOnly = !"read_uncommitted".equals(settings.get(ConsumerConfig.ISOLATION_LEVEL_CONFIG));
        }

        @Override
        public List<PartitionInfo> partitionsFor(String topic) {
            return partitionsOf(topic, partitions.getOrDefault(topic, 0));
        }

        @Override
        public Map<TopicPartition, Long> beginningOffsets(Collection<TopicPartition> asked) {
            return asked.stream().collect(Collectors.toMap(partition -> partition, partition -> 0L));
        }

        @Override
        public Map<TopicPartition, Long> endOffsets(Collection<TopicPartition> asked) {
            long end = committedOnly ? Math.min(stableEnd, logEnd) : logEnd;
            return asked.stream().collect(Collectors.toMap(partition -> partition, partition -> end));
        }

        @Override
        public Map<TopicPartition, OffsetAndMetadata> committed(Set<TopicPartition> asked) {
            return asked.stream()
                    .collect(Collectors.toMap(partition -> partition, partition -> new OffsetAndMetadata(handled)));
        }
    }

    @Override
    public Consumer<byte[], byte[]> consumer(Map<String, Object> settings) {
        return new FakeReader(settings);
    }

    @Override
    public Admin admin() {
        return admin.get();
    }

    @Override
    public InstantSource clock() {
        return () -> now;
    }
}
