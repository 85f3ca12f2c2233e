package dev.eventbus.consumer.internal;

import dev.eventbus.consumer.inbox.JdbcInbox;
import dev.eventbus.consumer.inbox.ParkingStore;
import dev.eventbus.consumer.inbox.ParkingStore.Drained;
import dev.eventbus.consumer.parking.ParkedEvent;
import dev.eventbus.consumer.parking.ParkedKey;
import dev.eventbus.internal.Fatal;
import java.sql.SQLException;
import java.time.InstantSource;

/** Runs an event of a parked key, if it is still the first and nobody else has the key. Thread-safe. */
public final class DrainStep {

    /** The key's first event is another than a moment ago. */
    private static final class Overtaken extends Exception {
        private static final long serialVersionUID = 1;

        Overtaken() {
            super(null, null, false, false);
        }
    }

    private final ParkingStore store;
    private final String group;
    private final InstantSource clock;

    public DrainStep(ParkingStore store, String group, InstantSource clock) {
        this.store = store;
        this.group = group;
        this.clock = clock;
    }

    /**
     * As {@link ParkingStore#drain}.
     *
     * @param outlives whether the work has no part in the transaction, which may end before it; what the work did stands then, so
     *     that only its end is noted, in another
     */
    public Drained run(ParkedKey key, ParkedEvent event, boolean outlives, JdbcInbox.Work work) throws Exception {
        boolean[] hasReturned = {false};
        try {
            return drain(key, event, transaction -> {
                work.run(transaction);
                hasReturned[0] = true;
            });
        } catch (Overtaken e) {
            return new Drained.Nothing();
        } catch (Throwable e) {
            Fatal.rethrow(e);
            if (outlives && hasReturned[0]) {
                return noted(key, event);
            }
            throw e;
        }
    }

    private Drained noted(ParkedKey key, ParkedEvent event) throws Exception {
        try {
            Drained drained = drain(key, event, transaction -> {});
            return drained instanceof Drained.Nothing ? drained : new Drained.Ran(event);
        } catch (Overtaken e) { // it was noted, and only the answer was lost
            return new Drained.Ran(event);
        }
    }

    private Drained drain(ParkedKey key, ParkedEvent event, JdbcInbox.Work work) throws Exception {
        return store.drain(group, key, clock.instant(), (head, transaction) -> {
            if (!head.eventId().equals(event.eventId())) {
                throw new Overtaken();
            }
            work.run(transaction);
        });
    }

    /** Whether nobody else has the key, and its first event is due. */
    public boolean isFree(ParkedKey key) throws SQLException {
        return store.isFree(group, key, clock.instant());
    }
}
