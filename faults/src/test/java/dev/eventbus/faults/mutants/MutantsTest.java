package dev.eventbus.faults.mutants;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.List;
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
        Mutant mutant = new Mutant(Path.of("M0.patch"), "a fault", "no-module", "NoTest", List.of(Path.of("No.java")));
        assertThatThrownBy(() -> Mutants.allAreSeen(folder, List.of(mutant), folder))
                .isInstanceOf(NoSuchFileException.class);
        assertThat(folder).isEmptyDirectory();
    }
}
