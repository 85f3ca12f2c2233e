package dev.eventbus.consumer.internal;

import dev.eventbus.consumer.inbox.AttemptStore.AloneTurn;
import java.time.Duration;
import java.time.Instant;
import java.time.InstantSource;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.function.Predicate;
import org.jspecify.annotations.Nullable;

/**
 * What must run alone, and waits for everything else to come to rest. What never comes to rest must not hold all keys, so those that wait
 * here and the others take turns of {@link AloneTurn#AT_MOST}. Thread-safe.
 */
public final class SuspectQueue<L> {

    private final Queue<L> waiting = new ConcurrentLinkedQueue<>();
    private final InstantSource clock;

    /** Since when the first one waits; null while none does. */
    private volatile @Nullable Instant since;

    public SuspectQueue(InstantSource clock) {
        this.clock = clock;
    }

    public void add(L suspect) {
        waiting.add(suspect);
        since = since == null ? clock.instant() : since;
    }

    /** The next one; null if there is none. */
    public @Nullable L poll() {
        return waiting.poll();
    }

    public boolean isEmpty() {
        return waiting.isEmpty();
    }

    public int size() {
        return waiting.size();
    }

    /** One has had its turn; the time of those behind it begins. */
    public void turnEnded() {
        since = waiting.isEmpty() ? null : clock.instant();
    }

    /** Forgets what no longer waits: its partition is somebody else's. One thread only. Returns whether that was the last. */
    public boolean keepOnly(Predicate<? super L> waits) {
        boolean lastGone = waiting.removeIf(waits.negate()) && waiting.isEmpty();
        if (lastGone) {
            since = null;
        } else if (!waiting.isEmpty() && since == null) {
            since = clock.instant(); // one came while the one before left
        }
        return lastGone;
    }

    /** Whether others may begin although something waits here. */
    public boolean isTurnOfOthers() {
        Instant began = since;
        return began != null && Duration.between(began, clock.instant()).abs().dividedBy(AloneTurn.AT_MOST) % 2 == 1;
    }
}
