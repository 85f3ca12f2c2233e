package dev.eventbus.consumer.internal;

import dev.eventbus.consumer.inbox.JdbcInbox;
import dev.eventbus.consumer.inbox.ParkingStore;
import dev.eventbus.consumer.inbox.ParkingStore.Drained;
import dev.eventbus.consumer.parking.ParkedEvent;
import dev.eventbus.consumer.parking.ParkedKey;
import dev.eventbus.internal.Fatal;
import java.sql.SQLException;
import java.time.InstantSource;
import java.util.function.BooleanSupplier;

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
     * @param stands whether the work has returned, now or in an earlier turn, and has no part in the transaction: what it did stands
     *     then, however that ends, so that only its end is noted, in another one
     */
    public Drained run(ParkedKey key, ParkedEvent event, BooleanSupplier stands, JdbcInbox.Work work) throws Exception {
        if (stands.getAsBoolean()) {
            return noted(key, event);
        }
        try {
            return drain(key, event, work);
        } catch (Overtaken e) {
            return new Drained.Nothing();
        } catch (Throwable e) {
            Fatal.rethrow(e);
            if (stands.getAsBoolean()) {
                return noted(key, event);
            }
            throw e;
        }
    }

    private Drained noted(ParkedKey key, ParkedEvent event) throws Exception {
        boolean noted;
        try {
            noted = !(drain(key, event, transaction -> {}) instanceof Drained.Nothing);
        } catch (Overtaken e) {
            noted = false;
        }
        // else somebody has the key, or an earlier letter stands before it; or only the answer was lost
        return noted || store.find(group, event.eventId()).isEmpty() ? new Drained.Ran(event) : new Drained.Nothing();
    }

    private Drained drain(ParkedKey key, ParkedEvent event, JdbcInbox.Work work) throws Exception {
        Drained drained = store.drain(group, key, clock.instant(), (head, transaction) -> {
            if (!head.eventId().equals(event.eventId())) {
                throw new Overtaken();
            }
            work.run(transaction);
        });
        boolean another = drained instanceof Drained.AlreadyApplied head
                && !head.event().eventId().equals(event.eventId());
        return another ? new Drained.Nothing() : drained;
    }

    /** Whether nobody else has the key, and its first event is due. */
    public boolean isFree(ParkedKey key) throws SQLException {
        return store.isFree(group, key, clock.instant());
    }
}
