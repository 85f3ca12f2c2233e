package dev.eventbus;

/** Names of the record headers that every event carries; part of the public contract. */
public final class EventHeaders {

    /** Event id. */
    public static final String ID = "id";

    /** Name of the event type. */
    public static final String EVENT_TYPE = "eventType";

    /** Content type of the value. */
    public static final String CONTENT_TYPE = "contentType";

    /** W3C trace context. */
    public static final String TRACEPARENT = "traceparent";

    /** W3C trace state. */
    public static final String TRACESTATE = "tracestate";

    /** What the library's own headers begin with; a user's header may not. */
    public static final String RESERVED_PREFIX = "eventbus-";

    private EventHeaders() {}

    /** Whether a header name belongs to the library: one of the names above except the trace context, or the reserved prefix. */
    public static boolean isReserved(String name) {
        return name.equals(ID)
                || name.equals(EVENT_TYPE)
                || name.equals(CONTENT_TYPE)
                || name.startsWith(RESERVED_PREFIX);
    }
}
