package dev.eventbus;

import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.core.exc.StreamConstraintsException;
import dev.eventbus.internal.Utf8;
import java.io.IOException;
import java.math.BigDecimal;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * A value that has been read once from end to end and found to be one JSON object within the reading limits, in well-formed
 * UTF-8. The pass keeps the few top-level strings that were asked for and notes doubled keys; it builds no tree. Whatever reads
 * the document afterwards meets nothing deeper, longer or larger than the limits.
 *
 * <p>Of a doubled key the last occurrence counts, at any depth.
 */
final class JsonDocument {

    /** Objects and arrays inside each other. */
    static final int MAX_DEPTH = 64;

    /** Characters of a property's name. */
    static final int MAX_NAME_LENGTH = 256;

    /** Characters of a string. */
    static final int MAX_STRING_LENGTH = 256 * 1024;

    /** Characters of a number as it is written. */
    static final int MAX_NUMBER_LENGTH = 64;

    /** Names, values and brackets. */
    static final int MAX_TOKENS = 100_000;

    /**
     * Decimal places of a number, before or behind the point. All that a double can be written as is within; far beyond, a few
     * characters such as {@code 1e999999999} make a BigDecimal that exhausts the memory of whoever rounds it.
     */
    static final int MAX_SCALE = 350;

    private final byte[] bytes;
    private final Set<String> wanted;
    private final Map<String, @Nullable String> found = new HashMap<>();

    /** Names met so far in each open object, innermost first. */
    private final Deque<Set<String>> names = new ArrayDeque<>();

    private int depth;
    private long doubledAt = -1;

    private JsonDocument(byte[] bytes, Set<String> wanted) {
        this.bytes = bytes;
        this.wanted = wanted;
    }

    /**
     * Reads a record's value.
     *
     * @param wanted top-level properties to keep
     * @throws DecodeException with the step that failed, without id and type
     */
    static JsonDocument read(byte @Nullable [] value, Set<String> wanted) {
        if (value != null && value.length > EventLimits.MAX_READ_BYTES) {
            throw refused(
                    FailureReason.TOO_LARGE,
                    "its value has %d bytes, %d are the limit".formatted(value.length, EventLimits.MAX_READ_BYTES));
        }
        if (value == null || isBlank(value)) {
            throw refused(FailureReason.EMPTY, "its value is empty");
        }
        if (startsWithByteOrderMark(value)) {
            throw refused(FailureReason.BAD_ENCODING, "its value begins with a byte order mark");
        }
        if (!Utf8.isWellFormed(value)) {
            throw refused(FailureReason.BAD_ENCODING, "its value is not well-formed UTF-8");
        }
        JsonDocument document = new JsonDocument(value, wanted);
        document.scan();
        return document;
    }

    /** Whether a wanted property stands in the document, whatever its type. */
    boolean has(String property) {
        return found.containsKey(property);
    }

    /** A wanted property's text; null if it is absent or no string. */
    @Nullable
    String text(String property) {
        return found.get(property);
    }

    boolean hasDoubledKeys() {
        return doubledAt >= 0;
    }

    /** Where the first key stands that was there before: bytes from the value's beginning. */
    long doubledAt() {
        return doubledAt;
    }

    /** A parser over the document in which no key is doubled. */
    JsonParser parser() throws IOException {
        return hasDoubledKeys()
                ? StrictJson.MAPPER.readTree(bytes).traverse(StrictJson.MAPPER)
                : StrictJson.MAPPER.createParser(bytes);
    }

    private void scan() {
        try (JsonParser json = StrictJson.MAPPER.createParser(bytes)) {
            checkRoot(json, json.nextToken());
            int tokens = 1;
            for (JsonToken token = json.nextToken(); token != null; token = json.nextToken()) {
                if (depth == 0) {
                    throw refused(FailureReason.MALFORMED_JSON, "something follows the JSON object", json);
                }
                if (++tokens > MAX_TOKENS) {
                    throw refused(
                            FailureReason.TOO_LARGE, "its JSON has more than %d tokens".formatted(MAX_TOKENS), json);
                }
                visit(json, token);
            }
        } catch (StreamConstraintsException e) {
            throw refused(FailureReason.TOO_LARGE, "its JSON is over a reading limit near " + at(e));
        } catch (IOException e) {
            // a raw NUL is never legal in JSON and the mark of UTF-16 or UTF-32
            throw hasNul()
                    ? refused(FailureReason.BAD_ENCODING, "its value has NUL bytes; only UTF-8 is read")
                    : refused(FailureReason.MALFORMED_JSON, "its value is not one JSON document: fault near " + at(e));
        }
    }

    private void checkRoot(JsonParser json, @Nullable JsonToken root) throws IOException {
        if (root == JsonToken.VALUE_NULL) {
            throw refused(FailureReason.EMPTY, "its value is the literal null");
        }
        if (root != JsonToken.START_OBJECT) {
            throw refused(FailureReason.BAD_ENVELOPE, "its value is no JSON object");
        }
        visit(json, root);
    }

    private void visit(JsonParser json, JsonToken token) throws IOException {
        switch (token) {
            case START_OBJECT -> {
                enter(json);
                names.push(new HashSet<>());
            }
            case START_ARRAY -> enter(json);
            case END_OBJECT -> {
                depth--;
                names.pop();
            }
            case END_ARRAY -> depth--;
            case FIELD_NAME -> visitName(json);
            case VALUE_STRING -> visitString(json);
            case VALUE_NUMBER_INT, VALUE_NUMBER_FLOAT -> checkNumber(json, token);
            default -> {
                // true, false and null are as they should be
            }
        }
    }

    private void enter(JsonParser json) {
        if (++depth > MAX_DEPTH) {
            throw refused(FailureReason.TOO_DEEP, "its JSON is nested deeper than %d".formatted(MAX_DEPTH), json);
        }
    }

    private void visitName(JsonParser json) throws IOException {
        String name = json.currentName();
        if (name.length() > MAX_NAME_LENGTH) {
            throw refused(
                    FailureReason.TOO_LARGE,
                    "a name in its JSON has more than %d characters".formatted(MAX_NAME_LENGTH),
                    json);
        }
        if (!names.element().add(name) && !hasDoubledKeys()) {
            doubledAt = json.currentTokenLocation().getByteOffset();
        }
        if (depth == 1 && wanted.contains(name)) {
            found.put(name, null); // until its value turns out to be a string
        }
    }

    private void visitString(JsonParser json) throws IOException {
        if (json.getTextLength() > MAX_STRING_LENGTH) {
            throw refused(
                    FailureReason.TOO_LARGE,
                    "a string in its JSON has more than %d characters".formatted(MAX_STRING_LENGTH),
                    json);
        }
        if (depth == 1 && wanted.contains(json.currentName())) {
            found.put(json.currentName(), json.getText());
        }
    }

    private static void checkNumber(JsonParser json, JsonToken token) throws IOException {
        if (json.getTextLength() > MAX_NUMBER_LENGTH) {
            throw refused(
                    FailureReason.BAD_VALUE,
                    "a number in its JSON has more than %d characters".formatted(MAX_NUMBER_LENGTH),
                    json);
        }
        if (token == JsonToken.VALUE_NUMBER_FLOAT && !isInRange(json)) {
            throw refused(FailureReason.BAD_VALUE, "a number in its JSON is out of a double's range", json);
        }
    }

    private static boolean isInRange(JsonParser json) throws IOException {
        try {
            BigDecimal number = json.getDecimalValue();
            return Math.abs(number.scale()) <= MAX_SCALE && Double.isFinite(number.doubleValue());
        } catch (NumberFormatException | ArithmeticException e) {
            return false; // an exponent that not even a BigDecimal can hold
        }
    }

    private static boolean isBlank(byte[] value) {
        int start = startsWithByteOrderMark(value) ? 3 : 0;
        for (int i = start; i < value.length; i++) {
            if (value[i] != ' ' && value[i] != '\t' && value[i] != '\r' && value[i] != '\n') {
                return false;
            }
        }
        return true;
    }

    private static boolean startsWithByteOrderMark(byte[] value) {
        return value.length >= 3 && value[0] == (byte) 0xEF && value[1] == (byte) 0xBB && value[2] == (byte) 0xBF;
    }

    private boolean hasNul() {
        for (byte b : bytes) {
            if (b == 0) {
                return true;
            }
        }
        return false;
    }

    private static String at(IOException e) {
        return e instanceof JsonProcessingException json && json.getLocation() != null
                ? "byte " + json.getLocation().getByteOffset()
                : "its end";
    }

    private static DecodeException refused(FailureReason reason, String fault, JsonParser json) {
        return refused(
                reason,
                "%s, at byte %d".formatted(fault, json.currentTokenLocation().getByteOffset()));
    }

    private static DecodeException refused(FailureReason reason, String fault) {
        return new DecodeException(reason, "The record is no event: " + fault + ".", null, null);
    }
}
