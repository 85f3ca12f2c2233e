package dev.eventbus.embedded;

import java.util.Optional;
import org.jspecify.annotations.Nullable;

/** Where a run's shared servers come from; each method is called at most once. */
sealed interface ServerSource extends AutoCloseable
        permits ServerSource.Embedded, ServerSource.External, ContainerSource {

    /** As it stands in {@code eventbus.servers}. */
    String mode();

    Started<KafkaServer> kafka();

    Started<PostgresServer> postgres();

    /** Ends what {@link #kafka()} and {@link #postgres()} began. */
    @Override
    void close();

    /** A server, and what a person is told about it: which, which version, where. */
    record Started<S>(S server, String description) {}

    /** The default: both in child processes of this JVM. */
    final class Embedded implements ServerSource {

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

    /** Servers that somebody else runs. The databases created there are dropped in the end, topics stay. */
    final class External implements ServerSource {

        private final Setting setting;
        private @Nullable JdbcPostgres postgres; // guarded by this

        External(Setting setting) {
            this.setting = setting;
        }

        @Override
        public String mode() {
            return "external";
        }

        @Override
        public Started<KafkaServer> kafka() {
            String servers = setting.require("eventbus.external.kafka");
            KafkaServer server = () -> servers;
            return new Started<>(server, "Kafka at " + servers);
        }

        @Override
        public Started<PostgresServer> postgres() {
            JdbcPostgres server = new JdbcPostgres(
                    setting.require("eventbus.external.jdbc-url"),
                    setting.require("eventbus.external.user"),
                    setting.require("eventbus.external.password"));
            String version = server.version();
            synchronized (this) {
                postgres = server;
            }
            return new Started<>(server, "PostgreSQL %s at %s".formatted(version, server.printableUrl()));
        }

        @Override
        public synchronized void close() {
            Optional.ofNullable(postgres).ifPresent(JdbcPostgres::dropCreated);
        }
    }
}
