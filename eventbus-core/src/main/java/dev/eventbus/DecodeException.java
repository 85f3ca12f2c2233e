package dev.eventbus;

import org.jspecify.annotations.Nullable;

/**
 * A record that cannot become an event. It goes to the dead-letter topic with its bytes untouched, and is not tried again unless {@link
 * #isForNow() what it is read with} was out of reach.
 */
public final class DecodeException extends EventBusException {

    private static final long serialVersionUID = 1;

    private final FailureReason reason;
    private final @Nullable String eventId;
    private final @Nullable String eventType;
    private final boolean forNow;

    /**
     * @param message says what is wrong by field name and position, never by value; it goes into the dead letter beside the reason, without the code
     * @param eventId the id if it could be read
     * @param eventType the type if it could be read; from outside, so escape it before it is printed
     */
    public DecodeException(FailureReason reason, String message, @Nullable String eventId, @Nullable String eventType) {
        this(reason, message, eventId, eventType, null);
    }

    private DecodeException(
            FailureReason reason,
            String message,
            @Nullable String eventId,
            @Nullable String eventType,
            @Nullable Throwable outOfReach) {
        super(outOfReach, ErrorCode.RECORD_UNREADABLE, message);
        this.reason = reason;
        this.eventId = eventId;
        this.eventType = eventType;
        this.forNow = outOfReach != null;
    }

    /** The record cannot be read now, and that is not its fault. */
    static DecodeException forNow(String fault, Throwable outOfReach) {
        return new DecodeException(
                FailureReason.BAD_VALUE, "The record cannot be read now: " + fault + ".", null, null, outOfReach);
    }

    /** The same fault, with what could be read of the record. */
    DecodeException about(@Nullable String eventId, @Nullable String eventType) {
        DecodeException known =
                new DecodeException(reason, getMessage(), eventId, eventType, forNow ? getCause() : null);
        known.setStackTrace(getStackTrace());
        return known;
    }

    /** Whether what the record is read with was out of reach, so that it may be readable later. */
    public boolean isForNow() {
        return forNow;
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
