package dev.eventbus.embedded;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

class WorkFolderTest {

    @Test
    void a_short_log_is_told_whole() {
        assertThat(WorkFolder.excerpt(List.of("a", "ERROR b", "c")).lines()).containsExactly("a", "ERROR b", "c");
        assertThat(WorkFolder.excerpt(List.of())).isEmpty();
    }

    @Test
    void of_a_log_without_trouble_the_end_is_told() {
        assertThat(WorkFolder.excerpt(numbered(100)).lines())
                .hasSize(40)
                .startsWith("60")
                .endsWith("99");
    }

    @Test
    void of_a_log_whose_trouble_is_buried_by_the_shutdown_both_are_told() {
        List<String> log = Stream.of(numbered(10), List.of("12:00 ERROR port taken", "at x"), numbered(100))
                .flatMap(List::stream)
                .toList();

        assertThat(WorkFolder.excerpt(log).lines())
                .hasSize(41)
                .startsWith("12:00 ERROR port taken", "at x", "0")
                .contains("...")
                .endsWith("98", "99");
    }

    private static List<String> numbered(int count) {
        return IntStream.range(0, count).mapToObj(Integer::toString).toList();
    }
}
