package dev.eventbus.consumer.deadletter;

import static java.nio.charset.StandardCharsets.UTF_8;

import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.header.Headers;
import org.apache.kafka.common.header.internals.RecordHeaders;
import org.jspecify.annotations.Nullable;

/**
 * A record of a dead-letter topic: the original's bytes untouched, and where they came from.
 *
 * @param origin why and from where it was set aside; null if the record does not carry that, or not in a form to be believed
 * @param key the original's key
 * @param value the original's value; a stub in its place if it was too large for the topic
 * @param headers all headers of the record: the original's, then those of the library; a copy that can only be read
 */
@SuppressWarnings("ArrayRecordComponent") // carries bytes; never compared as a record
public record DeadLetter(@Nullable Origin origin, byte @Nullable [] key, byte @Nullable [] value, Headers headers) {

    public DeadLetter {
        headers = copyOf(headers);
    }

    /**
     * Reads a record of a dead-letter topic. Anybody may have written it, so nothing in it makes this fail. The bytes are copies:
     * whoever changes them changes nothing of the record.
     */
    public static DeadLetter of(ConsumerRecord<byte[], byte[]> record) {
        return new DeadLetter(
                DeadLetterHeaders.read(record.headers()),
                copyOf(record.key()),
                copyOf(record.value()),
                record.headers());
    }

    private static byte @Nullable [] copyOf(byte @Nullable [] bytes) {
        return bytes == null ? null : bytes.clone();
    }

    private static Headers copyOf(Headers headers) {
        RecordHeaders copy = new RecordHeaders();
        headers.forEach(header -> copy.add(header.key(), copyOf(header.value())));
        copy.setReadOnly();
        return copy;
    }

    /** The key as UTF-8 text, with U+FFFD for what is none; empty for a record without a key. */
    public String keyText() {
        return key == null ? "" : new String(key, UTF_8);
    }

    /** Without key, value and headers: these never reach a log. */
    @Override
    public String toString() {
        return origin == null ? "dead letter of unknown origin" : "dead letter: " + origin;
    }
}
