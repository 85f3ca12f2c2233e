package dev.eventbus.embedded;

import org.jspecify.annotations.Nullable;

/** The default: both in child processes of this JVM. */
final class EmbeddedSource implements ServerSource {

    private @Nullable EmbeddedKafka kafka; // guarded by this
    private @Nullable EmbeddedPostgres postgres; // guarded by this

    @Override
    public String mode() {
        return "embedded";
    }

    @Override
    public Started<KafkaServer> kafka() {
        EmbeddedKafka started = EmbeddedKafka.start();
        synchronized (this) {
            kafka = started;
        }
        return new Started<>(started, "Kafka %s at %s".formatted(started.version(), started.bootstrapServers()));
    }

    @Override
    public Started<PostgresServer> postgres() {
        EmbeddedPostgres started = EmbeddedPostgres.start();
        synchronized (this) {
            postgres = started;
        }
        return new Started<>(started, "PostgreSQL %s at %s".formatted(started.version(), started.jdbcUrl()));
    }

    @Override
    public synchronized void close() {
        try (EmbeddedPostgres closedLast = postgres;
                EmbeddedKafka closedFirst = kafka) {
            // either may be null: it was never asked for
        }
    }
}
