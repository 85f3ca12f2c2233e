package dev.eventbus;

import dev.eventbus.internal.Checks;
import java.io.InterruptedIOException;
import java.net.SocketException;
import java.net.UnknownHostException;
import java.util.Objects;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.errors.RetriableException;
import org.apache.kafka.common.header.Headers;
import org.apache.kafka.common.header.internals.RecordHeaders;
import org.apache.kafka.common.serialization.Deserializer;
import org.apache.kafka.common.serialization.Serializer;
import org.jspecify.annotations.Nullable;

/**
 * Writes and reads payloads that are not the library's JSON: Avro, Protobuf, text, whatever one of Kafka's serializers knows.
 *
 * <pre>{@code
 * static final EventType<UserChange> USER_CHANGED =
 *     EventType.of("USER_CHANGED", UserChange.class, Codec.reading(userChangeDeserializer))
 *         .topic("cdc.auth.users").key(UserChange::userId);
 * }</pre>
 *
 * <p>The record's value is then what the serializer writes and nothing else. Id and type stand in the headers {@code id} and {@code
 * eventType}; a record without them, from somebody who knows nothing of eventbus, is an event of its topic's only type, and its id is
 * its place: {@code topic/partition/offset}. So a producer's repeat of such a record is another event, and so are records of a topic that
 * was deleted and made again unless they come to the same place: let the inbox forget the group then. The event's time is the
 * record's time stamp, and its key is what the type says of the payload, whatever bytes the record's key is.
 *
 * <p>Serializer and deserializer are used by many threads at once, must be configured already, and are not closed. A
 * serializer that writes headers cannot be used: its headers are lost. A deserializer gets copies of the record's headers and bytes, so one that
 * takes headers away or writes into the bytes leaves the record as it is. What it returns must be of the type's payload class; no class is ever taken from data. If it throws, the record
 * is dead-lettered as {@link FailureReason#BAD_VALUE}, unless what it needs is out of reach (a schema registry that does not answer: a
 * {@link SocketException}, an {@link UnknownHostException}, the time-out of a socket or Kafka's {@link RetriableException} among the
 * causes): then the record waits, without using an attempt.
 *
 * <p>A serializer is called by {@code publish}, while the transaction holds its locks: one that calls out should have its answers
 * at hand, or a short time-out. If it throws, nothing is published; where what it needs is out of reach, the refusal says that the whole
 * transaction is worth another try.
 *
 * <p>What both are given as the topic is told by {@link #of} and {@link #reading}.
 */
public final class Codec<P> {

    private static final int MAX_CONTENT_TYPE = 100;
    private static final int DEEPEST_CAUSE = 32;

    private final String contentType;
    private final @Nullable Serializer<? super P> serializer;
    private final Deserializer<? extends P> deserializer;

    private Codec(
            String contentType, @Nullable Serializer<? super P> serializer, Deserializer<? extends P> deserializer) {
        this.contentType = contentType;
        this.serializer = serializer;
        this.deserializer = Objects.requireNonNull(deserializer, "deserializer");
    }

    /**
     * For types that are published and read. A serializer that returns null for a payload publishes a tombstone. Both sides are given
     * the type's logical topic, without a cluster's prefix, which a publisher does not know: names made of it, such as those of a
     * registry's subjects, are the same in each environment.
     *
     * @param contentType what the header {@code contentType} says, for instance {@code application/vnd.apache.avro}
     */
    public static <P> Codec<P> of(
            String contentType, Serializer<? super P> serializer, Deserializer<? extends P> deserializer) {
        Checks.notBlank("contentType", contentType);
        if (contentType.length() > MAX_CONTENT_TYPE || !contentType.chars().allMatch(c -> c >= ' ' && c < 127)) {
            throw new IllegalArgumentException("contentType must be at most %d printable ASCII characters, was '%s'"
                    .formatted(MAX_CONTENT_TYPE, Checks.printable(contentType)));
        }
        return new Codec<>(contentType, Objects.requireNonNull(serializer, "serializer"), deserializer);
    }

    /** For types that others publish; publishing them is refused. It is given the topic as the cluster names it, prefix included. */
    public static <P> Codec<P> reading(Deserializer<? extends P> deserializer) {
        return new Codec<>("", null, deserializer);
    }

    String contentType() {
        return contentType;
    }

    /**
     * The bytes of a payload; null for a tombstone.
     *
     * @throws PublishRefusedException if it cannot be written
     */
    byte @Nullable [] write(Event<? extends P> event) {
        if (serializer == null) {
            throw new PublishRefusedException(
                    ErrorCode.PAYLOAD_UNWRITABLE,
                    event.type().name(),
                    "%s was not published: its type has a codec that reads only. Declare it with Codec.of(...). Nothing was written to the outbox."
                            .formatted(event));
        }
        try {
            return serializer.serialize(event.type().topic(), event.payload());
        } catch (RuntimeException | StackOverflowError e) {
            Throwable outOfReach = outOfReach(e);
            String why = outOfReach == null
                    ? "its serializer failed with %s. Mend it or the payload. Nothing was written to the outbox."
                            .formatted(e.getClass().getName())
                    : "what its serializer needs is out of reach (%s). Nothing was written to the outbox; roll back and try the whole transaction again."
                            .formatted(outOfReach.getClass().getName());
            throw new PublishRefusedException(
                    ErrorCode.PAYLOAD_UNWRITABLE,
                    event.type().name(),
                    "%s was not published: %s".formatted(event, why),
                    e);
        }
    }

    /**
     * The payload of a record that has a value.
     *
     * @throws DecodeException if there is none of that class
     */
    P read(ConsumerRecord<byte[], byte[]> record, EventType<P> type) {
        Headers headers = new RecordHeaders(record.headers()); // whatever it does to them, a dead letter has them all
        byte[] value = record.value().clone(); // some hand it on as the payload, which a handler may change
        Object payload;
        try {
            payload = deserializer.deserialize(serializer == null ? record.topic() : type.topic(), headers, value);
        } catch (RuntimeException | StackOverflowError e) {
            Throwable outOfReach = outOfReach(e);
            String fault = "its deserializer failed with " + e.getClass().getName();
            throw outOfReach == null ? unreadable(type, fault) : DecodeException.forNow(fault, outOfReach);
        }
        if (!type.payloadClass().isInstance(payload)) {
            throw unreadable(
                    type,
                    "its deserializer made %s of it, not %s"
                            .formatted(
                                    payload == null
                                            ? "nothing"
                                            : payload.getClass().getName(),
                                    type.payloadClass().getName()));
        }
        return type.payloadClass().cast(payload);
    }

    private static DecodeException unreadable(EventType<?> type, String fault) {
        return new DecodeException(
                FailureReason.BAD_VALUE, "The record is no event %s: %s.".formatted(type, fault), null, null);
    }

    /** The cause that says that neither record nor payload is at fault; null if none does. */
    private static @Nullable Throwable outOfReach(Throwable failure) {
        Throwable cause = failure;
        for (int depth = 0; cause != null && depth < DEEPEST_CAUSE; depth++) {
            if (cause instanceof SocketException
                    || cause instanceof UnknownHostException
                    || cause instanceof InterruptedIOException // a time-out of a socket is one
                    || cause instanceof RetriableException) {
                return cause;
            }
            cause = cause.getCause();
        }
        return null;
    }
}
