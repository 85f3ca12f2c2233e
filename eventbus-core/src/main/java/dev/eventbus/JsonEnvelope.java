package dev.eventbus;

import java.util.Set;

/** Names of the envelope's own properties on the wire; the key's property is named by the event type. */
final class JsonEnvelope {

    static final String EVENT_ID = "eventId";
    static final String EVENT_TYPE = "eventType";
    static final String TIMESTAMP = "timestamp";

    /** What no payload property may be called. */
    static final Set<String> NAMES = Set.of(EVENT_ID, EVENT_TYPE, TIMESTAMP);

    static final String CONTENT_TYPE = "application/json";

    private JsonEnvelope() {}
}
