package dev.eventbus.faults;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class UsageTest {

    @TempDir
    private Path folder;

    @Test
    void what_a_process_tells_of_itself_is_read_in_the_order_of_the_telling() throws IOException {
        Path file = folder.resolve("relay-0.usage");
        Usage first = new Usage(20 << 20, 14, 31);
        Usage second = new Usage(21 << 20, 14, 30);
        first.appendTo(file);
        second.appendTo(file);
        assertThat(Usage.readFrom(file)).containsExactly(first, second);
    }

    @Test
    void an_open_file_and_kept_bytes_are_seen() throws IOException {
        Usage before = Usage.ofThisJvm();
        byte[] kept = new byte[32 << 20];
        try (var open = Files.newOutputStream(folder.resolve("open"))) {
            open.write(kept[0]);
            Usage now = Usage.ofThisJvm();
            assertThat(now.descriptors()).isGreaterThan(before.descriptors());
            assertThat(now.heap() - before.heap()).isGreaterThan(kept.length / 2);
        }
    }
}
