package dev.eventbus.consumer.internal;

import dev.eventbus.consumer.inbox.AttemptStore.AloneTurn;
import dev.eventbus.consumer.inbox.AttemptStore.AloneTurn.Taken;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import org.jspecify.annotations.Nullable;

/**
 * What runs alone in one runner. For a minute nothing else begins beside it; from then on nobody waits for it, neither other records nor
 * the next one that must run alone. Thread-safe.
 */
public final class AloneRuns {

    private final AloneTurn turn;
    private final Set<Taken> runs = ConcurrentHashMap.newKeySet();

    /** @param turn of all that would die together */
    public AloneRuns(AloneTurn turn) {
        this.turn = turn;
    }

    /** One begins, which {@link #end} must follow; null if another runs alone, here or in a runner beside this one. */
    public @Nullable Taken tryBegin() {
        Taken ours = turn.tryTake();
        if (ours != null) {
            runs.add(ours);
        }
        return ours;
    }

    public void end(Taken ours) {
        runs.remove(ours);
        turn.giveBack(ours);
    }

    /** Whether one runs, for however long. */
    public boolean isAny() {
        return !runs.isEmpty();
    }

    /** Whether one keeps all else from beginning here. */
    public boolean holdOthers() {
        return isAny() && !runs.stream().allMatch(Taken::isOverdue);
    }

    /** How many run for which nobody waits any more. */
    public int overdue() {
        return (int) runs.stream().filter(Taken::isOverdue).count();
    }
}
