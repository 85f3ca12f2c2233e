package dev.eventbus.consumer.internal;

import java.time.Duration;
import java.time.Instant;

/** Whether it is time again for something. One thread only. */
public final class EverySoOften {

    private final Duration period;

    private Instant due = Instant.MIN;

    public EverySoOften(Duration period) {
        this.period = period;
    }

    /** If so, not again for a period; a clock that was set back makes nothing wait for longer than that. */
    public boolean isDue(Instant now) {
        if (now.isBefore(due) && !due.isAfter(now.plus(period))) {
            return false;
        }
        due = now.plus(period);
        return true;
    }
}
