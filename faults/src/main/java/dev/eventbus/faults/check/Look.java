package dev.eventbus.faults.check;

import dev.eventbus.faults.check.History.Position;
import java.util.Collection;
import java.util.HashMap;
import java.util.Map;
import java.util.Set;
import java.util.function.Predicate;

/**
 * P6, while a run goes on: how far a group's offsets were at one moment, and what they had passed. Who has an effect is asked only after
 * that, so what was passed must have its own. Of one thread.
 */
public final class Look {

    private final Map<Integer, Long> committed;
    private final Predicate<String> failsAlways;
    private final Map<String, Position> passed = new HashMap<>();

    /**
     * @param committed the next offset to be handled, by partition
     * @param failsAlways whether the handler fails at an event however often it is tried, by its id
     */
    public Look(Map<Integer, Long> committed, Predicate<String> failsAlways) {
        this.committed = Map.copyOf(committed);
        this.failsAlways = failsAlways;
    }

    /** A record of the topic. */
    public void saw(String id, Position at) {
        if (at.offset() < committed.getOrDefault(at.partition(), 0L) && !failsAlways.test(id)) {
            passed.put(id, at);
        }
    }

    /** Events that must have an effect now. */
    public Set<String> passed() {
        return Set.copyOf(passed.keySet());
    }

    /** @param withoutEffect those of {@link #passed} that have none */
    public Findings judge(Collection<String> withoutEffect) {
        Findings found = new Findings();
        for (String id : withoutEffect) {
            found.add(
                    Violation.OFFSET_PAST_UNFINISHED,
                    "%s at %s, committed %s".formatted(id, passed.get(id), committed));
        }
        return found;
    }
}
