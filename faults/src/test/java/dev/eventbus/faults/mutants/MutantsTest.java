package dev.eventbus.faults.mutants;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class MutantsTest {

    @TempDir
    private Path folder;

    @Test
    void nothing_is_left_in_the_folder_of_temporary_files() throws Exception {
        assertThat(Mutants.allAreSeen(folder, List.of(), folder))
                .as("nothing was seen")
                .isFalse();
        assertThat(folder).isEmptyDirectory();
    }

    @Test
    void nothing_is_left_there_if_it_fails_either() {
        Mutant mutant =
                new Mutant(Path.of("M0.patch"), "a fault", "no-module", "NoTest", "unit", List.of(Path.of("No.java")));
        assertThatThrownBy(() -> Mutants.allAreSeen(folder, List.of(mutant), folder))
                .isInstanceOf(NoSuchFileException.class);
        assertThat(folder).isEmptyDirectory();
    }

    @Test
    void each_mutant_says_what_it_does_and_which_layer_is_to_see_it() throws Exception {
        List<Mutant> mutants = new ArrayList<>();
        try (Stream<Path> patches = Files.list(Path.of("mutants"))) {
            for (Path patch : patches.toList()) {
                mutants.add(Mutant.read(patch));
            }
        }
        assertThat(mutants).hasSizeGreaterThanOrEqualTo(17).allSatisfy(mutant -> {
            assertThat(mutant.what()).isNotBlank();
            assertThat(mutant.layer().equals("integration"))
                    .as(mutant.name())
                    .isEqualTo(mutant.tests().endsWith("IT"));
            assertThat(mutant.layer().equals("simulation"))
                    .as(mutant.name())
                    .isEqualTo(mutant.tests().endsWith("SimulationTest"));
        });
    }

    @Test
    void a_layer_that_there_is_not_is_refused() throws Exception {
        Path patch = Files.writeString(
                folder.resolve("M0.patch"),
                "What: a fault\nModule: none\nTests: NoTest\nLayer: hope\n\n+++ b/No.java\n");
        assertThatThrownBy(() -> Mutant.read(patch)).hasMessageContaining("no layer is called 'hope'");
    }
}
