package dev.eventbus.it.house;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
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

    /**
     * A block of commands says in the line before it that {@code .ci/run} runs it, which takes it out of the page, or why nobody does. So nobody has to
     * guess which commands have ever been tried.
     */
    @Test
    void every_block_of_commands_is_run_or_says_why_not() throws IOException {
        Path runner = MainSources.ROOT.resolve(".ci/run");
        String ci = Files.readString(runner);
        List<String> faults = new ArrayList<>();
        int run = 0;
        for (Path page : pages()) {
            Matcher block = Pattern.compile("(?m)^(?:<!-- (run by: \\.ci/run|not run: .+) -->\\n)?```sh$")
                    .matcher(Files.readString(page));
            String name = MainSources.ROOT.relativize(page).toString();
            while (block.find()) {
                if (block.group(1) == null) {
                    faults.add(name
                            + ": a block of commands without '<!-- run by: .ci/run -->' or '<!-- not run: why -->'");
                } else if (block.group(1).startsWith("run by")) {
                    run++;
                    if (!Pattern.compile("(?m)^as_documented " + Pattern.quote(name) + "( \\d+)?( |$)")
                            .matcher(ci)
                            .find()) {
                        faults.add(name + ": .ci/run does not take its commands out of it");
                    }
                }
            }
        }
        assertThat(faults).isEmpty();
        assertThat(run).as("blocks that are run").isGreaterThanOrEqualTo(2);
    }

    @Test
    void every_link_to_a_file_or_a_heading_leads_there() throws IOException {
        List<String> dead = new ArrayList<>();
        int headings = 0;
        for (Path page : pages()) {
            Matcher link =
                    Pattern.compile("\\]\\(([^)#:\\s]*)(?:#([^)\\s]*))?\\)").matcher(prose(page));
            while (link.find()) {
                Path target = link.group(1).isEmpty() ? page : page.resolveSibling(link.group(1));
                if (!Files.exists(target)) {
                    dead.add(MainSources.ROOT.relativize(page) + " -> " + link.group(1));
                } else if (link.group(2) != null) {
                    headings++;
                    if (!headings(target).contains(link.group(2))) {
                        dead.add(MainSources.ROOT.relativize(page) + " -> " + link.group(1) + "#" + link.group(2));
                    }
                }
            }
        }
        assertThat(dead).isEmpty();
        assertThat(headings).as("links to headings").isGreaterThan(20);
    }

    /** Without blocks of code. */
    private static String prose(Path page) throws IOException {
        return Files.readString(page).replaceAll("(?ms)^```.*?^```$", "");
    }

    /** As GitHub makes anchors of them. */
    private static List<String> headings(Path page) throws IOException {
        List<String> anchors = new ArrayList<>();
        Matcher heading = Pattern.compile("(?m)^#{1,6} +(.+?) *$").matcher(prose(page));
        while (heading.find()) {
            String text = heading.group(1).replaceAll("\\[([^]]*)]\\([^)]*\\)", "$1");
            String anchor = text.toLowerCase(Locale.ROOT)
                    .replaceAll("[^\\p{L}\\p{N}_\\- ]", "")
                    .replace(' ', '-');
            long before = anchors.stream()
                    .filter(one -> one.matches(Pattern.quote(anchor) + "(-\\d+)?"))
                    .count();
            anchors.add(before == 0 ? anchor : anchor + "-" + before);
        }
        return anchors;
    }

    /** All that people read: those of the repository, not those that a build has made. */
    private static List<Path> pages() throws IOException {
        try (Stream<Path> all = Files.walk(MainSources.ROOT)) {
            List<Path> pages = all.filter(page -> page.toString().endsWith(".md"))
                    .filter(page ->
                            !MainSources.ROOT.relativize(page).toString().matches("(.*/)?(target|\\.git|\\.cache)/.*"))
                    .sorted()
                    .toList();
            assertThat(pages)
                    .extracting(page -> MainSources.ROOT.relativize(page).toString())
                    .contains("README.md", "SECURITY.md", "docs/README.md", "examples/home-starter/README.md");
            return pages;
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
