package dev.eventbus;

import com.fasterxml.jackson.databind.JsonNode;
import dev.eventbus.internal.Checks;
import dev.eventbus.internal.JacksonVersion;
import java.util.Objects;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;

/**
 * Declares once what happened, where it goes and whose order it keeps. Immutable; made to be a constant.
 *
 * <pre>{@code
 * static final EventType<AssetUpdated> ASSET_UPDATED =
 *     EventType.of("ASSET_UPDATED", AssetUpdated.class).topic("asset.events").key(AssetUpdated::userId);
 * }</pre>
 *
 * <p>The name, not the class, stands on the wire. The topic is a logical name: a
 * {@link dev.eventbus.topics.KafkaCluster} may put a prefix before it. The key is the record's key and the JSON property
 * {@code userId}, unless {@link Keyed#key(String, Function)} names another property.
 *
 * <p>A payload class that has a property {@code eventId}, {@code eventType} or {@code timestamp} is refused here: these are the
 * envelope's own.
 */
public final class EventType<P> {

    /** The JSON property that holds the key unless the type names another. */
    public static final String DEFAULT_KEY_PROPERTY = "userId";

    private final Named<P> named;
    private final String topic;
    private final String keyProperty;
    private final Function<? super P, @Nullable String> keyOf;
    private final @Nullable Function<? super String, ? extends P> tombstone;

    private EventType(
            Named<P> named,
            String topic,
            String keyProperty,
            Function<? super P, @Nullable String> keyOf,
            @Nullable Function<? super String, ? extends P> tombstone) {
        this.named = named;
        this.topic = topic;
        this.keyProperty = keyProperty;
        this.keyOf = keyOf;
        this.tombstone = tombstone;
    }

    /**
     * Begins a declaration.
     *
     * @param name what stands on the wire as {@code eventType}: 1 to 255 printable ASCII characters without spaces
     * @param payloadClass a class or record that Jackson can write and read as a JSON object
     * @throws IllegalArgumentException if the name is not such a name, or the class is never a JSON object, or has a property of
     *     the envelope's
     * @throws IllegalStateException if Jackson on the class path is older than 2.21
     */
    public static <P> Named<P> of(String name, Class<P> payloadClass) {
        JacksonVersion.check();
        checkName(name);
        if (isNeverAnObject(payloadClass)) {
            throw new IllegalArgumentException(
                    "event type %s: %s is no JSON object; declare a record with named properties"
                            .formatted(name, payloadClass.getName()));
        }
        for (String property : StrictJson.propertiesOf(payloadClass)) {
            if (JsonEnvelope.NAMES.contains(property)) {
                throw new IllegalArgumentException(
                        "event type %s: %s has a property '%s', which belongs to the envelope; rename it or annotate it with @JsonProperty"
                                .formatted(name, payloadClass.getName(), property));
            }
        }
        return new Named<>(name, payloadClass, null);
    }

    /**
     * Begins the declaration of a type whose records are not the library's JSON, but a codec's bytes: {@link Codec} says what of such
     * a record is what.
     *
     * @param name what stands on the wire as {@code eventType}: 1 to 255 printable ASCII characters without spaces
     * @param payloadClass what the codec's deserializer returns
     * @throws IllegalArgumentException if the name is not such a name
     */
    public static <P> Named<P> of(String name, Class<P> payloadClass, Codec<P> codec) {
        checkName(name);
        return new Named<>(name, payloadClass, Objects.requireNonNull(codec, "codec"));
    }

    private static void checkName(String name) {
        if (name.isBlank()
                || name.length() > EventLimits.MAX_TYPE_LENGTH
                || !name.chars().allMatch(c -> c > ' ' && c < 127)) {
            throw new IllegalArgumentException(
                    "name of an event type must be 1 to %d printable ASCII characters without spaces, was '%s'"
                            .formatted(EventLimits.MAX_TYPE_LENGTH, Checks.printable(name)));
        }
    }

    private static boolean isNeverAnObject(Class<?> type) {
        return type.isPrimitive()
                || type.isArray()
                || type.isEnum()
                || type == Boolean.class
                || type == Character.class
                || Number.class.isAssignableFrom(type)
                || CharSequence.class.isAssignableFrom(type)
                || Iterable.class.isAssignableFrom(type) && !JsonNode.class.isAssignableFrom(type);
    }

    /** A declaration that has a name. */
    public static final class Named<P> {
        private final String name;
        private final Class<P> payloadClass;
        private final @Nullable Codec<P> codec;

        private Named(String name, Class<P> payloadClass, @Nullable Codec<P> codec) {
            this.name = name;
            this.payloadClass = payloadClass;
            this.codec = codec;
        }

        /**
         * The logical topic.
         *
         * @throws IllegalArgumentException if it is no legal Kafka topic name
         */
        public Keyed<P> topic(String topic) {
            return new Keyed<>(this, Checks.topicName("topic of " + name, topic));
        }
    }

    /** A declaration that has a name and a topic. */
    public static final class Keyed<P> {
        private final Named<P> named;
        private final String topic;

        private Keyed(Named<P> named, String topic) {
            this.named = named;
            this.topic = topic;
        }

        /** Events of one key stay in order; on the wire the key is the property {@code userId}. */
        public EventType<P> key(Function<? super P, @Nullable String> keyOf) {
            return key(DEFAULT_KEY_PROPERTY, keyOf);
        }

        /** As {@link #key(Function)}, with another JSON property for the key. */
        public EventType<P> key(String property, Function<? super P, @Nullable String> keyOf) {
            Checks.notBlank("key property of " + named.name, property);
            if (JsonEnvelope.NAMES.contains(property)) {
                throw new IllegalArgumentException("key property of %s must not be one of the envelope's own, was '%s'"
                        .formatted(named.name, property));
            }
            return new EventType<>(named, topic, property, keyOf, null);
        }
    }

    /**
     * This type, which also takes tombstones: a record of its topic without a value, which deletes its key from a compacted topic, is
     * an event with this payload. Without it such a record is dead-lettered as {@link FailureReason#EMPTY}.
     *
     * <pre>{@code
     * .key(UserChange::userId).tombstones(UserChange::deleted)
     * }</pre>
     *
     * <p>Where a tombstone has no header {@code eventType}, the topic's only type that takes tombstones is meant; where it has no header
     * {@code id}, its id is its place, as for a {@link Codec}.
     *
     * @param asPayload makes the payload of the record's key: its text, or its bytes as hexadecimal digits if they are no text
     */
    public EventType<P> tombstones(Function<? super String, ? extends P> asPayload) {
        return new EventType<>(named, topic, keyProperty, keyOf, Objects.requireNonNull(asPayload, "asPayload"));
    }

    public String name() {
        return named.name;
    }

    public Class<P> payloadClass() {
        return named.payloadClass;
    }

    /** Null for the library's own JSON. */
    @Nullable
    Codec<P> codec() {
        return named.codec;
    }

    /** Null if records without a value are no events. */
    @Nullable
    Function<? super String, ? extends P> tombstone() {
        return tombstone;
    }

    /** The logical topic, without a cluster's prefix. */
    public String topic() {
        return topic;
    }

    /** The JSON property that holds the key. */
    public String keyProperty() {
        return keyProperty;
    }

    /**
     * The key of a payload.
     *
     * @throws PublishRefusedException if the payload has none
     */
    public String keyOf(P payload) {
        String key = keyOf.apply(payload);
        if (key == null || key.isEmpty()) {
            throw new PublishRefusedException(
                    ErrorCode.KEY_MISSING,
                    name(),
                    "%s has no key: its property '%s' is missing. Without it events of one user could overtake each other; nothing was written. Set it before publishing."
                            .formatted(name(), keyProperty));
        }
        return key;
    }

    @Override
    public String toString() {
        return name();
    }
}
