package dev.eventbus.outbox;

import static dev.eventbus.outbox.TestEvents.event;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.eventbus.ErrorCode;
import dev.eventbus.PublishRefusedException;
import dev.eventbus.StartRefusedException;
import dev.eventbus.topics.KafkaCluster;
import dev.eventbus.topics.TopicSpec;
import java.io.IOException;
import java.lang.reflect.Proxy;
import java.sql.Connection;
import java.time.Duration;
import java.time.Instant;
import java.util.Locale;
import java.util.function.UnaryOperator;
import javax.sql.DataSource;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.junit.jupiter.api.Test;

/** What is refused of an outbox whose events Debezium sends, and what its connector is told. */
class DebeziumOutboxTest {

    private static final KafkaCluster KAFKA = KafkaCluster.at("localhost:9092");
    private static final JdbcOutbox OUTBOX =
            JdbcOutbox.postgres().schema("scan").table("outbox").relayedByDebezium();

    private static JsonNode config(JdbcOutbox outbox, KafkaCluster kafka) throws IOException {
        return new ObjectMapper()
                .readTree(outbox.debeziumConnector(kafka, "scan_outbox"))
                .get("config");
    }

    private static void refused(ThrowingCallable call, String why) {
        assertThatExceptionOfType(StartRefusedException.class)
                .isThrownBy(call)
                .withMessageContaining(why)
                .extracting(StartRefusedException::code)
                .isEqualTo(ErrorCode.RELAY_CONTRADICTS_ITSELF);
    }

    @Test
    void table_prefix_and_size_go_into_the_connector() throws IOException {
        JsonNode config = config(OUTBOX.maxEventBytes(5_000_000), KAFKA.topicPrefix("staging."));
        assertThat(config.get("table.include.list").textValue()).isEqualTo("scan.outbox");
        assertThat(config.get("transforms.outbox.route.topic.replacement").textValue())
                .isEqualTo("staging.${routedByValue}");
        assertThat(config.get("producer.override.max.request.size").asInt()).isBetween(5_000_001, 5_100_000);
        assertThat(config(OUTBOX, KAFKA)
                        .get("transforms.outbox.route.topic.replacement")
                        .textValue())
                .isEqualTo("${routedByValue}");
    }

    @Test
    void it_stays_relayed_by_debezium_whatever_else_is_said() throws IOException {
        JdbcOutbox outbox = JdbcOutbox.postgres()
                .relayedByDebezium()
                .schema("scan")
                .table("outbox")
                .maxEventBytes(1_000_000)
                .topics()
                .clock(() -> Instant.EPOCH);
        assertThat(config(outbox, KAFKA)).isEqualTo(config(OUTBOX, KAFKA));
    }

    @Test
    void no_address_and_no_credential_stands_in_it_but_names_of_variables() throws IOException {
        JsonNode config = config(OUTBOX, KAFKA);
        for (String setting : new String[] {"hostname", "port", "dbname", "user", "password"}) {
            assertThat(config.get("database." + setting).textValue())
                    .isEqualTo("${env:SCAN_OUTBOX_DATABASE_" + setting.toUpperCase(Locale.ROOT) + "}");
        }
        assertThat(config.toString()).doesNotContain("localhost");
    }

    @Test
    void a_relay_is_refused() {
        DataSource unused = proxy(DataSource.class);
        refused(() -> OutboxRelay.builder(OUTBOX, unused, KAFKA).build(), "no relay would ever see one");
    }

    @Test
    void a_connector_that_could_not_do_as_a_relay_does_is_refused() {
        TopicSpec compacted = TopicSpec.of("asset.events", 3).compactedAfter(Duration.ofDays(30));
        refused(() -> JdbcOutbox.h2().relayedByDebezium(), "for h2 none is known");
        refused(() -> JdbcOutbox.mariaDb().relayedByDebezium(), "for mariadb none is known");
        refused(() -> JdbcOutbox.postgres().schema("scan").debeziumConnector(KAFKA, "a"), "leaves its rows to a relay");
        refused(() -> JdbcOutbox.postgres().relayedByDebezium().debeziumConnector(KAFKA, "a"), "Name its schema");
        refused(() -> OUTBOX.topics(compacted).debeziumConnector(KAFKA, "a"), "[asset.events], which are compacted");
        KafkaCluster renaming = renaming(topic -> topic + ".v2");
        refused(() -> OUTBOX.debeziumConnector(renaming, "a"), "asset.events.v2");
        for (String name : new String[] {"", "a-b", "A", "1a", "a".repeat(64)}) {
            assertThatThrownBy(() -> OUTBOX.debeziumConnector(KAFKA, name))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContaining("1 to 63");
        }
    }

    private static KafkaCluster renaming(UnaryOperator<String> rename) {
        return (KafkaCluster) Proxy.newProxyInstance(
                KafkaCluster.class.getClassLoader(),
                new Class<?>[] {KafkaCluster.class},
                (self, method, arguments) ->
                        method.getName().equals("physicalTopic") ? rename.apply((String) arguments[0]) : "renaming");
    }

    /** Whoever calls it fails. */
    private static <T> T proxy(Class<T> type) {
        return type.cast(Proxy.newProxyInstance(type.getClassLoader(), new Class<?>[] {type}, (self, method, args) -> {
            throw new IllegalStateException("nobody asks for " + method.getName());
        }));
    }

    @Test
    void an_event_with_headers_is_refused_before_any_statement_and_its_trace_is_not_a_header_of_its_own() {
        Connection untouched = proxy(Connection.class);
        assertThatExceptionOfType(PublishRefusedException.class)
                .isThrownBy(() ->
                        OUTBOX.within(untouched).publish(event("evt-1", "bob").withHeader("tenant", "eu")))
                .withMessageContaining("1 headers of yours")
                .extracting(PublishRefusedException::code)
                .isEqualTo(ErrorCode.HEADERS_NOT_CARRIED);
        assertThatThrownBy(() -> OUTBOX.within(untouched)
                        .publish(event("evt-2", "bob")
                                .withHeader("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")))
                .as("this one comes as far as the connection")
                .hasMessageContaining("nobody asks for isClosed");
    }

    @Test
    void too_large_an_event_is_refused_as_ever() {
        assertThatExceptionOfType(PublishRefusedException.class)
                .isThrownBy(() ->
                        OUTBOX.maxEventBytes(10).within(proxy(Connection.class)).publish(event("evt-1", "bob")))
                .extracting(PublishRefusedException::code)
                .isEqualTo(ErrorCode.EVENT_TOO_LARGE);
    }
}
