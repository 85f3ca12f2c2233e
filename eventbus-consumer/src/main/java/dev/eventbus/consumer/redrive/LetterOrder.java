package dev.eventbus.consumer.redrive;

import dev.eventbus.consumer.parking.ParkedEvent;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.TreeMap;

/**
 * The order in which the events of one key were published, as far as their places tell. In a partition offsets do, whatever the clocks of
 * publishers say, unless the topic was deleted and made again: then an event with a larger offset had failed long before the one with the
 * smaller was sent. A stamp that is hours later than its own event's failure is of a clock that is ahead, and says no such thing. A key
 * has moved to another partition when its topic has grown; which of two partitions was the earlier one only times tell.
 */
final class LetterOrder {

    /** Clocks of publishers and consumers differ by less: of a stamp that is ahead brokers let none be so by more than an hour. */
    private static final Duration LONG_BEFORE = Duration.ofHours(2);

    private static final Comparator<Found> BY_OFFSET = Comparator.comparing(
                    (Found found) -> found.origin().topic())
            .thenComparing(found -> found.origin().offset());

    private LetterOrder() {}

    /**
     * Whether a parked event stands behind a letter of its key.
     *
     * @param failed when it had failed first; now if nobody knows
     */
    static boolean isBehind(ParkedEvent there, Instant failed, Found letter) {
        if (there.partition() != letter.origin().partition()) {
            return there.recordTime().isAfter(letter.origin().timestamp());
        }
        return there.offset() > letter.origin().offset() || hadFailedBefore(letter, there.recordTime(), failed);
    }

    /**
     * Whether a letter is of a topic that is no more, since its event had failed long before another one was sent.
     *
     * @param sent when the other one was, by the clock of its publisher
     * @param failed when that one had failed; it was sent before
     */
    private static boolean hadFailedBefore(Found letter, Instant sent, Instant failed) {
        boolean isBelieved = sent.isAfter(Instant.EPOCH) // else it has no time stamp
                && sent.isBefore(failed.plus(LONG_BEFORE));
        Instant latest = sent.isBefore(failed) ? sent : failed;
        return isBelieved && letter.firstFailedAt().isBefore(latest.minus(LONG_BEFORE));
    }

    /** Sorts the letters of one key. */
    static void sort(List<Found> ofKey) {
        TreeMap<Integer, List<Found>> byPartition = new TreeMap<>();
        ofKey.forEach(found -> byPartition
                .computeIfAbsent(found.origin().partition(), partition -> new ArrayList<>())
                .add(found));
        List<List<Found>> runs = new ArrayList<>();
        byPartition.values().forEach(of -> runs.addAll(runsOf(of)));
        if (byPartition.size() > 1) {
            runs.sort(Comparator.comparing(LetterOrder::oldest));
        }
        ofKey.clear();
        runs.forEach(ofKey::addAll);
    }

    private static Instant oldest(List<Found> run) {
        return run.stream()
                .map(found -> found.origin().timestamp())
                .min(Comparator.naturalOrder())
                .orElse(Instant.MAX);
    }

    /** The letters of one partition in the order of their offsets, those of each topic that had its name by themselves. */
    private static List<List<Found>> runsOf(List<Found> ofPartition) {
        List<List<Found>> runs = new ArrayList<>();
        ofPartition.sort(Comparator.comparing(Found::firstFailedAt).thenComparing(BY_OFFSET));
        for (Found found : ofPartition) {
            List<Found> last = runs.isEmpty() ? List.of() : runs.get(runs.size() - 1);
            boolean isMadeAgain = last.stream()
                    .anyMatch(
                            before -> before.origin().offset() > found.origin().offset()
                                    && hadFailedBefore(before, found.origin().timestamp(), found.firstFailedAt()));
            if (last.isEmpty() || isMadeAgain) {
                runs.add(new ArrayList<>(List.of(found)));
            } else {
                last.add(found);
            }
        }
        runs.forEach(run -> run.sort(BY_OFFSET));
        return runs;
    }
}
