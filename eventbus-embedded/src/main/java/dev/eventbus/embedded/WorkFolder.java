package dev.eventbus.embedded;

import static java.nio.charset.StandardCharsets.UTF_8;
import static java.util.stream.Collectors.joining;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.FileVisitResult;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.SimpleFileVisitor;
import java.nio.file.attribute.BasicFileAttributes;
import java.util.List;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * The temporary folder of one server: {@code data}, {@code logs} and {@code config}. It goes when the server is closed,
 * unless the system property {@code eventbus.embedded.keep} is {@code true}; after a failed start the logs stay.
 */
final class WorkFolder {

    private static final int ALL_LINES = 40;
    private static final int HALF = ALL_LINES / 2;
    private static final Pattern TROUBLE = Pattern.compile("\\b(ERROR|FATAL)\\b");

    private final Path root;
    private volatile boolean logsAreAsked; // a single write each, by the thread that saw how a start ended

    private WorkFolder(Path root) {
        this.root = root;
    }

    static WorkFolder create(String server) {
        try {
            WorkFolder created = new WorkFolder(Files.createTempDirectory("eventbus-" + server + "-"));
            Files.createDirectory(created.data());
            Files.createDirectory(created.logs());
            Files.createDirectory(created.config());
            return created;
        } catch (IOException e) {
            throw new UncheckedIOException("Cannot create a temporary folder for " + server, e);
        }
    }

    Path data() {
        return root.resolve("data");
    }

    Path logs() {
        return root.resolve("logs");
    }

    Path config() {
        return root.resolve("config");
    }

    /** The failure of a start, told with what matters of the log of that run, which is kept from now on. */
    EmbeddedServerException failure(String what, Path log) {
        logsAreAsked = true;
        return new EmbeddedServerException("%s. Its log is kept at %s:%n%s".formatted(what, log, excerpt(lines(log))));
    }

    /** A start went well, so an earlier failure is over and its log is of no more interest. */
    void startedWell() {
        logsAreAsked = false;
    }

    void delete() {
        if (Boolean.getBoolean("eventbus.embedded.keep")) {
            return;
        }
        try {
            if (logsAreAsked) {
                deleteTree(data());
            } else {
                deleteTree(root);
            }
        } catch (IOException e) {
            throw new UncheckedIOException("Cannot delete " + root, e);
        }
    }

    /** Deletes everything, the logs of a failure too: it is going to be tried again. */
    void discard() {
        logsAreAsked = false;
        delete();
    }

    /** The lines that tell most: the first trouble and what came of it in the end, or just the end. */
    static String excerpt(List<String> lines) {
        int end = Math.max(0, lines.size() - ALL_LINES);
        int trouble = 0;
        while (trouble < lines.size() && !TROUBLE.matcher(lines.get(trouble)).find()) {
            trouble++;
        }
        Stream<String> told = trouble >= end
                ? lines.stream().skip(end)
                : Stream.of(
                                lines.subList(trouble, trouble + HALF),
                                List.of("..."),
                                lines.subList(lines.size() - HALF, lines.size()))
                        .flatMap(List::stream);
        return told.collect(joining(System.lineSeparator()));
    }

    /** Whether a log says that another process had one of the server's ports. */
    static boolean tellsPortClash(Path log) {
        return lines(log).stream().anyMatch(line -> line.contains("Address already in use"));
    }

    private static List<String> lines(Path log) {
        try {
            // not by readAllLines: a server may write in any encoding, and that must not hide the failure
            return new String(Files.readAllBytes(log), UTF_8).lines().toList();
        } catch (IOException e) {
            return List.of("(the log cannot be read: " + e + ")");
        }
    }

    /** Deletes a folder if it is there; files that vanish meanwhile are no failure. */
    static void deleteTree(Path folder) throws IOException {
        if (!Files.exists(folder)) {
            return;
        }
        Files.walkFileTree(folder, new SimpleFileVisitor<>() {
            @Override
            public FileVisitResult visitFile(Path file, BasicFileAttributes attributes) throws IOException {
                Files.deleteIfExists(file);
                return FileVisitResult.CONTINUE;
            }

            @Override
            public FileVisitResult visitFileFailed(Path file, IOException failure) throws IOException {
                if (failure instanceof NoSuchFileException) {
                    return FileVisitResult.CONTINUE;
                }
                throw failure;
            }

            @Override
            public FileVisitResult postVisitDirectory(Path visited, @Nullable IOException failure) throws IOException {
                if (failure != null) {
                    throw failure;
                }
                Files.deleteIfExists(visited);
                return FileVisitResult.CONTINUE;
            }
        });
    }
}
