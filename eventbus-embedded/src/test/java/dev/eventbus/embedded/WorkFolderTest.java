package dev.eventbus.embedded;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.lang.ref.WeakReference;
import java.nio.channels.FileChannel;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.List;
import java.util.Objects;
import java.util.UUID;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class WorkFolderTest {

    @Test
    void a_short_log_is_told_whole() {
        assertThat(WorkFolder.excerpt(List.of("a", "ERROR b", "c")).lines()).containsExactly("a", "ERROR b", "c");
        assertThat(WorkFolder.excerpt(List.of())).isEmpty();
    }

    @Test
    void of_a_log_without_trouble_the_end_is_told() {
        assertThat(WorkFolder.excerpt(numbered(100)).lines())
                .hasSize(40)
                .startsWith("60")
                .endsWith("99");
    }

    @Test
    void of_a_log_whose_trouble_is_buried_by_the_shutdown_both_are_told() {
        List<String> log = Stream.of(numbered(10), List.of("12:00 ERROR port taken", "at x"), numbered(100))
                .flatMap(List::stream)
                .toList();

        assertThat(WorkFolder.excerpt(log).lines())
                .hasSize(41)
                .startsWith("12:00 ERROR port taken", "at x", "0")
                .contains("...")
                .endsWith("98", "99");
    }

    @Test
    void what_a_killed_jvm_left_is_deleted_by_the_next_but_for_the_logs_of_a_failure(@TempDir Path temporary)
            throws Exception {
        Path ofAnOlderVersion = Files.createDirectories(temporary.resolve("eventbus-kafka-1/data"));
        try (ServerOfFolders other = ServerOfFolders.in(temporary)) {
            WorkFolder.create(temporary, "kafka").delete();
            assertThat(namesIn(temporary))
                    .as("while the other one runs")
                    .containsExactly(
                            ".unpacking-",
                            "eventbus-again-",
                            "eventbus-failed-",
                            "eventbus-kafka-",
                            "eventbus-mended-",
                            "eventbus-open-");
        }

        WorkFolder next = WorkFolder.create(temporary, "next");
        Path cached = CacheFolder.obtain(temporary, "cached", into -> Files.writeString(into.resolve("first"), "1"));

        assertThat(namesIn(temporary))
                .containsExactly("cached", "eventbus-again-", "eventbus-failed-", "eventbus-kafka-", "eventbus-next-");
        assertThat(ofAnOlderVersion).exists();
        assertThat(temporary)
                .isDirectoryRecursivelyContaining("glob:**/eventbus-failed-*/logs/log")
                .isDirectoryRecursivelyContaining("glob:**/eventbus-again-*/logs/log");
        try (Stream<Path> all = Files.walk(temporary)) {
            assertThat(all).noneMatch(path -> path.endsWith("data/rows"));
        }
        assertThat(cached).isDirectoryContaining("glob:**/first").isDirectoryNotContaining("glob:**/owner-*");
        next.delete();
        assertThat(next.root()).doesNotExist();
    }

    @Test
    void servers_that_start_side_by_side_after_a_killed_jvm_do_not_fail_each_other(@TempDir Path temporary)
            throws Exception {
        try (ServerOfFolders other = ServerOfFolders.in(temporary)) {
            Path rows = other.open().resolve("data");
            for (int i = 0; i < 3_000; i++) { // so that a clean-up takes longer than the start of another
                Files.createFile(rows.resolve("row-" + i));
            }
        }
        int many = 4;
        CountDownLatch go = new CountDownLatch(1);
        ExecutorService threads = Executors.newFixedThreadPool(many);
        List<Future<WorkFolder>> starts = Stream.generate(() -> threads.submit(() -> {
                    go.await();
                    return WorkFolder.create(temporary, "next");
                }))
                .limit(many)
                .toList();
        go.countDown();
        threads.shutdown();

        for (Future<WorkFolder> start : starts) {
            start.get(60, TimeUnit.SECONDS).delete();
        }
        assertThat(namesIn(temporary)).containsExactly(".unpacking-", "eventbus-again-", "eventbus-failed-");
    }

    @Test
    void a_folder_that_its_owner_leaves_while_another_looks_at_it_stays(@TempDir Path folder) throws Exception {
        Files.createDirectory(folder.resolve("unpacked"));
        WorkFolder.Owner owner = WorkFolder.Owner.of(folder);
        Path sign = signIn(folder);

        try (FileChannel opened = FileChannel.open(sign, StandardOpenOption.WRITE)) {
            owner.leave();
            WorkFolder.Owner.deleteIfUnlocked(folder, sign, opened);
        }

        assertThat(folder).isDirectoryContaining("glob:**/unpacked");
    }

    @Test
    void folders_with_a_file_that_is_only_like_a_sign_are_left_alone(@TempDir Path temporary) throws Exception {
        Path own = Files.createDirectory(temporary.resolve("own"));
        WorkFolder.Owner owner = WorkFolder.Owner.of(own);
        String sign = signIn(own).getFileName().toString();
        owner.leave();
        for (String like : List.of(
                "owner-list.txt",
                sign + ".txt",
                sign.replaceAll("-\\d+\\.lock", ".lock.lock"),
                sign.replaceAll("-\\d+\\.lock", "-x.lock"))) {
            Files.createFile(
                    Files.createDirectory(temporary.resolve("eventbus-" + like)).resolve(like));
        }

        WorkFolder.create(temporary, "next").delete();

        assertThat(temporary.toFile().list()).hasSize(5);
    }

    @Test
    void only_folders_of_this_machine_are_taken_for_abandoned(@TempDir Path temporary) throws Exception {
        Path own = Files.createDirectory(temporary.resolve("eventbus-own"));
        WorkFolder.Owner owner = WorkFolder.Owner.of(own);
        String ownSign = signIn(own).getFileName().toString();
        owner.leave();
        Files.createFile(own.resolve(ownSign.replaceAll("-\\d+\\.lock", "-1.lock"))); // a JVM that is gone
        Path other = Files.createDirectory(temporary.resolve("eventbus-other"));
        Files.createFile(other.resolve("owner-%s-1-1.lock".formatted(new UUID(0, 0))));

        WorkFolder.create(temporary, "next").delete();

        assertThat(namesIn(temporary)).containsExactly("eventbus-other");
    }

    @Test
    void what_is_to_be_kept_is_not_deleted_by_the_next(@TempDir Path temporary) throws Exception {
        try (ServerOfFolders other = ServerOfFolders.in(temporary, "-Deventbus.embedded.keep=true")) {
            assertThat(other.jvm().isAlive()).isTrue();
        }

        WorkFolder.create(temporary, "next").delete();

        assertThat(namesIn(temporary)).contains("eventbus-failed-", "eventbus-open-");
    }

    @Test
    void the_folder_of_a_server_that_nobody_remembers_is_not_deleted_while_it_runs(@TempDir Path temporary)
            throws Exception {
        WeakReference<WorkFolder> forgotten = new WeakReference<>(WorkFolder.create(temporary, "forgotten"));
        ServerProcess process = ServerProcess.start(List.of("sleep", "60"), "KILL", temporary.resolve("log"));
        try {
            Objects.requireNonNull(forgotten.get()).isNeededBy(process);
            assertThat(Await.until(Duration.ofSeconds(20), () -> {
                        System.gc();
                        return forgotten.get() == null;
                    }))
                    .isTrue();
            try (ServerOfFolders other = ServerOfFolders.in(temporary)) {
                assertThat(namesIn(temporary)).contains("eventbus-forgotten-");
            }
        } finally {
            process.kill();
        }
    }

    /** Another JVM that has made folders; killed when closed. */
    private record ServerOfFolders(Path temporary, Process jvm) implements AutoCloseable {

        /** The folder of its server that runs. */
        Path open() throws IOException {
            try (DirectoryStream<Path> found = Files.newDirectoryStream(temporary, "eventbus-open-*")) {
                return found.iterator().next();
            }
        }

        static ServerOfFolders in(Path temporary, String... options) throws Exception {
            Process jvm = OwnJvm.start(temporary, FoldersMain.class, options);
            assertThat(jvm.inputReader().lines().anyMatch("all"::equals)).isTrue();
            return new ServerOfFolders(temporary, jvm);
        }

        @Override
        public void close() throws InterruptedException {
            jvm.destroyForcibly().waitFor();
        }
    }

    private static Path signIn(Path folder) throws IOException {
        try (DirectoryStream<Path> signs = Files.newDirectoryStream(folder, "owner-*")) {
            return signs.iterator().next();
        }
    }

    private static List<String> namesIn(Path folder) throws IOException {
        try (Stream<Path> all = Files.list(folder)) {
            return all.map(path -> path.getFileName().toString().replaceAll("\\d+", ""))
                    .sorted()
                    .toList();
        }
    }

    private static List<String> numbered(int count) {
        return IntStream.range(0, count).mapToObj(Integer::toString).toList();
    }
}
