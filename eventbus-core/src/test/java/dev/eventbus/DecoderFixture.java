package dev.eventbus;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import com.fasterxml.jackson.annotation.JsonAnySetter;
import com.fasterxml.jackson.annotation.JsonEnumDefaultValue;
import com.fasterxml.jackson.annotation.JsonTypeInfo;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.databind.DeserializationContext;
import com.fasterxml.jackson.databind.JsonDeserializer;
import com.fasterxml.jackson.databind.annotation.JsonDeserialize;
import java.io.IOException;
import java.math.BigDecimal;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.jspecify.annotations.Nullable;

/** Event types with every kind of property, and records of them. */
abstract class DecoderFixture {

    enum Colour {
        RED,
        @JsonEnumDefaultValue
        OTHER
    }

    enum Shape {
        ROUND
    }

    @JsonTypeInfo(use = JsonTypeInfo.Id.CLASS)
    interface Chosen {}

    record AnyChosen(int count) implements Chosen {}

    record Thing(
            @Nullable Long amount,
            int count,
            @Nullable BigDecimal price,
            @Nullable Double ratio,
            @Nullable String text,
            @Nullable Colour colour,
            @Nullable Shape shape,
            @Nullable Map<String, Object> more,
            @Nullable Object any,
            @Nullable Chosen chosen) {}

    /** Set property by property, so Jackson alone would not notice that a primitive is missing. */
    static final class Bean {
        public int count;
        public @Nullable String text;
    }

    record Picky(String text) {
        Picky {
            throw new IllegalStateException("S3CR3T " + text);
        }
    }

    /** Read by code that never comes back. */
    @JsonDeserialize(using = EndlessReader.class)
    record Endless(String text) {}

    static final class EndlessReader extends JsonDeserializer<Endless> {
        @Override
        public Endless deserialize(JsonParser json, DeserializationContext context) {
            throw new StackOverflowError();
        }
    }

    /** Read by code that passes over whatever is wrong. */
    @JsonDeserialize(using = LenientReader.class)
    record Lenient(int tokens) {}

    static final class LenientReader extends JsonDeserializer<Lenient> {
        @Override
        public Lenient deserialize(JsonParser json, DeserializationContext context) {
            int tokens = 0;
            for (int tries = 0; tries < 100; tries++) {
                try {
                    tokens += json.nextToken() == null ? 0 : 1;
                } catch (IOException | RuntimeException passedOver) {
                    tries++;
                }
            }
            return new Lenient(tokens);
        }
    }

    /** Takes every property, so that names in its faults come from the record. */
    static final class Counts {
        public @Nullable String userId;

        private final Map<String, Integer> counts = new HashMap<>();

        @JsonAnySetter
        public void put(String name, int count) {
            counts.put(name, count);
        }
    }

    record Loop(@Nullable Loop next) {}

    static final EventType<Thing> THING =
            EventType.of("THING", Thing.class).topic("things").key(thing -> "u");
    static final EventType<Bean> BEAN =
            EventType.of("BEAN", Bean.class).topic("things").key("ownerId", bean -> "u");
    static final EventType<Loop> LOOP =
            EventType.of("LOOP", Loop.class).topic("things").key(loop -> "u");

    static final String ENVELOPE =
            "\"eventId\":\"e-1\",\"eventType\":\"THING\",\"timestamp\":\"2025-01-15T10:35:00Z\",\"userId\":\"u\"";

    final EventDecoder decoder = new EventDecoder(List.of(THING, BEAN, LOOP));
    private final OnePass onePass = new OnePass(THING, BEAN, LOOP);

    static String thing(String properties) {
        return "{" + ENVELOPE + (properties.isEmpty() ? "" : ",") + properties + "}";
    }

    static ConsumerRecord<byte[], byte[]> withHeader(String name, String value) {
        ConsumerRecord<byte[], byte[]> record = Samples.record("u", thing("\"count\":1"));
        record.headers().add(name, value.getBytes(UTF_8));
        return record;
    }

    static ConsumerRecord<byte[], byte[]> withBytes(int... bytes) {
        byte[] value = thing("\"count\":1,\"text\":\"" + "?".repeat(bytes.length) + "\"")
                .getBytes(UTF_8);
        int at = new String(value, UTF_8).indexOf('?');
        byte[] broken = Arrays.copyOf(value, value.length);
        for (int i = 0; i < bytes.length; i++) {
            broken[at + i] = (byte) bytes[i];
        }
        return Samples.record("u", broken);
    }

    @Nullable
    FailureReason reasonOf(String value) {
        return reasonOf(Samples.record("u", value));
    }

    @Nullable
    FailureReason reasonOf(ConsumerRecord<byte[], byte[]> record) {
        onePass.check(record.value());
        try {
            assertThat(decoder.decode(record)).isNotNull();
            return null;
        } catch (DecodeException e) {
            return e.reason();
        }
    }

    DecodeException refusalOf(ConsumerRecord<byte[], byte[]> record) {
        onePass.check(record.value());
        return catchThrowableOfType(DecodeException.class, () -> decoder.decode(record));
    }
}
