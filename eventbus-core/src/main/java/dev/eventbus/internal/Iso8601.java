package dev.eventbus.internal;

import java.time.DateTimeException;
import java.time.Instant;
import java.time.LocalDate;

/**
 * Reads instants as {@link Instant#parse} does. What is written as an {@code Instant} writes itself, such as {@code
 * 2025-01-15T10:35:00.123Z}, is taken digit by digit; all else is left to it.
 */
public final class Iso8601 {

    /** Digits, and {@code 0} where one stands. */
    private static final String SHAPE = "0000-00-00T00:00:00";

    private static final int NANO_DIGITS = 9;

    private Iso8601() {}

    /** @throws DateTimeException if it is no instant */
    public static Instant parse(String text) {
        if (!hasUsualShape(text)) {
            return Instant.parse(text);
        }
        int hour = number(text, 11, 13);
        int minute = number(text, 14, 16);
        int second = number(text, 17, 19);
        if (hour > 23 || minute > 59 || second > 59) {
            return Instant.parse(text); // 24:00 and a leap second are legal
        }
        LocalDate day = LocalDate.of(number(text, 0, 4), number(text, 5, 7), number(text, 8, 10));
        int nanos = 0;
        int end = text.length() - 1;
        for (int i = 0; i < NANO_DIGITS; i++) {
            int at = SHAPE.length() + 1 + i;
            nanos = nanos * 10 + (at < end ? text.charAt(at) - '0' : 0);
        }
        return Instant.ofEpochSecond(day.toEpochDay() * 86_400 + hour * 3_600 + minute * 60 + second, nanos);
    }

    private static boolean hasUsualShape(String text) {
        int end = text.length() - 1;
        if (end < SHAPE.length() || end > SHAPE.length() + 1 + NANO_DIGITS || text.charAt(end) != 'Z') {
            return false;
        }
        for (int i = 0; i < end; i++) {
            char wanted = i < SHAPE.length() ? SHAPE.charAt(i) : i == SHAPE.length() ? '.' : '0';
            char c = text.charAt(i);
            if (wanted == '0' ? c < '0' || c > '9' : c != wanted) {
                return false;
            }
        }
        return end != SHAPE.length() + 1; // a point without digits
    }

    private static int number(String text, int from, int to) {
        int number = 0;
        for (int i = from; i < to; i++) {
            number = number * 10 + text.charAt(i) - '0';
        }
        return number;
    }
}
