package dev.eventbus.consumer.deadletter;

import dev.eventbus.FailureReason;
import java.time.Instant;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.jspecify.annotations.Nullable;

/**
 * Why and from where a record was set aside: what the {@code eventbus-dlq-} headers carry.
 *
 * <pre>{@code
 * Origin.of(record, "ledger.asset.events", FailureReason.ATTEMPTS_EXHAUSTED, now)
 *     .withEventId("evt-1")
 *     .withFailure(exception, 4, firstFailedAt)
 * }</pre>
 *
 * @param topic physical topic
 * @param partition partition
 * @param offset offset
 * @param timestamp the record's own time stamp
 * @param group the group that gave up
 * @param eventId the id if it could be read
 * @param attempts how often the handler was run
 * @param firstFailedAt first failure
 * @param failedAt last failure
 * @param reason from the closed list
 * @param exception class name of the last failure, if a handler failed
 * @param message of the failure, values edited out, at most 1 KiB
 * @param redrives how often it was redriven
 */
public record Origin(
        String topic,
        int partition,
        long offset,
        Instant timestamp,
        String group,
        @Nullable String eventId,
        int attempts,
        Instant firstFailedAt,
        Instant failedAt,
        FailureReason reason,
        @Nullable String exception,
        @Nullable String message,
        int redrives) {

    /** Set aside without having been handled: no id, no attempts, first and last failure at once. */
    public static Origin of(ConsumerRecord<?, ?> record, String group, FailureReason reason, Instant failedAt) {
        return new Origin(
                record.topic(),
                record.partition(),
                record.offset(),
                Instant.ofEpochMilli(record.timestamp()),
                group,
                null,
                0,
                failedAt,
                failedAt,
                reason,
                null,
                null,
                0);
    }

    /** With the id, as far as it could be read. */
    public Origin withEventId(@Nullable String id) {
        return new Origin(
                topic,
                partition,
                offset,
                timestamp,
                group,
                id,
                attempts,
                firstFailedAt,
                failedAt,
                reason,
                exception,
                message,
                redrives);
    }

    /** With how often the handler was run, if it never came back to say what failed. */
    public Origin withAttempts(int runs) {
        return told(runs, firstFailedAt, exception, message);
    }

    /**
     * With what failed, and how often. Of the exception nothing is kept that could hold a value of the event: classes, positions
     * and SQLSTATEs, and the text only of a {@link dev.eventbus.DecodeException}.
     */
    public Origin withFailure(Throwable failure, int failures, Instant first) {
        return told(failures, first, failure.getClass().getName(), FailureText.of(failure));
    }

    /**
     * With how often the handler was run, and the text that was kept of its last failure.
     *
     * @param error as {@link FailureText#of} has made it; null if nothing is known
     */
    public Origin withError(@Nullable String error, int runs) {
        String thrown = error == null ? null : error.split("[ :,]", 2)[0];
        return told(runs, firstFailedAt, thrown, error);
    }

    private Origin told(int runs, Instant first, @Nullable String thrown, @Nullable String text) {
        return new Origin(
                topic, partition, offset, timestamp, group, eventId, runs, first, failedAt, reason, thrown, text,
                redrives);
    }

    /** With how often it was redriven before. */
    public Origin withRedrives(int times) {
        return new Origin(
                topic,
                partition,
                offset,
                timestamp,
                group,
                eventId,
                attempts,
                firstFailedAt,
                failedAt,
                reason,
                exception,
                message,
                times);
    }

    /** One line, safe to print. */
    @Override
    public String toString() {
        return "%s/%d@%d, group %s, %s after %d attempts".formatted(topic, partition, offset, group, reason, attempts);
    }
}
