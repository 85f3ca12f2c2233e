package dev.eventbus.it.outbox;

import dev.eventbus.faults.crash.CrashPoint;
import dev.eventbus.faults.crash.Signals;
import dev.eventbus.it.Scene;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Deque;
import java.util.List;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.stream.Collectors;

/**
 * A relay in a JVM of its own, to be frozen, thawed and killed. It is closed in order when its standard input ends, and so ends with
 * this JVM, unless it is frozen at that moment.
 *
 * <pre>{@code
 * try (RelayProcess relay = RelayProcess.start(scene, Duration.ofSeconds(2), "-Duser.timezone=Asia/Seoul")) {
 *   ...
 *   relay.kill();
 * }
 * }</pre>
 */
public final class RelayProcess implements AutoCloseable {

    // How lines for the parent begin; others are the child's log.
    static final String SHARDS = "@shards ";
    static final String RELAYED = "@relayed ";
    static final String DELETED_BY_OTHERS = "@deletedByOthers ";
    static final String FAILED = "@failed ";
    static final String BLOCKED = "@blocked";

    private static final int LOG_LINES = 30;
    private static final Duration END_TAKES_AT_MOST = Duration.ofSeconds(120);

    private final Process process;
    private final AtomicLong relayed = new AtomicLong();
    private final AtomicLong deletedByOthers = new AtomicLong();
    private volatile Set<Integer> owned = Set.of();
    private volatile boolean lingering;
    private final AtomicLong blocked = new AtomicLong();

    /** Last lines of the log; guarded by itself. */
    private final Deque<String> log = new ArrayDeque<>();

    private RelayProcess(Process process) {
        this.process = process;
        Thread reader = new Thread(this::read, "relay-" + process.pid());
        reader.setDaemon(true);
        reader.start();
    }

    /** A relay of the scene's outbox that halts or freezes at a point such as {@code AFTER_SEND:10}; see {@link CrashPoint}. */
    static RelayProcess startToCrash(Scene scene, Duration lease, String crash) {
        return start(scene, lease, "-D%s=%s".formatted(CrashPoint.PROPERTY, crash));
    }

    /** A relay of the scene's outbox. */
    public static RelayProcess start(Scene scene, Duration lease, String... jvmArguments) {
        List<String> command = new ArrayList<>();
        command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
        // short-lived and many on few cores: they need no second compiler and no parallel collector
        command.addAll(List.of("-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"));
        command.addAll(List.of(jvmArguments));
        command.addAll(List.of("-cp", System.getProperty("java.class.path"), RelayMain.class.getName()));
        command.addAll(List.of(
                scene.database().getJdbcUrl(),
                scene.database().getUsername(),
                scene.database().getPassword(),
                scene.kafka().bootstrapServers(),
                scene.kafka().physicalTopic(""),
                lease.toString()));
        try {
            return new RelayProcess(
                    new ProcessBuilder(command).redirectErrorStream(true).start());
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
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
        if (line.startsWith(RELAYED)) {
            relayed.addAndGet(Long.parseLong(line.substring(RELAYED.length())));
        } else if (line.startsWith(DELETED_BY_OTHERS)) {
            deletedByOthers.addAndGet(Long.parseLong(line.substring(DELETED_BY_OTHERS.length())));
        } else if (line.equals(CrashPoint.LINGERS)) {
            lingering = true;
        } else if (line.equals(BLOCKED)) {
            blocked.incrementAndGet();
        } else if (line.startsWith(SHARDS)) {
            owned = Arrays.stream(line.substring(SHARDS.length()).split(","))
                    .filter(shard -> !shard.isEmpty())
                    .map(Integer::valueOf)
                    .collect(Collectors.toUnmodifiableSet());
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

    public long pid() {
        return process.pid();
    }

    public boolean isAlive() {
        return process.isAlive();
    }

    /** Shards that it owned when it last said so; what it said before it was killed stays. */
    public Set<Integer> owned() {
        return owned;
    }

    /** Keys that it has blocked. */
    long blocked() {
        return blocked.get();
    }

    /** Whether it has come to a place at which it lingers. */
    boolean lingers() {
        return lingering;
    }

    /** Events that Kafka has acknowledged to it and whose rows it deleted. */
    public long relayed() {
        return relayed.get();
    }

    /** Rows that it found deleted by others. */
    public long deletedByOthers() {
        return deletedByOthers.get();
    }

    /** SIGSTOP: frozen, with its connections open. */
    public void freeze() {
        Signals.send("STOP", pid());
    }

    /** SIGCONT: goes on as if nothing had been. */
    public void thaw() {
        Signals.send("CONT", pid());
    }

    /** SIGKILL; returns when it is gone. */
    public void kill() throws InterruptedException {
        process.destroyForcibly();
        awaitEnd();
    }

    /** Waits until it is gone. Returns its exit code. */
    public int awaitEnd() throws InterruptedException {
        if (!process.waitFor(END_TAKES_AT_MOST.toMillis(), TimeUnit.MILLISECONDS)) {
            throw new AssertionError("still there after " + END_TAKES_AT_MOST + ": " + this);
        }
        return process.exitValue();
    }

    /** Ends it in order, if it still runs. */
    @Override
    public void close() throws IOException, InterruptedException {
        if (!isAlive()) {
            return;
        }
        thaw();
        process.getOutputStream().close();
        if (!process.waitFor(END_TAKES_AT_MOST.toMillis(), TimeUnit.MILLISECONDS)) {
            process.destroyForcibly();
        }
    }

    @Override
    public String toString() {
        synchronized (log) {
            return "relay %d, %s, owns %s, relayed %d, its log: %s"
                    .formatted(pid(), isAlive() ? "alive" : "ended", owned, relayed(), String.join("\n", log));
        }
    }
}
