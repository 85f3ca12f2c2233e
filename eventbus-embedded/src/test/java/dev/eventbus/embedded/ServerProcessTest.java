package dev.eventbus.embedded;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ServerProcessTest {

    private static final Duration SOON = Duration.ofSeconds(20);

    @TempDir
    private Path folder;

    @Test
    void the_pid_is_the_servers_own_and_its_children_are_its_own() {
        ServerProcess server = start("echo $$; sleep 600 & wait");

        // before the shell has become the server, the watcher is a child of it too
        assertThat(Await.until(SOON, () -> written().equals(Long.toString(server.pid()))))
                .isTrue();
        assertThat(Await.until(SOON, () -> children(server).size() == 1)).isTrue();
        server.kill();
    }

    @Test
    void a_kill_takes_the_children_along() {
        ServerProcess server = start("sleep 600 & sleep 600 & wait");
        assertThat(Await.until(SOON, () -> children(server).size() == 2)).isTrue();
        List<ProcessHandle> children = children(server);

        server.kill();

        assertThat(server.isAlive()).isFalse();
        assertThat(children).allMatch(ServerProcess::isGone);
        server.kill(); // harmless
    }

    @Test
    void a_thread_that_was_interrupted_kills_too_and_is_interrupted_as_before() {
        ServerProcess server = start("sleep 600 & wait");
        assertThat(Await.until(SOON, () -> children(server).size() == 1)).isTrue();
        List<ProcessHandle> children = children(server);

        Thread.currentThread().interrupt();
        server.kill();

        assertThat(Thread.interrupted()).isTrue();
        assertThat(server.isAlive()).isFalse();
        assertThat(children).allMatch(ServerProcess::isGone);
    }

    @Test
    void a_clean_up_that_fails_does_not_hide_why_there_was_one() {
        IllegalStateException why = new IllegalStateException("did not start");
        List<String> done = new ArrayList<>();

        boolean isClean = ServerProcess.cleanUpAfter(
                why,
                () -> {
                    throw new EmbeddedServerException("still runs");
                },
                () -> done.add("deleted"));

        assertThat(isClean).isFalse();
        assertThat(why.getSuppressed()).extracting(Throwable::getMessage).containsExactly("still runs");
        assertThat(done).containsExactly("deleted");
        assertThat(ServerProcess.cleanUpAfter(why, () -> done.add("again"))).isTrue();
    }

    @Test
    void an_exit_code_comes_through() {
        ServerProcess server = start("exit 7");

        assertThat(server.awaitExit(SOON)).isTrue();
        assertThat(server.exitCode()).isEqualTo(7);
    }

    @Test
    void a_frozen_server_ignores_a_signal_until_it_goes_on() {
        ServerProcess server = start("trap 'exit 3' TERM; echo up; while :; do sleep 0.05; done");
        assertThat(Await.until(SOON, () -> written().equals("up"))).isTrue();

        server.pause();
        server.signal("TERM");
        assertThat(server.awaitExit(Duration.ofMillis(200))).isFalse();
        server.resume();

        assertThat(server.awaitExit(SOON)).isTrue();
        assertThat(server.exitCode()).isEqualTo(3);
    }

    @Test
    void no_watcher_is_left_when_the_server_is_gone() {
        String mark = "mark-" + ProcessHandle.current().pid();
        ServerProcess server = ServerProcess.start(List.of("sh", "-c", "sleep 600", mark), "KILL", log());
        assertThat(Await.until(SOON, () -> processesMarked(mark) > 0)).isTrue();

        server.kill();

        assertThat(Await.until(SOON, () -> processesMarked(mark) == 0)).isTrue();
    }

    private static long processesMarked(String mark) {
        return ProcessHandle.allProcesses()
                .filter(process -> process.info().commandLine().orElse("").contains(mark))
                .count();
    }

    private static List<ProcessHandle> children(ServerProcess server) {
        return ProcessHandle.of(server.pid()).stream()
                .flatMap(ProcessHandle::children)
                .toList();
    }

    private ServerProcess start(String script) {
        return ServerProcess.start(List.of("sh", "-c", script), "KILL", log());
    }

    private String written() {
        try {
            return Files.readString(log()).strip();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private Path log() {
        return folder.resolve("log");
    }

    @Test
    void all_of_a_clean_up_is_done_whatever_one_part_throws() {
        List<String> done = new ArrayList<>();
        Stream<Runnable> cleanups = Stream.of("a", "b", "c").map(part -> () -> {
            done.add(part);
            if (!part.equals("b")) {
                throw new IllegalStateException(part + " stays");
            }
        });

        assertThatThrownBy(() -> ServerProcess.despiteFailures(cleanups))
                .hasMessage("a stays")
                .satisfies(e -> assertThat(e.getSuppressed())
                        .extracting(Throwable::getMessage)
                        .containsExactly("c stays"));
        assertThat(done).containsExactly("a", "b", "c");
    }
}
