package dev.eventbus.embedded;

import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.embedded.junit.EventBusServers;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.List;
import javax.sql.DataSource;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Nested;
import org.junit.jupiter.api.Test;

@EventBusServers
class EventBusServersIT {

    private final DataSource database;

    EventBusServersIT(DataSource database) {
        this.database = database;
    }

    @BeforeAll
    static void a_table(DataSource database) throws SQLException {
        try (Connection connection = database.getConnection();
                Statement statement = connection.createStatement()) {
            statement.execute("create table here (n integer)");
        }
    }

    @Test
    void a_test_has_its_broker_and_an_empty_database_of_its_class(KafkaServer kafka, PostgresServer postgres)
            throws Exception {
        assertThat(tables(database)).containsExactly("here");
        try (Connection connection = database.getConnection()) {
            assertThat(connection.getCatalog()).startsWith("eventbusserversit_").isNotEqualTo("postgres");
            assertThat(connection.getMetaData().getURL()).startsWith(postgres.jdbcUrl(connection.getCatalog()));
        }
        TestTopic topic = TestTopic.create(kafka.bootstrapServers(), kafka.uniqueName("own"));
        topic.write("a");
        assertThat(topic.read(1)).containsExactly("a");
    }

    @Test
    void all_methods_of_a_class_get_the_same_database(DataSource again) {
        assertThat(again).isSameAs(database);
    }

    @Nested
    class Within {
        @Test
        void a_nested_class_gets_that_of_its_outer_one(DataSource again) {
            assertThat(again).isSameAs(database);
        }
    }

    private static List<String> tables(DataSource database) throws SQLException {
        List<String> names = new ArrayList<>();
        try (Connection connection = database.getConnection();
                ResultSet rows = connection.getMetaData().getTables(null, "public", "%", new String[] {"TABLE"})) {
            while (rows.next()) {
                names.add(rows.getString("TABLE_NAME"));
            }
        }
        return names;
    }
}
