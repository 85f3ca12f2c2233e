package dev.eventbus.embedded;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.BufferedReader;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class LeavesNothingRunningIT {

    @Test
    void servers_end_with_a_jvm_that_is_killed_even_those_that_are_frozen_and_the_next_start_deletes_their_folders(
            @TempDir Path temporary) throws Exception {
        Process jvm = OwnJvm.start(temporary, ServersMain.class);
        List<ProcessHandle> servers = new ArrayList<>();
        try (BufferedReader told = jvm.inputReader()) {
            for (String line = told.readLine(); line != null && !line.equals("all"); line = told.readLine()) {
                if (line.chars().allMatch(Character::isDigit)) {
                    ProcessHandle.of(Long.parseLong(line)).ifPresent(servers::add);
                }
            }
            WorkFolder.create(temporary, "postgres").delete();
            assertThat(foldersIn(temporary)).as("of servers that run").hasSize(3);
        } finally {
            jvm.destroyForcibly();
        }

        assertThat(servers).hasSizeGreaterThan(10); // a broker, two postmasters and their children
        assertThat(Await.until(Duration.ofSeconds(20), () -> servers.stream().allMatch(ServerProcess::isGone)))
                .as("all gone: %s", servers)
                .isTrue();
        jvm.waitFor();
        WorkFolder next = WorkFolder.create(temporary, "kafka");
        assertThat(foldersIn(temporary)).as("of servers that are gone").containsExactly(next.root());
        next.delete();
    }

    private static List<Path> foldersIn(Path temporary) throws IOException {
        try (Stream<Path> all = Files.list(temporary)) {
            return all.filter(path -> path.getFileName().toString().startsWith("eventbus-"))
                    .toList();
        }
    }
}
