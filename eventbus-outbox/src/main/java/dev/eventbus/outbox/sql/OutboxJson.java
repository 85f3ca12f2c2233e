package dev.eventbus.outbox.sql;

import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.type.TypeReference;
import com.fasterxml.jackson.databind.JsonMappingException;
import com.fasterxml.jackson.databind.json.JsonMapper;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** What lies as JSON in a column: the user's own headers as an object of strings, lists of event ids as arrays; NULL for none. */
public final class OutboxJson {

    private static final JsonMapper MAPPER = JsonMapper.builder().build();
    private static final TypeReference<LinkedHashMap<String, String>> TYPE = new TypeReference<>() {};

    private OutboxJson() {}

    /** A header map as it is stored. */
    public static @Nullable String headers(Map<String, String> headers) {
        return headers.isEmpty() ? null : write(headers);
    }

    /** Event ids as they are stored. */
    public static @Nullable String ids(Collection<String> ids) {
        return ids.isEmpty() ? null : write(ids);
    }

    private static String write(Object strings) {
        try {
            return MAPPER.writeValueAsString(strings);
        } catch (JsonProcessingException e) {
            throw new IllegalStateException("strings could not be written as JSON", e);
        }
    }

    /** @throws JsonProcessingException if somebody else wrote something that is no such object */
    public static Map<String, String> readHeaders(@Nullable String json) throws JsonProcessingException {
        Map<String, String> headers = json == null ? null : MAPPER.readValue(json, TYPE);
        if (headers == null) {
            return Map.of();
        }
        if (headers.containsValue(null)) {
            throw JsonMappingException.from((JsonParser) null, "a header has no value");
        }
        return headers;
    }
}
