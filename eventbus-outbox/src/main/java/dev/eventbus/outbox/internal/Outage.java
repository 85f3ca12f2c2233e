package dev.eventbus.outbox.internal;

import java.time.Duration;
import java.time.Instant;
import java.time.InstantSource;
import java.util.Optional;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Something the relay cannot do without and that does not work now: it is tried again, less and less often. One thread only. */
public final class Outage {

    /** How long the relay waits before it tries a thing that failed again: doubled each time, up to a cap. */
    public record Backoff(Duration first, Duration cap) {

        /** @param failures in a row, 1 or more */
        public Duration after(int failures) {
            Duration wait = first.multipliedBy(1L << Math.min(failures - 1, 30));
            return wait.compareTo(cap) > 0 ? cap : wait;
        }

        /** Whether it is not time yet. A clock that was set back meanwhile makes nobody wait for longer than the cap. */
        public boolean mustWait(Instant now, Instant retryAt) {
            return now.isBefore(retryAt) && !retryAt.isAfter(now.plus(cap));
        }
    }

    private static final Logger LOG = LoggerFactory.getLogger(Outage.class);
    private static final Backoff BACKOFF = new Backoff(Duration.ofMillis(100), Duration.ofSeconds(5));

    private final InstantSource clock;
    private int failures;
    private String problem = "";
    private Instant retryAt = Instant.MIN;

    public Outage(InstantSource clock) {
        this.clock = clock;
    }

    /** @param what failed, what becomes of the events, and the fix */
    public void failed(String what) {
        failures++;
        retryAt = clock.instant().plus(BACKOFF.after(failures));
        if (!problem.equals(what)) {
            LOG.warn("{} Tried again until it works, next at {}.", what, retryAt);
        }
        problem = what;
    }

    public void succeeded() {
        if (failures > 0) {
            LOG.info("Works again after {} failures: {}", failures, problem);
        }
        failures = 0;
        problem = "";
        retryAt = Instant.MIN;
    }

    public boolean mustWait() {
        return failures > 0 && BACKOFF.mustWait(clock.instant(), retryAt);
    }

    public Optional<String> problem() {
        return failures == 0 ? Optional.empty() : Optional.of(problem);
    }

    public Optional<Instant> nextRetry() {
        return failures == 0 ? Optional.empty() : Optional.of(retryAt);
    }
}
