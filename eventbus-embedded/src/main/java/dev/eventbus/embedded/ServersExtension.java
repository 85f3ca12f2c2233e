package dev.eventbus.embedded;

import java.util.Arrays;
import java.util.EnumSet;
import java.util.Set;
import org.junit.jupiter.api.extension.ExtensionContext;
import org.junit.jupiter.api.extension.ExtensionContext.Namespace;
import org.junit.jupiter.api.extension.ParameterContext;
import org.junit.jupiter.api.extension.ParameterResolutionException;
import org.junit.jupiter.api.extension.ParameterResolver;

/**
 * Gives tests one Kafka and one PostgreSQL that all test classes of the JVM share.
 *
 * <pre>{@code
 * @ExtendWith(ServersExtension.class)
 * class OrdersIT {
 *     @Test
 *     void arrives(KafkaServer kafka, PostgresServer postgres) { ... }
 * }
 * }</pre>
 *
 * <p>A server starts when the first test asks for it, by a parameter of the type {@link KafkaServer} or
 * {@link PostgresServer} of a constructor, a test or a life-cycle method; two that are asked for by the same method
 * start side by side. All end after the last test. Since they are shared, a test takes names from {@code uniqueName} and
 * a database of its own; a test that kills its server starts one of its own by {@link EmbeddedKafka#start()} or
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
 * Jupiter 6, which this artifact does not bring along.
 */
public final class ServersExtension implements ParameterResolver {

    private static final Namespace NAMESPACE = Namespace.create(ServersExtension.class);

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
            return extension
                    .getRoot()
                    .getStore(NAMESPACE)
                    .computeIfAbsent(
                            SharedServers.class,
                            key -> SharedServers.of(Setting.ofThisJvm(), System.out),
                            SharedServers.class)
                    .get(wanted, together);
        } catch (EmbeddedServerException e) {
            throw new ParameterResolutionException(String.valueOf(e.getMessage()), e);
        }
    }

    private static Set<SharedServers.Kind> kinds(Class<?>... types) {
        Set<SharedServers.Kind> kinds = EnumSet.noneOf(SharedServers.Kind.class);
        if (Arrays.asList(types).contains(KafkaServer.class)) {
            kinds.add(SharedServers.Kind.KAFKA);
        }
        if (Arrays.asList(types).contains(PostgresServer.class)) {
            kinds.add(SharedServers.Kind.POSTGRES);
        }
        return kinds;
    }
}
