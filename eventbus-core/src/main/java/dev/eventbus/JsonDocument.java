package dev.eventbus;

import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.exc.StreamConstraintsException;
import dev.eventbus.internal.Fatal;
import dev.eventbus.internal.Utf8;
import java.io.IOException;
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
    private final Map<String, @Nullable String> found;
    private final long doubledAt;
    private final @Nullable Bound<?> bound;

    private record Bound<P>(PayloadBinding<P> by, P payload) {}

    private JsonDocument(byte[] bytes, CheckedParser read, @Nullable Bound<?> bound) {
        this.bytes = bytes;
        this.found = read.found();
        this.doubledAt = read.doubledAt();
        this.bound = bound;
    }

    /**
     * Reads a record's value.
     *
     * @param wanted top-level properties to keep
     * @throws DecodeException with the step that failed, without id and type
     */
    static JsonDocument read(byte @Nullable [] value, Set<String> wanted) {
        return read(value, wanted, null);
    }

    /**
     * As {@link #read}, and binds what is most likely its payload in the same pass. What there is to find fault with is for a pass
     * by itself to say, and a doubled key for one that knows them all; then nothing is bound.
     *
     * @param likely null if no type is likely
     */
    static JsonDocument read(byte @Nullable [] value, Set<String> wanted, @Nullable PayloadBinding<?> likely) {
        byte[] bytes = encoded(value);
        JsonDocument atOnce = likely == null ? null : boundAtOnce(bytes, wanted, likely);
        return atOnce == null ? scanned(bytes, wanted) : atOnce;
    }

    private static <P> @Nullable JsonDocument boundAtOnce(byte[] bytes, Set<String> wanted, PayloadBinding<P> likely) {
        try (CheckedParser json = new CheckedParser(StrictJson.MAPPER.createParser(bytes), wanted)) {
            P payload = likely.read(json);
            json.finish();
            return payload == null || json.doubledAt() >= 0
                    ? null
                    : new JsonDocument(bytes, json, new Bound<>(likely, payload));
        } catch (IOException | RuntimeException | Error faulty) {
            Fatal.rethrow(faulty);
            return null;
        }
    }

    private static JsonDocument scanned(byte[] bytes, Set<String> wanted) {
        try (CheckedParser json = new CheckedParser(StrictJson.MAPPER.createParser(bytes), wanted)) {
            json.finish();
            return new JsonDocument(bytes, json, null);
        } catch (StreamConstraintsException e) {
            throw refused(FailureReason.TOO_LARGE, "its JSON is over a reading limit near " + at(e));
        } catch (IOException e) {
            // a raw NUL is never legal in JSON and the mark of UTF-16 or UTF-32
            throw hasNul(bytes)
                    ? refused(FailureReason.BAD_ENCODING, "its value has NUL bytes; only UTF-8 is read")
                    : refused(FailureReason.MALFORMED_JSON, "its value is not one JSON document: fault near " + at(e));
        }
    }

    private static byte[] encoded(byte @Nullable [] value) {
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
        return value;
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

    /** What was bound in the same pass; null if that was nothing, or by another. */
    @SuppressWarnings("unchecked") // the one who bound it says of which class it is
    <P> @Nullable P payload(PayloadBinding<P> binding) {
        return bound != null && bound.by() == binding ? (P) bound.payload() : null;
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

    private static boolean hasNul(byte[] bytes) {
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

    static DecodeException refused(FailureReason reason, String fault) {
        return new DecodeException(reason, "The record is no event: " + fault + ".", null, null);
    }
}
