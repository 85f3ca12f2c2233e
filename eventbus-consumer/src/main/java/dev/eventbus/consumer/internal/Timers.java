package dev.eventbus.consumer.internal;

import java.time.Instant;
import java.util.Comparator;
import java.util.PriorityQueue;
import java.util.function.Consumer;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/** What waits until it is due. One thread at a time. */
public final class Timers<T extends Timers.Waiting> {

    /** Something that waits. */
    public interface Waiting {

        /** Ends the waiting; true if it is ready to run now. */
        boolean wake();

        /** Whether it still waits. */
        boolean isWaiting();
    }

    private record Timer<T>(
            T waiting, Instant due, @Nullable String problem, long order) {}

    private final PriorityQueue<Timer<T>> timers = new PriorityQueue<>(
            Comparator.comparing((Timer<T> timer) -> timer.due()).thenComparing(Timer::order));

    private long set;

    /** @param problem what it waits for, if that is one */
    public void add(T waiting, Instant due, @Nullable String problem) {
        timers.add(new Timer<>(waiting, due, problem, set++));
    }

    /** Wakes those that are due, and hands out those that are ready then. */
    public int wakeDue(Instant now, Consumer<? super T> ready) {
        Instant far = now.plus(Backoff.LONGEST_IN_MEMORY); // no wait is longer: the clock was set back
        int woken = 0;
        for (Instant due = next(); due != null && (!due.isAfter(now) || due.isAfter(far)); due = next()) {
            T waiting = timers.remove().waiting();
            if (waiting.wake()) {
                ready.accept(waiting);
                woken++;
            }
        }
        return woken;
    }

    /** When the next one is due; null if nobody waits. */
    public @Nullable Instant next() {
        Timer<T> next = timers.peek();
        return next == null ? null : next.due();
    }

    /** Forgets those that no longer wait. */
    public void forgetDropped() {
        timers.removeIf(timer -> !timer.waiting().isWaiting());
    }

    public int size() {
        return timers.size();
    }

    /** What they wait for, as far as it is a problem. */
    public Stream<@Nullable String> problems() {
        return timers.stream().map(Timer::problem);
    }
}
