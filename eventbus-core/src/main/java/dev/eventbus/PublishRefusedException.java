package dev.eventbus;

/**
 * An event, or the connection it should go through, breaks a rule. Thrown by {@code publish} and {@code lockKeys} before any SQL, but
 * for two rules that only the database can tell: its session is unsafe to publish in, or it holds locks of other keys. In each case
 * no row was written, and the caller's transaction is as usable as before.
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

    /** Name of the type of the refused event; empty if keys were to be locked. */
    public String eventType() {
        return eventType;
    }
}
