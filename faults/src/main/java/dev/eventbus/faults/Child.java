package dev.eventbus.faults;

import static java.nio.charset.StandardCharsets.UTF_8;

import dev.eventbus.faults.crash.Signals;
import java.io.IOException;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;

/** A JVM that ends with this one. Thread-safe. */
final class Child {

    private static final Duration CLOSES_WITHIN = Duration.ofSeconds(25);
    private static final Duration DIES_WITHIN = Duration.ofSeconds(10);

    private final Process process;
    private final Watchdog watchdog;

    private Child(Process process, Watchdog watchdog) {
        this.process = process;
        this.watchdog = watchdog;
    }

    /** @param log where it writes, after what others wrote */
    static Child start(Class<?> main, List<String> jvm, List<String> arguments, Path log, Watchdog watchdog) {
        List<String> command = new ArrayList<>();
        command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
        // short-lived and many on few cores: they need no second compiler and no parallel collector
        command.addAll(List.of("-Xmx160m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"));
        command.addAll(jvm);
        command.addAll(List.of("-cp", System.getProperty("java.class.path"), main.getName()));
        command.addAll(arguments);
        try {
            Process process = new ProcessBuilder(command)
                    .redirectErrorStream(true)
                    .redirectOutput(ProcessBuilder.Redirect.appendTo(log.toFile()))
                    .start();
            watchdog.watch(process.pid());
            return new Child(process, watchdog);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    boolean isAlive() {
        return process.isAlive();
    }

    /** Once it has ended. */
    int exitCode() {
        return process.exitValue();
    }

    boolean endsWithin(Duration limit) throws InterruptedException {
        boolean ended = process.waitFor(limit.toMillis(), TimeUnit.MILLISECONDS);
        if (ended) {
            watchdog.forget(process.pid());
        }
        return ended;
    }

    /** SIGKILL; returns when it is gone. */
    void kill() throws InterruptedException {
        process.destroyForcibly();
        if (!endsWithin(DIES_WITHIN)) {
            throw new IllegalStateException("still there: " + process);
        }
    }

    /** SIGSTOP. Returns whether it was there: it may end by itself just now. */
    boolean freezes() {
        try {
            Signals.send("STOP", process.pid());
            return true;
        } catch (IllegalStateException e) {
            if (process.isAlive()) {
                throw e;
            }
            return false;
        }
    }

    /** SIGCONT. */
    void thaw() {
        Signals.send("CONT", process.pid());
    }

    /** SIGQUIT: a JVM writes its threads to its standard output. */
    void dumpThreads() {
        Signals.send("QUIT", process.pid());
    }

    /** A line that it hears. */
    void say(String line) throws IOException {
        OutputStream hears = process.getOutputStream();
        hears.write((line + '\n').getBytes(UTF_8));
        hears.flush();
    }

    /** Ends it in order; kills it if that takes too long. Returns whether it took too long. */
    boolean close() throws IOException, InterruptedException {
        process.getOutputStream().close();
        if (endsWithin(CLOSES_WITHIN)) {
            return false;
        }
        kill();
        return true;
    }
}
