package dev.eventbus.embedded;

import org.jspecify.annotations.Nullable;
import org.testcontainers.DockerClientFactory;
import org.testcontainers.kafka.KafkaContainer;
import org.testcontainers.postgresql.PostgreSQLContainer;

/**
 * Servers in Docker, by the optional dependencies testcontainers-kafka and testcontainers-postgresql. Not exercised in
 * our own builds, which have no Docker.
 */
final class ContainerSource implements ServerSource {

    private static final String KAFKA_IMAGE = "apache/kafka:4.3.1";
    private static final String POSTGRES_IMAGE = "postgres:18.6";

    private @Nullable KafkaContainer kafka; // guarded by this
    private @Nullable PostgreSQLContainer postgres; // guarded by this

    private ContainerSource() {}

    /** Refuses at once if there is no Docker, instead of at the first container. */
    static ContainerSource checked() {
        if (!DockerClientFactory.instance().isDockerAvailable()) {
            throw new EmbeddedServerException(
                    "-Deventbus.servers=testcontainers needs Docker, and none answers here. Leave the property out:"
                            + " the embedded servers need none");
        }
        return new ContainerSource();
    }

    @Override
    public String mode() {
        return "testcontainers";
    }

    @Override
    public Started<KafkaServer> kafka() {
        KafkaContainer started = new KafkaContainer(KAFKA_IMAGE).withEnv("KAFKA_AUTO_CREATE_TOPICS_ENABLE", "false");
        started.start();
        synchronized (this) {
            kafka = started;
        }
        String servers = started.getBootstrapServers();
        KafkaServer server = () -> servers;
        return new Started<>(server, "%s at %s".formatted(KAFKA_IMAGE, servers));
    }

    @Override
    public Started<PostgresServer> postgres() {
        PostgreSQLContainer started = new PostgreSQLContainer(POSTGRES_IMAGE);
        started.start();
        synchronized (this) {
            postgres = started;
        }
        JdbcPostgres server = new JdbcPostgres(started.getJdbcUrl(), started.getUsername(), started.getPassword());
        return new Started<>(server, "%s at %s".formatted(POSTGRES_IMAGE, server.printableUrl()));
    }

    @Override
    public synchronized void close() {
        if (kafka != null) {
            kafka.stop();
        }
        if (postgres != null) {
            postgres.stop();
        }
    }
}
