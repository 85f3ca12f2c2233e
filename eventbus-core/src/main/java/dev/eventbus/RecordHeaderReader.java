package dev.eventbus;

import static java.nio.charset.StandardCharsets.UTF_8;

import dev.eventbus.internal.Utf8;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import org.apache.kafka.common.header.Header;
import org.jspecify.annotations.Nullable;

/** Reads the headers of a record: the library's own one by one, the user's within the limits. */
final class RecordHeaderReader {

    private RecordHeaderReader() {}

    /**
     * The text of one of the library's headers.
     *
     * @return null if it is absent or has no value
     * @throws DecodeException if it is not UTF-8, or stands there again with another value
     */
    static @Nullable String text(Header[] headers, String name) {
        byte[] value = null;
        for (Header header : headers) {
            if (!header.key().equals(name)) {
                continue;
            }
            byte[] next = header.value();
            if (value != null && next != null && !Arrays.equals(value, next)) {
                throw refused(FailureReason.BAD_ENVELOPE, "its header '%s' stands there with two values", name);
            }
            value = next == null ? value : next;
        }
        if (value == null) {
            return null;
        }
        String text = Utf8.decode(value);
        if (text == null) {
            throw refused(FailureReason.BAD_ENCODING, "its header '%s' is not well-formed UTF-8", name);
        }
        return text;
    }

    /**
     * The user's own headers; of one that stands there again the last counts, and one that is no text is left out.
     *
     * @throws DecodeException if they are more or larger than an event may have
     */
    static Map<String, String> own(Header[] headers) {
        Map<String, String> own = new LinkedHashMap<>();
        int count = 0;
        long bytes = 0;
        for (Header header : headers) {
            String name = header.key();
            if (EventHeaders.isReserved(name)) {
                continue;
            }
            byte[] value = header.value();
            bytes += name.getBytes(UTF_8).length + (value == null ? 0 : value.length);
            if (++count > EventLimits.MAX_HEADERS || bytes > EventLimits.MAX_HEADERS_BYTES) {
                throw new DecodeException(
                        FailureReason.HEADER_LIMIT,
                        "The record is no event: it has more than %d headers or %d bytes of headers."
                                .formatted(EventLimits.MAX_HEADERS, EventLimits.MAX_HEADERS_BYTES),
                        null,
                        null);
            }
            String text = value == null ? null : Utf8.decode(value);
            if (text != null) {
                own.put(name, text);
            }
        }
        return own;
    }

    private static DecodeException refused(FailureReason reason, String fault, String name) {
        return new DecodeException(reason, "The record is no event: " + fault.formatted(name) + ".", null, null);
    }
}
