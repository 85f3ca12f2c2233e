package dev.eventbus.consumer.parking;

import dev.eventbus.FailureReason;
import dev.eventbus.internal.Checks;
import java.time.Instant;
import java.util.Optional;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.record.TimestampType;
import org.jspecify.annotations.Nullable;

/**
 * A record that waits in the database, byte for byte as it was read.
 *
 * @param topic as the inbox has it
 * @param key raw key
 * @param eventId as the inbox knows it
 * @param partition where it was read
 * @param offset where it was read
 * @param value raw value; null for a record without one
 * @param headers its headers, see {@link HeaderBytes}
 * @param recordTime its time stamp
 * @param attempts that it has used
 * @param reason why it failed last; null for one that only follows another
 * @param error what it failed with, in words without a value of the event; null if it has not
 */
@SuppressWarnings("ArrayRecordComponent") // compared by its reader
public record ParkedEvent(
        String topic,
        byte[] key,
        String eventId,
        int partition,
        long offset,
        byte @Nullable [] value,
        byte[] headers,
        Instant recordTime,
        int attempts,
        @Nullable String reason,
        @Nullable String error) {

    /** Longest text of an error that is kept. */
    public static final int MAX_ERROR = 2000;

    /** Why an event waits that has not failed for the last time. */
    public static final String RETRY_LATER = "RETRY_LATER";

    /** What every database can keep of a time stamp that anybody may have written. */
    private static final Instant LATEST = Instant.parse("9999-12-31T23:59:59.999Z");

    private static final Instant EARLIEST = Instant.ofEpochMilli(-1); // a record without a time stamp

    public ParkedEvent {
        recordTime = recordTime.isAfter(LATEST) ? LATEST : recordTime.isBefore(EARLIEST) ? EARLIEST : recordTime;
        error = error != null && error.length() > MAX_ERROR ? error.substring(0, MAX_ERROR) : error;
    }

    /** A record that only follows another. */
    public static ParkedEvent following(String eventId, ConsumerRecord<byte[], byte[]> record) {
        return new ParkedEvent(
                record.topic(),
                record.key(),
                eventId,
                record.partition(),
                record.offset(),
                record.value(),
                HeaderBytes.encode(record.headers()),
                Instant.ofEpochMilli(record.timestamp()),
                0,
                null,
                null);
    }

    /** This event, having failed. */
    public ParkedEvent failed(int used, String why, @Nullable String what) {
        return new ParkedEvent(topic, key, eventId, partition, offset, value, headers, recordTime, used, why, what);
    }

    /** Whether it has failed for the last time before. */
    public boolean hasFailedForGood() {
        return reason != null && !reason.equals(RETRY_LATER);
    }

    /** Why; a name that this version does not know was written by another one. */
    public FailureReason failureReason() {
        for (FailureReason known : FailureReason.values()) {
            if (known.name().equals(reason)) {
                return known;
            }
        }
        return FailureReason.ATTEMPTS_EXHAUSTED;
    }

    /** The record again, as it was read; its leader epoch is not kept. */
    public ConsumerRecord<byte[], byte[]> record() {
        return new ConsumerRecord<>(
                topic,
                partition,
                offset,
                recordTime.toEpochMilli(),
                TimestampType.CREATE_TIME,
                key.length,
                value == null ? ConsumerRecord.NULL_SIZE : value.length,
                key,
                value,
                HeaderBytes.decode(headers),
                Optional.empty());
    }

    /** Without key, value and headers: one line, safe to print. */
    @Override
    public String toString() {
        return "event %s at %s/%d@%d, %d attempts"
                .formatted(Checks.printable(eventId), topic, partition, offset, attempts);
    }
}
