package dev.eventbus.consumer;

import dev.eventbus.FailureReason;
import dev.eventbus.consumer.inbox.Outcome;
import java.time.Duration;
import org.jspecify.annotations.Nullable;

/**
 * Hears what a runner does: for meters, alerts and tests. Every method has an empty default.
 *
 * <pre>{@code
 * .listener(new RunnerListener() {
 *     public void deadLettered(@Nullable String eventType, Delivery delivery, FailureReason reason) {
 *         alerts.raise(delivery.group(), reason);
 *     }
 * })
 * }</pre>
 *
 * <p>Called on the runner's own threads, several at a time: be thread-safe and quick. What a listener throws is logged and
 * changes nothing, nor does an interrupt flag that it leaves set. One that blocks keeps its thread: if that is the polling thread, nothing
 * is read until it returns, and after a minute {@link ConsumerRunner#health()} says so. A repeat after a crash is heard again.
 */
public interface RunnerListener {

    /** A listener that does nothing. */
    RunnerListener NONE = new RunnerListener() {};

    /** Who hears one runner, asked for once by each runner that is built with this; for a listener that must tell them apart. */
    default RunnerListener ofRunner() {
        return this;
    }

    /**
     * Kafka's client has handed over records of a logical topic's partition, whatever becomes of them. What is read again is heard again.
     */
    default void received(String topic, int partition, int records) {}

    /** A handler has succeeded; with an inbox, its transaction has committed. */
    default void handled(String eventType, Delivery delivery, Duration took) {}

    /** The inbox knew the event: its handler was not run. */
    default void repeated(String eventType, Delivery delivery, Outcome known) {}

    /** A handler has failed and used the delivery's attempt; it runs again after the delay. */
    default void retried(String eventType, Delivery delivery, Throwable cause, Duration delay) {}

    /** Something the event depends on is unavailable; the same step is tried again after the delay, no attempt was used. */
    default void waited(@Nullable String eventType, Delivery delivery, @Nullable Throwable cause, Duration delay) {}

    /** The dead-letter topic's broker has acknowledged the record. */
    default void deadLettered(@Nullable String eventType, Delivery delivery, FailureReason reason) {}

    /**
     * An event waits in the database now, in its place behind those of its key.
     *
     * @param reason why it failed for the last time; null if it follows another, or waits for its next try
     */
    default void parked(String eventType, Delivery delivery, @Nullable FailureReason reason) {}

    /** An event of a type that the runner was told to ignore was skipped, or one that was redriven for another group. */
    default void skipped(@Nullable String eventType, Delivery delivery) {}

    /** A record's JSON has a key twice, of which the last one counts. Heard each time that the record is read. */
    default void doubledKeys(String eventType, Delivery delivery) {}

    /** Records were gone before they could be read. With {@link AfterRetries#stopPartition} the partition is stopped next. */
    default void offsetGap(OffsetGap gap) {}

    /** A partition was stopped, as the policy asks. */
    default void partitionStopped(String topic, int partition, String why) {}

    /** Offsets could not be committed; the next commit tries again. */
    default void commitFailed(Exception cause) {}

    /** Partitions came to this runner, or went from it. */
    default void rebalanced(int assigned, int revoked, int lost) {}

    /** How the runner is doing, as {@link ConsumerRunner#health()} says from now on: about ten times a second, by its polling thread. */
    default void observed(RunnerHealth health) {}

    /**
     * Records that retention, a truncation or a re-created topic took away before this group had read them.
     *
     * @param topic logical topic
     * @param partition partition
     * @param expected the offset that was to be read next
     * @param continuesAt the first offset that is there; below {@code expected} if the topic was truncated or re-created
     */
    record OffsetGap(String topic, int partition, long expected, long continuesAt) {}
}
