package dev.eventbus.consumer.redrive;

import dev.eventbus.consumer.deadletter.DeadLetter;
import dev.eventbus.consumer.deadletter.Origin;
import dev.eventbus.consumer.deadletter.RedriveHeaders;
import dev.eventbus.consumer.inbox.Mark;
import dev.eventbus.consumer.parking.HeaderBytes;
import dev.eventbus.consumer.parking.ParkedEvent;
import java.util.Optional;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.record.TimestampType;
import org.jspecify.annotations.Nullable;

/**
 * A dead letter and what is known of it, without its value.
 *
 * @param key raw key
 * @param mark how its group's inbox knows the event, or would
 * @param bytes length of its value
 */
@SuppressWarnings("ArrayRecordComponent") // compared by its reader
record Found(PlannedLetter letter, byte @Nullable [] key, Mark mark, int bytes) {

    static Found of(ConsumerRecord<byte[], byte[]> record, Origin origin) {
        byte[] key = record.key();
        Mark mark = Mark.of(origin.group(), origin.eventId(), originalOf(record, origin));
        boolean incomplete = RedriveHeaders.isIncomplete(record.headers());
        return new Found(
                new PlannedLetter(
                        record.partition(),
                        record.offset(),
                        origin,
                        mark.eventId(),
                        key == null ? null : KeyHash.of(key),
                        incomplete ? Standing.INCOMPLETE : Standing.READY),
                key,
                mark,
                record.value() == null ? 0 : record.value().length);
    }

    /** A letter of a group; null for any other record. */
    static @Nullable Found of(ConsumerRecord<byte[], byte[]> record, String group) {
        Origin origin = DeadLetter.of(record).origin();
        return origin == null || !origin.group().equals(group) ? null : of(record, origin);
    }

    Found as(Standing standing) {
        return new Found(letter.as(standing), key, mark, bytes);
    }

    Origin origin() {
        return letter.origin();
    }

    Standing standing() {
        return letter.standing();
    }

    boolean isReady() {
        return standing() == Standing.READY;
    }

    /** What tells this event from others; two of one id and different payloads are two. */
    String identity() {
        return mark.eventId() + ' ' + KeyHash.of(mark.payloadHash());
    }

    /** Which of two letters of one event counts: the one of the later round. */
    boolean isNewerThan(Found other) {
        int rounds = Integer.compare(origin().redrives(), other.origin().redrives());
        int order = rounds != 0
                ? rounds
                : origin().failedAt().compareTo(other.origin().failedAt());
        return order > 0 || order == 0 && letter.offset() > other.letter.offset();
    }

    /** The record as its topic had it. */
    static ConsumerRecord<byte[], byte[]> originalOf(ConsumerRecord<byte[], byte[]> letter, Origin origin) {
        byte[] key = letter.key();
        byte[] value = letter.value();
        return new ConsumerRecord<>(
                origin.topic(),
                origin.partition(),
                origin.offset(),
                origin.timestamp().toEpochMilli(),
                TimestampType.CREATE_TIME,
                key == null ? ConsumerRecord.NULL_SIZE : key.length,
                value == null ? ConsumerRecord.NULL_SIZE : value.length,
                key,
                value,
                RedriveHeaders.original(letter.headers()),
                Optional.empty());
    }

    /** The letter as an event that waits in the database. */
    ParkedEvent parked(ConsumerRecord<byte[], byte[]> record) {
        return new ParkedEvent(
                origin().topic(),
                record.key(),
                mark.eventId(),
                origin().partition(),
                origin().offset(),
                record.value(),
                HeaderBytes.encode(RedriveHeaders.original(record.headers())),
                origin().timestamp(),
                0,
                null,
                null);
    }
}
