package dev.eventbus.examples.joining;

import static dev.eventbus.examples.joining.Assets.ASSET_UPDATED;

import dev.eventbus.Event;
import dev.eventbus.EventHeaders;
import dev.eventbus.EventPublisher;
import dev.eventbus.examples.joining.Assets.AssetUpdated;
import java.time.InstantSource;
import java.util.UUID;

/** A trace that goes on in the handler. */
public final class TracedAssets {

    private final InstantSource clock;

    public TracedAssets(InstantSource clock) {
        this.clock = clock;
    }

    // region: traceparent
    /** @param traceparent of the span that publishes, in the form of W3C Trace Context */
    public void publish(EventPublisher events, AssetUpdated change, String traceparent) {
        String id = UUID.randomUUID().toString();
        events.publish(Event.of(ASSET_UPDATED, id, clock.instant(), change)
                .withHeader(EventHeaders.TRACEPARENT, traceparent)
                .withHeader("tenant", "eu"));
    }
    // end: traceparent
}
