package dev.eventbus;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.StreamReadConstraints;
import com.fasterxml.jackson.core.json.JsonWriteFeature;
import com.fasterxml.jackson.databind.BeanDescription;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JavaType;
import com.fasterxml.jackson.databind.MapperFeature;
import com.fasterxml.jackson.databind.SerializationFeature;
import com.fasterxml.jackson.databind.cfg.CoercionAction;
import com.fasterxml.jackson.databind.cfg.CoercionInputShape;
import com.fasterxml.jackson.databind.cfg.JsonNodeFeature;
import com.fasterxml.jackson.databind.cfg.MapperConfig;
import com.fasterxml.jackson.databind.introspect.BeanPropertyDefinition;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.jsontype.PolymorphicTypeValidator;
import com.fasterxml.jackson.databind.type.LogicalType;
import java.util.List;

/**
 * The one Jackson configuration. It never repairs a value of the wrong type and keeps what was written: scales of decimals,
 * offsets of times. No class is ever chosen by a record: typing by data is off, and class names in an annotated payload class
 * are denied.
 *
 * <p>Its own reading limits lie just above those of {@link JsonDocument}, which reads every value first and says which limit was
 * broken.
 */
final class StrictJson {

    /** Shared by all codecs; thread-safe, as nothing configures it after this line. */
    static final JsonMapper MAPPER = mapper();

    private StrictJson() {}

    /** Denies a class by its name. A validator that has no rules would let Jackson load and initialize the class before it is refused. */
    private static final class NoClassByName extends PolymorphicTypeValidator.Base {

        private static final long serialVersionUID = 1;

        @Override
        public Validity validateSubClassName(MapperConfig<?> config, JavaType base, String name) {
            return Validity.DENIED;
        }
    }

    private static JsonMapper mapper() {
        JsonFactory factory = JsonFactory.builder()
                .disable(JsonFactory.Feature.CHARSET_DETECTION)
                .disable(JsonFactory.Feature.INTERN_FIELD_NAMES) // names come from outside
                .enable(JsonWriteFeature.COMBINE_UNICODE_SURROGATES_IN_UTF8) // UTF-8 throughout, no escapes
                .streamReadConstraints(StreamReadConstraints.builder()
                        .maxNestingDepth(JsonDocument.MAX_DEPTH + 1)
                        .maxNameLength(2 * JsonDocument.MAX_NAME_LENGTH)
                        .maxNumberLength(EventLimits.MAX_READ_BYTES)
                        .maxStringLength(EventLimits.MAX_READ_BYTES)
                        .maxTokenCount(2L * JsonDocument.MAX_TOKENS)
                        .maxDocumentLength(EventLimits.MAX_READ_BYTES)
                        .build())
                .build();
        return JsonMapper.builder(factory)
                .addModules(JsonMapper.builder().build().findModules(StrictJson.class.getClassLoader()))
                .polymorphicTypeValidator(new NoClassByName())
                .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
                .enable(DeserializationFeature.FAIL_ON_NULL_FOR_PRIMITIVES)
                .enable(DeserializationFeature.FAIL_ON_NUMBERS_FOR_ENUMS)
                .enable(DeserializationFeature.READ_UNKNOWN_ENUM_VALUES_USING_DEFAULT_VALUE)
                .enable(DeserializationFeature.USE_BIG_DECIMAL_FOR_FLOATS)
                .disable(DeserializationFeature.FAIL_ON_UNKNOWN_PROPERTIES)
                .disable(DeserializationFeature.ACCEPT_FLOAT_AS_INT)
                .disable(DeserializationFeature.ADJUST_DATES_TO_CONTEXT_TIME_ZONE)
                .disable(JsonNodeFeature.STRIP_TRAILING_BIGDECIMAL_ZEROES)
                .disable(MapperFeature.ALLOW_COERCION_OF_SCALARS)
                .disable(SerializationFeature.WRITE_DATES_AS_TIMESTAMPS)
                .disable(SerializationFeature.WRITE_DURATIONS_AS_TIMESTAMPS)
                .withCoercionConfigDefaults(
                        config -> config.setCoercion(CoercionInputShape.EmptyString, CoercionAction.Fail)
                                .setCoercion(CoercionInputShape.EmptyArray, CoercionAction.Fail))
                .withCoercionConfig(
                        LogicalType.Textual,
                        config -> config.setCoercion(CoercionInputShape.Integer, CoercionAction.Fail)
                                .setCoercion(CoercionInputShape.Float, CoercionAction.Fail)
                                .setCoercion(CoercionInputShape.Boolean, CoercionAction.Fail))
                .build();
    }

    /** Names of the JSON properties that Jackson writes for a class. */
    static List<String> propertiesOf(Class<?> type) {
        return MAPPER.getSerializationConfig().introspect(MAPPER.constructType(type)).findProperties().stream()
                .filter(BeanPropertyDefinition::couldSerialize)
                .map(BeanPropertyDefinition::getName)
                .toList();
    }

    /** What Jackson knows about reading a class. */
    static BeanDescription reading(Class<?> type) {
        return MAPPER.getDeserializationConfig().introspect(MAPPER.constructType(type));
    }
}
