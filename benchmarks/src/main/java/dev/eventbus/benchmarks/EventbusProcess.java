package dev.eventbus.benchmarks;

import static java.nio.charset.StandardCharsets.US_ASCII;

import dev.eventbus.outbox.JdbcOutbox;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.SQLException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;

/** Us, with the relay in a JVM of its own, which hears nothing of our commits. */
final class EventbusProcess implements Contestant {

    private static final long ENDS_WITHIN_SECONDS = 20;

    private final String name;
    private final String heap;

    /** @param heap as in {@code -Xmx} */
    EventbusProcess(String name, String heap) {
        this.name = name;
        this.heap = heap;
    }

    @Override
    public String name() {
        return name;
    }

    @Override
    public void createTables(Servers servers) throws SQLException {
        EventbusRelay.createOutbox(servers);
    }

    @Override
    public void empty(Servers servers) throws SQLException {
        EventbusRelay.emptyOutbox(servers);
    }

    @Override
    public void fill(Connection tx, String topic, long from, long to) throws SQLException {
        EventbusRelay.fillOutbox(tx, topic, from, to);
    }

    @Override
    public Running start(Servers servers, String topic) throws IOException {
        Process process = new ProcessBuilder(
                        Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                        "-Xmx" + heap,
                        "-XX:+ExitOnOutOfMemoryError",
                        "-cp",
                        System.getProperty("java.class.path"),
                        RelayProcess.class.getName(),
                        servers.postgres().jdbcUrl(),
                        servers.postgres().user(),
                        servers.postgres().password(),
                        servers.bootstrapServers())
                .redirectError(ProcessBuilder.Redirect.INHERIT)
                .start();
        return new Child(servers, topic, process);
    }

    private static final class Child implements Running {

        private final Servers servers;
        private final String topic;
        private final Process process;
        private final AtomicLong settled = new AtomicLong();
        private final Thread reader = new Thread(this::read, "relay-process");

        Child(Servers servers, String topic, Process process) {
            this.servers = servers;
            this.topic = topic;
            this.process = process;
            reader.start();
        }

        private void read() {
            try (BufferedReader lines = process.inputReader(US_ASCII)) {
                for (String line = lines.readLine(); line != null; line = lines.readLine()) {
                    settled.addAndGet(Long.parseLong(line));
                }
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        }

        @Override
        public Publishing publishing() throws SQLException {
            return new EventbusPublishing(servers.connect(), JdbcOutbox.postgres(), topic, () -> {});
        }

        @Override
        public long settled() {
            if (!process.isAlive()) {
                throw new IllegalStateException("the relay's JVM has ended with code " + process.exitValue());
            }
            return settled.get();
        }

        @Override
        public void close() throws IOException, InterruptedException {
            process.getOutputStream().close();
            if (!process.waitFor(ENDS_WITHIN_SECONDS, TimeUnit.SECONDS)) {
                process.destroyForcibly();
            }
            reader.join();
        }
    }
}
