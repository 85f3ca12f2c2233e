package dev.eventbus.internal;

/**
 * What becomes of the calling thread's interrupt flag, to the end of a block.
 *
 * <p>One thread: closed by the one that has made it.
 */
public final class InterruptFlag implements AutoCloseable {

    private final boolean wasSet;
    private final boolean isKept;

    private InterruptFlag(boolean wasSet, boolean isKept) {
        this.wasSet = wasSet;
        this.isKept = isKept;
    }

    /** Around code that is not ours: the flag is as it was before, whatever that has done to it. */
    public static InterruptFlag kept() {
        return new InterruptFlag(Thread.currentThread().isInterrupted(), true);
    }

    /** Around what an interrupt of before must not cut short: it is put off to the end. One that comes meanwhile counts. */
    public static InterruptFlag putOff() {
        return new InterruptFlag(Thread.interrupted(), false);
    }

    @Override
    public void close() {
        if (wasSet) {
            Thread.currentThread().interrupt();
        } else if (isKept) {
            Thread.interrupted();
        }
    }
}
