package dev.eventbus.embedded;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.List;
import org.junit.jupiter.api.Test;

class UnprivilegedTest {

    @Test
    void says_what_to_do_where_root_cannot_give_up_its_rights() {
        assertThatThrownBy(() -> Unprivileged.checked(List.of("no-such-program", "-U")))
                .isInstanceOf(EmbeddedServerException.class)
                .hasMessageContaining("cannot run as root here")
                .hasMessageContaining("eventbus.external.jdbc-url");
        assertThatThrownBy(() -> Unprivileged.checked(List.of("false"))).hasMessageContaining("unshare");
    }

    @Test
    void takes_a_way_that_works() {
        assertThat(Unprivileged.checked(List.of("env"))).containsExactly("env");
    }
}
