package dev.eventbus;

import org.jspecify.annotations.Nullable;

/**
 * An event, or the connection it should go through, breaks a rule. Thrown by {@code publish} and {@code lockKeys} before any SQL, but
 * for rules that only the database can tell: its session is unsafe to publish in, or it holds locks of other keys, or the isolation
 * level of its transaction makes a lock worthless. In each case no row was written, and the caller's transaction is as usable as
 * before; only where a trigger keeps rows out may other rows of the same call be there.
 */
public final class PublishRefusedException extends EventBusException {

    private static final long serialVersionUID = 1;

    private final String eventType;

    /** @param eventType name of the type, for example {@code ASSET_UPDATED} */
    public PublishRefusedException(ErrorCode code, String eventType, String message) {
        this(code, eventType, message, null);
    }

    public PublishRefusedException(ErrorCode code, String eventType, String message, @Nullable Throwable cause) {
        super(code, message, cause);
        this.eventType = eventType;
    }

    /** Name of the type of the refused event; empty if keys were to be locked. */
    public String eventType() {
        return eventType;
    }
}
