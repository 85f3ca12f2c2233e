package dev.eventbus.testkit.guarantees;

import dev.eventbus.testkit.guarantees.History.Entry;
import dev.eventbus.testkit.guarantees.History.Step;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Predicate;
import java.util.stream.Collectors;

/**
 * Something that holds for every history, however often its service crashed: those of the library here, those of a service as
 * lambdas of its own.
 *
 * <pre>{@code
 * assertThat(history.violations(noLoss(), perKeyOrder(), effectivelyOnce())).isEmpty();
 * }</pre>
 *
 * <p>Each looks at a history that is at rest: what still waits is told as lost. All are thread-safe.
 */
@FunctionalInterface
public interface Guarantee {

    /** What the history does not keep of it; empty if it keeps it. */
    List<Violation> check(List<Entry> history);

    /** Each event that was published was handled, or dead-lettered, or is parked. */
    static Guarantee noLoss() {
        return history -> {
            Set<String> ended = ids(history, entry -> entry.step() != Step.PUBLISHED);
            return history.stream()
                    .filter(entry -> entry.step() == Step.PUBLISHED && !ended.contains(entry.eventId()))
                    .map(entry -> new Violation(
                            "noLoss",
                            entry.eventId(),
                            "was published, and neither handled nor dead-lettered nor parked"))
                    .toList();
        };
    }

    /**
     * The events of a key are handled in the order in which they were published: the first time that each is; repeats may follow. One
     * that was dead-lettered or parked before may come later, by a redrive.
     */
    static Guarantee perKeyOrder() {
        return history -> {
            Map<String, Integer> places = new HashMap<>();
            Map<String, Entry> furthest = new HashMap<>();
            Set<String> seen = new HashSet<>();
            List<Violation> violations = new ArrayList<>();
            history.stream()
                    .filter(entry -> entry.step() == Step.PUBLISHED)
                    .forEach(entry -> places.putIfAbsent(entry.eventId(), places.size()));
            for (Entry entry : history) {
                String id = entry.eventId();
                if (entry.step() != Step.PUBLISHED
                        && seen.add(id)
                        && entry.step() == Step.HANDLED
                        && places.containsKey(id)) {
                    Entry before = furthest.get(entry.key());
                    if (before == null || place(places, before) < place(places, entry)) {
                        furthest.put(entry.key(), entry);
                    } else {
                        violations.add(new Violation(
                                "perKeyOrder",
                                id,
                                "was handled after %s, which was published later with the same key"
                                        .formatted(before.eventId())));
                    }
                }
            }
            return violations;
        };
    }

    /** Each event has its effect at most once, and nothing has one that was not published. With {@link #noLoss()}: once. */
    static Guarantee effectivelyOnce() {
        return history -> {
            Set<String> published = ids(history, entry -> entry.step() == Step.PUBLISHED);
            Set<String> handled = new HashSet<>();
            List<Violation> violations = new ArrayList<>();
            for (Entry entry : history) {
                if (entry.step() != Step.HANDLED) {
                    continue;
                }
                if (!published.contains(entry.eventId())) {
                    violations.add(
                            new Violation("effectivelyOnce", entry.eventId(), "has an effect and was not published"));
                } else if (!handled.add(entry.eventId())) {
                    violations.add(new Violation("effectivelyOnce", entry.eventId(), "has its effect once more"));
                }
            }
            return violations;
        };
    }

    /** Once an event has parked its key, no other event of the key is handled before it. */
    static Guarantee parkedKeyBlocks() {
        return history -> {
            Map<String, String> parked = new HashMap<>();
            List<Violation> violations = new ArrayList<>();
            for (Entry entry : history) {
                String first = parked.get(entry.key());
                if (entry.step() == Step.PARKED) {
                    parked.putIfAbsent(entry.key(), entry.eventId());
                } else if (entry.step() == Step.HANDLED && first != null) {
                    if (first.equals(entry.eventId())) {
                        parked.remove(entry.key());
                    } else {
                        violations.add(new Violation(
                                "parkedKeyBlocks",
                                entry.eventId(),
                                "was handled while its key was parked behind %s".formatted(first)));
                    }
                }
            }
            return violations;
        };
    }

    private static Set<String> ids(List<Entry> history, Predicate<Entry> which) {
        return history.stream().filter(which).map(Entry::eventId).collect(Collectors.toSet());
    }

    private static int place(Map<String, Integer> places, Entry of) {
        return places.getOrDefault(of.eventId(), -1);
    }
}
