package dev.eventbus.it.house;

import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.ErrorCode;
import java.io.IOException;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;

/** Each error has a text that a person has read and agreed to. */
class ErrorTextsTest {

    private static final List<String> GOLDEN = List.of(
            "eventbus-core/src/test/resources/golden/errors/messages.txt",
            "eventbus-testkit/src/test/resources/golden/errors/messages.txt",
            "eventbus-embedded/src/test/resources/golden/errors/messages.txt");

    @Test
    void every_code_has_a_golden_text() throws IOException {
        List<String> texts = texts();
        assertThat(Arrays.stream(ErrorCode.values())
                        .map(ErrorCode::id)
                        .filter(id -> texts.stream().noneMatch(text -> text.startsWith(id))))
                .isEmpty();
    }

    /** Also of a module that does not have the list of codes. */
    @Test
    void every_golden_text_has_a_code_that_stands_on_the_page() throws IOException {
        List<String> ids = Arrays.stream(ErrorCode.values()).map(ErrorCode::id).toList();
        assertThat(texts().stream()
                        .filter(text -> text.startsWith("EB-"))
                        .filter(text -> ids.stream().noneMatch(text::startsWith)))
                .isEmpty();
    }

    private static List<String> texts() throws IOException {
        List<String> texts = new ArrayList<>();
        for (String file : GOLDEN) {
            texts.addAll(Files.readAllLines(MainSources.ROOT.resolve(file)));
        }
        return texts;
    }
}
