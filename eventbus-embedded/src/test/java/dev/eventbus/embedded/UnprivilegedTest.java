package dev.eventbus.embedded;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.io.InputStream;
import java.util.List;
import org.junit.jupiter.api.Test;

class UnprivilegedTest {

    @Test
    void says_what_to_do_where_root_cannot_give_up_its_rights() throws IOException {
        String agreedOn;
        try (InputStream golden = UnprivilegedTest.class.getResourceAsStream("/golden/errors/messages.txt")) {
            assertThat(golden).isNotNull();
            agreedOn = new String(golden.readAllBytes(), UTF_8).strip();
        }
        for (List<String> fails : List.of(List.of("no-such-program", "-U"), List.of("false"))) {
            assertThatThrownBy(() -> Unprivileged.checked(fails))
                    .isInstanceOf(EmbeddedServerException.class)
                    .hasMessage(agreedOn);
        }
    }

    @Test
    void takes_a_way_that_works() {
        assertThat(Unprivileged.checked(List.of("env"))).containsExactly("env");
    }
}
