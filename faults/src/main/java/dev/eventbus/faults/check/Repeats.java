package dev.eventbus.faults.check;

import static java.util.stream.Collectors.toMap;

import dev.eventbus.faults.check.History.Letter;
import dev.eventbus.faults.check.History.Sent;
import dev.eventbus.faults.check.History.Written;
import dev.eventbus.faults.check.Stalls.Window;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.LongSummaryStatistics;
import java.util.Map;
import java.util.Set;

/**
 * P7: what stands on the topic or on the dead-letter topic once more, and whether the faults explain it.
 *
 * <p>A relay that ends, or whose send fails, repeats what it has sent and not yet deleted: after a stall up to {@value #MOST_IN_HAND}
 * rows, since publishers wait before there are more, over many faults no more than is published in a second each. What lived while there was no fault is not repeated, but for a
 * handful when the machine itself holds a relay up for longer than its lease.
 */
public final class Repeats {

    private static final long MOST_IN_HAND = 2_000;
    private static final int HANDFUL = 200;
    private static final double MILLIS = 1_000;

    private final History history;

    /** Records of the topic that are there again. */
    private final List<Sent> again = new ArrayList<>();

    /** Finds all of them. */
    public Repeats(History history) {
        this.history = history;
        Set<String> seen = new HashSet<>();
        for (Sent sent : history.topic()) {
            if (!seen.add(sent.id())) {
                again.add(sent);
            }
        }
    }

    /** How many records of the topic are there again. */
    public long ofRecords() {
        return again.size();
    }

    /** How many dead letters are there again. */
    public long ofLetters() {
        return history.letters().size()
                - history.letters().stream().map(Letter::id).distinct().count();
    }

    /**
     * What is more than the faults explain.
     *
     * @param ofRelays how many faults reached a relay, or whom it speaks to
     * @param ofConsumers how many reached a consumer, or whom it speaks to; each may repeat a dead letter
     * @param life how long an event may be on its way while there is no fault
     * @param windows of all faults, with what it takes to recover from them
     */
    public Findings judge(int ofRelays, int ofConsumers, Duration life, List<Window> windows) {
        Findings found = new Findings();
        long most = Math.max(MOST_IN_HAND, ofRelays * inHand());
        if (ofRecords() > most) {
            found.add(
                    Violation.UNBOUNDED_REPEATS,
                    "%d records; %d faults that reached relays explain %d".formatted(ofRecords(), ofRelays, most));
        }
        List<Sent> alone = farFrom(windows, life);
        if (alone.size() > HANDFUL) {
            found.add(
                    Violation.UNBOUNDED_REPEATS,
                    "%d records that no fault was near, as %s".formatted(alone.size(), alone.get(0)));
        }
        if (ofLetters() > ofConsumers + 1) {
            found.add(
                    Violation.UNBOUNDED_REPEATS,
                    "%d dead letters by %d faults that reached consumers".formatted(ofLetters(), ofConsumers));
        }
        return found;
    }

    /** What is published in a second. */
    private long inHand() {
        LongSummaryStatistics at =
                history.ledger().stream().mapToLong(Written::atMillis).summaryStatistics();
        double seconds = Math.max(1, (at.getMax() - at.getMin()) / MILLIS);
        return Math.min(MOST_IN_HAND, Math.round(at.getCount() / seconds));
    }

    /** What nobody committed is told as a phantom. */
    private List<Sent> farFrom(List<Window> windows, Duration life) {
        Map<String, Long> committed = history.ledger().stream().collect(toMap(Written::id, Written::atMillis));
        return again.stream()
                .filter(sent -> committed.containsKey(sent.id()))
                .filter(sent ->
                        windows.stream().noneMatch(window -> window.meets(committed.getOrDefault(sent.id(), 0L), life)))
                .toList();
    }
}
