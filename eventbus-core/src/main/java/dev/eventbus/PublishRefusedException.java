package dev.eventbus;

/**
 * An event, or the connection it should go through, breaks a rule that is known without asking anyone. Thrown by
 * {@code publish} before any SQL: no row was written and the caller's transaction is as usable as before.
 */
public final class PublishRefusedException extends EventBusException {

    private static final long serialVersionUID = 1;

    private final String eventType;

    /** @param eventType name of the type, for example {@code ASSET_UPDATED} */
    public PublishRefusedException(String eventType, String message) {
        super(message, null);
        this.eventType = eventType;
    }

    public PublishRefusedException(String eventType, String message, Throwable cause) {
        super(message, cause);
        this.eventType = eventType;
    }

    /** Name of the type of the refused event. */
    public String eventType() {
        return eventType;
    }
}
