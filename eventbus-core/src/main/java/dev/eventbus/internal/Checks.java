package dev.eventbus.internal;

import java.time.Duration;

/** Argument checks whose message has the name, the rule and the value. */
public final class Checks {

    private static final Duration YEAR = Duration.ofDays(365);

    /** Characters that {@link #printable} leaves. */
    private static final int MAX_PRINTABLE = 128;

    private Checks() {}

    public static int atLeast(String name, int value, int least) {
        if (value < least) {
            throw new IllegalArgumentException("%s must be >= %d, was %d".formatted(name, least, value));
        }
        return value;
    }

    public static long atLeast(String name, long value, long least) {
        if (value < least) {
            throw new IllegalArgumentException("%s must be >= %d, was %d".formatted(name, least, value));
        }
        return value;
    }

    public static int inRange(String name, int value, int least, int most) {
        if (value < least || value > most) {
            throw new IllegalArgumentException("%s must be %d to %d, was %d".formatted(name, least, most, value));
        }
        return value;
    }

    public static Duration positive(String name, Duration value) {
        if (value.isNegative() || value.isZero()) {
            throw new IllegalArgumentException("%s must be > 0, was %s".formatted(name, value));
        }
        return value;
    }

    /** A time to wait for at most; what is longer than a year is a year, since 292 years of nanoseconds are all that a number holds. */
    public static Duration atMostAYear(Duration limit) {
        return limit.compareTo(YEAR) > 0 ? YEAR : limit;
    }

    public static String notBlank(String name, String value) {
        if (value.isBlank()) {
            throw new IllegalArgumentException("%s must not be blank".formatted(name));
        }
        return value;
    }

    /** A legal Kafka topic name: 1 to 249 of {@code a-z A-Z 0-9 . _ -}, not {@code .} or {@code ..}. */
    public static String topicName(String name, String value) {
        boolean legal = !value.isEmpty()
                && value.length() <= 249
                && !value.equals(".")
                && !value.equals("..")
                && value.chars().allMatch(Checks::isTopicCharacter);
        if (!legal) {
            throw new IllegalArgumentException(
                    "%s must be a Kafka topic name (1 to 249 of a-z A-Z 0-9 . _ -, not . or ..), was '%s'"
                            .formatted(name, printable(value)));
        }
        return value;
    }

    /** A name of a cluster. It stands before names of topics in {@code eventbus_meta}, which have dots. */
    public static String clusterName(String value) {
        if (value.isBlank() || value.indexOf('.') >= 0) {
            throw new IllegalArgumentException(
                    "name of the cluster must not be blank or have a dot, was '%s'".formatted(printable(value)));
        }
        return value;
    }

    /** {@code text} made safe for a log line or a message: control and non-ASCII characters escaped, cut to 128 characters. */
    public static String printable(String text) {
        if (text.length() <= MAX_PRINTABLE && isPrintable(text)) {
            return text;
        }
        StringBuilder safe = new StringBuilder();
        for (int i = 0; i < text.length() && safe.length() < MAX_PRINTABLE; i++) {
            char c = text.charAt(i);
            if (isPrintable(c)) {
                safe.append(c);
            } else {
                safe.append("\\u%04x".formatted((int) c));
            }
        }
        return safe.toString();
    }

    /** Whether all of it is printable ASCII. */
    public static boolean isPrintable(String text) {
        for (int i = 0; i < text.length(); i++) {
            if (!isPrintable(text.charAt(i))) {
                return false;
            }
        }
        return true;
    }

    private static boolean isPrintable(char c) {
        return c >= ' ' && c < 127;
    }

    private static boolean isTopicCharacter(int c) {
        return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-';
    }
}
