package dev.eventbus.outbox;

import java.time.Duration;
import org.apache.kafka.common.InvalidRecordException;
import org.apache.kafka.common.errors.PolicyViolationException;
import org.apache.kafka.common.errors.RecordBatchTooLargeException;
import org.apache.kafka.common.errors.RecordTooLargeException;
import org.apache.kafka.common.errors.SerializationException;
import org.apache.kafka.common.errors.UnknownServerException;
import org.apache.kafka.common.errors.UnsupportedForMessageFormatException;

/** Whose fault it is that a record was not acknowledged, decided by what the Kafka client says. */
enum SendFault {
    /** The event's own: it is tried once more alone, then its key is blocked. */
    EVENT("REFUSED", 2, Duration.ZERO),
    /** Nobody knows: its topic waits and the event is tried alone for a while, then its key is blocked. */
    UNCLEAR("FAILED_REPEATEDLY", 5, Duration.ofMinutes(1)),
    /**
     * The topic's, the cluster's or the way's to it: the topic waits until it works again. A refused time stamp too: it is the time
     * of sending, so this host's clock or the topic's limits are wrong, never the event.
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
