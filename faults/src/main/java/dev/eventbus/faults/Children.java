package dev.eventbus.faults;

import static java.nio.charset.StandardCharsets.UTF_8;

import com.zaxxer.hikari.HikariConfig;
import com.zaxxer.hikari.HikariDataSource;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.function.Consumer;

/** What the main classes of child processes have in common. */
final class Children {

    private static final Duration CONNECTS_WITHIN = Duration.ofSeconds(10);

    private Children() {}

    /** Hands what the parent says to somebody, until it says no more or is gone; only what it asks in a soak is answered here. */
    static void awaitEndOfInput(Consumer<String> command) {
        try (BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, UTF_8))) {
            for (String line = lines.readLine(); line != null; line = lines.readLine()) {
                if (line.startsWith(Soak.USAGE)) {
                    Usage.ofThisJvm().appendTo(Path.of(line.substring(Soak.USAGE.length())));
                } else {
                    command.accept(line);
                }
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** A pool as an application has one; the database need not be there yet. */
    static HikariDataSource pool(String url, String user, String password, int connections) {
        HikariConfig config = new HikariConfig();
        config.setJdbcUrl(url);
        config.setUsername(user);
        config.setPassword(password);
        config.setMaximumPoolSize(connections);
        config.setMinimumIdle(0);
        config.setConnectionTimeout(CONNECTS_WITHIN.toMillis());
        config.setInitializationFailTimeout(-1);
        return new HikariDataSource(config);
    }
}
