package dev.eventbus.it.consumer;

import dev.eventbus.faults.crash.HaltPoint;
import dev.eventbus.faults.crash.Signals;
import dev.eventbus.it.Scene;
import dev.eventbus.topics.KafkaCluster;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * A runner in a JVM of its own, which may end any moment. It is closed in order when its standard input ends, and so ends with this
 * JVM.
 */
final class ConsumerProcess implements AutoCloseable {

    // How lines for the parent begin; others are the child's log.
    static final String STARTED = "@started ";
    static final String STATUS = "@status ";
    static final String ASSIGNED = "@assigned ";

    /** Session time-out of a process that is to die: it is missed soon, and also when it only stands still for so long. */
    static final Duration MISSED_SOON = Duration.ofMillis(1_500);

    /** Session time-out of a process that is to stay a member until it says otherwise. */
    static final Duration MISSED_LATE = Duration.ofSeconds(10);

    private static final int LOG_LINES = 40;
    private static final Duration END_TAKES_AT_MOST = Duration.ofSeconds(60);

    private final Process process;
    private final List<String> started = new CopyOnWriteArrayList<>();
    private volatile String status = "";
    private final AtomicInteger assigned = new AtomicInteger();
    private volatile boolean frozen;

    /** Last lines of the log; guarded by itself. */
    private final Deque<String> log = new ArrayDeque<>();

    private ConsumerProcess(Process process) {
        this.process = process;
        Thread reader = new Thread(this::read, "consumer-" + process.pid());
        reader.setDaemon(true);
        reader.start();
    }

    /** A runner of the scene's topics with an inbox in its database; see {@link ConsumerMain}. */
    static ConsumerProcess start(Scene scene, String group, Duration sessionTimeout, String... jvmArguments) {
        return start(
                scene,
                group,
                "session.timeout.ms=%d;heartbeat.interval.ms=300".formatted(sessionTimeout.toMillis()),
                jvmArguments);
    }

    /** @param settings of Kafka's clients, as {@link #cluster} takes them */
    static ConsumerProcess start(Scene scene, String group, String settings, String... jvmArguments) {
        List<String> command = new ArrayList<>();
        command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
        // short-lived and many on few cores: they need no second compiler and no parallel collector
        command.addAll(List.of("-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"));
        command.addAll(List.of(jvmArguments));
        command.addAll(List.of("-cp", System.getProperty("java.class.path"), ConsumerMain.class.getName()));
        command.addAll(List.of(
                scene.database().getJdbcUrl(),
                scene.database().getUsername(),
                scene.database().getPassword(),
                scene.kafka().bootstrapServers(),
                scene.kafka().physicalTopic(""),
                group,
                settings));
        try {
            return new ConsumerProcess(
                    new ProcessBuilder(command).redirectErrorStream(true).start());
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** @param settings such as {@code group.protocol=classic;session.timeout.ms=3000} */
    static KafkaCluster cluster(String bootstrapServers, String topicPrefix, String settings) {
        Map<String, Object> all = new HashMap<>(Map.of("bootstrap.servers", bootstrapServers));
        for (String setting : settings.split(";")) {
            all.put(setting.substring(0, setting.indexOf('=')), setting.substring(setting.indexOf('=') + 1));
        }
        return KafkaCluster.of(all).topicPrefix(topicPrefix);
    }

    private void read() {
        try (BufferedReader lines = process.inputReader(StandardCharsets.UTF_8)) {
            for (String line; (line = lines.readLine()) != null; ) {
                hear(line);
            }
        } catch (IOException e) {
            note("its output broke: " + e);
        }
    }

    private void hear(String line) {
        if (line.startsWith(STARTED)) {
            started.add(line.substring(STARTED.length()));
        } else if (line.startsWith(STATUS)) {
            status = line.substring(STATUS.length());
        } else if (line.startsWith(ASSIGNED)) {
            assigned.addAndGet(Integer.parseInt(line.substring(ASSIGNED.length())));
        } else if (line.equals(HaltPoint.FREEZES)) {
            frozen = true;
        } else {
            note(line);
        }
    }

    private void note(String line) {
        synchronized (log) {
            log.add(line);
            if (log.size() > LOG_LINES) {
                log.remove();
            }
        }
    }

    /** Ids of events whose handler was started, in that order. */
    List<String> started() {
        return started;
    }

    /** Status of its runner, as it said last. */
    String status() {
        return status;
    }

    /** How many partitions have been assigned to it in all. */
    int assigned() {
        return assigned.get();
    }

    /** Whether it has come to the {@link HaltPoint} at which it freezes. */
    boolean isFrozen() {
        return frozen;
    }

    /** SIGCONT: goes on as if nothing had been. */
    void thaw() {
        Signals.send("CONT", process.pid());
    }

    /** SIGTERM; does not wait. Its standard input stays open, which {@link Process#destroy} would end too. */
    void terminate() {
        Signals.send("TERM", process.pid());
    }

    /** Once it has ended. */
    int exitCode() {
        return process.exitValue();
    }

    boolean isAlive() {
        return process.isAlive();
    }

    /** Whether it has ended by itself within this time. */
    boolean endsWithin(Duration limit) throws InterruptedException {
        return process.waitFor(limit.toMillis(), TimeUnit.MILLISECONDS);
    }

    /** SIGKILL; returns when it is gone. */
    void kill() throws InterruptedException {
        process.destroyForcibly();
        if (!endsWithin(END_TAKES_AT_MOST)) {
            throw new AssertionError("still there: " + this);
        }
    }

    /** Ends it in order, if it still runs. */
    @Override
    public void close() throws IOException, InterruptedException {
        if (isAlive()) {
            if (frozen) {
                thaw();
            }
            process.getOutputStream().close();
            if (!endsWithin(END_TAKES_AT_MOST)) {
                process.destroyForcibly();
            }
        }
    }

    @Override
    public String toString() {
        synchronized (log) {
            return "consumer %d, %s, started %s, its log: %s"
                    .formatted(process.pid(), isAlive() ? "alive" : "ended", started, String.join("\n", log));
        }
    }
}
