package dev.eventbus;

import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * A precondition of a promise is not met, or a configuration contradicts itself, so nothing was started. The message lists all
 * that was found at once, each with its fix.
 */
public final class StartRefusedException extends EventBusException {

    private static final long serialVersionUID = 1;

    public StartRefusedException(ErrorCode code, String message, @Nullable Throwable cause) {
        super(code, message, cause);
    }

    /** Refuses with all problems in one message. */
    public static StartRefusedException of(ErrorCode code, String what, List<String> problems) {
        return new StartRefusedException(code, what + " refused:\n  - " + String.join("\n  - ", problems), null);
    }
}
