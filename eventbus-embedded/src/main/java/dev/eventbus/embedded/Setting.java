package dev.eventbus.embedded;

import java.util.Locale;
import java.util.Optional;
import java.util.function.UnaryOperator;
import org.jspecify.annotations.Nullable;

/** Reads a setting from a system property, else from the environment: {@code eventbus.servers}, EVENTBUS_SERVERS. */
record Setting(UnaryOperator<@Nullable String> properties, UnaryOperator<@Nullable String> environment) {

    static Setting ofThisJvm() {
        return new Setting(System::getProperty, System::getenv);
    }

    Optional<String> find(String name) {
        return present(properties.apply(name)).or(() -> present(environment.apply(variable(name))));
    }

    String require(String name) {
        return find(name)
                .orElseThrow(() -> new EmbeddedServerException(
                        "-Deventbus.servers=external needs the system property %s or the environment variable %s"
                                .formatted(name, variable(name))));
    }

    private static String variable(String name) {
        return name.toUpperCase(Locale.ROOT).replace('.', '_').replace('-', '_');
    }

    private static Optional<String> present(@Nullable String value) {
        return Optional.ofNullable(value).filter(text -> !text.isBlank());
    }
}
