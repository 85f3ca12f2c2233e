package dev.eventbus.faults.check;

import dev.eventbus.faults.check.History.Position;
import java.util.Collection;
import java.util.HashMap;
import java.util.Map;
import java.util.Set;
import java.util.function.Function;

/**
 * P6, while a run goes on: how far a group's offsets were at one moment, and what they had passed. Who has an effect is asked only after
 * that, so what was passed must have its own. Of one thread.
 */
public final class Look {

    private final Map<Integer, Long> committed;
    private final Function<String, Ending> endings;
    private final Map<String, Position> passed = new HashMap<>();

    /**
     * @param committed the next offset to be handled, by partition
     * @param endings how an event is to end, by its id
     */
    public Look(Map<Integer, Long> committed, Function<String, Ending> endings) {
        this.committed = Map.copyOf(committed);
        this.endings = endings;
    }

    /** A record of the topic. */
    public void saw(String id, Position at) {
        if (at.offset() < committed.getOrDefault(at.partition(), 0L)
                && !endings.apply(id).needsNoEffect()) {
            passed.put(id, at);
        }
    }

    /** Events that must have an effect now, unless they wait behind a parked one. */
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
