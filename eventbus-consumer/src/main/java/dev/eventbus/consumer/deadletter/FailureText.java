package dev.eventbus.consumer.deadletter;

import dev.eventbus.DecodeException;
import java.sql.SQLException;
import java.util.Arrays;
import java.util.Collections;
import java.util.IdentityHashMap;
import java.util.Set;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/**
 * Says what failed without a value of the event in it. Texts of exceptions quote what they stumbled over (a constraint names the
 * row, a parser the input), so of each exception in the cause chain only the class, the SQLSTATE and the position are told:
 *
 * <pre>
 * java.lang.IllegalStateException at com.example.Ledger.book:41
 *   caused by org.postgresql.util.PSQLException [23505] at com.example.Ledger.insert:77
 * </pre>
 */
public final class FailureText {

    static final int MAX_BYTES = 1024;

    private static final int MAX_CAUSES = 10;
    private static final Pattern SQLSTATE = Pattern.compile("[0-9A-Z]{5}");
    private static final Pattern OF_THE_JDK = Pattern.compile("(java|javax|jdk|sun|com\\.sun)\\..*");

    private FailureText() {}

    /** At most {@value #MAX_BYTES} bytes of printable ASCII, on one line. */
    public static String of(Throwable failure) {
        StringBuilder text = new StringBuilder();
        Set<Throwable> seen = Collections.newSetFromMap(new IdentityHashMap<>());
        for (Throwable next = failure;
                next != null && seen.size() < MAX_CAUSES && seen.add(next);
                next = next.getCause()) {
            if (!text.isEmpty()) {
                text.append(", caused by ");
            }
            text.append(one(next));
        }
        return printable(text);
    }

    /** Null if there is none, and if it is none: anybody may have made the exception, with any text in this place. */
    public static @Nullable String sqlStateOf(Throwable failure) {
        String state = failure instanceof SQLException sql ? sql.getSQLState() : null;
        return state != null && SQLSTATE.matcher(state).matches() ? state : null;
    }

    private static String one(Throwable failure) {
        StringBuilder text = new StringBuilder(failure.getClass().getName());
        String state = sqlStateOf(failure);
        if (state != null) {
            text.append(" [").append(state).append(']');
        }
        if (failure instanceof DecodeException decode) { // names fields and positions, never values
            return text.append(": ").append(decode.getMessage()).toString();
        }
        StackTraceElement position = position(failure.getStackTrace());
        if (position != null) {
            text.append(" at ")
                    .append(position.getClassName())
                    .append('.')
                    .append(position.getMethodName())
                    .append(':')
                    .append(position.getLineNumber());
        }
        return text.toString();
    }

    /** The first frame outside of the JDK: "at java.util.Objects.requireNonNull" helps nobody. */
    private static @Nullable StackTraceElement position(StackTraceElement[] frames) {
        return Arrays.stream(frames)
                .filter(frame -> !OF_THE_JDK.matcher(frame.getClassName()).matches())
                .findFirst()
                .orElse(frames.length == 0 ? null : frames[0]);
    }

    private static String printable(CharSequence text) {
        StringBuilder safe = new StringBuilder();
        text.chars().limit(MAX_BYTES).forEach(c -> safe.append(c >= ' ' && c < 127 ? (char) c : '?'));
        return safe.toString();
    }

    /** What says most of a failure: the database's own word, else the cause of all. */
    public static @Nullable Throwable tellingOf(@Nullable Throwable failure) {
        Throwable telling = failure;
        for (int depth = 0; depth < 32 && telling != null && telling.getCause() != null; depth++) {
            if (telling instanceof SQLException sql && sql.getSQLState() != null) {
                return telling;
            }
            telling = telling.getCause();
        }
        return telling;
    }

    /** As {@link #of}; also of none. */
    public static String textOf(@Nullable Throwable failure) {
        return failure == null ? "no exception" : of(failure);
    }

    /** The class alone: the text may hold values of the event. */
    public static String nameOf(@Nullable Throwable failure) {
        if (failure == null) {
            return "no exception";
        }
        String state = sqlStateOf(failure);
        String code = failure instanceof SQLException sql && sql.getErrorCode() != 0 ? "/" + sql.getErrorCode() : "";
        return failure.getClass().getName() + (state == null ? "" : " " + state + code);
    }
}
