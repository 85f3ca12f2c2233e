package dev.eventbus.embedded;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.eventbus.embedded.SharedServers.Kind;
import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.EnumSet;
import java.util.HashMap;
import java.util.Map;
import org.junit.jupiter.api.Test;

class SharedServersTest {

    private static final EnumSet<Kind> NOTHING_ELSE = EnumSet.noneOf(Kind.class);

    private final Map<String, String> properties = new HashMap<>();
    private final Map<String, String> environment = new HashMap<>();
    private final ByteArrayOutputStream printed = new ByteArrayOutputStream();

    @Test
    void an_unknown_mode_is_refused() {
        properties.put("eventbus.servers", "docker");

        assertThatThrownBy(this::servers)
                .isInstanceOf(EmbeddedServerException.class)
                .hasMessage("eventbus.servers must be embedded, external or testcontainers, was docker");
    }

    @Test
    void a_missing_address_is_named() {
        properties.put("eventbus.servers", "external");

        try (SharedServers servers = servers()) {
            assertThatThrownBy(() -> servers.get(Kind.KAFKA, NOTHING_ELSE))
                    .isInstanceOf(EmbeddedServerException.class)
                    .hasMessageContaining("eventbus.external.kafka")
                    .hasMessageContaining("EVENTBUS_EXTERNAL_KAFKA");
        }
    }

    @Test
    void a_server_is_told_once_and_what_nobody_asks_for_is_not_touched() {
        environment.put("EVENTBUS_SERVERS", "external");
        environment.put("EVENTBUS_EXTERNAL_KAFKA", "broker:9092");

        try (SharedServers servers = servers()) {
            Object first = servers.get(Kind.KAFKA, EnumSet.of(Kind.KAFKA));
            assertThat(first)
                    .isInstanceOfSatisfying(
                            KafkaServer.class,
                            kafka -> assertThat(kafka.bootstrapServers()).isEqualTo("broker:9092"));
            assertThat(servers.get(Kind.KAFKA, NOTHING_ELSE)).isSameAs(first);
        }

        assertThat(printed.toString(StandardCharsets.UTF_8))
                .isEqualTo("eventbus servers: external Kafka at broker:9092%n".formatted());
    }

    @Test
    void a_property_comes_before_the_environment() {
        properties.put("eventbus.servers", "external");
        properties.put("eventbus.external.jdbc-url", "from-property");
        environment.put("EVENTBUS_EXTERNAL_JDBC_URL", "from-environment");

        Setting setting = new Setting(properties::get, environment::get);

        assertThat(setting.find("eventbus.external.jdbc-url")).contains("from-property");
        properties.put("eventbus.external.jdbc-url", " ");
        assertThat(setting.find("eventbus.external.jdbc-url")).contains("from-environment");
    }

    private SharedServers servers() {
        return SharedServers.of(
                new Setting(properties::get, environment::get), new PrintStream(printed, true, StandardCharsets.UTF_8));
    }
}
