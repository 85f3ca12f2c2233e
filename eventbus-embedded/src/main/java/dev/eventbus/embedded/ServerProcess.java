package dev.eventbus.embedded;

import static java.util.stream.Collectors.joining;

import java.io.IOException;
import java.lang.ref.Reference;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;

/**
 * A server's child process, which never outlives this JVM, even one that was killed by SIGKILL while the child was
 * frozen by SIGSTOP.
 *
 * <p>The trick is a watcher. The process starts as a shell, which first leaves a watcher behind and then becomes the
 * server ({@code exec} keeps the pid, so {@link #pid()} is the server's own). The watcher only waits for the end of its
 * standard input, a pipe whose other end this JVM holds. That end comes when the JVM is gone, however it went, and also
 * when the server is gone, as the JVM then closes the pipe at once; so no watcher is left over either. It
 * then sends the signal that ends the server quickly, wakes it in case it is frozen, and kills what is left after 10 s.
 * The watcher is detached, so a server that counts its children does not meet it, and it ignores a terminal's Ctrl-C.
 *
 * <p>Thread-safe: all state is in the process itself.
 */
final class ServerProcess {

    private static final String SCRIPT = """
            last=$1; shift
            exec 3<&0
            (
              (
                trap '' HUP INT TERM
                while read -r _; do :; done
                kill -"$last" $$; kill -CONT $$
                tries=100
                while [ "$tries" -gt 0 ] && kill -0 $$; do sleep 0.1; tries=$((tries - 1)); done
                kill -KILL $$
              ) <&3 >/dev/null 2>&1 &
            )
            exec "$@" 3<&- </dev/null
            """;

    private static final Duration KILL_TAKES_AT_MOST = Duration.ofSeconds(10);

    private final Process process;

    private ServerProcess(Process process) {
        this.process = process;
    }

    /**
     * Starts a command.
     *
     * @param lastSignal what the watcher sends when this JVM is gone, such as {@code KILL}
     * @param log what the process writes is appended here
     */
    static ServerProcess start(List<String> command, String lastSignal, Path log) {
        List<String> watched = new ArrayList<>(List.of("sh", "-c", SCRIPT, "eventbus-server", lastSignal));
        watched.addAll(command);
        ProcessBuilder builder = new ProcessBuilder(watched);
        // a debugger or agent that was meant for this JVM would be loaded twice
        builder.environment().keySet().removeAll(Set.of("JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS"));
        builder.redirectErrorStream(true);
        builder.redirectOutput(ProcessBuilder.Redirect.appendTo(log.toFile()));
        try {
            return new ServerProcess(builder.start());
        } catch (IOException e) {
            throw new EmbeddedServerException(
                    "Cannot start %s; a POSIX shell is needed (Linux or macOS)".formatted(command.get(0)), e);
        }
    }

    long pid() {
        return process.pid();
    }

    boolean isAlive() {
        return process.isAlive();
    }

    int exitCode() {
        return process.exitValue();
    }

    /** Keeps something from the garbage collector until the process ends, even if nobody has this object any more. */
    @SuppressWarnings("FutureReturnValueIgnored") // it is there to be held by the process's own future, and cannot fail
    void remembers(Object needed) {
        process.onExit().thenRun(() -> Reference.reachabilityFence(needed));
    }

    /** Sends a signal, such as {@code STOP}, to the server only. */
    void signal(String name) {
        send(name, List.of(process.toHandle()));
    }

    boolean awaitExit(Duration atMost) {
        try {
            return process.waitFor(atMost.toMillis(), TimeUnit.MILLISECONDS);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new EmbeddedServerException("Interrupted while waiting for process " + pid() + " to end", e);
        }
    }

    /** Freezes the server and every child of it. */
    void pause() {
        signal("STOP");
        Set<ProcessHandle> frozen = new HashSet<>();
        boolean foundMore;
        do { // the signal is not instant, so a child may have been born after the first look
            List<ProcessHandle> more = process.toHandle()
                    .children()
                    .filter(child -> !frozen.contains(child))
                    .toList();
            send("STOP", more);
            foundMore = frozen.addAll(more);
        } while (foundMore);
    }

    /** Thaws what {@link #pause()} froze; harmless for a server that runs. */
    void resume() {
        send("CONT", process.toHandle().children().toList());
        signal("CONT");
    }

    /** Kills the server and every child of it by SIGKILL and returns when all are gone, whether its thread was interrupted or not. */
    void kill() {
        if (isAlive()) {
            despiteInterrupts(this::killAll);
        }
    }

    /** A test that was interrupted cleans up too. The thread is interrupted afterwards as it was before. */
    static void despiteInterrupts(Runnable cleanup) {
        boolean interrupted = Thread.interrupted();
        try {
            cleanup.run();
        } finally {
            if (interrupted) {
                Thread.currentThread().interrupt();
            }
        }
    }

    /** Does all of a clean-up, whatever one part throws: that is thrown in the end, with the others beside it. */
    static void despiteFailures(Stream<Runnable> cleanups) {
        List<RuntimeException> failures = new ArrayList<>();
        cleanups.forEach(cleanup -> {
            try {
                cleanup.run();
            } catch (RuntimeException e) {
                failures.add(e);
            }
        });
        if (!failures.isEmpty()) {
            RuntimeException first = failures.get(0);
            failures.stream().skip(1).forEach(first::addSuppressed);
            throw first;
        }
    }

    /**
     * Cleans up after a failure as {@link #despiteFailures} does; what that throws goes beside the failure and does not hide it.
     *
     * @return whether nothing was thrown
     */
    static boolean cleanUpAfter(Exception failure, Runnable... cleanups) {
        try {
            despiteFailures(Stream.of(cleanups));
            return true;
        } catch (RuntimeException e) {
            failure.addSuppressed(e);
            return false;
        }
    }

    private void killAll() {
        pause(); // else a child could be born between the look and the shot
        List<ProcessHandle> children = process.toHandle().children().toList();
        process.toHandle().destroyForcibly();
        children.forEach(ProcessHandle::destroyForcibly);
        boolean gone = awaitExit(KILL_TAKES_AT_MOST)
                && Await.until(KILL_TAKES_AT_MOST, () -> children.stream().allMatch(ServerProcess::isGone));
        if (!gone) {
            throw new EmbeddedServerException("Process %d or a child of it is still there %d s after SIGKILL"
                    .formatted(pid(), KILL_TAKES_AT_MOST.toSeconds()));
        }
    }

    /** An orphan that nobody has reaped (some containers have no init) is dead all the same. */
    static boolean isGone(ProcessHandle handle) {
        return !handle.isAlive() || isZombie(handle.pid());
    }

    private static boolean isZombie(long pid) {
        try {
            String stat = Files.readString(Path.of("/proc", Long.toString(pid), "stat"));
            return stat.charAt(stat.lastIndexOf(')') + 2) == 'Z';
        } catch (IOException e) {
            return false; // no /proc here, or the process has just gone: the next look tells
        }
    }

    /** By the shell's own kill: java.lang.Process knows only SIGTERM and SIGKILL, and a system may lack /bin/kill. */
    private static void send(String signal, List<ProcessHandle> targets) {
        if (targets.isEmpty()) {
            return;
        }
        String pids =
                targets.stream().map(target -> Long.toString(target.pid())).collect(joining(" "));
        String command = "kill -" + signal + " " + pids;
        try {
            Process kill = new ProcessBuilder("sh", "-c", command)
                    .redirectErrorStream(true)
                    .redirectOutput(ProcessBuilder.Redirect.DISCARD)
                    .start();
            if (kill.waitFor() != 0 && targets.stream().noneMatch(ServerProcess::isGone)) {
                throw new EmbeddedServerException("Not allowed to: " + command);
            }
        } catch (IOException e) {
            throw new EmbeddedServerException("Cannot run: " + command, e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new EmbeddedServerException("Interrupted while running: " + command, e);
        }
    }
}
