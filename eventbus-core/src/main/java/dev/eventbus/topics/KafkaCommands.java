package dev.eventbus.topics;

import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Collectors;

/** Commands of Kafka's own tools for the topics of one cluster, each a line for a POSIX shell. */
final class KafkaCommands {

    private final KafkaCluster kafka;

    KafkaCommands(KafkaCluster kafka) {
        this.kafka = kafka;
    }

    /** All topics of a plan: made where they are missing, then set where they were there. */
    String script(List<TopicSpec> specs) {
        StringBuilder script = new StringBuilder("# Topics that are missing are made.\n");
        specs.forEach(spec -> script.append(create(spec)).append('\n'));
        script.append("\n# Topics that exist get their settings. A shorter retention deletes events.\n");
        specs.forEach(spec -> script.append(set(spec.name(), spec.settings())).append('\n'));
        return script.toString();
    }

    String create(TopicSpec spec) {
        String settings = new TreeMap<>(spec.settings())
                .entrySet().stream()
                        .map(setting -> " --config " + Quoted.shell(setting.getKey() + "=" + setting.getValue()))
                        .collect(Collectors.joining());
        return "%s --create --if-not-exists --topic %s --partitions %d --replication-factor %d%s"
                .formatted(
                        tool("kafka-topics"),
                        topic(spec.name()),
                        spec.partitions(),
                        spec.replicationFactor(),
                        settings);
    }

    /** Where it alters, the tool takes the name for a regular expression. */
    String grow(String topic, int partitions) {
        String only = Quoted.shell(Quoted.regex(kafka.physicalTopic(topic)));
        return "%s --alter --topic %s --partitions %d".formatted(tool("kafka-topics"), only, partitions);
    }

    String set(String topic, Map<String, String> settings) {
        String list = new TreeMap<>(settings)
                .entrySet().stream()
                        .map(setting -> setting.getKey() + "=" + setting.getValue())
                        .collect(Collectors.joining(","));
        return "%s --alter --entity-type topics --entity-name %s --add-config %s"
                .formatted(tool("kafka-configs"), topic(topic), Quoted.shell(list));
    }

    String reassign() {
        return tool("kafka-reassign-partitions") + " --reassignment-json-file reassign.json --execute";
    }

    private String topic(String logical) {
        return Quoted.shell(kafka.physicalTopic(logical));
    }

    /** Secrets stay in the file that such a tool reads. */
    private String tool(String name) {
        boolean open = kafka.setting("security.protocol", "PLAINTEXT").equalsIgnoreCase("PLAINTEXT");
        return "%s --bootstrap-server %s%s"
                .formatted(
                        name,
                        Quoted.shell(kafka.bootstrapServers()),
                        open ? "" : " --command-config client.properties");
    }
}
