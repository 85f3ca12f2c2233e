package dev.eventbus.internal;

import static org.assertj.core.api.Assertions.assertThat;

import java.sql.SQLException;
import java.sql.SQLTransientConnectionException;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class SqlFaultsTest {

    @ParameterizedTest
    @ValueSource(
            strings = {
                "08000", "08001", "08003", "08006", "57P01", "57P02", "57P03", "57P05", "40001", "40P01", "55P03",
                "25006", "25P03", "53300", "53100", "HYT00", "90067", "90098", "90121", "90131"
            })
    void the_database_is_at_fault(String state) {
        assertThat(SqlFaults.isInfrastructure(new SQLException("", state))).isTrue();
    }

    @ParameterizedTest
    @ValueSource(
            strings = {"57014", "53400", "53200", "23505", "23503", "22001", "42P01", "42601", "P0001", "XX000", "00000"
            })
    void the_event_is_at_fault(String state) {
        assertThat(SqlFaults.isInfrastructure(new SQLException("", state))).isFalse();
    }

    @Test
    void a_pool_that_is_exhausted_gives_no_state() {
        assertThat(SqlFaults.isInfrastructure(new SQLTransientConnectionException("timed out after 30000ms")))
                .isTrue();
        assertThat(SqlFaults.isInfrastructure(new SQLException("no state"))).isFalse();
    }
}
