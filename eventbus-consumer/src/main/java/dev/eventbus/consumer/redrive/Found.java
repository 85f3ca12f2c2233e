package dev.eventbus.consumer.redrive;

import static java.nio.charset.StandardCharsets.UTF_8;

import dev.eventbus.FailureReason;
import dev.eventbus.consumer.deadletter.DeadLetter;
import dev.eventbus.consumer.deadletter.Origin;
import dev.eventbus.consumer.deadletter.RedriveHeaders;
import dev.eventbus.consumer.inbox.Mark;
import dev.eventbus.consumer.parking.HeaderBytes;
import dev.eventbus.consumer.parking.ParkedEvent;
import java.time.Instant;
import java.util.Optional;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.record.TimestampType;
import org.jspecify.annotations.Nullable;

/**
 * A dead letter and what is known of it, without its value.
 *
 * @param topic in which the letter lies, physical
 * @param key raw key
 * @param mark how its group's inbox knows the event, or would
 * @param bytes length of its value
 * @param omitted what it lacks of its original; null if it is whole
 * @param firstFailedAt as the first letter of the event says
 */
@SuppressWarnings("ArrayRecordComponent") // compared by its reader
record Found(
        PlannedLetter letter,
        String topic,
        byte @Nullable [] key,
        Mark mark,
        int bytes,
        @Nullable String omitted,
        Instant firstFailedAt) {

    static Found of(ConsumerRecord<byte[], byte[]> record, Origin origin) {
        byte[] key = record.key();
        Mark mark = Mark.of(origin.group(), origin.eventId(), originalOf(record, origin));
        String omitted = RedriveHeaders.omitted(record.headers());
        return new Found(
                new PlannedLetter(
                        record.partition(),
                        record.offset(),
                        origin,
                        mark.eventId(),
                        key == null ? null : KeyHash.of(key),
                        omitted != null ? Standing.INCOMPLETE : Standing.READY),
                record.topic(),
                key,
                mark,
                record.value() == null ? 0 : record.value().length,
                omitted,
                origin.firstFailedAt());
    }

    /** A letter of a group; null for any other record. */
    static @Nullable Found of(ConsumerRecord<byte[], byte[]> record, String group) {
        Origin origin = DeadLetter.of(record).origin();
        return origin == null || !origin.group().equals(group) ? null : of(record, origin);
    }

    Found as(Standing standing) {
        return new Found(letter.as(standing), topic, key, mark, bytes, omitted, firstFailedAt);
    }

    /** As one of an event that was redriven more often than this letter knows. */
    Found redriven(int times) {
        return times <= origin().redrives()
                ? this
                : new Found(letter.as(origin().withRedrives(times)), topic, key, mark, bytes, omitted, firstFailedAt);
    }

    /** As one of an event of which an earlier letter is known: a redrive that fails says when that was. */
    Found firstSeenAs(Found earlier) {
        return earlier.firstFailedAt().isBefore(firstFailedAt)
                ? new Found(letter, topic, key, mark, bytes, omitted, earlier.firstFailedAt())
                : this;
    }

    /**
     * How the letter itself is marked that is given up without touching the mark of its id: no event has such an id. It is of the topic
     * in which the letter lies, since the group may never read the one that it names, and nobody would purge the mark.
     */
    Mark markOfLetter() {
        String letterOf =
                "letter %s/%d/%d %s".formatted(origin().topic(), origin().partition(), origin().offset(), identity());
        return new Mark(
                origin().group(),
                "letter " + KeyHash.of(letterOf.getBytes(UTF_8)),
                mark.payloadHash(),
                topic,
                letter.partition(),
                letter.offset());
    }

    /** Without it nobody can tell whether its event is the one that is known by its id. */
    boolean lacksValue() {
        return omitted != null && omitted.contains("value") && origin().reason() != FailureReason.ID_CONFLICT;
    }

    /** Whether the group has read the partition that it names. */
    boolean isFromHome() {
        return standing() != Standing.FOREIGN_TOPIC && standing() != Standing.NO_OFFSETS;
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

    /** What letters without their values, which tell their event from no other of its id, have in common with the whole ones of it. */
    static String anyOfId(String identity) {
        return identity.substring(0, identity.lastIndexOf(' ') + 1);
    }

    /** What tells this event from others; two of one id and different payloads are two. */
    String identity() {
        return mark.eventId() + ' ' + KeyHash.of(mark.payloadHash());
    }

    /** Which of two letters of one event counts: one that is whole, since it alone can be redriven; else that of the later round. */
    boolean countsBefore(Found other) {
        if ((omitted == null) != (other.omitted == null)) {
            return omitted == null;
        }
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
