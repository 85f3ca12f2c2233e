package dev.eventbus;

/**
 * The database refused the outbox row. The cause is the driver's own {@link java.sql.SQLException}, unchanged; the caller's
 * transaction is to be rolled back, as after any failed statement in it.
 */
public final class PublishFailedException extends EventBusException {

    private static final long serialVersionUID = 1;

    private final String eventType;
    private final String eventId;

    public PublishFailedException(String eventType, String eventId, String message, Throwable cause) {
        super(message, cause);
        this.eventType = eventType;
        this.eventId = eventId;
    }

    /** Name of the type of the event. */
    public String eventType() {
        return eventType;
    }

    /** Id of the event. */
    public String eventId() {
        return eventId;
    }
}
