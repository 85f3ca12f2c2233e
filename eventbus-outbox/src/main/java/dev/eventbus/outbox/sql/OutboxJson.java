package dev.eventbus.outbox.sql;

import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.type.TypeReference;
import com.fasterxml.jackson.databind.JsonMappingException;
import com.fasterxml.jackson.databind.json.JsonMapper;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/** What lies as JSON in a column: the user's own headers as an object of strings, lists of event ids as arrays; NULL for none. */
public final class OutboxJson {

    private static final JsonMapper MAPPER = JsonMapper.builder().build();
    private static final TypeReference<LinkedHashMap<String, String>> TYPE = new TypeReference<>() {};

    private static final TypeReference<List<String>> IDS = new TypeReference<>() {};

    private OutboxJson() {}

    /** A header map as it is stored. */
    public static @Nullable String headers(Map<String, String> headers) {
        return headers.isEmpty() ? null : write(headers);
    }

    /** Event ids as they are stored. */
    public static @Nullable String ids(Collection<String> ids) {
        return ids.isEmpty() ? null : write(ids);
    }

    /** What names rows: an array of shard, seq and id for each. */
    static String keys(Collection<RowKey> rows) {
        return write(rows.stream()
                .map(row -> List.of(row.shard(), row.seq(), row.id()))
                .toList());
    }

    /** Event ids as they were stored; none if somebody else wrote something that is no array of strings. */
    public static List<String> readIds(@Nullable String json) {
        try {
            List<String> ids = json == null ? null : MAPPER.readValue(json, IDS);
            return ids == null
                    ? List.of()
                    : ids.stream().filter(Objects::nonNull).toList();
        } catch (JsonProcessingException e) {
            return List.of();
        }
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
