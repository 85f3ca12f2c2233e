package dev.eventbus;

import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * Root of all that this library throws on its own account. The message says what failed, for which event, what happens to the
 * data now, and what a person can do; it begins with the {@link ErrorCode}, but in a {@link DecodeException}, and never holds a payload, a key or a secret.
 */
public abstract class EventBusException extends RuntimeException {

    private static final long serialVersionUID = 1;

    private final ErrorCode code;

    protected EventBusException(ErrorCode code, String message, @Nullable Throwable cause) {
        this(cause, code, code.before(message));
    }

    /** @param message whole, without the code */
    EventBusException(@Nullable Throwable cause, ErrorCode code, String message) {
        super(message, cause);
        this.code = code;
    }

    /** What is wrong, as in {@code docs/errors.md}. */
    public final ErrorCode code() {
        return code;
    }

    @Override
    public String getMessage() {
        return Objects.requireNonNull(super.getMessage());
    }
}
