package dev.eventbus.embedded;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.Map;
import org.junit.jupiter.api.Test;

class PostgresConfigTest {

    @Test
    void commits_wait_for_the_disk_unless_asked_otherwise() {
        assertThat(PostgresConfig.text(5432, Map.of()))
                .contains("synchronous_commit = 'on'\n", "fsync = 'on'\n", "port = '5432'\n");
        assertThat(PostgresConfig.text(5432, Map.of("fsync", "off")))
                .contains("fsync = 'off'\n")
                .doesNotContain("fsync = 'on'");
    }

    @Test
    void a_value_cannot_end_its_quotes() {
        assertThat(PostgresConfig.text(5432, Map.of("application_name", "o'brien\\")))
                .contains("application_name = 'o''brien\\\\'\n");
    }

    @Test
    void refuses_what_the_server_decides_itself_and_what_is_no_setting() {
        EmbeddedPostgres.Builder builder = EmbeddedPostgres.builder();

        assertThatThrownBy(() -> builder.setting("port", "5432")).hasMessageContaining("was port");
        assertThatThrownBy(() -> builder.setting("a = 1 #", "x")).hasMessageContaining("a name in lower case");
        assertThatThrownBy(() -> builder.setting("work_mem", "1MB\nport = 1")).hasMessageContaining("one line");
    }
}
