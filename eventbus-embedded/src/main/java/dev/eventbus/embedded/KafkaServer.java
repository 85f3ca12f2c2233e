package dev.eventbus.embedded;

/**
 * A Kafka that a test may use, wherever it runs; see {@link ServersExtension}. It is shared, so a test makes its topics
 * and groups its own by {@link #uniqueName(String)}.
 *
 * <p>Thread-safe.
 */
public interface KafkaServer {

    /** What a client sets as {@code bootstrap.servers}. */
    String bootstrapServers();

    /**
     * A name for a topic or a group that nobody else uses, in this run or another.
     *
     * @param prefix what a person should recognise, such as {@code orders}
     * @return the prefix, an underscore and eight lower-case letters and digits
     */
    default String uniqueName(String prefix) {
        return SharedServers.uniqueName(prefix);
    }
}
