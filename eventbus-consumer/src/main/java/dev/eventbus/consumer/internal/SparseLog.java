package dev.eventbus.consumer.internal;

import java.time.Duration;
import java.time.Instant;
import java.util.Arrays;
import java.util.concurrent.ConcurrentHashMap;
import org.slf4j.Logger;

/** One warning a second for each subject; what is left out is counted. Thread-safe; subjects are few: types and classes. */
public final class SparseLog {

    private static final Duration PERIOD = Duration.ofSeconds(1);
    private static final int MOST_SUBJECTS = 1_000;

    private record Spoken(Instant at, int unspoken) {}

    private final Logger log;
    private final ConcurrentHashMap<String, Spoken> spoken = new ConcurrentHashMap<>();

    public SparseLog(Logger log) {
        this.log = log;
    }

    /** @param text with a parameter more than there are arguments, behind which stands how many lines this one stands for */
    public void warn(Instant now, String subject, String text, Object... arguments) {
        int lines = due(subject, now);
        if (lines > 0) {
            Object[] all = Arrays.copyOf(arguments, arguments.length + 1);
            all[arguments.length] = standingFor(lines);
            log.warn(text, all);
        }
    }

    /** How many lines one line stands for now; 0 if it is not yet time for one. */
    private int due(String subject, Instant now) {
        if (spoken.size() > MOST_SUBJECTS) {
            spoken.clear();
        }
        Spoken before = spoken.get(subject);
        Spoken after = spoken.compute(
                subject,
                (name, last) -> last == null || isOver(last.at(), now)
                        ? new Spoken(now, 0)
                        : new Spoken(last.at(), last.unspoken() + 1));
        if (after.unspoken() > 0) {
            return 0;
        }
        return before == null ? 1 : before.unspoken() + 1;
    }

    /** Also if the clock was set back. */
    private static boolean isOver(Instant at, Instant now) {
        return now.isBefore(at) || !now.isBefore(at.plus(PERIOD));
    }

    private static String standingFor(int lines) {
        return lines == 1 ? "" : " (one line for %d such)".formatted(lines);
    }
}
