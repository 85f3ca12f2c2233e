package dev.eventbus.consumer.internal;

import dev.eventbus.consumer.parking.ParkedKey;
import java.util.concurrent.ConcurrentHashMap;
import org.jspecify.annotations.Nullable;

/** What the first events of parked keys wait for, in words, if that is a problem. Thread-safe. */
public final class DrainProblems {

    private final ConcurrentHashMap<DrainTurns.Id, String> problems = new ConcurrentHashMap<>();

    public void put(ParkedKey key, String problem) {
        problems.put(DrainTurns.Id.of(key), problem);
    }

    public void forget(ParkedKey key) {
        problems.remove(DrainTurns.Id.of(key));
    }

    public void forgetAll() {
        problems.clear();
    }

    /** That of any key that is parked; others may have been discarded or handled elsewhere. */
    public @Nullable String ofParked(ParkedKeys keys) {
        problems.keySet().removeIf(id -> !keys.contains(id.topic(), id.key().array()));
        return problems.values().stream().findAny().orElse(null);
    }
}
