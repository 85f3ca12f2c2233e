package dev.eventbus.testkit.guarantees;

import dev.eventbus.testkit.guarantees.History.Entry;
import dev.eventbus.testkit.guarantees.History.Step;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Predicate;
import java.util.stream.Collectors;
import java.util.stream.Stream;

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

    /**
     * Each event that was published was handled, or dead-lettered, or parked. What became of it afterwards it does not ask: after a
     * redrive that is for {@link #allHandled()}.
     */
    static Guarantee noLoss() {
        return history -> {
            Set<String> ended = ids(history, entry -> entry.step() != Step.PUBLISHED);
            return published(history)
                    .filter(entry -> !ended.contains(entry.eventId()))
                    .map(entry -> new Violation(
                            "noLoss",
                            entry.eventId(),
                            "was published, and neither handled nor dead-lettered nor parked"))
                    .toList();
        };
    }

    /** Each event that was published was handled, also those that were dead-lettered or parked before; for a history after its redrives. */
    static Guarantee allHandled() {
        return history -> {
            Set<String> handled = ids(history, entry -> entry.step() == Step.HANDLED);
            return published(history)
                    .filter(entry -> !handled.contains(entry.eventId()))
                    .map(entry -> new Violation("allHandled", entry.eventId(), "was published and not handled"))
                    .toList();
        };
    }

    /**
     * The events of a key are handled in the order in which they were published: the first time that each is; repeats may follow. Those
     * that were dead-lettered or parked before may come later, by a redrive, in order among themselves.
     */
    static Guarantee perKeyOrder() {
        return history -> {
            Map<String, Integer> places = new HashMap<>();
            Map<String, String> keys = new HashMap<>();
            published(history).forEach(entry -> {
                keys.putIfAbsent(entry.eventId(), entry.key());
                places.putIfAbsent(entry.eventId(), places.size());
            });
            Map<String, String> furthest = new HashMap<>();
            Map<String, String> furthestRedriven = new HashMap<>();
            Set<String> aside = new HashSet<>();
            Set<String> handled = new HashSet<>();
            List<Violation> violations = new ArrayList<>();
            for (Entry entry : history) {
                String id = entry.eventId();
                String key = keys.get(id);
                if (entry.step() == Step.DEAD_LETTERED || entry.step() == Step.PARKED) {
                    aside.add(id);
                } else if (entry.step() == Step.HANDLED && key != null && handled.add(id)) {
                    Map<String, String> last = aside.contains(id) ? furthestRedriven : furthest;
                    String before = last.get(key);
                    if (!key.equals(entry.key())) {
                        violations.add(new Violation("perKeyOrder", id, "was handled under another key"));
                    } else if (before == null || place(places, before) < place(places, id)) {
                        last.put(key, id);
                    } else {
                        violations.add(new Violation(
                                "perKeyOrder",
                                id,
                                "was handled after %s, which was published later with the same key".formatted(before)));
                    }
                }
            }
            return violations;
        };
    }

    /** Each event has its effect at most once, and nothing has one that was not published. With {@link #allHandled()}: once. */
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

    /** Once events of a key are parked, no other event of the key is handled before them, and they in the order in which they were parked. */
    static Guarantee parkedKeyBlocks() {
        return history -> {
            Map<String, Set<String>> parked = new HashMap<>();
            List<Violation> violations = new ArrayList<>();
            for (Entry entry : history) {
                Set<String> waiting = parked.computeIfAbsent(entry.key(), any -> new LinkedHashSet<>());
                if (entry.step() == Step.PARKED) {
                    waiting.add(entry.eventId());
                } else if (entry.step() == Step.HANDLED && !waiting.isEmpty()) {
                    String first = waiting.iterator().next();
                    if (!first.equals(entry.eventId())) {
                        violations.add(new Violation(
                                "parkedKeyBlocks",
                                entry.eventId(),
                                "was handled while its key was parked behind %s".formatted(first)));
                    }
                    waiting.remove(entry.eventId());
                }
            }
            return violations;
        };
    }

    private static Stream<Entry> published(List<Entry> history) {
        if (history.stream().noneMatch(entry -> entry.step() == Step.PUBLISHED)) {
            throw new IllegalArgumentException(
                    "the history tells of no published event, so nothing could be missing: tell it with published(...)");
        }
        return history.stream().filter(entry -> entry.step() == Step.PUBLISHED);
    }

    private static Set<String> ids(List<Entry> history, Predicate<Entry> which) {
        return history.stream().filter(which).map(Entry::eventId).collect(Collectors.toSet());
    }

    private static int place(Map<String, Integer> places, String eventId) {
        return places.getOrDefault(eventId, -1);
    }
}
