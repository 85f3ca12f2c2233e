package dev.eventbus.outbox;

import dev.eventbus.outbox.sql.OutboxRow;
import java.sql.Connection;
import java.sql.SQLException;
import java.time.Duration;
import java.util.List;
import java.util.Set;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.InvalidRecordException;
import org.apache.kafka.common.PartitionInfo;
import org.apache.kafka.common.errors.PolicyViolationException;
import org.apache.kafka.common.errors.RecordBatchTooLargeException;
import org.apache.kafka.common.errors.RecordTooLargeException;
import org.apache.kafka.common.errors.SerializationException;
import org.apache.kafka.common.errors.UnknownServerException;
import org.apache.kafka.common.errors.UnsupportedForMessageFormatException;

/**
 * Takes rows and brings them to Kafka, each way of sending in its own class: {@link FailStopProducer} and
 * {@link ShardTransactions}. What becomes of the rows is reported, and settled by {@link EventSender}. Everything is called on the
 * relay's thread, and nothing waits for Kafka, but for {@link #hurry()}.
 */
interface KafkaSink {

    /** How the sending of one row ended. */
    sealed interface Outcome {

        OutboxRow row();

        /** Kafka has it. */
        record Acked(OutboxRow row) implements Outcome {}

        /**
         * The broker or the client refused it.
         *
         * @param alone whether no other row could be to blame, and none was behind it
         */
        record Failed(OutboxRow row, Exception error, boolean alone) implements Outcome {}

        /**
         * No reader sees it, and that is no fault of its own; it must be taken back.
         *
         * @param fenced whether another relay has taken the row's shard
         */
        record Unsent(OutboxRow row, boolean fenced) implements Outcome {}
    }

    /** Whose fault it is that a record was not acknowledged, decided by what the Kafka client says. */
    enum SendFault {
        /** The event's own: it is tried once more alone, then its key is blocked. */
        EVENT("REFUSED", 2, Duration.ZERO),
        /** Nobody knows: its topic waits and the event is tried alone for a while, then its key is blocked. */
        UNCLEAR("FAILED_REPEATEDLY", 5, Duration.ofMinutes(1)),
        /**
         * The topic's, the cluster's or the way's to it: the topic waits until it works again. A refused time stamp too: it is the
         * time of sending, so this host's clock or the topic's limits are wrong, never the event.
         */
        TOPIC("", Integer.MAX_VALUE, Duration.ZERO);

        private final String reason;
        private final int tries;
        private final Duration patience;

        SendFault(String reason, int tries, Duration patience) {
            this.reason = reason;
            this.tries = tries;
            this.patience = patience;
        }

        /** What stands in {@code eventbus_blocked_key}. */
        String reason() {
            return reason;
        }

        /** How many failures of the same event it takes before its key is blocked. */
        int tries() {
            return tries;
        }

        /** How long ago the first of them must be. */
        Duration patience() {
            return patience;
        }

        static SendFault of(Exception error) {
            if (error instanceof RecordTooLargeException
                    || error instanceof RecordBatchTooLargeException
                    || error instanceof InvalidRecordException
                    || error instanceof PolicyViolationException
                    || error instanceof SerializationException
                    || error instanceof UnsupportedForMessageFormatException) {
                return EVENT;
            }
            return error instanceof UnknownServerException ? UNCLEAR : TOPIC;
        }
    }

    /**
     * What was reported.
     *
     * @param outcomes in the order of the reports
     * @param stopped whether it has stopped; then the failure that stopped it is among the outcomes, now or before
     * @param shut shards that have no producer any more; what waits for it must be taken back, or it would keep others' room
     */
    record Drained(List<Outcome> outcomes, boolean stopped, Set<Integer> shut) {}

    /** There is no open producer, which is no topic's fault. */
    final class StoppedException extends IllegalStateException {

        private static final long serialVersionUID = 1;

        StoppedException() {
            super("the producer is closed");
        }
    }

    boolean isOpen();

    /**
     * Opens it.
     *
     * @throws IllegalStateException if it was not retired; what it holds would be forgotten
     */
    void open();

    /**
     * Partitions of a topic as the client knows them now. Asking makes the client find out.
     *
     * @throws StoppedException if it is closed, or was closed meanwhile
     */
    List<PartitionInfo> partitionsFor(String topic);

    /** Makes itself ready for rows of these shards, and of no others. */
    default void prepare(Connection connection, Set<Integer> owned) throws SQLException {}

    /** Whether it will be ready for more shards than now without being asked again. */
    default boolean isPreparing() {
        return false;
    }

    /** Whether rows of a shard should be read now. */
    default boolean isReadyFor(int shard) {
        return true;
    }

    /** How many rows of one shard are read at a time. */
    int rowsPerShard();

    /**
     * Whether the next row of a lane may be handed over now.
     *
     * @param alone whether the row must go alone: nothing that its failure could spoil, or that could spoil it, goes with it
     */
    boolean takes(InFlight.Lane lane, boolean alone);

    /**
     * Hands a row over. Its outcome is reported later, or at once.
     *
     * @return false if the client did not take it; nothing that must come after it may be handed over before this is settled
     */
    boolean send(OutboxRow row, ProducerRecord<byte[], byte[]> message, boolean alone);

    /** All that may be handed over now was. */
    default void flush() {}

    /** A thread of its own, which may wait: what was handed over leaves at once, and does not wait for company. */
    default void hurry() {}

    /** All that was reported since the last time. If it has stopped, everything must be taken back. */
    Drained drain();

    boolean hasOutcome();

    /** How long a partition may hold rows and acknowledge none before its topic is given up with the whole sink. */
    Duration patience();

    /** What is wrong beside topics and rows, each with what happens to the events meanwhile and the fix. */
    default List<String> problems() {
        return List.of();
    }

    /** Closes it at once, if it is open; what it holds is forgotten and must have been taken back. */
    void retire();

    /** Closes it for good. */
    void close(Duration limit);
}
