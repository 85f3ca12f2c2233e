package dev.eventbus.embedded;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;

/**
 * Where servers are unpacked once per version: the folder named by the system property
 * {@code eventbus.embedded.cache}, else {@code $XDG_CACHE_HOME/eventbus}, else {@code ~/.cache/eventbus}.
 *
 * <p>Safe against any number of processes that unpack the same thing at once: each unpacks into a folder of its own and
 * renames it; one rename wins, and what is there under the final name is therefore always whole. What one that was killed has begun
 * goes when the next one unpacks.
 */
final class CacheFolder {

    private static final String UNPACKING = ".unpacking-";

    private CacheFolder() {}

    /** Fills an empty folder. */
    interface Unpacking {
        void into(Path folder) throws IOException;
    }

    /** The folder of that name, unpacked now if it is not there yet. The name must change with the content. */
    static Path obtain(String name, Unpacking unpacking) {
        return obtain(root(), name, unpacking);
    }

    static Path obtain(Path root, String name, Unpacking unpacking) {
        Path target = root.resolve(name);
        if (Files.isDirectory(target)) {
            return target;
        }
        try {
            Files.createDirectories(root);
            Path own = Files.createTempDirectory(root, UNPACKING);
            try {
                unpack(unpacking, root, own);
                moveUnlessThere(own, target);
            } finally {
                WorkFolder.deleteTree(own);
            }
            return target;
        } catch (IOException e) {
            throw new UncheckedIOException(
                    "Cannot unpack %s into %s; the system property eventbus.embedded.cache names another folder"
                            .formatted(name, root),
                    e);
        }
    }

    private static void unpack(Unpacking unpacking, Path root, Path own) throws IOException {
        WorkFolder.Owner owner = WorkFolder.Owner.of(own);
        try {
            WorkFolder.Owner.deleteAbandoned(root, UNPACKING + "*", own);
            unpacking.into(own);
        } finally {
            owner.leave(); // its sign is no part of what was unpacked
        }
    }

    private static void moveUnlessThere(Path own, Path target) throws IOException {
        try {
            Files.move(own, target, StandardCopyOption.ATOMIC_MOVE);
        } catch (FileSystemException e) {
            if (!Files.isDirectory(target)) {
                throw e;
            }
        }
    }

    private static Path root() {
        String named = System.getProperty("eventbus.embedded.cache");
        if (named != null) {
            return Path.of(named).toAbsolutePath();
        }
        String xdg = System.getenv("XDG_CACHE_HOME");
        Path caches = xdg != null && !xdg.isBlank() ? Path.of(xdg) : Path.of(System.getProperty("user.home"), ".cache");
        return caches.resolve("eventbus").toAbsolutePath();
    }
}
