package dev.eventbus.embedded;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class JdbcPostgresTest {

    private final JdbcPostgres server = new JdbcPostgres("jdbc:postgresql://db:5432/first?ssl=true", "me", "secret");

    @Test
    void another_database_of_the_server_has_the_same_address_and_parameters() {
        assertThat(server.jdbcUrl("orders_1")).isEqualTo("jdbc:postgresql://db:5432/orders_1?ssl=true");
        assertThat(new JdbcPostgres("jdbc:postgresql://a,b/first", "me", "secret").jdbcUrl("x"))
                .isEqualTo("jdbc:postgresql://a,b/x");
    }

    @Test
    void what_is_printed_has_no_parameters() {
        assertThat(server.printableUrl()).isEqualTo("jdbc:postgresql://db:5432/first");
    }

    @Test
    void another_kind_of_database_is_refused_without_telling_its_address() {
        assertThatThrownBy(() -> new JdbcPostgres("jdbc:mysql://db/x?password=secret", "me", "secret"))
                .isInstanceOf(EmbeddedServerException.class)
                .hasMessageNotContaining("secret");
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "Orders", "1st", "a-b", "a\"; drop table t; --"})
    void a_name_that_would_need_escaping_is_refused(String name) {
        assertThatThrownBy(() -> server.createDatabase(name)).isInstanceOf(IllegalArgumentException.class);
    }

    @Test
    void a_unique_name_is_good_for_a_topic_and_a_database() {
        String name = server.uniqueName("orders");

        assertThat(name).matches("orders_[a-z0-9]{8}").isNotEqualTo(server.uniqueName("orders"));
        assertThat(server.jdbcUrl(name)).contains("/" + name);
    }
}
