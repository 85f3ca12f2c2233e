package dev.eventbus;

import com.fasterxml.jackson.core.JsonLocation;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.filter.FilteringParserDelegate;
import com.fasterxml.jackson.core.filter.TokenFilter;
import com.fasterxml.jackson.databind.BeanDescription;
import com.fasterxml.jackson.databind.JsonMappingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectReader;
import com.fasterxml.jackson.databind.PropertyName;
import com.fasterxml.jackson.databind.introspect.BeanPropertyDefinition;
import java.io.IOException;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/** Turns documents of one event type into its payload class. Thread-safe. */
final class PayloadBinding<P> {

    private static final TokenFilter WITHOUT_ENVELOPE = new TokenFilter() {
        @Override
        public @Nullable TokenFilter includeProperty(String name) {
            return JsonEnvelope.NAMES.contains(name) ? null : TokenFilter.INCLUDE_ALL;
        }
    };

    private final EventType<P> type;
    private final ObjectReader reader;

    /** Names from code, not from a record, so they may stand in a message. */
    private final Set<String> declared;

    /**
     * Primitive properties set on a finished object, each with all of its names: Jackson leaves them 0 or false when they are missing.
     * Those of objects within the payload are not looked for.
     */
    private final Map<String, Set<String>> primitives;

    /** Whether the class takes whatever properties there are; the envelope's are not for it. */
    private final boolean takesAll;

    PayloadBinding(EventType<P> type) {
        this.type = type;
        this.reader = StrictJson.MAPPER.readerFor(type.payloadClass());
        BeanDescription description = StrictJson.reading(type.payloadClass());
        List<BeanPropertyDefinition> properties = description.findProperties();
        this.declared = namesOf(properties);
        this.primitives = properties.stream()
                .filter(PayloadBinding::isSetPrimitive)
                .collect(Collectors.toUnmodifiableMap(BeanPropertyDefinition::getName, PayloadBinding::namesOf));
        this.takesAll = Map.class.isAssignableFrom(type.payloadClass())
                || JsonNode.class.isAssignableFrom(type.payloadClass())
                || description.findAnySetterAccessor() != null;
    }

    EventType<P> type() {
        return type;
    }

    /** Names of the top-level properties whose absence is a fault. */
    Set<String> primitives() {
        return primitives.values().stream().flatMap(Set::stream).collect(Collectors.toUnmodifiableSet());
    }

    /**
     * Binds the payload.
     *
     * @throws DecodeException if a property cannot be bound to its Java type
     */
    Event<P> event(String id, String key, Instant timestamp, Map<String, String> headers, JsonDocument document) {
        primitives.forEach((primitive, names) -> {
            if (names.stream().noneMatch(document::has)) {
                throw refused("payload property '%s' is missing".formatted(primitive));
            }
        });
        P boundBefore = document.payload(this);
        return new Event<>(id, type, key, timestamp, boundBefore == null ? bind(document) : boundBefore, headers);
    }

    /** The payload of a document, whatever else stands in it; null if it is read so. */
    @Nullable
    P read(JsonParser json) throws IOException {
        return reader.readValue(takesAll ? withoutEnvelope(json) : json);
    }

    private P bind(JsonDocument document) {
        try (JsonParser json = document.parser()) {
            P payload = read(json);
            if (payload != null) {
                return payload;
            }
        } catch (IOException | RuntimeException e) {
            throw refused(describe(e));
        } catch (StackOverflowError e) {
            throw refused("its payload refers to itself without end");
        }
        throw refused("its payload is read as null");
    }

    private static JsonParser withoutEnvelope(JsonParser json) {
        return new FilteringParserDelegate(json, WITHOUT_ENVELOPE, TokenFilter.Inclusion.INCLUDE_ALL_AND_PATH, true);
    }

    /** Jackson's own texts repeat values, and its paths the keys of maps; only declared names and positions are taken over. */
    private String describe(Exception e) {
        String property = "";
        if (e instanceof JsonMappingException mapping && !mapping.getPath().isEmpty()) {
            String name = mapping.getPath().get(0).getFieldName();
            property = name != null && declared.contains(name) ? " property '" + name + "'" : "";
        }
        JsonLocation location = e instanceof JsonProcessingException json ? json.getLocation() : null;
        String position =
                location != null && location.getByteOffset() >= 0 ? ", near byte " + location.getByteOffset() : "";
        return "payload%s cannot be bound to %s (%s)%s"
                .formatted(
                        property,
                        type.payloadClass().getSimpleName(),
                        e.getClass().getSimpleName(),
                        position);
    }

    private DecodeException refused(String fault) {
        return new DecodeException(
                FailureReason.BAD_VALUE, "The record is no event %s: %s.".formatted(type.name(), fault), null, null);
    }

    private static boolean isSetPrimitive(BeanPropertyDefinition property) {
        return (property.hasSetter() || property.hasField())
                && !property.hasConstructorParameter()
                && property.getRawPrimaryType().isPrimitive();
    }

    private static Set<String> namesOf(BeanPropertyDefinition property) {
        return Stream.concat(
                        Stream.of(property.getName()),
                        property.findAliases().stream().map(PropertyName::getSimpleName))
                .collect(Collectors.toUnmodifiableSet());
    }

    private static Set<String> namesOf(List<BeanPropertyDefinition> properties) {
        return properties.stream().map(BeanPropertyDefinition::getName).collect(Collectors.toUnmodifiableSet());
    }
}
