package dev.eventbus.faults;

import static java.nio.charset.StandardCharsets.US_ASCII;

import java.io.BufferedWriter;
import java.io.IOException;
import java.io.OutputStreamWriter;
import java.io.UncheckedIOException;

/**
 * Kills what is left when this JVM is gone, however it went, also children that are frozen then. A shell that remembers pids and
 * waits for the end of its standard input, of which this JVM holds the other end. Thread-safe.
 */
final class Watchdog implements AutoCloseable {

    private static final String SCRIPT = """
            trap '' HUP INT TERM
            pids=' '
            while read -r sign pid; do
              case "$sign" in
                +) pids="$pids$pid " ;;
                -) case "$pids" in *" $pid "*) pids="${pids%%" $pid "*} ${pids#*" $pid "}" ;; esac ;;
              esac
            done
            for pid in $pids; do kill -KILL "$pid"; done
            """;

    private final BufferedWriter shell;

    private Watchdog(BufferedWriter shell) {
        this.shell = shell;
    }

    static Watchdog start() throws IOException {
        Process process = new ProcessBuilder("sh", "-c", SCRIPT)
                .redirectOutput(ProcessBuilder.Redirect.DISCARD)
                .redirectError(ProcessBuilder.Redirect.DISCARD)
                .start();
        return new Watchdog(new BufferedWriter(new OutputStreamWriter(process.getOutputStream(), US_ASCII)));
    }

    /** A process is to be killed if it is left. */
    void watch(long pid) {
        say("+ " + pid);
    }

    /** A process is gone, its pid may be another's. */
    void forget(long pid) {
        say("- " + pid);
    }

    private synchronized void say(String line) {
        try {
            shell.write(line + '\n');
            shell.flush();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    @Override
    public synchronized void close() throws IOException {
        shell.close();
    }
}
