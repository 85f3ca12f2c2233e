package dev.eventbus.consumer.deadletter;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.Headers;
import org.apache.kafka.common.header.internals.RecordHeaders;
import org.jspecify.annotations.Nullable;

/**
 * The two headers of a record that was put back on its topic for one group. Public contract. Only a runner without an inbox reads them,
 * and they can do no more than make a group skip the very record that carries them: anybody may have written it.
 */
public final class RedriveHeaders {

    static final String PREFIX = "eventbus-redrive";
    static final String GROUP = "eventbus-redrive-group";
    static final String REDRIVES = "eventbus-redrives";

    /** What a larger count is taken for: fewer than a redrive may be told to allow, so that no letter is out of reach. */
    public static final int MOST_REDRIVES = 999;

    private static final int MAX_GROUP_BYTES = 255;
    private static final int MAX_COUNT_BYTES = 10;

    private RedriveHeaders() {}

    /** The record's own headers, then for whom it was put back and how often that has happened. */
    public static Headers put(Headers ofLetter, String group, int redrives) {
        Headers headers = original(ofLetter);
        headers.add(GROUP, group.getBytes(UTF_8));
        headers.add(REDRIVES, Integer.toString(redrives).getBytes(UTF_8));
        return headers;
    }

    /** The record's own headers, in order: without those that say how it failed and how it came back. */
    public static Headers original(Headers ofLetter) {
        RecordHeaders headers = new RecordHeaders();
        for (Header header : ofLetter) {
            if (!header.key().startsWith(DeadLetterHeaders.PREFIX)
                    && !header.key().startsWith(PREFIX)) {
                headers.add(header);
            }
        }
        return headers;
    }

    /** What a letter lacks of its original, because it was too large for its topic: {@code headers,value}; null if it is whole. */
    public static @Nullable String omitted(Headers ofLetter) {
        Header omitted = ofLetter.lastHeader(DeadLetterHeaders.OMITTED);
        return omitted == null ? null : omitted.value() == null ? "" : new String(omitted.value(), UTF_8);
    }

    /** Whether the record was put back for one group, and that is another one. */
    public static boolean isForAnother(Headers headers, String group) {
        Header named = headers.lastHeader(GROUP);
        if (named == null
                || named.value() == null
                || named.value().length == 0
                || named.value().length > MAX_GROUP_BYTES) {
            return false;
        }
        try {
            return !UTF_8.newDecoder()
                    .decode(ByteBuffer.wrap(named.value()))
                    .toString()
                    .equals(group);
        } catch (CharacterCodingException e) {
            return false; // no group has such a name, so it is not believed
        }
    }

    /** Whether the record was put back for this group. */
    public static boolean isFor(Headers headers, String group) {
        return headers.lastHeader(GROUP) != null && !isForAnother(headers, group) && redrives(headers) > 0;
    }

    /** How often the record was put back: 0 to {@value #MOST_REDRIVES}, 0 if it does not say so in digits. */
    public static int redrives(Headers headers) {
        Header counted = headers.lastHeader(REDRIVES);
        if (counted == null || counted.value() == null || counted.value().length == 0) {
            return 0;
        }
        String digits = new String(counted.value(), UTF_8);
        if (counted.value().length > MAX_COUNT_BYTES || !digits.chars().allMatch(c -> c >= '0' && c <= '9')) {
            return 0;
        }
        return (int) Math.min(MOST_REDRIVES, Long.parseLong(digits));
    }
}
