package dev.eventbus.outbox;

import dev.eventbus.outbox.KafkaSink.Outcome;
import dev.eventbus.outbox.KafkaSink.SendFault;
import dev.eventbus.outbox.sql.OutboxRow;
import dev.eventbus.topics.KafkaCluster;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import org.apache.kafka.clients.producer.Producer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.errors.InterruptException;
import org.apache.kafka.common.errors.InvalidProducerEpochException;
import org.apache.kafka.common.errors.ProducerFencedException;
import org.apache.kafka.common.errors.TimeoutException;
import org.apache.kafka.common.errors.TransactionAbortableException;
import org.apache.kafka.common.errors.TransactionAbortedException;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The transactional producer of one shard, from its opening to its end. {@link #open} and {@link #send} wait for Kafka, as long as
 * the client's settings let them, and belong to one thread at a time; {@link #retire} is called by any.
 */
final class ShardProducer {

    private static final Logger LOG = LoggerFactory.getLogger(ShardProducer.class);

    /** A row and what becomes of it on the wire. */
    record Handed(OutboxRow row, ProducerRecord<byte[], byte[]> message) {}

    /**
     * How a call ended.
     *
     * @param usable whether the producer can go on
     * @param problem why it cannot, if that is neither an event's fault nor the loss of the shard
     */
    record Report(
            ShardProducer producer,
            List<Outcome> outcomes,
            boolean usable,
            @Nullable Throwable problem) {}

    private final int shard;
    private final KafkaCluster kafka;
    private final Map<String, Object> settings;

    /** Made by {@link #open}. */
    private volatile @Nullable Producer<byte[], byte[]> client;

    /** Whoever sees it together with a client closes that. */
    private volatile boolean retired;

    ShardProducer(int shard, KafkaCluster kafka, Map<String, Object> settings) {
        this.shard = shard;
        this.kafka = kafka;
        this.settings = settings;
    }

    int shard() {
        return shard;
    }

    /** Whoever had the shard before is shut out, and what it left open is undone, when this ends. */
    Report open() {
        try {
            if (!retired) {
                Producer<byte[], byte[]> opened = kafka.producer(settings);
                client = opened;
                if (!retired) { // else it would shut out the shard's next owner
                    opened.initTransactions();
                }
            }
            if (retired) {
                close();
            }
            return new Report(this, List.of(), true, null);
        } catch (RuntimeException | Error e) {
            close();
            return new Report(this, List.of(), false, e);
        }
    }

    /** Sends rows in one transaction: all of them, or none that a {@code read_committed} reader sees. */
    Report send(List<Handed> rows) {
        return new Batch(rows).run(Objects.requireNonNull(client, "open() comes first"));
    }

    /** Closes it at once; calls under way end with a failure. */
    void retire() {
        retired = true;
        close();
    }

    private void close() {
        Producer<byte[], byte[]> closing = client;
        if (closing != null) {
            try {
                closing.close(Duration.ZERO);
            } catch (RuntimeException e) {
                LOG.debug("the producer of shard {} was not closed in order", shard, e);
            }
        }
    }

    /** One transaction. */
    private final class Batch {
        private final List<Handed> rows;

        /** What the client has said of records; filled by its callbacks. */
        private final Queue<Outcome.Failed> failures = new ConcurrentLinkedQueue<>();

        /** Whether the cluster has shut this producer out. */
        private volatile boolean fenced;

        Batch(List<Handed> rows) {
            this.rows = rows;
        }

        Report run(Producer<byte[], byte[]> producer) {
            Throwable problem = null;
            try {
                producer.beginTransaction();
                sendAll(producer);
                if (failures.isEmpty() && !fenced) {
                    commit(producer);
                    List<Outcome> acked = new ArrayList<>();
                    rows.forEach(handed -> acked.add(new Outcome.Acked(handed.row())));
                    return new Report(ShardProducer.this, acked, true, null);
                }
            } catch (RuntimeException | Error e) {
                problem = e;
                fenced |= isFenced(e);
            }
            boolean shutOut = fenced;
            boolean aborted = !shutOut && abort(producer);
            List<Outcome> outcomes = shutOut ? new ArrayList<>() : blamed(); // behind a fence it is nobody's fault
            if (fenced || !failures.isEmpty()) {
                problem = null;
            }
            rows.forEach(handed -> outcomes.add(new Outcome.Unsent(handed.row(), fenced)));
            return new Report(ShardProducer.this, outcomes, aborted && problem == null, problem);
        }

        private void sendAll(Producer<byte[], byte[]> producer) {
            for (Handed handed : rows) {
                if (fenced || !failures.isEmpty()) {
                    return;
                }
                try {
                    var unused = producer.send(handed.message(), (metadata, error) -> {
                        if (error != null) {
                            failed(handed.row(), error);
                        }
                    });
                } catch (InterruptException e) {
                    throw e;
                } catch (RuntimeException e) {
                    if (failures.isEmpty()) { // else it refuses because of those
                        failed(handed.row(), e);
                    }
                }
            }
        }

        /** Records that fall with others are nobody's fault. */
        private void failed(OutboxRow row, Exception error) {
            if (isFenced(error)) {
                fenced = true;
            } else if (!(error instanceof TransactionAbortedException
                    || error instanceof TransactionAbortableException)) {
                failures.add(new Outcome.Failed(row, error, rows.size() == 1));
            }
        }

        /** A commit without an answer may be asked for again. If there is none still, the rows are sent again by another producer. */
        private void commit(Producer<byte[], byte[]> producer) {
            try {
                producer.commitTransaction();
            } catch (TimeoutException e) {
                producer.commitTransaction();
            }
        }

        /** Undoes the batch; then the client has nothing more to say of its records. Returns whether the producer can go on. */
        private boolean abort(Producer<byte[], byte[]> producer) {
            try {
                producer.abortTransaction();
                return true;
            } catch (RuntimeException | Error e) {
                fenced |= isFenced(e);
                return false;
            }
        }

        private boolean isFenced(Throwable error) {
            return error instanceof ProducerFencedException || error instanceof InvalidProducerEpochException;
        }

        /** Of several failures those that are an event's own count; the others may have come of them. */
        private List<Outcome> blamed() {
            List<Outcome> outcomes = new ArrayList<>();
            failures.stream()
                    .filter(failure -> SendFault.of(failure.error()) == SendFault.EVENT)
                    .forEach(outcomes::add);
            Outcome.Failed first = failures.peek();
            if (outcomes.isEmpty() && first != null) {
                outcomes.add(first);
            }
            return outcomes;
        }
    }
}
