package dev.eventbus.outbox.sql;

import static org.assertj.core.api.Assertions.assertThat;

import java.sql.SQLException;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class DatabaseFaultTest {

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "08001 | 0    | Start the database",
                "28P01 | 0    | Correct user and password",
                "28000 | 1045 | Correct user and password",
                "3D000 | 0    | Correct the database's name",
                "42000 | 1049 | Correct the database's name",
                "42000 | 1044 | Correct the database's name",
                "42501 | 0    | Grant the relay's user",
                "42000 | 1142 | Grant the relay's user",
                "25006 | 0    | Connect the relay to the primary",
                "HY000 | 1290 | Connect the relay to the primary",
                "HY000 | 1836 | Connect the relay to the primary",
                "53300 | 0    | more connections or room",
                "08004 | 1040 | more connections or room",
                "HY000 | 1114 | more connections or room",
                "HY000 | 1205 | keeps locks",
                "40001 | 1213 | keeps locks",
                "HY000 | 1    | See the database's own log",
            })
    void says_what_a_person_can_do(String state, int code, String fix) {
        assertThat(DatabaseFault.explain(new SQLException("no", state, code)))
                .contains(fix)
                .contains("SQLSTATE " + state)
                .contains("Events wait in the outbox");
    }

    @ParameterizedTest
    @CsvSource({
        "08006, 0, true", "57P01, 0, true", "08000, -1, true", "70100, 1927, true", "HY000, 4031, true",
        "70100, 1317, false", "70100, 1969, false", "40001, 1213, false", "42S02, 1146, false", "57014, 0, false"
    })
    void knows_when_there_is_no_connection_any_more(String state, int code, boolean lost) {
        assertThat(DatabaseFault.isConnectionLost(new SQLException("no", state, code)))
                .isEqualTo(lost);
        assertThat(DatabaseFault.isConnectionLost(new SQLException(new SQLException("no", state, code))))
                .as("wrapped by a pool")
                .isEqualTo(lost);
    }
}
