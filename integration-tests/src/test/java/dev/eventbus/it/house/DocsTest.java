package dev.eventbus.it.house;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/** Docs contain only code that compiles: every Java block names the region of a source file that it is. */
class DocsTest {

    private static final Pattern BLOCK =
            Pattern.compile("(?ms)^(<!-- from: (\\S+)#(\\S+) -->\\n)?```java\\n(.*?)^```$");

    @Test
    void every_java_block_is_a_region_of_a_file_that_compiles() throws IOException {
        List<String> faults = new ArrayList<>();
        int blocks = 0;
        for (Path page : pages()) {
            Matcher block = BLOCK.matcher(Files.readString(page));
            while (block.find()) {
                blocks++;
                if (block.group(1) == null) {
                    faults.add(page.getFileName()
                            + ": a Java block without a '<!-- from: file#region -->' line before it");
                } else if (!block.group(4).strip().equals(region(block.group(2), block.group(3)))) {
                    faults.add("%s: %s#%s reads differently in the source"
                            .formatted(page.getFileName(), block.group(2), block.group(3)));
                }
            }
        }
        assertThat(faults).isEmpty();
        assertThat(blocks).as("Java blocks looked at").isPositive();
    }

    @Test
    void the_first_two_shell_blocks_of_the_readme_are_one_command_line_each() throws IOException {
        Matcher block = Pattern.compile("(?ms)^```sh\\n(.*?)^```$")
                .matcher(Files.readString(MainSources.ROOT.resolve("README.md")));
        assertThat(block.find()).isTrue();
        assertThat(block.group(1).strip().lines()).hasSize(1);
        assertThat(block.find()).isTrue();
        assertThat(block.group(1).strip().lines()).singleElement().asString().startsWith("mvn ");
    }

    @Test
    void every_link_to_a_file_leads_somewhere() throws IOException {
        List<String> dead = new ArrayList<>();
        for (Path page : pages()) {
            Matcher link = Pattern.compile("\\]\\(([^)#:]+)(#[^)]*)?\\)").matcher(Files.readString(page));
            while (link.find()) {
                if (!Files.exists(page.resolveSibling(link.group(1)))) {
                    dead.add(page.getFileName() + " -> " + link.group(1));
                }
            }
        }
        assertThat(dead).isEmpty();
    }

    private static List<Path> pages() throws IOException {
        try (Stream<Path> docs = Files.walk(MainSources.ROOT.resolve("docs"))) {
            return Stream.concat(
                            Stream.of("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "examples/home-starter/README.md")
                                    .map(MainSources.ROOT::resolve),
                            docs.filter(page -> page.toString().endsWith(".md")))
                    .toList();
        }
    }

    private static String region(String file, String name) throws IOException {
        Matcher region = Pattern.compile("(?ms)^[ \\t]*// region: " + Pattern.quote(name) + "$\\n(.*?)^[ \\t]*// end: "
                        + Pattern.quote(name) + "$")
                .matcher(Files.readString(MainSources.ROOT.resolve(file)));
        assertThat(region.find()).as(file + " has a region " + name).isTrue();
        return region.group(1).stripTrailing().stripIndent().strip();
    }
}
