package dev.eventbus.embedded;

import java.util.Arrays;
import java.util.EnumSet;
import java.util.Locale;
import java.util.Objects;
import java.util.Set;
import java.util.function.Supplier;
import javax.sql.DataSource;
import org.junit.jupiter.api.extension.ExtensionContext;
import org.junit.jupiter.api.extension.ExtensionContext.Namespace;
import org.junit.jupiter.api.extension.ParameterContext;
import org.junit.jupiter.api.extension.ParameterResolutionException;
import org.junit.jupiter.api.extension.ParameterResolver;
import org.postgresql.ds.PGSimpleDataSource;

/**
 * Gives tests one Kafka and one PostgreSQL that all test classes of the JVM share; what
 * {@link dev.eventbus.embedded.junit.EventBusServers} stands for.
 *
 * <pre>{@code
 * @EventBusServers
 * class OrdersIT {
 *     @Test
 *     void arrives(KafkaServer kafka, DataSource database) {
 *         KafkaCluster cluster = KafkaCluster.at(kafka.bootstrapServers());
 *         ...
 *     }
 * }
 * }</pre>
 *
 * <p>A server starts when the first test asks for it, by a parameter of the type {@link KafkaServer},
 * {@link PostgresServer} or {@link DataSource} of a constructor, a test or a life-cycle method; two that are asked for by
 * the same method start side by side. All end after the last test. A data source is an empty database of the test class's
 * own, the same for all its methods and nested classes; it opens a connection for each call. Since the servers are shared,
 * a test takes names from {@code uniqueName} and a database of its own; a test that kills its server starts one of its own by {@link EmbeddedKafka#start()} or
 * {@link EmbeddedPostgres#start()}.
 *
 * <p>The system property {@code eventbus.servers}, else the environment variable {@code EVENTBUS_SERVERS}, says where
 * they are:
 *
 * <ul>
 *   <li>{@code embedded} (the default): in child processes, without Docker;
 *   <li>{@code external}: at {@code eventbus.external.kafka} (bootstrap servers) and {@code
 *       eventbus.external.jdbc-url} with {@code eventbus.external.user} and {@code eventbus.external.password}, the user
 *       being allowed to create databases; they too can come from the environment, such as
 *       {@code EVENTBUS_EXTERNAL_JDBC_URL};
 *   <li>{@code testcontainers}: in Docker, by the optional dependencies {@code testcontainers-kafka} and {@code
 *       testcontainers-postgresql}. This one is not exercised in our own builds.
 * </ul>
 *
 * <p>One line on standard output tells what was taken, such as {@code eventbus servers: embedded Kafka 4.3.1 at
 * 127.0.0.1:24813, PostgreSQL 18.6 at jdbc:postgresql://127.0.0.1:29020/postgres}.
 *
 * <p>A server that does not come up fails every test that asks for it, with the reason; nothing is skipped. Needs JUnit
 * Jupiter 5.9 or newer, or 6, which this artifact does not bring along.
 */
public final class ServersExtension implements ParameterResolver {

    private static final Namespace NAMESPACE = Namespace.create(ServersExtension.class);

    private static final int LONGEST_DATABASE_PREFIX = 50; // what uniqueName adds fits into 63

    /** For {@code @ExtendWith}. */
    public ServersExtension() {}

    @Override
    public boolean supportsParameter(ParameterContext parameter, ExtensionContext extension) {
        return !kinds(parameter.getParameter().getType()).isEmpty();
    }

    @Override
    public Object resolveParameter(ParameterContext parameter, ExtensionContext extension) {
        SharedServers.Kind wanted =
                kinds(parameter.getParameter().getType()).iterator().next();
        Set<SharedServers.Kind> together =
                kinds(parameter.getDeclaringExecutable().getParameterTypes());
        try {
            // JUnit closes what is in the root store after the last test
            Object server = stored(
                            extension,
                            Closing.class,
                            () -> new Closing(SharedServers.of(Setting.ofThisJvm(), System.out)),
                            Closing.class)
                    .servers()
                    .get(wanted, together);
            return parameter.getParameter().getType() == DataSource.class
                    ? databaseOf(extension, (PostgresServer) server)
                    : server;
        } catch (EmbeddedServerException e) {
            throw new ParameterResolutionException(String.valueOf(e.getMessage()), e);
        }
    }

    private static DataSource databaseOf(ExtensionContext extension, PostgresServer postgres) {
        Class<?> test = extension.getRequiredTestClass();
        while (test.getEnclosingClass() != null) {
            test = test.getEnclosingClass();
        }
        String prefix = test.getSimpleName().toLowerCase(Locale.ROOT).replaceAll("[^a-z0-9]", "_");
        return stored(
                extension,
                test,
                () -> created(postgres, prefix.substring(0, Math.min(prefix.length(), LONGEST_DATABASE_PREFIX))),
                DataSource.class);
    }

    /** What the root store has, made if it has none. Jupiter 5 has no other method for it, and 6 has another name. */
    @SuppressWarnings("deprecation")
    private static <T> T stored(ExtensionContext extension, Object key, Supplier<T> make, Class<T> type) {
        return Objects.requireNonNull(
                extension.getRoot().getStore(NAMESPACE).getOrComputeIfAbsent(key, absent -> make.get(), type));
    }

    /** Servers that JUnit closes: Jupiter 5 closes nothing else. */
    @SuppressWarnings("deprecation")
    private record Closing(SharedServers servers) implements ExtensionContext.Store.CloseableResource, AutoCloseable {
        @Override
        public void close() {
            servers.close();
        }
    }

    private static DataSource created(PostgresServer postgres, String prefix) {
        PGSimpleDataSource database = new PGSimpleDataSource();
        database.setUrl(postgres.createDatabase(postgres.uniqueName(prefix)));
        database.setUser(postgres.user());
        database.setPassword(postgres.password());
        return database;
    }

    private static Set<SharedServers.Kind> kinds(Class<?>... types) {
        Set<SharedServers.Kind> kinds = EnumSet.noneOf(SharedServers.Kind.class);
        if (Arrays.asList(types).contains(KafkaServer.class)) {
            kinds.add(SharedServers.Kind.KAFKA);
        }
        if (Arrays.asList(types).contains(PostgresServer.class)
                || Arrays.asList(types).contains(DataSource.class)) {
            kinds.add(SharedServers.Kind.POSTGRES);
        }
        return kinds;
    }
}
