package dev.eventbus.it.house;

import static java.util.stream.Collectors.toMap;
import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.regex.MatchResult;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/** The page that says which test shows what names only what is there, and leaves nothing out. */
class ProofTest {

    private static final Path PAGE = MainSources.ROOT.resolve("docs/proof.md");

    private static final Pattern ROW = Pattern.compile("(?m)^\\| ([A-Z])-(\\d\\d) \\| ([^|]+) \\| ([^|]+) \\|$");
    private static final Pattern NAMED = Pattern.compile("`([^`]+)`");
    private static final Pattern TEST = Pattern.compile("(\\w+)#(\\w+)");
    private static final String FAULT = "faults/run: ";

    /** How many of each kind there are. */
    private static final Map<String, Integer> KINDS =
            Map.of("P", 21, "R", 30, "K", 27, "T", 6, "X", 9, "D", 7, "V", 6, "C", 6, "S", 26);

    @Test
    void each_line_names_at_least_one_test_or_says_that_it_is_not_shown() throws IOException {
        List<String> unproven = new ArrayList<>();
        Map<String, List<Integer>> numbers = new LinkedHashMap<>();
        for (MatchResult row : rows()) {
            numbers.computeIfAbsent(row.group(1), kind -> new ArrayList<>()).add(Integer.valueOf(row.group(2)));
            String shown = row.group(4);
            if (!shown.startsWith("not shown") && !shown.startsWith("`")) {
                unproven.add(row.group());
            }
        }
        assertThat(unproven).isEmpty();
        assertThat(numbers)
                .isEqualTo(KINDS.entrySet().stream()
                        .collect(toMap(
                                Map.Entry::getKey,
                                kind -> IntStream.rangeClosed(1, kind.getValue())
                                        .boxed()
                                        .toList())));
    }

    @Test
    void every_test_fault_and_file_that_is_named_exists() throws IOException {
        Map<String, String> tests = testsByName();
        String faults =
                Files.readString(MainSources.ROOT.resolve("faults/src/main/java/dev/eventbus/faults/FaultKind.java"));
        List<String> missing = new ArrayList<>();
        for (MatchResult row : rows()) {
            NAMED.matcher(row.group(4)).results().map(named -> named.group(1)).forEach(named -> {
                if (!exists(named, tests, faults)) {
                    missing.add("%s-%s: %s".formatted(row.group(1), row.group(2), named));
                }
            });
        }
        assertThat(missing).isEmpty();
    }

    private static boolean exists(String named, Map<String, String> tests, String faults) {
        if (named.startsWith(FAULT)) {
            String kind =
                    named.substring(FAULT.length()).toUpperCase(Locale.ROOT).replace('-', '_');
            return faults.contains("    " + kind + "(");
        }
        Matcher test = TEST.matcher(named);
        return test.matches()
                ? Pattern.compile("(?m)^    void\\s+" + test.group(2) + "\\(")
                        .matcher(tests.getOrDefault(test.group(1), ""))
                        .find()
                : Files.exists(MainSources.ROOT.resolve(named));
    }

    private static Map<String, String> testsByName() throws IOException {
        try (Stream<Path> files = Files.walk(MainSources.ROOT)) {
            return files.filter(file -> file.toString().contains("/src/test/java/"))
                    .filter(file -> file.toString().endsWith(".java"))
                    .filter(file -> !file.endsWith("package-info.java"))
                    .collect(toMap(
                            file -> file.getFileName().toString().replace(".java", ""),
                            ProofTest::text,
                            String::concat));
        }
    }

    private static String text(Path file) {
        try {
            return Files.readString(file);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static List<MatchResult> rows() throws IOException {
        return ROW.matcher(Files.readString(PAGE)).results().toList();
    }
}
