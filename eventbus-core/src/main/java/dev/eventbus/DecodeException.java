package dev.eventbus;

import org.jspecify.annotations.Nullable;

/** A record that cannot become an event. Never retried; the record goes to the dead-letter topic with its bytes untouched. */
public final class DecodeException extends EventBusException {

    private static final long serialVersionUID = 1;

    private final FailureReason reason;
    private final @Nullable String eventId;
    private final @Nullable String eventType;

    /**
     * @param message says what is wrong by field name and position, never by value
     * @param eventId the id if it could be read
     * @param eventType the type if it could be read; from outside, so escape it before it is printed
     */
    public DecodeException(FailureReason reason, String message, @Nullable String eventId, @Nullable String eventType) {
        super(message, null);
        this.reason = reason;
        this.eventId = eventId;
        this.eventType = eventType;
    }

    /** The same fault, with what could be read of the record. */
    DecodeException about(@Nullable String eventId, @Nullable String eventType) {
        DecodeException known = new DecodeException(reason, getMessage(), eventId, eventType);
        known.setStackTrace(getStackTrace());
        return known;
    }

    public FailureReason reason() {
        return reason;
    }

    public @Nullable String eventId() {
        return eventId;
    }

    public @Nullable String eventType() {
        return eventType;
    }
}
