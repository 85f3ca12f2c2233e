package dev.eventbus.embedded;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.io.Writer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import org.jspecify.annotations.Nullable;

/**
 * One broker and controller in a child JVM. Its ports, data and log stay the same over any number of restarts.
 *
 * <p>Thread-safe.
 */
final class KafkaNode {

    private static final Duration READY_WITHIN = Duration.ofSeconds(60);
    private static final Duration STOPPED_WITHIN = Duration.ofSeconds(30);

    private final NodeAddresses addresses;
    private final BrokerRuntime runtime;
    private final String clusterId;
    private final WorkFolder work;
    private final Path config;
    private final Path ready;
    private int runs; // guarded by this
    private @Nullable ServerProcess process; // guarded by this

    KafkaNode(NodeAddresses addresses, BrokerRuntime runtime, String clusterId, WorkFolder work) {
        this.addresses = addresses;
        this.runtime = runtime;
        this.clusterId = clusterId;
        this.work = work;
        this.config = work.config().resolve(name() + ".properties");
        this.ready = work.config().resolve(name() + ".ready");
    }

    static Path data(WorkFolder work, int node) {
        return work.data().resolve("node-" + node);
    }

    void configure(Map<String, String> properties) {
        Properties written = new Properties();
        written.putAll(properties);
        try (Writer writer = Files.newBufferedWriter(config)) {
            written.store(writer, null);
        } catch (IOException e) {
            throw new UncheckedIOException("Cannot write " + config, e);
        }
    }

    /** Starts the process and does not wait: a quorum of nodes comes up only together. */
    synchronized void launch() {
        if (process != null && process.isAlive()) {
            throw new IllegalStateException("Kafka " + name() + " runs already, as process " + process.pid());
        }
        try {
            Files.deleteIfExists(ready);
        } catch (IOException e) {
            throw new UncheckedIOException("Cannot delete " + ready, e);
        }
        List<String> command = List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-Xmx256m",
                "-XX:+UseSerialGC",
                "-XX:TieredStopAtLevel=1",
                "-XX:-UsePerfData",
                "-cp",
                runtime.classPath(),
                BrokerRuntime.MAIN_CLASS,
                config.toString(),
                clusterId,
                ready.toString());
        runs++;
        process = ServerProcess.start(command, "KILL", log());
        work.isNeededBy(process);
    }

    void awaitReady() {
        ServerProcess started = running();
        boolean answered = Await.until(READY_WITHIN, () -> Files.exists(ready) || !started.isAlive());
        if (!started.isAlive()) {
            throw work.failure(
                    "Kafka %s ended with exit code %d before it was ready".formatted(name(), started.exitCode()),
                    log());
        }
        if (!answered) {
            throw work.failure("Kafka %s was not ready within %d s".formatted(name(), READY_WITHIN.toSeconds()), log());
        }
        work.startedWell();
    }

    /** Whether the log says that another process took one of the ports in the moment before the node bound it. */
    boolean metPortClash() {
        return WorkFolder.tellsPortClash(log());
    }

    /** SIGTERM: hands leadership over, flushes, leaves. */
    synchronized void stop() {
        ServerProcess stopped = running();
        stopped.signal("TERM");
        stopped.resume();
        if (!stopped.awaitExit(STOPPED_WITHIN)) {
            stopped.kill();
            throw work.failure(
                    "Kafka %s did not stop within %d s of SIGTERM and was killed"
                            .formatted(name(), STOPPED_WITHIN.toSeconds()),
                    log());
        }
    }

    synchronized void kill() {
        if (process != null) {
            process.kill();
        }
    }

    synchronized void pause() {
        running().pause();
    }

    synchronized void resume() {
        running().resume();
    }

    synchronized boolean isAlive() {
        return process != null && process.isAlive();
    }

    synchronized long pid() {
        return running().pid();
    }

    NodeAddresses addresses() {
        return addresses;
    }

    private synchronized ServerProcess running() {
        if (process == null) {
            throw new IllegalStateException("Kafka " + name() + " was never started");
        }
        return process;
    }

    /** Each run has a log of its own, so that an old failure is not taken for a new one. */
    private synchronized Path log() {
        return work.logs().resolve("%s-run-%d.log".formatted(name(), runs));
    }

    private String name() {
        return "node-" + addresses.node();
    }
}
