package dev.eventbus.cli;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.eventbus.consumer.inbox.JdbcInbox;
import dev.eventbus.topics.TopicFinding;
import dev.eventbus.topics.TopicFinding.Remedy;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.h2.jdbcx.JdbcDataSource;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;
import picocli.CommandLine;

/** What needs no server. */
class EventbusCliTest {

    private static final String SECRET = "s3cret";

    @TempDir
    private Path folder = Path.of("");

    private final StringWriter out = new StringWriter();
    private final StringWriter err = new StringWriter();

    private int run(Map<String, String> environment, String... arguments) {
        return EventbusCli.run(environment, new PrintWriter(out), new PrintWriter(err), arguments);
    }

    @Test
    void what_kubernetes_says_of_a_service_is_no_setting() {
        CliSettings settings = CliSettings.of(
                null,
                Map.of(
                        "EVENTBUS_KAFKA_BOOTSTRAP_SERVERS", "localhost:1",
                        "EVENTBUS_KAFKA_BOOTSTRAP_SERVICE_HOST", "10.0.0.1",
                        "EVENTBUS_KAFKA_BOOTSTRAP_SERVICE_PORT", "9092",
                        "EVENTBUS_KAFKA_BOOTSTRAP_SERVICE_PORT_TCP_CLIENTS", "9092",
                        "EVENTBUS_KAFKA_BOOTSTRAP_PORT", "tcp://10.0.0.1:9092",
                        "EVENTBUS_KAFKA_BOOTSTRAP_PORT_9092_TCP_ADDR", "10.0.0.1"));
        assertThat(settings.toString()).isEqualTo("settings [kafka.bootstrap.servers]");
        assertThat(settings.kafka().bootstrapServers()).isEqualTo("localhost:1");
    }

    @Test
    void the_environment_counts_more_than_the_file_and_no_value_is_ever_told() throws IOException {
        Path file = folder.resolve("eventbus.properties");
        Files.writeString(file, "database.password = " + SECRET + "\ngroup = from the file\nkafka.acks = all\n");
        CliSettings settings = CliSettings.of(
                file, Map.of("EVENTBUS_GROUP", "from the environment", "EVENTBUS_HOME", "/", "PATH", "/bin"));
        assertThat(settings.require("group")).isEqualTo("from the environment");
        assertThat(settings.toString()).isEqualTo("settings [database.password, group, kafka.acks]");
        assertThatThrownBy(() -> settings.require("database.url"))
                .hasMessageContaining("EVENTBUS_DATABASE_URL")
                .hasMessageNotContaining(SECRET);
        Files.writeString(file, "passwort = " + SECRET);
        assertThatThrownBy(() -> CliSettings.of(file, Map.of()))
                .hasMessageContaining("passwort")
                .hasMessageNotContaining(SECRET);
        assertThatThrownBy(() -> CliSettings.of(folder.resolve("none"), Map.of()))
                .isInstanceOf(CliSettings.Refused.class)
                .hasMessageContaining("--config");
    }

    @Test
    @EnabledOnOs(OS.LINUX) // which has a device that is always full
    void output_that_could_not_be_written_is_no_success() throws IOException, InterruptedException {
        Process command = new ProcessBuilder(
                        Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                        "-cp",
                        System.getProperty("java.class.path"),
                        EventbusCli.class.getName(),
                        "--version")
                .redirectOutput(Path.of("/dev/full").toFile())
                .start();
        assertThat(command.waitFor()).isEqualTo(1);
        assertThat(new String(command.getErrorStream().readAllBytes(), UTF_8)).contains("could not be written whole");
    }

    @Test
    void whoever_is_asked_to_apply_is_told_which_topics_would_grow() {
        List<TopicFinding> plan = List.of(
                new TopicFinding.PartitionCount("a", 6, 3, new TopicFinding.Fix(Remedy.APPLY_GROWING, "add them")),
                new TopicFinding.PartitionCount("b", 3, 6, new TopicFinding.Fix(Remedy.BY_HAND, "keep them")));

        assertThat(TopicsCommand.Apply.question(plan, true))
                .endsWith(", and add partitions, though keys change theirs, to a?");
        assertThat(TopicsCommand.Apply.question(plan, false)).doesNotContain("partitions");
    }

    @Test
    void a_value_of_a_topic_that_is_no_number_is_named_with_its_topic_and_word() {
        assertThat(run(Map.of(), "topics", "plan", "--topic", "asset.events = partitions=abc"))
                .isEqualTo(2);
        assertThat(run(Map.of(), "topics", "plan", "--topic", "asset.events = partitions=3 replicas=x"))
                .isEqualTo(2);
        assertThat(err.toString()).isEqualTo("""
                topic asset.events: partitions=abc is no number
                topic asset.events: replicas=x is no duration (PT24H) or number
                """);
    }

    @Test
    void a_connector_is_written_without_any_server_and_without_a_password() {
        Map<String, String> environment = Map.of(
                "EVENTBUS_KAFKA_BOOTSTRAP_SERVERS", "localhost:1",
                "EVENTBUS_TOPIC_PREFIX", "staging.",
                "EVENTBUS_DATABASE_URL", "jdbc:postgresql://localhost:1/scan",
                "EVENTBUS_DATABASE_PASSWORD", SECRET,
                "EVENTBUS_OUTBOX_SCHEMA", "scan");
        assertThat(run(environment, "outbox", "connector", "--name", "scan_outbox"))
                .isZero();
        assertThat(out.toString())
                .contains("\"name\" : \"scan_outbox\"", "\"scan.eventbus_outbox\"", "staging.${routedByValue}")
                .doesNotContain(SECRET, "localhost");

        assertThat(run(environment, "outbox", "connector", "--name", "Scan-Outbox"))
                .isEqualTo(2);
        assertThat(err.toString()).contains("a-z, 0-9 and _").doesNotContain(SECRET);
    }

    @Test
    void there_is_no_option_for_a_password_and_what_is_not_understood_is_not_repeated() {
        assertThat(run(Map.of(), "parked", "list", "--password=" + SECRET)).isEqualTo(2);
        assertThat(run(Map.of(), "parked", "list", "--password", SECRET)).isEqualTo(2);
        assertThat(run(Map.of(), "outbox", "stats", SECRET)).isEqualTo(2);
        assertThat(err.toString()).contains("--password").doesNotContain(SECRET);
    }

    @Test
    void no_command_takes_an_address_a_user_or_a_credential_as_an_argument() {
        assertThat(optionsOf(new CommandLine(new EventbusCli(Map.of(), question -> false))))
                .contains("--config", "--note", "--key-hash", "--without-inbox")
                .noneMatch(option ->
                        option.matches("(?i).*(passw|secret|token|jaas|credential|user|url|server|database).*"));
    }

    private static List<String> optionsOf(CommandLine command) {
        List<String> options = new ArrayList<>();
        command.getCommandSpec().options().forEach(option -> options.addAll(List.of(option.names())));
        command.getSubcommands().values().forEach(sub -> options.addAll(optionsOf(sub)));
        return options;
    }

    @Test
    void without_a_place_for_the_inbox_nothing_is_put_on_a_topic_by_mistake() {
        Map<String, String> environment = Map.of(
                "EVENTBUS_KAFKA_BOOTSTRAP_SERVERS", "localhost:1", "EVENTBUS_GROUP", "g", "EVENTBUS_DEAD_LETTERS", "d");
        assertThat(run(environment, "deadletters", "redrive", "--note", "x", "--yes"))
                .isEqualTo(2);
        assertThat(err.toString()).contains("database.url", "--without-inbox");
    }

    @Test
    void a_discard_that_nothing_could_remember_is_refused_before_anything_is_read_or_asked() {
        assertThat(run(Map.of(), "deadletters", "discard", "--without-inbox", "--note", "x"))
                .isEqualTo(2);
        assertThat(err.toString()).contains("has no inbox that could remember it");
    }

    @Test
    void a_table_is_text_for_people_and_json_for_programs() {
        Report report = new Report()
                .fact("toRedrive", 2)
                .table("keys", List.of("keyHash", "events"), List.of(List.of("0b14", 2), List.of("line\nbreak", 1)));
        report.print(new PrintWriter(out), false);
        assertThat(out.toString()).isEqualTo("""
                to redrive: 2
                keys: 2
                KEY HASH         EVENTS
                0b14             2
                line\\u000abreak  1
                """);
        out.getBuffer().setLength(0);
        report.print(new PrintWriter(out), true);
        assertThat(out.toString()).contains("\"toRedrive\" : 2", "\"keyHash\" : \"0b14\"");
    }

    @Test
    void the_parked_keys_of_a_group_are_listed_without_kafka() throws SQLException {
        JdbcDataSource database = new JdbcDataSource();
        database.setURL("jdbc:h2:mem:cli;DB_CLOSE_DELAY=-1");
        JdbcInbox.createTables(database);
        Map<String, String> environment =
                Map.of("EVENTBUS_DATABASE_URL", "jdbc:h2:mem:cli", "EVENTBUS_GROUP", "ledger");
        assertThat(run(environment, "parked", "list")).isZero();
        assertThat(out.toString()).isEqualTo("parked keys: none\n");
    }
}
