package dev.eventbus.faults.wire;

import dev.eventbus.faults.wire.LoopbackProxy.Way;
import java.time.Duration;
import java.util.EnumSet;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;

/** How bad the network of a proxy is now. Thread-safe; all of it is guarded by this, which is notified of each change. */
final class Conditions {

    private final Set<Way> blocked = EnumSet.noneOf(Way.class);
    private long latencyNanos;
    private boolean refusing;

    synchronized void block(Set<Way> ways) {
        blocked.addAll(ways);
    }

    synchronized void delay(Duration latency) {
        latencyNanos = latency.toNanos();
    }

    synchronized void refuse() {
        refusing = true;
    }

    synchronized void heal() {
        blocked.clear();
        latencyNanos = 0;
        refusing = false;
        notifyAll();
    }

    synchronized boolean refuses() {
        return refusing;
    }

    /** When what is said now arrives at the earliest. */
    synchronized long dueAt() {
        return System.nanoTime() + latencyNanos;
    }

    /** Looks again at whether a connection has ended. */
    synchronized void ended() {
        notifyAll();
    }

    /** Waits until something may go on its way, or the connection has ended. */
    synchronized void awaitPassage(Way way, long dueAt, BooleanSupplier ended) throws InterruptedException {
        while (!ended.getAsBoolean()) {
            long left = dueAt - System.nanoTime();
            if (blocked.contains(way)) {
                wait();
            } else if (left > 0) {
                TimeUnit.NANOSECONDS.timedWait(this, left);
            } else {
                return;
            }
        }
    }
}
