package dev.eventbus.consumer.deadletter;

import dev.eventbus.ErrorCode;
import dev.eventbus.KafkaAccessException;
import dev.eventbus.internal.Checks;
import dev.eventbus.topics.KafkaCluster;
import java.time.Duration;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.Producer;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.errors.AuthenticationException;
import org.apache.kafka.common.errors.AuthorizationException;
import org.apache.kafka.common.errors.ClusterAuthorizationException;
import org.apache.kafka.common.errors.ProducerFencedException;
import org.apache.kafka.common.errors.RecordBatchTooLargeException;
import org.apache.kafka.common.errors.RecordTooLargeException;
import org.apache.kafka.common.errors.TimeoutException;
import org.jspecify.annotations.Nullable;

/**
 * Sends dead letters: key, value and headers untouched, plus where they came from. It sends once; repeating is the caller's.
 *
 * <pre>{@code
 * sink.send(record, Origin.of(record, group, FailureReason.UNKNOWN_TYPE, clock.instant()))
 *     .whenComplete((acknowledged, failure) -> ...);
 * }</pre>
 *
 * <p>One idempotent producer with {@code acks=all}, opened at the first letter and again after an error that it does not survive.
 * An attempt ends after 10 s at the latest, and keeps the caller 250 ms at the longest (topic unknown, buffer full). A letter that
 * is too large for the topic goes without the original's headers, at last as a stub with origin, size and SHA-256.
 *
 * <p>Thread-safe. On failure nothing is lost: the original is where it was, and a letter may stand in the topic twice.
 */
public final class DeadLetterSink implements AutoCloseable {

    private static final Map<String, Object> SETTINGS = Map.of(
            ProducerConfig.ACKS_CONFIG, "all",
            ProducerConfig.ENABLE_IDEMPOTENCE_CONFIG, true,
            ProducerConfig.DELIVERY_TIMEOUT_MS_CONFIG, 10_000,
            ProducerConfig.REQUEST_TIMEOUT_MS_CONFIG, 5_000,
            ProducerConfig.MAX_BLOCK_MS_CONFIG, 250,
            ProducerConfig.LINGER_MS_CONFIG, 0,
            // each letter is a batch of its own: one that is too large takes no other along, and nothing is ever split
            ProducerConfig.BATCH_SIZE_CONFIG, 0,
            // an original was compressed when it fitted into its topic; the topic's limit is the broker's to judge
            ProducerConfig.COMPRESSION_TYPE_CONFIG, "lz4",
            ProducerConfig.MAX_REQUEST_SIZE_CONFIG, 16 * 1024 * 1024);

    private final KafkaCluster kafka;
    private final String topic;

    private final Object lock = new Object(); // never held while sending or closing
    private @Nullable Producer<byte[], byte[]> producer; // guarded by lock
    private boolean closed; // guarded by lock

    /** @param topic logical name of the dead-letter topic */
    public DeadLetterSink(KafkaCluster kafka, String topic) {
        this.kafka = kafka;
        this.topic = Checks.topicName("dead-letter topic", topic);
    }

    /**
     * Sends a letter once; the stage ends when the broker has acknowledged it, or with a {@link KafkaAccessException} that says
     * why it has not. The caller repeats. The stage ends on the producer's thread, so what depends on it must be short; on an
     * in-memory cluster it has ended when the call returns.
     */
    public CompletionStage<Void> send(ConsumerRecord<byte[], byte[]> original, Origin origin) {
        CompletableFuture<Void> acknowledged = new CompletableFuture<>();
        try {
            Letter letter = new Letter(kafka.physicalTopic(topic), original, origin);
            send(letter, Letter.Size.WHOLE, producer(), acknowledged);
        } catch (RuntimeException e) { // opening a producer
            acknowledged.completeExceptionally(failure(origin, e));
        }
        return acknowledged;
    }

    private void send(
            Letter letter, Letter.Size size, Producer<byte[], byte[]> through, CompletableFuture<Void> acknowledged) {
        try {
            var unused =
                    through.send(letter.record(size), (metadata, e) -> ended(letter, size, through, acknowledged, e));
        } catch (RuntimeException e) { // closed, interrupted, or a producer that has given up
            ended(letter, size, through, acknowledged, e);
        }
    }

    /** One size of the letter has been acknowledged or refused. There are three sizes, so this ends. */
    private void ended(
            Letter letter,
            Letter.Size size,
            Producer<byte[], byte[]> through,
            CompletableFuture<Void> acknowledged,
            @Nullable Exception e) {
        if (e == null) {
            acknowledged.complete(null);
        } else if (isTooLarge(e) && size != Letter.Size.STUB) {
            send(letter, Letter.Size.values()[size.ordinal() + 1], through, acknowledged);
        } else {
            if (mayHaveEnded(e)) {
                discard(through);
            }
            acknowledged.completeExceptionally(failure(letter.origin(), e));
        }
    }

    /** For the topic's records, or with its batch for the topic's segments. */
    private static boolean isTooLarge(Exception e) {
        return e instanceof RecordTooLargeException || e instanceof RecordBatchTooLargeException;
    }

    /** Closes the producer within the limit; letters on their way by then are acknowledged, the others end with a failure. */
    public void close(Duration limit) {
        Producer<byte[], byte[]> last;
        synchronized (lock) {
            closed = true;
            last = producer;
            producer = null;
        }
        if (last != null) {
            last.close(limit);
        }
    }

    /** Closes within 5 s. */
    @Override
    public void close() {
        close(Duration.ofSeconds(5));
    }

    private Producer<byte[], byte[]> producer() {
        synchronized (lock) {
            if (closed) {
                throw new IllegalStateException("the dead-letter sink is closed");
            }
            if (producer == null) {
                producer = kafka.producer(SETTINGS);
            }
            return producer;
        }
    }

    /** An idempotent producer goes on after what passes and after what concerns one record only; after these it may not. */
    private static boolean mayHaveEnded(Exception e) {
        return e instanceof ProducerFencedException
                || e instanceof AuthenticationException
                || e instanceof ClusterAuthorizationException
                || e instanceof IllegalStateException // closed
                || e.getClass() == KafkaException.class; // how it says that it is in a state of error
    }

    /** The next letter opens another producer. */
    private void discard(Producer<byte[], byte[]> failed) {
        synchronized (lock) {
            if (producer == failed) {
                producer = null;
            }
        }
        failed.close(Duration.ZERO); // allowed in a callback
    }

    private KafkaAccessException failure(Origin origin, Exception e) {
        return new KafkaAccessException(
                ErrorCode.DEAD_LETTER_NOT_SENT,
                kafka.name(),
                ("The dead letter of %s was not acknowledged by topic %s on cluster %s (%s): %s. The record is not finished and"
                                + " its key waits; the letter is sent again. %s")
                        .formatted(
                                origin,
                                kafka.physicalTopic(topic),
                                kafka.name(),
                                kafka.bootstrapServers(),
                                e.getClass().getSimpleName(),
                                advice(e)),
                e);
    }

    private static String advice(Exception e) {
        if (e instanceof RecordTooLargeException) {
            return "Not even a stub fits: raise the topic's max.message.bytes.";
        }
        if (e instanceof RecordBatchTooLargeException) {
            return "Not even a stub fits: raise the topic's segment.bytes.";
        }
        if (e instanceof AuthorizationException) {
            return "Grant WRITE on the topic to this client.";
        }
        if (e instanceof TimeoutException) {
            return "Check that the topic exists, the brokers are reached, and min.insync.replicas of them are alive.";
        }
        return "The cause says more.";
    }
}
