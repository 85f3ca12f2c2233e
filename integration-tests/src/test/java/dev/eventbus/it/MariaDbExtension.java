package dev.eventbus.it;

import dev.eventbus.embedded.EmbeddedMariaDb;
import org.junit.jupiter.api.extension.ExtensionContext;
import org.junit.jupiter.api.extension.ExtensionContext.Namespace;
import org.junit.jupiter.api.extension.ParameterContext;
import org.junit.jupiter.api.extension.ParameterResolver;

/** Gives tests one MariaDB that all test classes share; it ends after the last test. For the profile {@code mariadb}. */
public final class MariaDbExtension implements ParameterResolver {

    @Override
    public boolean supportsParameter(ParameterContext parameter, ExtensionContext extension) {
        return parameter.getParameter().getType() == EmbeddedMariaDb.class;
    }

    @Override
    public Object resolveParameter(ParameterContext parameter, ExtensionContext extension) {
        return extension
                .getRoot()
                .getStore(Namespace.create(MariaDbExtension.class))
                .computeIfAbsent(
                        EmbeddedMariaDb.class,
                        key -> {
                            EmbeddedMariaDb started = EmbeddedMariaDb.start();
                            System.out.printf("MariaDB %s at %s%n", started.version(), started.jdbcUrl());
                            return started;
                        },
                        EmbeddedMariaDb.class);
    }
}
