package dev.eventbus.consumer.internal;

import java.time.Duration;
import java.time.Instant;
import org.jspecify.annotations.Nullable;

/** Since when a record waits for what somebody else holds; guarded as the record's progress is. */
public final class HeldSince {

    private static final Duration TOO_LONG = Duration.ofSeconds(30);

    private @Nullable Instant since;

    /** Whether it is, or may be, the parked key that the record follows; else its mark. */
    private boolean key;

    private int times;

    /** Whether nobody holds anything, as far as is known. */
    public boolean isOver() {
        return since == null;
    }

    /** Nobody does; what the record waits for now is something else. */
    public void over() {
        since = null;
        times = 0;
    }

    /** Somebody was found to do so once more: how often in a row that was, 1 for the first time. */
    public int again(boolean byKey) {
        if (key != byKey) {
            over();
            key = byKey;
        }
        return ++times;
    }

    /** Somebody does: whether that is longer than any hand-over takes. */
    public boolean isForLong(boolean byKey, Instant now) {
        if (since == null || key != byKey) {
            since = now;
            key = byKey;
        }
        return !since.plus(TOO_LONG).isAfter(now);
    }
}
