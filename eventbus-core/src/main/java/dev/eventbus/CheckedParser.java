package dev.eventbus;

import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.core.util.JsonParserDelegate;
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
 * Hands on no token before it was checked against the reading limits, whoever asks for it and however it is skipped. Keeps the few
 * top-level strings that were asked for, and notes the first key that stands twice in its object.
 *
 * <p>For one document and one thread. {@link DecodeException} comes out of it for a limit, without id and type.
 */
final class CheckedParser extends JsonParserDelegate {

    private final Set<String> wanted;
    private final Map<String, @Nullable String> found = new HashMap<>();

    /** Names met so far in each open object, innermost first. */
    private final Deque<Set<String>> names = new ArrayDeque<>();

    private int tokens;
    private int depth;

    /** Whether a token was refused, or could not be read: then there is no next one, whoever has caught that. */
    private boolean faulty;

    private long doubledAt = -1;

    /** @param wanted top-level properties to keep */
    CheckedParser(JsonParser json, Set<String> wanted) {
        super(json);
        this.wanted = wanted;
    }

    /** The wanted properties that have been met, each with its text, or null if that is no string. */
    Map<String, @Nullable String> found() {
        return found;
    }

    /** Where the first key stands that was there before: bytes from the value's beginning; negative if there is none. */
    long doubledAt() {
        return doubledAt;
    }

    /** Reads on to the end. */
    void finish() throws IOException {
        while (nextToken() != null) {}
        if (tokens == 0) {
            throw noObject();
        }
    }

    @Override
    public @Nullable JsonToken nextToken() throws IOException {
        if (faulty) {
            throw refused(FailureReason.MALFORMED_JSON, "it was read on behind a fault");
        }
        faulty = true;
        JsonToken token = delegate.nextToken();
        if (token != null) {
            count(token);
            check(token);
        }
        faulty = false;
        return token;
    }

    @Override
    public @Nullable JsonToken nextValue() throws IOException {
        JsonToken token = nextToken();
        return token == JsonToken.FIELD_NAME ? nextToken() : token;
    }

    @Override
    public JsonParser skipChildren() throws IOException {
        JsonToken token = currentToken();
        if (token == JsonToken.START_OBJECT || token == JsonToken.START_ARRAY) {
            int outside = depth - 1;
            while (depth > outside && nextToken() != null) {}
        }
        return this;
    }

    private void count(JsonToken token) {
        if (tokens++ == 0) {
            checkRoot(token);
        } else if (depth == 0) {
            throw refused(FailureReason.MALFORMED_JSON, "something follows the JSON object");
        } else if (tokens > JsonDocument.MAX_TOKENS) {
            throw refused(
                    FailureReason.TOO_LARGE, "its JSON has more than %d tokens".formatted(JsonDocument.MAX_TOKENS));
        }
    }

    private static void checkRoot(JsonToken root) {
        if (root == JsonToken.VALUE_NULL) {
            throw JsonDocument.refused(FailureReason.EMPTY, "its value is the literal null");
        }
        if (root != JsonToken.START_OBJECT) {
            throw noObject();
        }
    }

    private static DecodeException noObject() {
        return JsonDocument.refused(FailureReason.BAD_ENVELOPE, "its value is no JSON object");
    }

    private void check(JsonToken token) throws IOException {
        switch (token) {
            case START_OBJECT -> {
                enter();
                names.push(new HashSet<>());
            }
            case START_ARRAY -> enter();
            case END_OBJECT -> {
                depth--;
                names.pop();
            }
            case END_ARRAY -> depth--;
            case FIELD_NAME -> checkName(delegate.currentName());
            case VALUE_STRING -> checkString();
            case VALUE_NUMBER_INT, VALUE_NUMBER_FLOAT -> checkNumber(token);
            default -> {
                // true, false and null are as they should be
            }
        }
    }

    private void enter() {
        if (++depth > JsonDocument.MAX_DEPTH) {
            throw refused(
                    FailureReason.TOO_DEEP, "its JSON is nested deeper than %d".formatted(JsonDocument.MAX_DEPTH));
        }
    }

    private void checkName(String name) {
        if (name.length() > JsonDocument.MAX_NAME_LENGTH) {
            throw refused(
                    FailureReason.TOO_LARGE,
                    "a name in its JSON has more than %d characters".formatted(JsonDocument.MAX_NAME_LENGTH));
        }
        if (!names.element().add(name) && doubledAt < 0) {
            doubledAt = offset();
        }
        if (depth == 1 && wanted.contains(name)) {
            found.put(name, null); // until its value turns out to be a string
        }
    }

    private void checkString() throws IOException {
        if (delegate.getTextLength() > JsonDocument.MAX_STRING_LENGTH) {
            throw refused(
                    FailureReason.TOO_LARGE,
                    "a string in its JSON has more than %d characters".formatted(JsonDocument.MAX_STRING_LENGTH));
        }
        if (depth == 1 && wanted.contains(delegate.currentName())) {
            found.put(delegate.currentName(), delegate.getText());
        }
    }

    private void checkNumber(JsonToken token) throws IOException {
        if (delegate.getTextLength() > JsonDocument.MAX_NUMBER_LENGTH) {
            throw refused(
                    FailureReason.BAD_VALUE,
                    "a number in its JSON has more than %d characters".formatted(JsonDocument.MAX_NUMBER_LENGTH));
        }
        if (token == JsonToken.VALUE_NUMBER_FLOAT && !isInRange()) {
            throw refused(FailureReason.BAD_VALUE, "a number in its JSON is out of a double's range");
        }
    }

    private boolean isInRange() throws IOException {
        try {
            // asked for a decimal, the parser would forget that a zero is negative
            BigDecimal number =
                    new BigDecimal(delegate.getTextCharacters(), delegate.getTextOffset(), delegate.getTextLength());
            return Math.abs(number.scale()) <= JsonDocument.MAX_SCALE && Double.isFinite(number.doubleValue());
        } catch (NumberFormatException | ArithmeticException e) {
            return false; // an exponent that not even a BigDecimal can hold
        }
    }

    private DecodeException refused(FailureReason reason, String fault) {
        return JsonDocument.refused(reason, "%s, at byte %d".formatted(fault, offset()));
    }

    private long offset() {
        return delegate.currentTokenLocation().getByteOffset();
    }
}
