package dev.eventbus;

import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * Root of all that this library throws on its own account. The message says what failed, for which event, what happens to the
 * data now, and what a person can do; it never holds a payload, a key or a secret.
 */
public abstract class EventBusException extends RuntimeException {

    private static final long serialVersionUID = 1;

    protected EventBusException(String message, @Nullable Throwable cause) {
        super(message, cause);
    }

    @Override
    public String getMessage() {
        return Objects.requireNonNull(super.getMessage());
    }
}
