package dev.eventbus.benchmarks;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.util.Arrays;
import java.util.concurrent.atomic.LongAdder;

/**
 * Stands before a handler and counts, on whatever threads it runs, what must not happen: an event that is handled for the first
 * time after a later one of its key, or while another of its key is being handled, is a violation; one that is handled again is a
 * repeat. An event whose handler throws was not handled.
 */
final class HandlerWatch {

    private static final VarHandle INTS = MethodHandles.arrayElementVarHandle(int[].class);

    private final Backlog backlog;
    private final Consuming.Handler handler;

    /** Of a key: 1 while one of its events is being handled. */
    private final int[] busy;

    /** Of a key: the highest number that was handled. Written by whoever handles the key. */
    private final long[] last;

    /** Whether an event was handled. Written by whoever handles its key. */
    private final boolean[] seen;

    private final LongAdder fresh = new LongAdder();
    private final LongAdder repeats = new LongAdder();
    private final LongAdder violations = new LongAdder();

    HandlerWatch(Backlog backlog, Consuming.Handler handler) {
        this.backlog = backlog;
        this.handler = handler;
        this.busy = new int[backlog.keys()];
        this.last = new long[backlog.keys()];
        this.seen = new boolean[Math.toIntExact(backlog.events())];
        Arrays.fill(last, -1);
    }

    void handle(long number) throws Exception {
        int key = backlog.keyOf(number);
        if (!INTS.compareAndSet(busy, key, 0, 1)) {
            violations.increment();
        }
        try {
            handler.handle(number);
            note(number, key);
        } finally {
            INTS.setRelease(busy, key, 0);
        }
    }

    private void note(long number, int key) {
        if (seen[(int) number]) {
            repeats.increment();
            return;
        }
        seen[(int) number] = true;
        if (number < last[key]) {
            violations.increment();
        } else {
            last[key] = number;
        }
        fresh.increment();
    }

    /** How many different events were handled. */
    long count() {
        return fresh.sum();
    }

    long repeats() {
        return repeats.sum();
    }

    long violations() {
        return violations.sum();
    }
}
