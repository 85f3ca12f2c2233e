package dev.eventbus.consumer.redrive;

import dev.eventbus.internal.Checks;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** What a run has come to so far. One thread. */
final class Tally {

    private static final int MOST_TOLD = 100;

    private static final Logger LOG = LoggerFactory.getLogger(Tally.class);

    private final Map<Standing, Long> leftAlone = new TreeMap<>();
    private final List<String> refused = new ArrayList<>();
    private int refusals;

    long handedOver;
    long applied;
    long failed;
    long waiting;
    long unknown;
    long discarded;

    /** Why it ends before its plan. */
    @Nullable
    String stopped;

    /** All that cannot be redriven. */
    void leaveAlone(Map<Standing, Long> standings) {
        standings.forEach((standing, events) -> {
            if (standing != Standing.READY) {
                leaveAlone(standing, events);
            }
        });
    }

    void leaveAlone(Standing standing, long events) {
        if (events > 0) {
            leftAlone.merge(standing, events, Long::sum);
        }
    }

    /** It was handed over, and has not been tried. */
    void takeBack(Standing standing) {
        handedOver--;
        leaveAlone(standing, 1);
    }

    /** The database refuses one letter; whether it has done so too often. */
    boolean refuses(String run, Found found, SQLException why, int stopsAfter) {
        String text = "event %s of %s: the inbox's database refuses it (SQLSTATE %s, code %d)"
                .formatted(
                        Checks.printable(found.mark().eventId()),
                        found.origin(),
                        why.getSQLState(),
                        why.getErrorCode());
        if (refused.size() < MOST_TOLD) {
            refused.add(text);
        }
        LOG.warn("redrive {} goes on without a letter, and without later ones of its key: {}", run, text);
        if (++refusals >= stopsAfter && stopped == null) {
            stopped = "the inbox's database has refused %d letters, the last one with SQLSTATE %s"
                    .formatted(refusals, why.getSQLState());
        }
        return stopped != null;
    }

    RedriveResult result(String run, long planned) {
        return new RedriveResult(
                run,
                planned,
                handedOver,
                applied,
                failed,
                waiting,
                unknown,
                discarded,
                leftAlone,
                refused,
                Optional.ofNullable(stopped));
    }
}
