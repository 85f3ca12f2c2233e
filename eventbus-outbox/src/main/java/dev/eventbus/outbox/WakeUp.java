package dev.eventbus.outbox;

import java.util.Set;
import java.util.concurrent.CopyOnWriteArraySet;

/**
 * Lets the relays of this process find a commit soon. A plain connection has no hook for its commit, so the commit is found by
 * looking: publishing only leaves a note, and each relay's {@link LookSchedule} looks more often for a while. Thread-safe.
 */
final class WakeUp {

    private final Set<LookSchedule> relays = new CopyOnWriteArraySet<>();

    /** Called by publishers, inside the caller's transaction. */
    void published() {
        for (LookSchedule relay : relays) {
            relay.published();
        }
    }

    /** Called once a transaction is known to have committed. */
    void committed() {
        for (LookSchedule relay : relays) {
            relay.committed();
        }
    }

    void join(LookSchedule relay) {
        relays.add(relay);
    }

    void leave(LookSchedule relay) {
        relays.remove(relay);
    }
}
