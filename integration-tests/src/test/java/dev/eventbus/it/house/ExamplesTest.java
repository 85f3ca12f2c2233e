package dev.eventbus.it.house;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What people copy is short, and says what it is. */
class ExamplesTest {

    private static final Path EXAMPLES = MainSources.ROOT.resolve("examples");
    private static final int MOST_LINES = 300;

    @ParameterizedTest
    @ValueSource(strings = {"plain-jdbc", "spring-boot", "jdbi", "kotlin"})
    void an_example_to_copy_has_at_most_300_lines_of_code(String example) throws IOException {
        long lines = 0;
        try (Stream<Path> files = Files.walk(EXAMPLES.resolve(example).resolve("src"))) {
            for (Path file : files.filter(path -> path.toString().matches(".*\\.(java|kt)"))
                    .toList()) {
                lines += Files.readAllLines(file).size();
            }
        }
        assertThat(lines).isBetween(1L, (long) MOST_LINES);
    }

    @Test
    void each_example_has_a_page_of_its_own_that_the_list_of_examples_links_to() throws IOException {
        List<Path> examples;
        try (Stream<Path> all = Files.list(EXAMPLES)) {
            examples = all.filter(path -> Files.exists(path.resolve("pom.xml"))).toList();
        }
        String list = Files.readString(EXAMPLES.resolve("README.md"));
        assertThat(examples).hasSize(7).allSatisfy(example -> {
            assertThat(example.resolve("README.md")).exists();
            assertThat(list).contains("(%s/README.md)".formatted(example.getFileName()));
        });
    }
}
