package dev.eventbus.testkit;

import dev.eventbus.consumer.deadletter.DeadLetter;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Future;
import org.apache.kafka.clients.consumer.ConsumerGroupMetadata;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.Callback;
import org.apache.kafka.clients.producer.Producer;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.Metric;
import org.apache.kafka.common.MetricName;
import org.apache.kafka.common.PartitionInfo;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.errors.ApiException;
import org.apache.kafka.common.errors.RecordTooLargeException;
import org.apache.kafka.common.errors.TimeoutException;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.metrics.KafkaMetric;
import org.apache.kafka.common.utils.Utils;
import org.jspecify.annotations.Nullable;

/**
 * A producer whose records are acknowledged inside {@code send}: the callback has run and the future is done when it returns.
 * Faults come the same way as from a real one, through both. Thread-safe, as a real one is.
 */
final class InMemoryProducer implements Producer<byte[], byte[]> {

    /** What a batch and a record add to keys, values and headers at most; a real producer counts them too. */
    private static final int BATCH_AND_RECORD_OVERHEAD = 61 + 21;

    private static final int DEFAULT_MAX_REQUEST_SIZE = 1024 * 1024;

    private enum Transaction {
        NONE,
        OPEN,
        FAILED
    }

    private final InMemoryBroker broker;
    private final int maxRequestSize;
    private final @Nullable String transactionalId;

    /** Whose it is, if that can die. */
    private final Crashes.@Nullable SimulatedProcess process;

    // Guarded by "this".
    private InMemoryBroker.@Nullable Fence fence;
    private Transaction transaction = Transaction.NONE;
    private int nextWithoutKey;
    private boolean closed;

    InMemoryProducer(InMemoryBroker broker, Map<String, Object> settings) {
        this.broker = broker;
        this.maxRequestSize = Integer.parseInt(String.valueOf(
                settings.getOrDefault(ProducerConfig.MAX_REQUEST_SIZE_CONFIG, DEFAULT_MAX_REQUEST_SIZE)));
        Object id = settings.get(ProducerConfig.TRANSACTIONAL_ID_CONFIG);
        this.transactionalId = id == null ? null : id.toString();
        this.process = broker.crashes().running();
    }

    @Override
    public Future<RecordMetadata> send(ProducerRecord<byte[], byte[]> record) {
        return send(record, null);
    }

    @Override
    public Future<RecordMetadata> send(ProducerRecord<byte[], byte[]> record, @Nullable Callback callback) {
        checkAlive();
        RecordMetadata acknowledged;
        try {
            acknowledged = append(record);
        } catch (ApiException refused) {
            tell(callback, nowhere(record), refused);
            return CompletableFuture.failedFuture(refused);
        }
        if (process != null && isDeadLetter(record)) {
            broker.crashes().reached(CrashPoint.AFTER_DEAD_LETTER, process);
        }
        tell(callback, acknowledged, null);
        return CompletableFuture.completedFuture(acknowledged);
    }

    /** User code: outside any lock. What it throws comes out of {@code send}, where a test sees it. */
    private static void tell(@Nullable Callback callback, RecordMetadata where, @Nullable Exception failure) {
        if (callback != null) {
            callback.onCompletion(where, failure);
        }
    }

    private synchronized RecordMetadata append(ProducerRecord<byte[], byte[]> record) {
        checkOpen();
        if (transactionalId != null && transaction == Transaction.NONE) {
            throw new IllegalStateException("a transactional producer sends only in a transaction");
        }
        try {
            int partition = partition(record);
            checkSize(record);
            if (broker.faults().isDown(new TopicPartition(record.topic(), partition))
                    || broker.faults().takes(FaultPlan.Call.SEND_TO_TOPIC, record.topic())) {
                throw new TimeoutException(
                        "this send to %s fails because the test asked for it".formatted(record.topic()));
            }
            RecordMetadata arrived = broker.append(at(partition, record), fence);
            if (broker.faults().takes(FaultPlan.Call.ANSWER_FROM_TOPIC, record.topic())) {
                throw new TimeoutException(
                        "the answer from %s is lost because the test asked for it".formatted(record.topic()));
            }
            return arrived;
        } catch (ApiException e) {
            transaction = transaction == Transaction.NONE ? Transaction.NONE : Transaction.FAILED;
            throw e;
        }
    }

    private int partition(ProducerRecord<byte[], byte[]> record) {
        int partitions = broker.partitions(record.topic());
        Integer asked = record.partition();
        if (asked != null && asked >= partitions) {
            throw new TimeoutException("Partition %d of topic %s with partition count %d is not present in metadata."
                    .formatted(asked, record.topic(), partitions));
        }
        if (asked != null) {
            return asked;
        }
        return record.key() == null ? nextWithoutKey++ % partitions : partition(record.key(), partitions);
    }

    /** Kafka's own choice for a key. */
    static int partition(byte[] key, int partitions) {
        return Utils.toPositive(Utils.murmur2(key)) % partitions;
    }

    private void checkSize(ProducerRecord<byte[], byte[]> record) {
        long size = BATCH_AND_RECORD_OVERHEAD + length(record.key()) + length(record.value());
        for (Header header : record.headers()) {
            size += 10 + Utils.utf8Length(header.key()) + length(header.value());
        }
        if (size > maxRequestSize) {
            throw new RecordTooLargeException(
                    "The message is %d bytes when serialized which is larger than %d, which is the value of the max.request.size configuration."
                            .formatted(size, maxRequestSize));
        }
    }

    @Override
    public synchronized void initTransactions() {
        checkOpen();
        if (transactionalId == null) {
            throw new IllegalStateException("initTransactions needs a transactional.id");
        }
        fence = broker.fence(transactionalId);
    }

    @Override
    public synchronized void beginTransaction() {
        checkOpen();
        if (fence == null || transaction != Transaction.NONE) {
            throw new IllegalStateException(
                    "beginTransaction comes after initTransactions and the end of the one before");
        }
        transaction = Transaction.OPEN;
    }

    @Override
    public synchronized void commitTransaction() {
        if (transaction == Transaction.FAILED) {
            throw new KafkaException("Cannot execute transactional method because we are in an error state");
        }
        end(LogTransaction.State.COMMITTED);
    }

    @Override
    public synchronized void abortTransaction() {
        end(LogTransaction.State.ABORTED);
    }

    private void end(LogTransaction.State state) {
        checkOpen();
        if (fence == null || transaction == Transaction.NONE) {
            throw new IllegalStateException("there is no transaction to end");
        }
        broker.endTransaction(fence, state);
        transaction = Transaction.NONE;
    }

    @Override
    public List<PartitionInfo> partitionsFor(String topic) {
        return broker.partitionsFor(topic);
    }

    /** Nothing to do: what was sent was acknowledged. */
    @Override
    public synchronized void flush() {
        checkOpen();
    }

    @Override
    public Map<MetricName, ? extends Metric> metrics() {
        return Map.of();
    }

    @Override
    public void close() {
        close(Duration.ZERO);
    }

    /** A transaction that is open is aborted, as by a real producer's close. */
    @Override
    public synchronized void close(Duration timeout) {
        if (!closed && fence != null && transaction != Transaction.NONE) {
            broker.abortUnlessFenced(fence);
        }
        closed = true;
    }

    @Override
    public void sendOffsetsToTransaction(
            Map<TopicPartition, OffsetAndMetadata> offsets, ConsumerGroupMetadata groupMetadata) {
        throw InMemoryKafka.unsupported("sendOffsetsToTransaction");
    }

    @Override
    public void registerMetricForSubscription(KafkaMetric metric) {
        throw InMemoryKafka.unsupported("registerMetricForSubscription");
    }

    @Override
    public void unregisterMetricFromSubscription(KafkaMetric metric) {
        throw InMemoryKafka.unsupported("unregisterMetricFromSubscription");
    }

    @Override
    public Uuid clientInstanceId(Duration timeout) {
        throw InMemoryKafka.unsupported("clientInstanceId");
    }

    private void checkAlive() {
        if (process != null) {
            process.checkAlive();
        }
    }

    private void checkOpen() {
        if (closed) {
            throw new IllegalStateException("Cannot perform operation after producer has been closed");
        }
    }

    private static ProducerRecord<byte[], byte[]> at(int partition, ProducerRecord<byte[], byte[]> record) {
        return new ProducerRecord<>(
                record.topic(), partition, record.timestamp(), record.key(), record.value(), record.headers());
    }

    private static boolean isDeadLetter(ProducerRecord<byte[], byte[]> record) {
        ConsumerRecord<byte[], byte[]> read = new ConsumerRecord<>(record.topic(), 0, 0, record.key(), record.value());
        record.headers().forEach(read.headers()::add);
        return DeadLetter.of(read).origin() != null;
    }

    private static RecordMetadata nowhere(ProducerRecord<byte[], byte[]> record) {
        int partition = record.partition() == null ? RecordMetadata.UNKNOWN_PARTITION : record.partition();
        return new RecordMetadata(new TopicPartition(record.topic(), partition), -1, -1, -1, -1, -1);
    }

    private static int length(byte @Nullable [] bytes) {
        return bytes == null ? 0 : bytes.length;
    }
}
