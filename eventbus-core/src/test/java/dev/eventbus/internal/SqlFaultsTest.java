package dev.eventbus.internal;

import static org.assertj.core.api.Assertions.assertThat;

import java.sql.SQLException;
import java.sql.SQLNonTransientConnectionException;
import java.sql.SQLRecoverableException;
import java.sql.SQLTransientConnectionException;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** The table itself; that servers and drivers really say so is tried on real ones. */
class SqlFaultsTest {

    @ParameterizedTest
    @ValueSource(
            strings = {
                "08000", "08001", "08003", "08006", "08P01", "57P01", "57P02", "57P03", "57P05", "40001", "40003",
                "40P01", "55P03", "25006", "25P03", "53000", "53100", "53300", "58000", "58030"
            })
    void postgresql_is_at_fault(String state) {
        assertThat(SqlFaults.isInfrastructure(new SQLException("", state))).isTrue();
    }

    @ParameterizedTest
    @CsvSource({
        "40001,40001",
        "HYT00,50200",
        "90028,90028",
        "90031,90031",
        "90067,90067",
        "90097,90097",
        "90098,90098",
        "90121,90121",
        "90131,90131"
    })
    void h2_is_at_fault(String state, int code) {
        assertThat(SqlFaults.isInfrastructure(new SQLException("", state, code)))
                .isTrue();
    }

    @ParameterizedTest
    @CsvSource({
        "08S01,1053",
        "08004,1040",
        "25006,1792",
        "40001,1213",
        "HY000,1020",
        "HY000,1021",
        "HY000,1114",
        "HY000,1205",
        "HY000,1290",
        "HY000,1836",
        "HY000,3572",
        "HY000,4031",
        "42000,1203",
        "42000,1226",
        "70100,1927"
    })
    void mariadb_or_mysql_is_at_fault(String state, int code) {
        assertThat(SqlFaults.isInfrastructure(new SQLException("", state, code)))
                .isTrue();
    }

    @ParameterizedTest
    @CsvSource({
        "57014,0",
        "57014,57014",
        "25P04,0",
        "53400,0",
        "53200,0",
        "90108,90108",
        "70100,1969",
        "70100,1317",
        "HY000,3024",
        "HY000,200"
    })
    void a_limit_that_the_events_own_statement_has_reached_is_its_own_fault(String state, int code) {
        assertThat(SqlFaults.isInfrastructure(new SQLException("", state, code)))
                .isFalse();
    }

    @ParameterizedTest
    @CsvSource({
        "23505,0",
        "23503,0",
        "22001,0",
        "42P01,0",
        "42601,0",
        "P0001,0",
        "XX000,0",
        "00000,0",
        "45000,1644",
        "HY000,1366",
        "HYT00,0",
        "42000,1064"
    })
    void what_the_table_does_not_name_is_the_events_own_fault(String state, int code) {
        assertThat(SqlFaults.isInfrastructure(new SQLException("", state, code)))
                .isFalse();
    }

    @Test
    void a_pool_that_gives_no_connection_is_at_fault_with_the_state_of_its_last_try_or_none() {
        assertThat(SqlFaults.isInfrastructure(new SQLTransientConnectionException("timed out after 30000ms")))
                .isTrue();
        assertThat(SqlFaults.isInfrastructure(new SQLTransientConnectionException("password was changed", "28P01")))
                .isTrue();
        assertThat(SqlFaults.isInfrastructure(new SQLTransientConnectionException("no such database", "3D000")))
                .isTrue();
        assertThat(SqlFaults.isInfrastructure(new SQLNonTransientConnectionException("closed")))
                .isTrue();
        assertThat(SqlFaults.isInfrastructure(new SQLRecoverableException("gone")))
                .isTrue();
        assertThat(SqlFaults.isInfrastructure(new SQLException("no state"))).isFalse();
        assertThat(SqlFaults.isInfrastructure(new SQLException("blank", " "))).isFalse();
    }

    @Test
    void the_class_of_an_exception_says_nothing_where_there_is_a_state() {
        SQLException signalled = new SQLTransientConnectionException("no such account", "45000", 1644);
        assertThat(SqlFaults.isInfrastructure(signalled))
                .as("as MariaDB's driver throws it")
                .isFalse();
    }
}
