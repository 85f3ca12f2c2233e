package dev.eventbus.consumer.deadletter;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.header.Headers;
import org.jspecify.annotations.Nullable;

/** One dead letter in the sizes in which it may be sent, largest first. */
final class Letter {

    /** How much of the original a letter carries. Each is the last resort of the one before; there is nothing after the stub. */
    enum Size {
        WHOLE,
        WITHOUT_HEADERS,
        STUB
    }

    private static final int MAX_STUB_KEY_BYTES = 1024;

    private final String topic;
    private final ConsumerRecord<byte[], byte[]> original;
    private final Origin origin;

    /** @param topic physical dead-letter topic */
    Letter(String topic, ConsumerRecord<byte[], byte[]> original, Origin origin) {
        this.topic = topic;
        this.original = original;
        this.origin = origin;
    }

    Origin origin() {
        return origin;
    }

    /**
     * The record to send. Its partition follows from the key; its time stamp is left to the producer, hence the time of sending:
     * retention works on it.
     */
    ProducerRecord<byte[], byte[]> record(Size size) {
        return switch (size) {
            case WHOLE -> record(original.key(), original.value(), DeadLetterHeaders.all(original.headers(), origin));
            case WITHOUT_HEADERS ->
                record(original.key(), original.value(), DeadLetterHeaders.cut(original.headers(), origin, "headers"));
            case STUB -> stub();
        };
    }

    private ProducerRecord<byte[], byte[]> stub() {
        byte[] key = original.key();
        boolean keyFits = key == null || key.length <= MAX_STUB_KEY_BYTES;
        String omitted = keyFits ? "headers,value" : "headers,value,key";
        return record(
                keyFits ? key : null,
                stubValue(original.value()),
                DeadLetterHeaders.cut(original.headers(), origin, omitted));
    }

    /** Enough to find the original while its topic still has it, and to know it again. A topic name needs no escaping. */
    private byte[] stubValue(byte @Nullable [] value) {
        return """
                {"omitted":"value","topic":"%s","partition":%d,"offset":%d,"size":%d,"sha256":"%s"}""".formatted(
                        origin.topic(),
                        origin.partition(),
                        origin.offset(),
                        value == null ? 0 : value.length,
                        sha256(value == null ? new byte[0] : value))
                .getBytes(UTF_8);
    }

    private ProducerRecord<byte[], byte[]> record(byte @Nullable [] key, byte @Nullable [] value, Headers headers) {
        return new ProducerRecord<>(topic, null, null, key, value, headers);
    }

    private static String sha256(byte[] bytes) {
        try {
            return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(bytes));
        } catch (NoSuchAlgorithmException e) {
            throw new AssertionError("every Java platform has SHA-256", e);
        }
    }
}
