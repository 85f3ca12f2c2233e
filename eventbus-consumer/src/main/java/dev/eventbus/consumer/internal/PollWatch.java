package dev.eventbus.consumer.internal;

import java.time.Duration;
import java.time.Instant;
import java.util.function.LongSupplier;
import org.jspecify.annotations.Nullable;

/**
 * Whether the polling thread of a runner still comes by. One that is held, by a listener or an executor that blocks, can say nothing
 * itself, so that others look. The polling thread says that it comes by, and any thread asks.
 */
public final class PollWatch {

    /** Between two times that it comes by are a few calls of Kafka's client, none of which takes longer than 5 s. */
    public static final Duration LONGEST = Duration.ofSeconds(60);

    /** By two clocks: one that nobody sets, to compare with, and one for people. */
    private record Seen(long nanos, Instant at) {}

    private final String group;
    private final LongSupplier nanoTime;

    private volatile Duration longest = LONGEST;

    /** Null before the first round and after the last. */
    private volatile @Nullable Seen seen;

    /** @param nanoTime as {@link System#nanoTime} */
    public PollWatch(String group, LongSupplier nanoTime) {
        this.group = group;
        this.nanoTime = nanoTime;
    }

    /** Polling thread: it comes by, in a round or while a hand-over waits. */
    public void comesBy(Instant now) {
        seen = new Seen(nanoTime.getAsLong(), now);
    }

    /** Polling thread: it has ended, and is not missed. */
    public void ended() {
        seen = null;
    }

    /** The runner is about to close, and may wait for so long; one that does not come by already does not do so for that reason. */
    public void closesWithin(Duration limit) {
        if (problem() == null) {
            longest = LONGEST.plus(limit);
        }
    }

    /** In words; null unless the thread has not come by for longer than any round takes. */
    public @Nullable String problem() {
        Seen last = seen;
        return last == null || nanoTime.getAsLong() - last.nanos() <= longest.toNanos()
                ? null
                : ("the polling thread \"runner %s\" has not come back since %s: nothing is polled or committed, and after max.poll.interval.ms the group gives"
                                + " this runner's partitions to others. A listener or an executor(…) that blocks holds it, or Kafka's client: a thread dump names it. The"
                                + " runner goes on by itself once that returns")
                        .formatted(group, last.at());
    }
}
