package dev.eventbus.faults.mutants;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/**
 * A patch of the library's sources, with its headers.
 *
 * @param what the fault, in words
 * @param module the module whose sources it changes and whose tests are to see it
 * @param tests the test class that is to see it
 * @param sources the files it changes, from the project's root
 */
record Mutant(Path patch, String what, String module, String tests, List<Path> sources) {

    private static final String CHANGED = "+++ b/";

    static Mutant read(Path patch) throws IOException {
        List<String> lines = Files.readAllLines(patch);
        List<Path> sources = lines.stream()
                .filter(line -> line.startsWith(CHANGED))
                .map(line -> Path.of(line.substring(CHANGED.length())))
                .toList();
        if (sources.isEmpty()) {
            throw new IllegalArgumentException(patch + " changes nothing");
        }
        return new Mutant(patch, header(lines, "What: "), header(lines, "Module: "), header(lines, "Tests: "), sources);
    }

    private static String header(List<String> lines, String name) {
        return lines.stream()
                .filter(line -> line.startsWith(name))
                .findFirst()
                .orElseThrow(() -> new IllegalArgumentException("a patch without " + name))
                .substring(name.length());
    }

    String name() {
        return patch.getFileName().toString().replace(".patch", "");
    }
}
