package dev.eventbus.topics;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.DisabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;
import org.yaml.snakeyaml.Yaml;

/** What a plan says to other tools. */
class TopicExportsTest {

    /** Quotes, a backslash, templates of Prometheus and variables of Grafana, syntax of expressions, a line break of YAML, no ASCII. */
    private static final String HOSTILE =
            "it's \"a\" \\ $datasource ${x} [[y]] {{ $z }} .*|(b) # : é\u2028 \uD83D\uDE80";

    private static final TopicSpec ASSET_EVENTS = of24Hours("asset.events", 3);
    private static final TopicSpec HOUSING_EVENTS = of24Hours("housing.events", 3);
    private static final TopicSpec DEAD_LETTERS = TopicSpec.of("dlq.events", 1).replicationFactor(2);

    private static final TopicPlan PLAN = TopicPlan.builder()
            .topics("kafka", TopicNaming.FREE, ASSET_EVENTS, HOUSING_EVENTS, DEAD_LETTERS)
            .group("kafka", "calculator.asset.events", ASSET_EVENTS)
            .group("kafka", "calculator.housing.events", HOUSING_EVENTS)
            .group("kafka", "monitoring.dlq.events", DEAD_LETTERS)
            .outbox("asset", "housing")
            .build();

    private static final TopicPlan HOSTILE_PLAN = TopicPlan.builder()
            .topics("kafka", TopicNaming.FREE, ASSET_EVENTS)
            .group("kafka", HOSTILE, ASSET_EVENTS)
            .outbox(HOSTILE)
            .build();

    private static final KafkaCluster KAFKA = KafkaCluster.at("kafka:9092");

    @TempDir
    private Path folder = Path.of("");

    private static TopicSpec of24Hours(String name, int partitions) {
        return TopicSpec.of(name, partitions)
                .replicationFactor(2)
                .retention(Duration.ofHours(24))
                .retentionBytes(10_000_000_000L);
    }

    private static String golden(String name) throws IOException {
        try (InputStream file = TopicExportsTest.class.getResourceAsStream("/golden/topics/" + name)) {
            assertThat(file).as(name).isNotNull();
            return new String(file.readAllBytes(), UTF_8);
        }
    }

    @Test
    void each_export_reads_as_it_did() throws IOException {
        assertThat(PLAN.kafkaCommands(KAFKA)).isEqualTo(golden("commands.sh"));
        assertThat(PLAN.strimziTopics(KAFKA, "home-starter")).isEqualTo(golden("strimzi.yaml"));
        assertThat(PLAN.alertRules()).isEqualTo(golden("alerts.yaml"));
        assertThat(PLAN.dashboard()).isEqualTo(golden("dashboard.json"));
    }

    @Test
    @DisabledOnOs(OS.WINDOWS)
    void a_shell_hands_the_tools_what_is_meant() throws Exception {
        KafkaCluster kafka = KafkaCluster.of(Map.of(
                        "bootstrap.servers", "a:1,b:2", "security.protocol", "SASL_SSL", "sasl.mechanism", "PLAIN"))
                .topicPrefix("staging.");
        for (String tool : List.of("kafka-topics", "kafka-configs")) {
            Path stub = Files.writeString(
                    folder.resolve(tool),
                    "#!/bin/sh\necho \"$(basename \"$0\")\"\nfor word; do echo \"  $word\"; done\n");
            assertThat(stub.toFile().setExecutable(true)).isTrue();
        }

        assertThat(shell(HOSTILE_PLAN.kafkaCommands(kafka))).isEqualTo("""
                kafka-topics
                  --bootstrap-server
                  a:1,b:2
                  --command-config
                  client.properties
                  --create
                  --if-not-exists
                  --topic
                  staging.asset.events
                  --partitions
                  3
                  --replication-factor
                  2
                  --config
                  cleanup.policy=delete
                  --config
                  compression.type=lz4
                  --config
                  min.insync.replicas=2
                  --config
                  retention.bytes=10000000000
                  --config
                  retention.ms=86400000
                  --config
                  unclean.leader.election.enable=false
                kafka-configs
                  --bootstrap-server
                  a:1,b:2
                  --command-config
                  client.properties
                  --alter
                  --entity-type
                  topics
                  --entity-name
                  staging.asset.events
                  --add-config
                  cleanup.policy=delete,compression.type=lz4,min.insync.replicas=2,retention.bytes=10000000000,retention.ms=86400000,unclean.leader.election.enable=false
                """);
        assertThat(shell("printf %s " + Quoted.shell(HOSTILE))).isEqualTo(HOSTILE);
        assertThat(shell("printf %s " + Quoted.shell(""))).isEmpty();
    }

    @Test
    void kubernetes_takes_every_name_and_no_two_topics_share_one() {
        TopicPlan plan = TopicPlan.builder()
                .topics(
                        "kafka",
                        TopicNaming.FREE,
                        TopicSpec.of("a.b", 1),
                        TopicSpec.of("A-B", 1),
                        TopicSpec.of("a_-b", 1),
                        TopicSpec.of("___", 1),
                        TopicSpec.of("x".repeat(248) + "Y", 1))
                .build();

        List<String> names = new ArrayList<>();
        List<Object> topics = new ArrayList<>();
        for (Object document : new Yaml().loadAll(plan.strimziTopics(KAFKA, "my-cluster"))) {
            names.add(String.valueOf(at(document, "metadata", "name")));
            topics.add(at(document, "spec", "topicName"));
            assertThat(at(document, "metadata", "labels", "strimzi.io/cluster")).isEqualTo("my-cluster");
            assertThat(at(document, "spec", "config", "retention.ms")).isEqualTo("604800000");
        }

        assertThat(topics).containsExactly("a.b", "A-B", "a_-b", "___", "x".repeat(248) + "Y");
        assertThat(names)
                .startsWith("a.b")
                .doesNotHaveDuplicates()
                .allMatch(name -> name.length() <= 253)
                .allMatch(name -> name.matches("[a-z0-9]([-a-z0-9.]*[a-z0-9])?"));
        assertThatIllegalArgumentException()
                .isThrownBy(() -> plan.strimziTopics(KAFKA, "My_Cluster"))
                .withMessageContaining("'My_Cluster'");
    }

    @Test
    void a_rule_of_prometheus_means_the_group_whatever_it_is_called() {
        Object file = new Yaml().load(HOSTILE_PLAN.alertRules());
        List<?> rules = (List<?>) at(((List<?>) at(file, "groups")).get(0), "rules");

        assertThat(rules)
                .filteredOn(rule -> at(rule, "alert").equals("EventbusGroupLag"))
                .singleElement()
                .satisfies(rule -> assertThat(at(rule, "expr"))
                        .isEqualTo("sum by (group) (eventbus_consumer_lag_records{group=\""
                                + HOSTILE.replace("\\", "\\\\").replace("\"", "\\\"")
                                + "\"} >= 0) > 10000"));
        assertThat(rules)
                .allSatisfy(rule -> assertThat(String.valueOf(at(rule, "annotations", "summary")))
                        .as("texts are templates, so a name never stands in them")
                        .doesNotContain("$z"));
    }

    @Test
    void a_panel_of_the_dashboard_means_the_group_whatever_it_is_called() throws IOException {
        JsonNode dashboard = new ObjectMapper().readTree(HOSTILE_PLAN.dashboard());

        List<String> lags = new ArrayList<>();
        dashboard
                .get("panels")
                .forEach(panel -> lags.add(panel.at("/targets/0/expr").asText()));

        String lag = lags.stream()
                .filter(query -> query.contains("consumer_lag"))
                .findFirst()
                .orElseThrow();
        assertThat(lag).as("no variable of Grafana").doesNotContainPattern("\\$\\w|\\$\\{|\\[\\[");
        String literal = lag.replaceAll("^.*\\{group=~\"|\"} >= 0\\)$", "");
        String regex = literal.replace("\\\"", "\"").replace("\\\\", "\\");
        assertThat(HOSTILE).matches(Pattern.compile(regex));
        assertThat(HOSTILE.replace(".*|(b)", "xx|(b)")).doesNotMatch(Pattern.compile(regex));
    }

    @Test
    void a_plan_without_groups_and_outboxes_has_no_query_of_them() throws IOException {
        TopicPlan plan = TopicPlan.builder()
                .topics("kafka", TopicNaming.FREE, ASSET_EVENTS)
                .build();

        assertThat(plan.alertRules())
                .contains("KafkaUnderReplicatedPartitions")
                .doesNotContain("EventbusGroup", "EventbusOutbox");
        assertThat(new ObjectMapper().readTree(plan.dashboard()).get("panels")).hasSize(2);
    }

    @Test
    void a_first_dead_letter_and_a_lag_that_nobody_knows_are_seen() throws IOException {
        assertThat(PLAN.alertRules())
                .contains(
                        "(count by (group) (eventbus_consumer_lag_records{group=\"monitoring.dlq.events\"}) unless count by (group) (eventbus_consumer_lag_records{group=\"monitoring.dlq.events\"} >= 0))");
        assertThat(new ObjectMapper().readTree(PLAN.dashboard()).get("panels").findValuesAsText("expr"))
                .filteredOn(query -> query.contains("eventbus_dlq"))
                .singleElement()
                .asString()
                .contains(" unless eventbus_dlq_published_messages_total{", "} offset 5m) or increase(");
    }

    @Test
    void each_outbox_of_the_plan_is_missed_for_itself() {
        Object file = new Yaml().load(PLAN.alertRules());
        List<?> rules = (List<?>) at(((List<?>) at(file, "groups")).get(0), "rules");

        assertThat(rules)
                .filteredOn(rule -> at(rule, "alert").equals("EventbusOutboxUnknown"))
                .extracting(rule -> String.valueOf(at(rule, "expr")))
                .satisfiesExactly(
                        asset -> assertThat(asset)
                                .startsWith("absent(eventbus_outbox_oldest_age_seconds{outbox=\"asset\"}) or "),
                        housing -> assertThat(housing)
                                .startsWith("absent(eventbus_outbox_oldest_age_seconds{outbox=\"housing\"}) or "));
    }

    @Test
    void text_is_yaml_and_comes_back_as_it_was() {
        for (String text : List.of("", "true", "12", "a: b", "# c", HOSTILE, "\u0085\u0007\uFEFF\"\\")) {
            assertThat((Object) new Yaml().load(Quoted.yaml(text))).isEqualTo(text);
        }
    }

    private String shell(String script) throws Exception {
        Path file = Files.writeString(folder.resolve("script.sh"), script);
        ProcessBuilder shell = new ProcessBuilder("sh", file.toString()).redirectErrorStream(true);
        shell.environment().compute("PATH", (name, path) -> folder + ":" + path);
        Process process = shell.start();
        String said = new String(process.getInputStream().readAllBytes(), UTF_8);
        assertThat(process.waitFor()).as(said).isZero();
        return said;
    }

    private static Object at(Object document, String... path) {
        Object found = document;
        for (String key : path) {
            Object next = ((Map<?, ?>) found).get(key);
            if (next == null) {
                throw new AssertionError(key + " is not in " + found);
            }
            found = next;
        }
        return found;
    }
}
