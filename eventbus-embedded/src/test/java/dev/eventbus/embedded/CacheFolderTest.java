package dev.eventbus.embedded;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CyclicBarrier;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class CacheFolderTest {

    @TempDir
    private Path root;

    @Test
    void unpacks_once() {
        AtomicInteger unpacked = new AtomicInteger();

        for (int i = 0; i < 2; i++) {
            Path folder = CacheFolder.obtain(root, "kafka-1", into -> {
                unpacked.incrementAndGet();
                Files.writeString(into.resolve("jar"), "content");
            });
            assertThat(folder.resolve("jar")).hasContent("content");
        }

        assertThat(unpacked).hasValue(1);
    }

    @Test
    void many_that_unpack_at_once_all_get_the_one_whole_folder() throws Exception {
        int many = 4;
        CyclicBarrier halfWay = new CyclicBarrier(many);
        ExecutorService threads = Executors.newFixedThreadPool(many);
        List<Future<Path>> folders = new ArrayList<>();
        for (int i = 0; i < many; i++) {
            folders.add(threads.submit(() -> CacheFolder.obtain(root, "kafka-1", into -> {
                Files.writeString(into.resolve("first"), "1");
                meet(halfWay);
                Files.writeString(into.resolve("second"), "2");
            })));
        }

        for (Future<Path> folder : folders) {
            assertThat(folder.get(20, TimeUnit.SECONDS)).isEqualTo(root.resolve("kafka-1"));
            assertThat(root.resolve("kafka-1/first")).hasContent("1");
            assertThat(root.resolve("kafka-1/second")).hasContent("2");
        }
        threads.shutdown();
        assertThat(root).isDirectoryContaining("glob:**/kafka-1").isDirectoryNotContaining("glob:**/.unpacking-*");
    }

    @Test
    void what_failed_half_way_is_not_taken_for_whole() {
        assertThatThrownBy(() -> CacheFolder.obtain(root, "kafka-1", into -> {
                    Files.writeString(into.resolve("first"), "1");
                    throw new IOException("disk full");
                }))
                .isInstanceOf(UncheckedIOException.class)
                .hasMessageContaining("eventbus.embedded.cache")
                .hasRootCauseMessage("disk full");

        assertThat(root).isEmptyDirectory();
    }

    private static void meet(CyclicBarrier barrier) throws IOException {
        try {
            barrier.await(20, TimeUnit.SECONDS);
        } catch (Exception e) {
            throw new IOException(e);
        }
    }
}
