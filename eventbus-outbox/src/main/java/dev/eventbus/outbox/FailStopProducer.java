package dev.eventbus.outbox;

import dev.eventbus.outbox.sql.OutboxRow;
import dev.eventbus.topics.KafkaCluster;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Queue;
import java.util.Set;
import java.util.concurrent.ConcurrentLinkedQueue;
import org.apache.kafka.clients.producer.Producer;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.PartitionInfo;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * An idempotent producer that stops at its first failure. Behind a record that fails lie its successors, already in the client's
 * hands; the client would renumber and send them. So the callback of the failed record closes the producer before it returns,
 * and nothing behind it leaves. A record that is alone in its partition has no successor there: its failure closes nothing.
 *
 * <p>A session ends in one order: its callback reports, marks it dead and closes it; the relay's thread {@link #drain drains} it,
 * takes everything back, {@link #retire retires} it, and only then may {@link #open} begin another.
 *
 * <p>Thread safety: everything is called on the relay's thread except {@link #hurry()}, and the callbacks, which run on the client's
 * sender thread (or inside {@link #send}); they only append to their session's outcomes, set {@link Session#dead} and close the producer.
 */
final class FailStopProducer implements KafkaSink {

    private static final Logger LOG = LoggerFactory.getLogger(FailStopProducer.class);

    /** A partition that holds an event for so long without acknowledging any makes its topic wait. */
    static final Duration SILENCE = Duration.ofSeconds(10);

    private static final int ROWS_PER_SHARD = 500;
    private static final Duration REQUEST_TIMEOUT = Duration.ofSeconds(5);

    /** So soon is it noticed that a topic has grown. */
    private static final Duration METADATA_AGE = Duration.ofSeconds(10);

    /** A thousand batches, so of so many partitions at a time; a row that finds no room is read again. */
    private static final int BUFFER_BYTES = 64 * 1024 * 1024;

    /**
     * About what half a window has for a partition, and so small that hardly any topic's {@code max.message.bytes} is below it: then
     * the client would have to split batches.
     */
    private static final int BATCH_BYTES = 64 * 1024;

    /** For so long at most does a batch wait for company while rows are handed over; {@link #hurry()} ends the wait. */
    private static final int LINGER_MILLIS = 5;

    private static final int RECORD_OVERHEAD_BYTES = 64 * 1024;

    /** One Kafka producer, from its opening to its end. */
    private static final class Session {
        final Producer<byte[], byte[]> producer;

        /** What has been reported and not drained; filled by callbacks, emptied by the relay's thread. */
        final Queue<Outcome> outcomes = new ConcurrentLinkedQueue<>();

        /** Set once, by whoever closes it first, and after the outcome that made it do so is in the queue. */
        volatile boolean dead;

        /** The row in {@link Producer#send} right now; the thread in send() only. */
        @Nullable
        OutboxRow handingOver;

        /** Whether that row was refused from within; the thread in send() only. */
        boolean turnedDown;

        /** Whether rows were handed over since the last flush; the relay's thread only. */
        boolean gathering;

        Session(Producer<byte[], byte[]> producer) {
            this.producer = producer;
        }
    }

    private final KafkaCluster kafka;
    private final Map<String, Object> settings;
    private final Runnable onOutcome;
    private final Runnable onFlush;

    /** Written by the relay's thread; read by the one in {@link #hurry()} too. */
    private volatile @Nullable Session session;

    /** Of the session before; what it says late about a row is a suspicion. */
    private @Nullable Queue<Outcome> lateOutcomes;

    /** @param onFlush asks for a call of {@link #hurry()} on another thread */
    FailStopProducer(KafkaCluster kafka, int maxEventBytes, Runnable onOutcome, Runnable onFlush) {
        this.kafka = kafka;
        this.settings = settings(maxEventBytes);
        this.onOutcome = onOutcome;
        this.onFlush = onFlush;
    }

    /**
     * Nothing waits inside the client: not for metadata, not for memory. A record never expires past its successors. Topics once
     * used stay known, however rarely they are written to.
     */
    static Map<String, Object> settings(int maxEventBytes) {
        Map<String, Object> settings = new HashMap<>();
        settings.put(ProducerConfig.CLIENT_ID_CONFIG, "eventbus-relay");
        settings.put(ProducerConfig.ACKS_CONFIG, "all");
        settings.put(ProducerConfig.ENABLE_IDEMPOTENCE_CONFIG, true);
        settings.put(ProducerConfig.MAX_IN_FLIGHT_REQUESTS_PER_CONNECTION, 5);
        settings.put(ProducerConfig.RETRIES_CONFIG, Integer.MAX_VALUE);
        settings.put(ProducerConfig.DELIVERY_TIMEOUT_MS_CONFIG, Integer.MAX_VALUE);
        settings.put(ProducerConfig.REQUEST_TIMEOUT_MS_CONFIG, (int) REQUEST_TIMEOUT.toMillis());
        settings.put(ProducerConfig.LINGER_MS_CONFIG, LINGER_MILLIS);
        settings.put(ProducerConfig.BATCH_SIZE_CONFIG, BATCH_BYTES);
        settings.put(ProducerConfig.MAX_BLOCK_MS_CONFIG, 0);
        settings.put(ProducerConfig.METADATA_MAX_AGE_CONFIG, METADATA_AGE.toMillis());
        settings.put(ProducerConfig.METADATA_MAX_IDLE_CONFIG, (long) Integer.MAX_VALUE);
        settings.put(ProducerConfig.BUFFER_MEMORY_CONFIG, (long) BUFFER_BYTES);
        settings.put(ProducerConfig.MAX_REQUEST_SIZE_CONFIG, maxRequestSize(maxEventBytes));
        return settings;
    }

    /** What the largest event takes, in bytes, and at least the client's own default. */
    static int maxRequestSize(int maxEventBytes) {
        long largest = Math.max(1024 * 1024, (long) maxEventBytes + RECORD_OVERHEAD_BYTES);
        return (int) Math.min(Integer.MAX_VALUE, largest);
    }

    @Override
    public boolean isOpen() {
        Session open = session;
        return open != null && !open.dead;
    }

    @Override
    public void open() {
        if (session != null) {
            throw new IllegalStateException("the last producer was not retired");
        }
        session = new Session(kafka.producer(settings));
    }

    @Override
    public List<PartitionInfo> partitionsFor(String topic) {
        Session open = session;
        if (open == null || open.dead) {
            throw new StoppedException();
        }
        try {
            return open.producer.partitionsFor(topic);
        } catch (RuntimeException e) {
            if (open.dead) {
                throw new StoppedException();
            }
            throw e;
        }
    }

    @Override
    public int rowsPerShard() {
        return ROWS_PER_SHARD;
    }

    @Override
    public boolean takes(InFlight.Lane lane, boolean alone) {
        return lane.isIdle() || !alone && !lane.alone;
    }

    @Override
    public boolean send(OutboxRow row, ProducerRecord<byte[], byte[]> message, boolean alone) {
        Session open = session;
        if (open == null || open.dead) {
            return false;
        }
        Thread caller = Thread.currentThread();
        open.handingOver = row;
        open.turnedDown = false;
        open.gathering = true;
        try {
            var unused = open.producer.send(message, (metadata, error) -> {
                boolean inside = Thread.currentThread() == caller && open.handingOver == row;
                ended(open, row, alone, inside, error);
            });
        } catch (RuntimeException e) {
            // Not handed over: the client threw instead of calling back. Either it was closed under us, which says
            // nothing
            // about this row, or it may be beyond repair and is not used again.
            open.turnedDown = true;
            if (!open.dead) {
                report(open, new Outcome.Failed(row, e, true), true);
            }
        } finally {
            open.handingOver = null;
        }
        return !open.turnedDown;
    }

    /** The client's flush waits for the acks, which the relay's thread must not; so another one is asked. */
    @Override
    public void flush() {
        Session open = session;
        if (open != null && open.gathering) {
            open.gathering = false;
            onFlush.run();
        }
    }

    @Override
    public void hurry() {
        Session open = session;
        if (open != null && !open.dead) {
            try {
                open.producer.flush();
            } catch (KafkaException | IllegalStateException e) { // it has just been closed
                LOG.debug("batches were not hurried along; they go by themselves", e);
            }
        }
    }

    /** On the client's sender thread, or inside send() if the row was never handed over. */
    private void ended(Session in, OutboxRow row, boolean alone, boolean inside, @Nullable Exception error) {
        if (error == null) {
            report(in, new Outcome.Acked(row), false);
            return;
        }
        if (inside) {
            in.turnedDown = true;
        }
        if (in.dead) {
            // Closed under it: nothing is known of it, unless it is what spoilt the batch whose first record closed the
            // producer.
            if (SendFault.of(error) == SendFault.EVENT) {
                report(in, new Outcome.Failed(row, error, false), false);
            }
            return;
        }
        report(in, new Outcome.Failed(row, error, alone || inside), !alone && !inside);
    }

    /** First the report, then the mark, then the end: who sees the mark finds the report. */
    private void report(Session in, Outcome outcome, boolean stop) {
        in.outcomes.add(outcome);
        if (stop) {
            stop(in);
        }
        onOutcome.run();
    }

    private static void stop(Session stopping) {
        stopping.dead = true;
        stopping.producer.close(Duration.ZERO);
    }

    @Override
    public Drained drain() {
        List<Outcome> outcomes = new ArrayList<>();
        Queue<Outcome> lates = lateOutcomes;
        if (lates != null) {
            for (Outcome late = lates.poll(); late != null; late = lates.poll()) {
                if (late instanceof Outcome.Failed failed && SendFault.of(failed.error()) == SendFault.EVENT) {
                    outcomes.add(new Outcome.Failed(failed.row(), failed.error(), false));
                }
            }
        }
        Session now = session;
        boolean stopped = now != null && now.dead;
        if (now != null) {
            for (Outcome next = now.outcomes.poll(); next != null; next = now.outcomes.poll()) {
                outcomes.add(next);
            }
        }
        return new Drained(outcomes, stopped, Set.of());
    }

    @Override
    public Duration patience() {
        return SILENCE;
    }

    @Override
    public boolean hasOutcome() {
        Session now = session;
        Queue<Outcome> late = lateOutcomes;
        return now != null && (now.dead || !now.outcomes.isEmpty()) || late != null && !late.isEmpty();
    }

    @Override
    public void retire() {
        Session old = session;
        if (old != null) {
            if (!old.dead) {
                stop(old);
            }
            lateOutcomes = old.outcomes;
            session = null;
        }
    }

    @Override
    public void close(Duration limit) {
        Session open = session;
        session = null;
        if (open != null && !open.dead) {
            open.dead = true;
            try {
                open.producer.close(limit);
            } catch (RuntimeException e) {
                LOG.debug("the producer was not closed in order", e);
            }
        }
    }
}
