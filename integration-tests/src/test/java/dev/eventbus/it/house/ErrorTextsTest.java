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
            "eventbus-testkit/src/test/resources/golden/errors/messages.txt");

    @Test
    void every_code_has_a_golden_text() throws IOException {
        List<String> texts = new ArrayList<>();
        for (String file : GOLDEN) {
            texts.addAll(Files.readAllLines(MainSources.ROOT.resolve(file)));
        }
        assertThat(Arrays.stream(ErrorCode.values())
                        .map(ErrorCode::id)
                        .filter(id -> texts.stream().noneMatch(text -> text.startsWith(id))))
                .isEmpty();
    }
}
