package dev.eventbus.outbox;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentLinkedDeque;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.Future;
import java.util.function.Predicate;
import org.apache.kafka.clients.producer.Callback;
import org.apache.kafka.clients.producer.MockProducer;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.ProducerFencedException;
import org.apache.kafka.common.errors.TimeoutException;
import org.apache.kafka.common.errors.TransactionAbortedException;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.jspecify.annotations.Nullable;

/** The transactions of {@link FakeKafka}: whoever came last with an id has it, and only commits get into the log. */
final class FakeTransactions {

    private final FakeKafka kafka;

    /** Who has an id now. */
    private final Map<String, TransactionalProducer> owners = new ConcurrentHashMap<>();

    final List<TransactionalProducer> producers = new CopyOnWriteArrayList<>();

    /** Ids of the events of each batch that was begun, and of each that was committed. */
    final List<List<String>> begun = new CopyOnWriteArrayList<>();

    final List<List<String>> committed = new CopyOnWriteArrayList<>();

    /** What the next calls of commitTransaction throw, after the commit or instead of it. */
    final Deque<RuntimeException> commitFaults = new ConcurrentLinkedDeque<>();

    volatile boolean faultsComeAfterTheCommit;

    /** More in one transaction is not through in time, as behind a quota. */
    volatile int mostInTime = Integer.MAX_VALUE;

    /** Runs in commitTransaction before anything else. */
    volatile java.util.function.Consumer<String> atCommit = id -> {};

    volatile Predicate<String> refusesInit = id -> false;

    FakeTransactions(FakeKafka kafka) {
        this.kafka = kafka;
    }

    /** As another relay that takes every shard over. */
    void fenceAll() {
        owners.clear();
    }

    TransactionalProducer producer(Map<String, Object> settings) {
        TransactionalProducer producer = new TransactionalProducer(settings);
        producers.add(producer);
        return producer;
    }

    final class TransactionalProducer extends MockProducer<byte[], byte[]> {
        final Map<String, Object> settings;
        final String id;
        private final List<ProducerRecord<byte[], byte[]>> open = new ArrayList<>();
        private @Nullable Exception failure;
        private boolean began;
        volatile boolean isShut;

        TransactionalProducer(Map<String, Object> settings) {
            super(false, null, new ByteArraySerializer(), new ByteArraySerializer());
            this.settings = settings;
            this.id = String.valueOf(settings.get(ProducerConfig.TRANSACTIONAL_ID_CONFIG));
        }

        @Override
        public void initTransactions() {
            if (refusesInit.test(id)) {
                throw new TimeoutException("no coordinator");
            }
            owners.put(id, this);
        }

        @Override
        public void beginTransaction() {
            check();
            if (began) {
                throw new IllegalStateException("a transaction is open");
            }
            began = true;
            failure = null;
        }

        @Override
        public Future<RecordMetadata> send(ProducerRecord<byte[], byte[]> message, Callback callback) {
            if (!began) {
                throw new IllegalStateException("no transaction is open");
            }
            Exception refused = owners.get(id) != this
                    ? new ProducerFencedException("fenced")
                    : open.size() >= mostInTime
                            ? new TimeoutException("Expiring 1 record(s): 8000 ms has passed since batch creation")
                            : kafka.refusal.apply(FakeKafka.id(message));
            if (failure != null) {
                throw new KafkaException(
                        "Cannot execute transactional method because we are in an error state", failure);
            }
            open.add(message);
            failure = refused;
            callback.onCompletion(
                    new RecordMetadata(new TopicPartition(message.topic(), message.partition()), 0, 0, 0, 0, 0),
                    refused);
            return new CompletableFuture<>();
        }

        @Override
        public void commitTransaction() {
            atCommit.accept(id);
            check();
            if (failure != null) {
                throw new KafkaException(
                        "Cannot execute transactional method because we are in an error state", failure);
            }
            RuntimeException fault = commitFaults.poll();
            if (fault == null || faultsComeAfterTheCommit) {
                commit();
            }
            if (fault != null) {
                throw fault;
            }
        }

        private void commit() {
            synchronized (committed) {
                if (began) {
                    committed.add(open.stream().map(FakeKafka::id).toList());
                    kafka.log.addAll(open);
                    end();
                }
            }
        }

        @Override
        public void abortTransaction() {
            check();
            if (!began) {
                throw new TransactionAbortedException("there is none to abort");
            }
            end();
        }

        private void end() {
            begun.add(open.stream().map(FakeKafka::id).toList());
            open.clear();
            began = false;
        }

        private void check() {
            if (isShut) {
                throw new IllegalStateException("Cannot perform operation after producer has been closed");
            }
            if (owners.get(id) != this) {
                throw new ProducerFencedException("there is a newer producer with the same transactionalId");
            }
        }

        @Override
        public void close(Duration timeout) {
            isShut = true;
        }
    }
}
