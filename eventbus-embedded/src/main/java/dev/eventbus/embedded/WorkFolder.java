package dev.eventbus.embedded;

import static java.nio.charset.StandardCharsets.UTF_8;
import static java.nio.file.LinkOption.NOFOLLOW_LINKS;
import static java.nio.file.StandardCopyOption.ATOMIC_MOVE;
import static java.nio.file.StandardOpenOption.CREATE_NEW;
import static java.nio.file.StandardOpenOption.WRITE;
import static java.util.stream.Collectors.joining;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.nio.channels.FileChannel;
import java.nio.channels.OverlappingFileLockException;
import java.nio.file.DirectoryIteratorException;
import java.nio.file.DirectoryStream;
import java.nio.file.FileVisitResult;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.SimpleFileVisitor;
import java.nio.file.attribute.BasicFileAttributes;
import java.nio.file.attribute.UserPrincipal;
import java.time.Instant;
import java.util.Iterator;
import java.util.List;
import java.util.UUID;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The temporary folder of one server: {@code data}, {@code logs} and {@code config}. It goes when the server is closed,
 * unless the system property {@code eventbus.embedded.keep} is {@code true}; after a failed start the logs stay. Of a JVM that could not
 * close its servers it goes when the next one is made, but for the logs of a failure.
 */
final class WorkFolder {

    private static final Logger log = LoggerFactory.getLogger(WorkFolder.class);

    private static final int ALL_LINES = 40;
    private static final int HALF = ALL_LINES / 2;
    private static final Pattern TROUBLE = Pattern.compile("\\b(ERROR|FATAL)\\b");

    private static final String DATA = "data";
    private static final String LOGS_ARE_ASKED = "logs-are-asked"; // a file's name

    private final Path root;
    private final Owner owner;
    private volatile boolean logsAreAsked; // a single write each, by the thread that saw how a start ended

    private WorkFolder(Path root) {
        this.root = root;
        this.owner = isKept() ? Owner.NOBODY : Owner.of(root);
    }

    static WorkFolder create(String server) {
        return create(Path.of(System.getProperty("java.io.tmpdir")), server);
    }

    /** As {@link #create(String)}, in another folder than that for temporary files. */
    static WorkFolder create(Path parent, String server) {
        try {
            WorkFolder created = new WorkFolder(Files.createTempDirectory(parent, "eventbus-" + server + "-"));
            Files.createDirectory(created.data());
            Files.createDirectory(created.logs());
            Files.createDirectory(created.config());
            Owner.deleteAbandoned(parent, "eventbus-*", created.root);
            return created;
        } catch (IOException e) {
            throw new UncheckedIOException("Cannot create a temporary folder for " + server, e);
        }
    }

    Path root() {
        return root;
    }

    Path data() {
        return root.resolve(DATA);
    }

    Path logs() {
        return root.resolve("logs");
    }

    Path config() {
        return root.resolve("config");
    }

    /** The failure of a start, told with what matters of the log of that run, which is kept from now on. */
    EmbeddedServerException failure(String what, Path log) {
        EmbeddedServerException failure =
                new EmbeddedServerException("%s. Its log is kept at %s:%n%s".formatted(what, log, excerpt(lines(log))));
        logsAreAsked = true;
        try {
            Files.write(
                    root.resolve(LOGS_ARE_ASKED), new byte[0]); // told to the next JVM too, if this one cannot close
        } catch (IOException e) {
            failure.addSuppressed(e);
        }
        return failure;
    }

    /** A start went well, so an earlier failure is over and its log is of no more interest. */
    void startedWell() {
        logsAreAsked = false;
        try {
            Files.deleteIfExists(root.resolve(LOGS_ARE_ASKED));
        } catch (IOException e) {
            log.debug("Old logs in {} stay if this JVM is killed", root, e);
        }
    }

    void delete() {
        try {
            if (!isKept()) {
                deleteTree(data());
                if (!logsAreAsked) {
                    deleteAll(root);
                }
            }
            owner.leave(); // what is still there stays
            Files.deleteIfExists(root.resolve(LOGS_ARE_ASKED));
        } catch (IOException e) {
            throw new UncheckedIOException("Cannot delete " + root, e);
        }
    }

    private static boolean isKept() {
        return Boolean.getBoolean("eventbus.embedded.keep");
    }

    /** As long as the process runs, this JVM owns the folder, even if nobody remembers the server. */
    void isNeededBy(ServerProcess process) {
        process.remembers(owner);
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

    /** Deletes a folder, and the sign of its owner last: what cannot be deleted now is tried again by somebody else. */
    private static void deleteAll(Path folder) throws IOException {
        if (!Files.exists(folder)) {
            return;
        }
        try (DirectoryStream<Path> parts = Files.newDirectoryStream(folder, part -> !Owner.isSign(part))) {
            for (Path part : parts) {
                deleteTree(part);
            }
        }
        deleteTree(folder);
    }

    /**
     * That this JVM uses a folder, told to others by a file in it, which is locked until the JVM is gone, however it went. A lock and no
     * process id, since containers share folders and number their processes alike. Some file systems that machines share tell a lock to
     * processes of the same machine only, so each judges its own alone.
     */
    static final class Owner {

        /** Of a folder that nobody may delete. */
        static final Owner NOBODY = new Owner(null, null);

        private static final Pattern SIGN = Pattern.compile("owner-[0-9a-f-]{36}-\\d+-\\d+\\.lock");
        private static final Path BOOT_ID = Path.of("/proc/sys/kernel/random/boot_id");
        private static final String UNLOCKED = "no-owner-yet";

        private final @Nullable Path sign;
        private final @Nullable FileChannel lock;

        private Owner(@Nullable Path sign, @Nullable FileChannel lock) {
            this.sign = sign;
            this.lock = lock;
        }

        /** Makes this JVM the owner of a folder. Where nothing can be locked the folder has none, and is never taken for abandoned. */
        static Owner of(Path folder) {
            try {
                Path unlocked = folder.resolve(UNLOCKED); // under its own name nobody finds it unlocked
                FileChannel lock = FileChannel.open(unlocked, CREATE_NEW, WRITE);
                try {
                    lock.lock();
                    Path sign = Files.move(unlocked, folder.resolve(ours()), ATOMIC_MOVE);
                    return new Owner(sign, lock);
                } catch (IOException e) {
                    lock.close();
                    Files.deleteIfExists(unlocked);
                    throw e;
                }
            } catch (IOException e) {
                log.debug("{} has no owner: it stays if this JVM is killed", folder, e);
                return NOBODY;
            }
        }

        /** Takes the sign away: what is in the folder is nobody's from now on, and stays. */
        void leave() throws IOException {
            if (sign != null && lock != null) {
                Files.deleteIfExists(sign);
                lock.close();
            }
        }

        static boolean isSign(Path file) {
            return SIGN.matcher(file.getFileName().toString()).matches();
        }

        /**
         * Deletes the folders whose owner is gone. Never throws: nobody's start is to fail for what another left. One thread at a time, as a
         * JVM may lock a file only once.
         *
         * @param names which, as a glob
         * @param ours one of this user: those of others are left alone
         */
        static synchronized void deleteAbandoned(Path parent, String names, Path ours) {
            try (DirectoryStream<Path> folders = Files.newDirectoryStream(parent, names)) {
                UserPrincipal user = Files.getOwner(ours);
                for (Path folder : folders) {
                    deleteIfAbandoned(folder, user);
                }
            } catch (IOException | RuntimeException e) {
                log.debug("Cannot look for abandoned folders in {}", parent, e);
            }
        }

        private static void deleteIfAbandoned(Path folder, UserPrincipal user) {
            try {
                if (!Files.isDirectory(folder, NOFOLLOW_LINKS)
                        || !Files.getOwner(folder, NOFOLLOW_LINKS).equals(user)) {
                    return;
                }
                Path sign = findSign(folder);
                if (sign == null
                        || !sign.getFileName().toString().startsWith(ofThisMachine())
                        || sign.endsWith(ours())) { // to open and close a file of ours would end our lock on it
                    return;
                }
                try (FileChannel channel = FileChannel.open(sign, WRITE, NOFOLLOW_LINKS)) {
                    deleteIfUnlocked(folder, sign, channel);
                }
            } catch (IOException | DirectoryIteratorException | OverlappingFileLockException e) {
                // another process deletes it, or this class as another loader has it, or a server in it is just ending
                log.debug("Leaving {} alone", folder, e);
            }
        }

        /** The rest, once the sign was opened. */
        static void deleteIfUnlocked(Path folder, Path sign, FileChannel opened) throws IOException {
            boolean isAbandoned = opened.tryLock() != null
                    && Files.exists(sign, NOFOLLOW_LINKS); // an owner that leaves takes its sign away first
            if (isAbandoned && Files.exists(folder.resolve(LOGS_ARE_ASKED))) {
                deleteTree(folder.resolve(DATA));
                Files.delete(sign);
                log.info(
                        "Deleted the data in {}, which its JVM did not close before it ended; logs were told to stay",
                        folder);
            } else if (isAbandoned) {
                deleteAll(folder);
                log.info("Deleted {}, which its JVM did not close before it ended", folder);
            }
        }

        private static @Nullable Path findSign(Path folder) throws IOException {
            try (DirectoryStream<Path> signs = Files.newDirectoryStream(folder, Owner::isSign)) {
                Iterator<Path> found = signs.iterator();
                return found.hasNext() ? found.next() : null;
            }
        }

        /** The name of this JVM's signs: no other JVM has the number and the start. */
        private static String ours() throws IOException {
            ProcessHandle jvm = ProcessHandle.current();
            long start = jvm.info().startInstant().orElse(Instant.EPOCH).toEpochMilli();
            return "%s%d-%d.lock".formatted(ofThisMachine(), jvm.pid(), start);
        }

        /** What the names of its signs begin with: until it is booted again, or by its name where that cannot be told. */
        private static String ofThisMachine() throws IOException {
            String machine = Files.isReadable(BOOT_ID)
                    ? Files.readString(BOOT_ID).trim()
                    : UUID.nameUUIDFromBytes(
                                    InetAddress.getLocalHost().getHostName().getBytes(UTF_8))
                            .toString();
            return "owner-%s-".formatted(machine);
        }
    }
}
