package dev.eventbus.embedded;

/** Where a run's shared servers come from; each method is called at most once. */
sealed interface ServerSource extends AutoCloseable permits EmbeddedSource, ExternalSource, ContainerSource {

    /** As it stands in {@code eventbus.servers}. */
    String mode();

    Started<KafkaServer> kafka();

    Started<PostgresServer> postgres();

    /** Ends what {@link #kafka()} and {@link #postgres()} began. */
    @Override
    void close();

    /** A server, and what a person is told about it: which, which version, where. */
    record Started<S>(S server, String description) {}
}
