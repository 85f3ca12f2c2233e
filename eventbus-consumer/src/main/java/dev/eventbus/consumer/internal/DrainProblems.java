package dev.eventbus.consumer.internal;

import dev.eventbus.consumer.parking.ParkedKey;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Predicate;
import org.jspecify.annotations.Nullable;

/** What the first events of parked keys wait for, in words, if that is a problem. Thread-safe. */
public final class DrainProblems {

    private record Problem(ParkedKey key, String text) {}

    private final ConcurrentHashMap<DrainTurns.Id, Problem> problems = new ConcurrentHashMap<>();

    public void put(ParkedKey key, String problem) {
        problems.put(DrainTurns.Id.of(key), new Problem(key, problem));
    }

    public void forget(ParkedKey key) {
        problems.remove(DrainTurns.Id.of(key));
    }

    public void forgetAll() {
        problems.clear();
    }

    /**
     * That of any key that is parked; others may have been discarded or handled elsewhere.
     *
     * @param ours whether this runner drains a key
     */
    public @Nullable String ofParked(ParkedKeys keys, Predicate<ParkedKey> ours) {
        problems.values()
                .removeIf(one -> !keys.contains(one.key().topic(), one.key().key()) || !ours.test(one.key()));
        return problems.values().stream().map(Problem::text).findAny().orElse(null);
    }
}
