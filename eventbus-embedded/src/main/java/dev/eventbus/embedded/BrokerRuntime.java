package dev.eventbus.embedded;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.ByteArrayInputStream;
import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.net.JarURLConnection;
import java.net.URISyntaxException;
import java.net.URL;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.List;
import java.util.jar.JarFile;
import java.util.stream.Stream;
import java.util.zip.ZipEntry;

/**
 * The broker's class path on disk: the jars that this jar carries under {@code META-INF/eventbus/broker}, and the one
 * class of ours that runs there.
 */
record BrokerRuntime(Path folder, String kafkaVersion) {

    static final String MAIN_CLASS = "dev.eventbus.embedded.broker.BrokerMain";

    private static final String PACKED = "META-INF/eventbus/broker/";
    private static final String LOGGING = "logback.xml";
    private static final String MAIN_FILE = MAIN_CLASS.replace('.', '/') + ".class";
    private static final String KAFKA = "kafka_2.13-";

    /** Unpacks the broker unless that has been done on this machine before. */
    static BrokerRuntime unpacked() {
        List<String> jars = packedJars();
        byte[] mainClass = resource(MAIN_FILE);
        byte[] logging = resource(PACKED + LOGGING);
        String version = jars.stream()
                .filter(jar -> jar.startsWith(KAFKA))
                .map(jar -> jar.substring(KAFKA.length(), jar.length() - ".jar".length()))
                .findFirst()
                .orElseThrow(
                        () -> new EmbeddedServerException("No Kafka in " + PACKED + " of this build's class path"));
        String name = "kafka-%s-%s".formatted(version, fingerprint(jars, mainClass, logging));
        Path folder = CacheFolder.obtain(name, into -> {
            for (String jar : jars) {
                try (InputStream packed = open(PACKED + jar)) {
                    Files.copy(packed, into.resolve(jar));
                }
            }
            Path main = into.resolve("classes").resolve(MAIN_FILE);
            Files.createDirectories(main.getParent());
            Files.copy(new ByteArrayInputStream(mainClass), main);
            Files.write(into.resolve("classes").resolve(LOGGING), logging);
        });
        return new BrokerRuntime(folder, version);
    }

    String classPath() {
        return folder.resolve("classes") + File.pathSeparator + folder.resolve("*");
    }

    /** A released jar's name says what is in it, so the names stand for the jars; what is ours is taken by content. */
    private static String fingerprint(List<String> jars, byte[] mainClass, byte[] logging) {
        try {
            MessageDigest digest = MessageDigest.getInstance("SHA-256");
            digest.update(String.join("\n", jars).getBytes(UTF_8));
            digest.update(mainClass);
            digest.update(logging);
            return HexFormat.of().formatHex(digest.digest(), 0, 8);
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("Every JVM has SHA-256", e);
        }
    }

    /** The sorted names of the jars beside our logging file: in this jar, or in a folder of classes in a build. */
    static List<String> packedJars() {
        URL known = BrokerRuntime.class.getClassLoader().getResource(PACKED + LOGGING);
        if (known == null) {
            throw new EmbeddedServerException(
                    PACKED + LOGGING + " is not on the class path: eventbus-embedded is incomplete");
        }
        try {
            if (known.openConnection() instanceof JarURLConnection jar) {
                jar.setUseCaches(false);
                try (JarFile file = jar.getJarFile()) {
                    return jarsAmong(file.stream().map(ZipEntry::getName).filter(name -> name.startsWith(PACKED)));
                }
            }
            try (Stream<Path> files = Files.list(Path.of(known.toURI()).getParent())) {
                return jarsAmong(files.map(Path::toString));
            }
        } catch (IOException | URISyntaxException e) {
            throw new EmbeddedServerException("Cannot read the packed broker at " + known, e);
        }
    }

    private static List<String> jarsAmong(Stream<String> paths) {
        return paths.filter(path -> path.endsWith(".jar"))
                .map(path -> path.substring(path.lastIndexOf('/') + 1))
                .sorted()
                .toList();
    }

    private static byte[] resource(String name) {
        try (InputStream stream = open(name)) {
            return stream.readAllBytes();
        } catch (IOException e) {
            throw new UncheckedIOException("Cannot read " + name, e);
        }
    }

    private static InputStream open(String name) throws IOException {
        InputStream stream = BrokerRuntime.class.getClassLoader().getResourceAsStream(name);
        if (stream == null) {
            throw new IOException(name + " is not on the class path: eventbus-embedded is incomplete");
        }
        return stream;
    }
}
