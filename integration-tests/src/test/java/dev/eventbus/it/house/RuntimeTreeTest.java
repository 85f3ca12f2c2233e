package dev.eventbus.it.house;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** What a user's class path gets from each published module, version numbers aside. */
class RuntimeTreeTest {

    private static final List<String> CORE = List.of(
            "jackson-annotations",
            "jackson-core",
            "jackson-databind",
            "java-uuid-generator",
            "jspecify",
            "kafka-clients",
            "lz4-java",
            "slf4j-api",
            "snappy-java",
            "zstd-jni");

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "eventbus-core     | ",
                "eventbus-outbox   | eventbus-core HdrHistogram micrometer-commons micrometer-core micrometer-observation",
                "eventbus-consumer | eventbus-core HdrHistogram micrometer-commons micrometer-core micrometer-observation resilience4j-core resilience4j-retry",
                "eventbus-testkit  | eventbus-core eventbus-outbox eventbus-consumer HdrHistogram micrometer-commons micrometer-core micrometer-observation resilience4j-core resilience4j-retry",
                "eventbus-cli      | eventbus-core eventbus-outbox eventbus-consumer HdrHistogram micrometer-commons micrometer-core micrometer-observation resilience4j-core resilience4j-retry checker-qual mariadb-java-client picocli postgresql slf4j-simple"
            })
    void the_runtime_tree_of_a_published_module_does_not_grow(String module, String beyondCore) throws IOException {
        Path tree = MainSources.ROOT.resolve(module).resolve("target/runtime-tree.txt");
        Stream<String> wanted = beyondCore == null ? Stream.of() : Arrays.stream(beyondCore.split(" "));
        assertThat(Arrays.stream(Files.readString(tree).strip().split(File.pathSeparator))
                        .map(RuntimeTreeTest::artifact))
                .containsExactlyInAnyOrderElementsOf(
                        Stream.concat(CORE.stream(), wanted).toList());
    }

    /** {@code slf4j-api} of a jar {@code slf4j-api-2.0.17.jar}, or the module's name of a folder of classes. */
    private static String artifact(String entry) {
        Path path = Path.of(entry);
        return path.endsWith("classes")
                ? path.getParent().getParent().getFileName().toString()
                : path.getFileName().toString().replaceFirst("-[0-9][^/]*\\.jar$", "");
    }
}
