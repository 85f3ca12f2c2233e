package dev.eventbus;

import org.jspecify.annotations.Nullable;

/**
 * Kafka does not answer, does not let us in, or does not have what was asked for. The message names cluster and address, what
 * became of the data, and the fix.
 */
public final class KafkaAccessException extends EventBusException {

    private static final long serialVersionUID = 1;

    private final String cluster;

    public KafkaAccessException(ErrorCode code, String cluster, String message, @Nullable Throwable cause) {
        super(code, message, cause);
        this.cluster = cluster;
    }

    /** Name of the cluster. */
    public String cluster() {
        return cluster;
    }
}
