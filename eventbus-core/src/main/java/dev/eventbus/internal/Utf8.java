package dev.eventbus.internal;

import static java.nio.charset.StandardCharsets.US_ASCII;
import static java.nio.charset.StandardCharsets.UTF_8;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.CharBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.CharsetDecoder;
import java.nio.charset.CoderResult;
import org.jspecify.annotations.Nullable;

/** UTF-8 taken strictly. What is not well-formed is reported, never repaired: two broken keys must not become one. */
public final class Utf8 {

    /** Most characters decoded at a time while looking for a fault. */
    private static final int WINDOW = 1024;

    private static final VarHandle EIGHT_BYTES =
            MethodHandles.byteArrayViewVarHandle(long[].class, ByteOrder.nativeOrder());
    private static final long NO_ASCII = 0x8080808080808080L;

    private Utf8() {}

    public static boolean isWellFormed(byte[] bytes) {
        int ascii = asciiLength(bytes);
        if (ascii == bytes.length) {
            return true;
        }
        ByteBuffer rest = ByteBuffer.wrap(bytes, ascii, bytes.length - ascii);
        CharBuffer window = CharBuffer.allocate(Math.min(WINDOW, rest.remaining()));
        CharsetDecoder decoder = UTF_8.newDecoder();
        CoderResult result;
        do {
            window.clear();
            result = decoder.decode(rest, window, true);
        } while (result.isOverflow());
        return !result.isError();
    }

    /** How many bytes at the beginning are ASCII. */
    private static int asciiLength(byte[] bytes) {
        int ascii = 0;
        while (ascii + Long.BYTES <= bytes.length && ((long) EIGHT_BYTES.get(bytes, ascii) & NO_ASCII) == 0) {
            ascii += Long.BYTES;
        }
        while (ascii < bytes.length && bytes[ascii] >= 0) {
            ascii++;
        }
        return ascii;
    }

    /** The text, or null if the bytes are none. */
    public static @Nullable String decode(byte[] bytes) {
        if (asciiLength(bytes) == bytes.length) {
            return new String(bytes, US_ASCII);
        }
        try {
            return UTF_8.newDecoder().decode(ByteBuffer.wrap(bytes)).toString();
        } catch (CharacterCodingException e) {
            return null;
        }
    }

    /** Bytes that a text takes, or -1 for one that has no UTF-8: a surrogate without its partner. */
    public static int length(String text) {
        int bytes = 0;
        for (int i = 0; i < text.length(); i++) {
            char c = text.charAt(i);
            if (c < 0x80) {
                bytes++;
            } else if (c < 0x800) {
                bytes += 2;
            } else if (!Character.isSurrogate(c)) {
                bytes += 3;
            } else if (Character.isHighSurrogate(c)
                    && i + 1 < text.length()
                    && Character.isLowSurrogate(text.charAt(i + 1))) {
                bytes += 4;
                i++;
            } else {
                return -1;
            }
        }
        return bytes;
    }
}
