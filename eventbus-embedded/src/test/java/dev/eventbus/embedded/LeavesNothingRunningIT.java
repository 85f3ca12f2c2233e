package dev.eventbus.embedded;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.BufferedReader;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class LeavesNothingRunningIT {

    @Test
    void servers_end_with_a_jvm_that_is_killed_even_those_that_are_frozen(@TempDir Path temporary) throws Exception {
        Process jvm = new ProcessBuilder(
                        Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                        "-Djava.io.tmpdir=" + temporary,
                        "-cp",
                        System.getProperty("java.class.path"),
                        ServersMain.class.getName())
                .redirectError(ProcessBuilder.Redirect.INHERIT)
                .start();
        List<ProcessHandle> servers = new ArrayList<>();
        try (BufferedReader told = jvm.inputReader()) {
            for (String line = told.readLine(); line != null && !line.equals("all"); line = told.readLine()) {
                if (line.chars().allMatch(Character::isDigit)) {
                    ProcessHandle.of(Long.parseLong(line)).ifPresent(servers::add);
                }
            }
        } finally {
            jvm.destroyForcibly();
        }

        assertThat(servers).hasSizeGreaterThan(10); // a broker, two postmasters and their children
        assertThat(Await.until(Duration.ofSeconds(20), () -> servers.stream().allMatch(ServerProcess::isGone)))
                .as("all gone: %s", servers)
                .isTrue();
    }
}
