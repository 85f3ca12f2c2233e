package dev.eventbus.outbox.sql;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class TableNamesTest {

    @Test
    void each_name_is_quoted_as_the_statement_quotes_it() {
        TableNames names = new TableNames("shop", "events");
        assertThat(names.in("SELECT 1 FROM \"eventbus_outbox\" o, \"eventbus_meta\" m"))
                .isEqualTo("SELECT 1 FROM \"shop\".\"events\" o, \"shop\".\"eventbus_meta\" m");
        assertThat(names.in("SELECT 1 FROM `eventbus_outbox` o, `eventbus_meta` m"))
                .isEqualTo("SELECT 1 FROM `shop`.`events` o, `shop`.`eventbus_meta` m");
        assertThat(TableNames.defaults().in("SELECT 'eventbus_meta' FROM `eventbus_meta`"))
                .isEqualTo("SELECT 'eventbus_meta' FROM `eventbus_meta`");
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "1a", "a-b", "a`b", "a\"b", "a b", "a;b", "á"})
    void a_name_that_could_carry_sql_is_refused(String name) {
        assertThatThrownBy(() -> new TableNames(name, "events")).isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() -> new TableNames(null, name)).isInstanceOf(IllegalArgumentException.class);
    }
}
