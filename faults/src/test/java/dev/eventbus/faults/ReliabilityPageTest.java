package dev.eventbus.faults;

import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.faults.check.Violation;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ReliabilityPageTest {

    private static final Path TESTS = Path.of("src/test/java/dev/eventbus/faults");

    @TempDir
    private Path folder;

    /** As the page says. */
    @Test
    void each_violation_is_asserted_in_one_of_the_tests_that_the_page_names() throws IOException {
        Set<String> unseen = new TreeSet<>();
        for (Violation violation : Violation.values()) {
            unseen.add("Violation." + violation.name());
        }
        for (String test : ReliabilityPage.SEEN_RED) {
            String code = Files.readString(TESTS.resolve(test + ".java"));
            unseen.removeIf(code::contains);
        }
        assertThat(unseen).isEmpty();
    }

    /** To renew the page after its words have changed, copy {@code faults/target/reliability.md}. */
    @Test
    void the_page_of_the_docs_is_what_the_last_archived_run_makes_of_it() throws IOException {
        Path newest;
        try (Stream<Path> archived = Files.list(Path.of("archive"))) {
            newest = archived.max(Comparator.comparing(
                            file -> file.getFileName().toString().replaceFirst("^[a-z]+-", "")))
                    .orElseThrow();
        }
        String page = ReliabilityPage.of(newest);
        Files.writeString(Path.of("target/reliability.md"), page);
        assertThat(Files.readString(Path.of("../docs/reliability.md"))).isEqualTo(page);
    }

    @Test
    void all_kinds_of_faults_stand_on_the_page_and_the_tests_do_too() throws IOException {
        Path figures = folder.resolve("faults.json");
        Files.writeString(
                figures,
                "{\"tier\":\"ci\",\"sendMode\":\"STRICT\",\"groupProtocol\":\"consumer\",\"afterRetries\":\"park-key\",\"seed\":42,\"faultsByKind\":{\"freeze-database\":0,\"kill-relay\":3},\"violations\":{\"leak\":0}}");
        Path page = folder.resolve("reliability.md");
        ReliabilityPage.write(figures, page);
        assertThat(Files.readString(page))
                .contains(
                        "faults/run --ci --seed 42 --docs",
                        "| freeze-database | 0 |",
                        "| kill-relay | 3 |",
                        "Relays sent STRICT, consumers used the group protocol consumer, and what failed for good met\npark-key",
                        "[RepeatsTest](../faults/src/test/java/dev/eventbus/faults/check/RepeatsTest.java)");
    }
}
