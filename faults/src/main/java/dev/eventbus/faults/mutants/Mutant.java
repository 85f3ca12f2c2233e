package dev.eventbus.faults.mutants;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Set;

/**
 * A patch of the library's sources, with its headers.
 *
 * @param what the fault, in words
 * @param module the module whose sources it changes and whose tests are to see it
 * @param tests the test class that is to see it
 * @param layer which of {@link #LAYERS} that is
 * @param sources the files it changes, from the project's root
 */
record Mutant(Path patch, String what, String module, String tests, String layer, List<Path> sources) {

    /**
     * From cheap to dear: one part with fakes around it; the kit with a seeded scheduler; statements in a database; real servers; all of
     * them with faults.
     */
    static final Set<String> LAYERS = Set.of("unit", "simulation", "contract", "integration", "fault run");

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
        String layer = header(lines, "Layer: ");
        if (!LAYERS.contains(layer)) {
            throw new IllegalArgumentException("%s: no layer is called '%s'".formatted(patch, layer));
        }
        return new Mutant(
                patch, header(lines, "What: "), header(lines, "Module: "), header(lines, "Tests: "), layer, sources);
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
