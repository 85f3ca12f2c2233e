package dev.eventbus.testkit;

import dev.eventbus.Event;
import dev.eventbus.consumer.Delivery;
import dev.eventbus.testkit.BusContract.AssetUpdated;
import java.time.Instant;
import org.jspecify.annotations.Nullable;

/** One run of a handler: which event, which attempt, when it began by the cluster's clock. */
record Run(String key, String id, @Nullable Integer number, int attempt, Instant at) {

    /** What a handler fails with. */
    static final class Failure extends Exception {
        private static final long serialVersionUID = 1;
    }

    static Run of(Event<? extends AssetUpdated> event, Delivery delivery, Instant now) {
        return new Run(event.key(), event.id(), event.payload().number(), delivery.attempt(), now);
    }

    @Override
    public String toString() {
        return "%s/%d#%d".formatted(key, number, attempt);
    }
}
