package dev.eventbus.embedded;

import org.jspecify.annotations.Nullable;

/**
 * A server could not be started, reached or handled. The message says which one, what it last wrote to its log and
 * where that log is kept.
 */
public final class EmbeddedServerException extends RuntimeException {

    private static final long serialVersionUID = 1L;

    EmbeddedServerException(String message) {
        this(message, null);
    }

    EmbeddedServerException(String message, @Nullable Throwable cause) {
        super(message, cause);
    }
}
