package dev.eventbus.examples.homestarter;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatCode;

import com.zaxxer.hikari.HikariDataSource;
import dev.eventbus.consumer.inbox.JdbcInbox;
import dev.eventbus.embedded.PostgresServer;
import dev.eventbus.embedded.ServersExtension;
import dev.eventbus.outbox.JdbcOutbox;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

/** Flyway, with three scripts that are all called V1. */
@ExtendWith(ServersExtension.class)
class TablesIT {

    @Test
    void a_service_that_publishes_and_handles_has_its_own_tables_and_both_of_the_library_however_often_it_starts(
            PostgresServer postgres) throws SQLException {
        Settings settings = new Settings(Map.of(
                "DATABASE", postgres.createDatabase(postgres.uniqueName("tables")),
                "DATABASE_USER", postgres.user(),
                "DATABASE_PASSWORD", postgres.password()));
        try (HikariDataSource database = settings.database()) {
            for (int start = 0; start < 2; start++) {
                Tables.migrate(database, "asset");
                Tables.eventbus(database, "inbox");
            }
            try (Connection connection = database.getConnection()) {
                assertThatCode(() -> JdbcOutbox.postgres().verify(connection)).doesNotThrowAnyException();
                assertThat(tables(connection))
                        .contains(
                                "flyway_schema_history",
                                "eventbus_outbox_history",
                                "eventbus_inbox_history",
                                "eventbus_outbox",
                                "eventbus_inbox");
            }
            assertThatCode(() -> JdbcInbox.postgres(database).verify()).doesNotThrowAnyException();
        }
    }

    private static List<String> tables(Connection connection) throws SQLException {
        List<String> names = new ArrayList<>();
        try (ResultSet tables = connection.getMetaData().getTables(null, "public", "%", new String[] {"TABLE"})) {
            while (tables.next()) {
                names.add(tables.getString("TABLE_NAME"));
            }
        }
        return names;
    }
}
