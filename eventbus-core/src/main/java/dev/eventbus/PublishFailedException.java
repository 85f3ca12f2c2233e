package dev.eventbus;

/**
 * The database refused the outbox row, or a lock. The cause is a {@link java.sql.SQLException} with the driver's SQLSTATE, vendor
 * code and stack trace, so that a caller can tell a deadlock (40P01) that is worth another try from a full disk (53100); what it
 * says carries none of the values. The caller's transaction is to be rolled back, as after any failed statement in it.
 */
public final class PublishFailedException extends EventBusException {

    private static final long serialVersionUID = 1;

    private final String eventType;
    private final String eventId;

    public PublishFailedException(String eventType, String eventId, String message, Throwable cause) {
        super(ErrorCode.DATABASE_REFUSED, message, cause);
        this.eventType = eventType;
        this.eventId = eventId;
    }

    /** Name of the type of the event; empty if keys were to be locked. */
    public String eventType() {
        return eventType;
    }

    /** Id of the event; empty if keys were to be locked. */
    public String eventId() {
        return eventId;
    }
}
