package dev.eventbus.outbox.internal;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.eventbus.ErrorCode;
import dev.eventbus.StartRefusedException;
import dev.eventbus.outbox.sql.TableNames;
import dev.eventbus.topics.KafkaCluster;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.regex.Pattern;

/**
 * The configuration of a connector for Kafka Connect that does with the rows of an outbox what a relay does: same topic, key, value
 * and headers.
 *
 * @param name of connector, slot and publication
 * @param table with its schema
 * @param topicPrefix before each logical topic
 * @param maxRequestSize of its producer, in bytes
 */
public record DebeziumConnector(String name, String table, String topicPrefix, int maxRequestSize) {

    private static final Pattern NAME = Pattern.compile("[a-z][a-z0-9_]{0,62}");
    private static final String PROBE = "asset.events";
    private static final String STRINGS = "org.apache.kafka.connect.storage.StringConverter";

    /**
     * Where a connector can do that.
     *
     * @param compacted topics of the outbox that are declared as compacted
     * @throws IllegalArgumentException if PostgreSQL takes no slot of that name
     * @throws StartRefusedException listing all that a connector cannot do as a relay does
     */
    public static DebeziumConnector of(
            TableNames names, Set<String> compacted, KafkaCluster kafka, String name, int maxRequestSize) {
        if (!NAME.matcher(name).matches()) {
            throw new IllegalArgumentException(
                    "name must be 1 to 63 of a-z, 0-9 and _ and begin with a letter, since the slot has it too");
        }
        List<String> problems = new ArrayList<>();
        String schema = names.schema();
        if (schema == null) {
            problems.add(
                    "a connector has no search_path that would say where the table is. Name its schema: .schema(\"public\").");
        }
        if (!compacted.isEmpty()) {
            problems.add(
                    "it would break P2 (no loss) on topics %s, which are compacted: an event that is sent a second time outlives the later ones of its key, which the cleaner then removes. Keep them in an outbox with a relay in mode STRICT."
                            .formatted(compacted));
        }
        String physical = kafka.physicalTopic(PROBE);
        if (!physical.endsWith(PROBE)) {
            problems.add(
                    "cluster '%s' calls topic %s %s, and a connector can only put a prefix before names. Use KafkaCluster.topicPrefix(...)."
                            .formatted(kafka.name(), PROBE, physical));
        }
        if (!problems.isEmpty()) {
            throw StartRefusedException.of(ErrorCode.RELAY_CONTRADICTS_ITSELF, "Debezium connector", problems);
        }
        return new DebeziumConnector(
                name,
                schema + "." + names.events(),
                physical.substring(0, physical.length() - PROBE.length()),
                maxRequestSize);
    }

    /** What Kafka Connect takes at {@code POST /connectors}, with placeholders for all that its environment knows. */
    public String json() {
        ObjectNode connector = new ObjectMapper().createObjectNode().put("name", name);
        ObjectNode config = connector
                .putObject("config")
                .put("connector.class", "io.debezium.connector.postgresql.PostgresConnector")
                .put("tasks.max", "1");
        for (String setting : List.of("hostname", "port", "dbname", "user", "password")) {
            String variable = "%s_database_%s".formatted(name, setting).toUpperCase(Locale.ROOT);
            config.put("database." + setting, "${env:%s}".formatted(variable));
        }
        config.put("topic.prefix", name)
                .put("plugin.name", "pgoutput")
                .put("slot.name", name)
                .put("publication.name", name)
                .put("publication.autocreate.mode", "disabled")
                .put("snapshot.mode", "no_data")
                .put("table.include.list", table)
                .put("binary.handling.mode", "bytes")
                .put("tombstones.on.delete", "false")
                .put("extended.headers.enabled", "false")
                .put("producer.override.max.request.size", Integer.toString(maxRequestSize))
                .put("key.converter", STRINGS)
                .put("value.converter", "io.debezium.converters.BinaryDataConverter")
                .put("header.converter", STRINGS)
                .put("transforms", "outbox");
        putRouter(config);
        return connector.toPrettyString() + "\n";
    }

    /** Without a field for the time: a record has the time of sending, as a relay's. */
    private void putRouter(ObjectNode config) {
        String router = "transforms.outbox.";
        config.put(router + "type", "io.debezium.transforms.outbox.EventRouter")
                .put(router + "table.field.event.id", "id")
                .put(router + "table.field.event.key", "aggregateid")
                .put(router + "table.field.event.payload", "payload")
                .put(router + "table.expand.json.payload", "false")
                .put(
                        router + "table.fields.additional.placement",
                        "type:header:eventType,content_type:header:contentType,traceparent:header,tracestate:header")
                .put(router + "route.by.field", "aggregatetype")
                .put(router + "route.topic.replacement", topicPrefix + "${routedByValue}")
                .put(router + "route.tombstone.on.empty.payload", "true");
    }
}
