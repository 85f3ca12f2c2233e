package dev.eventbus.consumer.internal;

import java.util.concurrent.Semaphore;

/** The turn of an event that must run with nothing beside it: one at a time of all that share this, and since when. Thread-safe. */
public final class AloneTurn {

    private final Semaphore permit = new Semaphore(1);

    /** Local time; 0 while nobody has it. */
    private volatile long since;

    /** False if somebody has it. */
    public boolean tryTake() {
        boolean ours = permit.tryAcquire();
        if (ours) {
            since = System.nanoTime() | 1;
        }
        return ours;
    }

    public void giveBack() {
        since = 0;
        permit.release();
    }

    /** Whether somebody has it, and not yet for so long that others may run beside him. */
    public boolean holdsOthers() {
        return holdsOthers(System.nanoTime());
    }

    boolean holdsOthers(long now) {
        long taken = since;
        return taken != 0 && now - taken <= CrashWatch.ALONE_AT_MOST.toNanos();
    }
}
