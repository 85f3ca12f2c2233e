package dev.eventbus.embedded;

import java.util.Optional;
import org.jspecify.annotations.Nullable;

/** Servers that somebody else runs. The databases created there are dropped in the end, topics stay. */
final class ExternalSource implements ServerSource {

    private final Setting setting;
    private @Nullable JdbcPostgres postgres; // guarded by this

    ExternalSource(Setting setting) {
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
