package dev.eventbus.examples.homestarter;

import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;

/**
 * What came of it all.
 *
 * @param published changes that were committed
 * @param handled of these, with an effect in Redis
 * @param deadLettered of these, with a letter in the dead-letter topic
 * @param redriven of these, put back for their group
 * @param reprocessed events that had their effect once more because a group was set back on purpose
 * @param lost changes without a record in their topic, or with neither an effect nor a letter
 * @param doubled effects of an event beyond the first, those of reprocessing apart
 * @param reordered effects that came after the effect of a later change of the same user. Dead-lettered events do not count: the later ones
 *     of their user went past them on purpose
 */
record Tally(
        long published,
        long handled,
        long deadLettered,
        long redriven,
        long reprocessed,
        long lost,
        long doubled,
        long reordered) {

    /** A change of a user that a service has committed, and which of that user's it is. */
    record Change(String group, String user, long revision, long atMillis) {}

    /** An effect in Redis. */
    record Drop(String eventId, long atMillis) {}

    /**
     * The effects of a group, in order.
     *
     * @param first until it was set back
     * @param again since; empty if it was not
     */
    record Rounds(List<Drop> first, List<Drop> again) {}

    /**
     * Judges what came of the changes.
     *
     * @param changes by event id
     * @param sent ids in the topics
     * @param redriven of these, put back for their group
     * @param letters ids in the dead-letter topic
     * @param groups what each group has done
     */
    static Tally of(
            Map<String, Change> changes,
            Set<String> sent,
            Set<String> redriven,
            Set<String> letters,
            List<Rounds> groups) {
        Set<String> handled = new HashSet<>();
        long reprocessed = 0;
        long doubled = 0;
        long reordered = 0;
        for (Rounds rounds : groups) {
            Set<String> first = idsOf(rounds.first());
            Set<String> again = idsOf(rounds.again());
            handled.addAll(first);
            handled.addAll(again);
            reprocessed += again.stream().filter(first::contains).count();
            doubled += rounds.first().size() - first.size() + rounds.again().size() - again.size();
            reordered += reordered(rounds.first(), changes, letters) + reordered(rounds.again(), changes, letters);
        }
        return new Tally(
                changes.size(),
                changes.keySet().stream().filter(handled::contains).count(),
                changes.keySet().stream().filter(letters::contains).count(),
                redriven.size(),
                reprocessed,
                changes.keySet().stream()
                        .filter(id -> !sent.contains(id) || !handled.contains(id) && !letters.contains(id))
                        .count(),
                doubled,
                reordered);
    }

    private static long reordered(List<Drop> round, Map<String, Change> changes, Set<String> letters) {
        Map<String, Long> last = new HashMap<>();
        long reordered = 0;
        for (Drop drop : round) {
            Change change = changes.get(drop.eventId());
            if (change != null && !letters.contains(drop.eventId())) {
                long before = last.getOrDefault(change.user(), 0L);
                if (change.revision() < before) {
                    reordered++;
                }
                last.put(change.user(), Math.max(before, change.revision()));
            }
        }
        return reordered;
    }

    static Set<String> idsOf(List<Drop> drops) {
        return drops.stream().map(Drop::eventId).collect(Collectors.toSet());
    }

    boolean isGood() {
        return lost == 0 && doubled == 0 && reordered == 0;
    }

    @Override
    public String toString() {
        return "published %d · handled %d · dead-lettered %d · redriven %d · reprocessed %d · lost %d · doubled %d · reordered %d"
                .formatted(published, handled, deadLettered, redriven, reprocessed, lost, doubled, reordered);
    }
}
