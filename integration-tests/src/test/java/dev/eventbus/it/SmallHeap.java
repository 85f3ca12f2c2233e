package dev.eventbus.it;

import static dev.eventbus.it.Events.ASSET_UPDATED;

import com.zaxxer.hikari.HikariConfig;
import com.zaxxer.hikari.HikariDataSource;
import dev.eventbus.consumer.AfterRetries;
import dev.eventbus.consumer.ConsumerRunner;
import dev.eventbus.outbox.JdbcOutbox;
import dev.eventbus.outbox.OutboxRelay;
import dev.eventbus.topics.KafkaCluster;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.locks.LockSupport;
import java.util.stream.Stream;

/** A relay and a runner in a JVM of their own with a heap of 128 MB, which say how they are until its standard input ends. */
final class SmallHeap implements AutoCloseable {

    private static final String HEALTH = "@health ";
    private static final Duration BETWEEN_LOOKS = Duration.ofMillis(200);

    private final Process process;
    private final StringBuffer log = new StringBuffer();
    private volatile String health = "";

    private SmallHeap(Process process) {
        this.process = process;
        Thread reader = new Thread(this::read, "small-heap-" + process.pid());
        reader.setDaemon(true);
        reader.start();
    }

    static SmallHeap start(Scene scene, String bootstrapServers) throws IOException {
        List<String> command = List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-Xmx128m",
                "-XX:+UseSerialGC",
                "-XX:TieredStopAtLevel=1",
                "-cp",
                System.getProperty("java.class.path"),
                SmallHeap.class.getName(),
                scene.database().getJdbcUrl(),
                scene.database().getUsername(),
                scene.database().getPassword(),
                bootstrapServers);
        return new SmallHeap(
                new ProcessBuilder(command).redirectErrorStream(true).start());
    }

    private void read() {
        try (Stream<String> lines = process.inputReader(StandardCharsets.UTF_8).lines()) {
            lines.forEach(line -> {
                if (line.startsWith(HEALTH)) {
                    health = line.substring(HEALTH.length());
                } else {
                    log.append(line).append('\n');
                }
            });
        } catch (UncheckedIOException e) {
            log.append(e);
        }
    }

    /** What both said last of their health, the relay's first. */
    String health() {
        return health;
    }

    /** What it has written beside that. */
    String log() {
        return log.toString();
    }

    @Override
    public void close() {
        process.destroyForcibly();
    }

    /** @param arguments JDBC address, user, password, bootstrap servers */
    public static void main(String[] arguments) throws IOException {
        HikariConfig pool = new HikariConfig();
        pool.setJdbcUrl(arguments[0]);
        pool.setUsername(arguments[1]);
        pool.setPassword(arguments[2]);
        KafkaCluster kafka = KafkaCluster.at(arguments[3]);
        try (HikariDataSource database = new HikariDataSource(pool);
                OutboxRelay relay = OutboxRelay.builder(JdbcOutbox.postgres(), database, kafka)
                        .build();
                ConsumerRunner runner = ConsumerRunner.builder(kafka, "calculator")
                        .on(ASSET_UPDATED, (event, delivery) -> {})
                        .afterRetries(AfterRetries.deadLetter("dlq.events"))
                        .build()) {
            relay.start();
            runner.start();
            while (System.in.available() == 0) {
                System.out.println(HEALTH + relay.health() + " | " + runner.health());
                LockSupport.parkNanos(BETWEEN_LOOKS.toNanos());
            }
        }
    }
}
