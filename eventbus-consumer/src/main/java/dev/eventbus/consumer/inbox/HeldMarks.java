package dev.eventbus.consumer.inbox;

import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;

/** Marks that were held elsewhere when they were last asked for; forgotten when they are too many. Thread-safe. */
final class HeldMarks {

    private record MarkOf(String group, String eventId) {}

    private static final int MOST = 10_000;

    private final Set<MarkOf> held = ConcurrentHashMap.newKeySet();

    boolean contains(Mark mark) {
        return !held.isEmpty() && held.contains(of(mark));
    }

    void add(Mark mark) {
        if (held.size() >= MOST) {
            held.clear();
        }
        held.add(of(mark));
    }

    void remove(Mark mark) {
        held.remove(of(mark));
    }

    private static MarkOf of(Mark mark) {
        return new MarkOf(mark.group(), mark.eventId());
    }
}
