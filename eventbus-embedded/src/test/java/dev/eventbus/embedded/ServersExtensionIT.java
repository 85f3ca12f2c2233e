package dev.eventbus.embedded;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.SQLException;
import java.util.EnumSet;
import java.util.Map;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

@ExtendWith(ServersExtension.class)
class ServersExtensionIT {

    private static KafkaServer first;
    private final PostgresServer postgres;

    ServersExtensionIT(PostgresServer postgres) {
        this.postgres = postgres;
    }

    @BeforeAll
    static void asks_before_all(KafkaServer kafka, PostgresServer postgres) {
        first = kafka;
    }

    @Test
    void gives_the_same_kafka_to_all(KafkaServer kafka) throws Exception {
        assertThat(kafka).isSameAs(first);
        TestTopic topic = TestTopic.create(kafka.bootstrapServers(), kafka.uniqueName("shared"));
        topic.write("a");
        assertThat(topic.read(1)).containsExactly("a");
    }

    @Test
    void gives_each_test_a_database_of_its_own() throws SQLException {
        String one = postgres.createDatabase(postgres.uniqueName("own"));
        String two = postgres.createDatabase(postgres.uniqueName("own"));

        assertThat(one).isNotEqualTo(two);
        try (Connection connection = DriverManager.getConnection(one, postgres.user(), postgres.password())) {
            assertThat(connection.getCatalog()).startsWith("own_");
        }
    }

    @Test
    void external_servers_are_taken_as_they_are_and_the_databases_made_there_are_dropped(KafkaServer kafka) {
        Map<String, String> properties = Map.of(
                "eventbus.servers", "external",
                "eventbus.external.kafka", kafka.bootstrapServers(),
                "eventbus.external.jdbc-url", postgres.jdbcUrl() + "?ApplicationName=secret",
                "eventbus.external.user", postgres.user(),
                "eventbus.external.password", postgres.password());
        ByteArrayOutputStream printed = new ByteArrayOutputStream();
        JdbcPostgres made;
        try (SharedServers servers =
                SharedServers.of(new Setting(properties::get, name -> null), new PrintStream(printed, true))) {
            made = (JdbcPostgres) servers.get(SharedServers.Kind.POSTGRES, EnumSet.allOf(SharedServers.Kind.class));
            assertThat(servers.get(SharedServers.Kind.KAFKA, EnumSet.noneOf(SharedServers.Kind.class)))
                    .isInstanceOfSatisfying(
                            KafkaServer.class,
                            same -> assertThat(same.bootstrapServers()).isEqualTo(kafka.bootstrapServers()));
            made.createDatabase("made_here");
            assertThat(exists("made_here")).isTrue();
        }

        assertThat(exists("made_here")).isFalse();
        assertThat(printed.toString(StandardCharsets.UTF_8))
                .isEqualTo("eventbus servers: external Kafka at %s, PostgreSQL %s at %s%n"
                        .formatted(kafka.bootstrapServers(), made.version(), postgres.jdbcUrl()));
    }

    private boolean exists(String database) {
        try (Connection connection =
                DriverManager.getConnection(postgres.jdbcUrl(database), postgres.user(), postgres.password())) {
            return connection.isValid(0);
        } catch (SQLException e) {
            return false;
        }
    }
}
