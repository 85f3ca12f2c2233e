package dev.eventbus.it.house;

import static java.util.stream.Collectors.toCollection;
import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.EventHeaders;
import dev.eventbus.EventLimits;
import dev.eventbus.EventType;
import dev.eventbus.FailureReason;
import dev.eventbus.consumer.ConsumerRunnerBuilder;
import dev.eventbus.consumer.inbox.JdbcInbox;
import dev.eventbus.consumer.redrive.Redrive;
import dev.eventbus.outbox.JdbcOutbox;
import dev.eventbus.outbox.OutboxAdmin;
import dev.eventbus.outbox.OutboxRelay;
import dev.eventbus.topics.KafkaCluster;
import dev.eventbus.topics.TopicSpec;
import java.io.IOException;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.nio.file.Files;
import java.time.Duration;
import java.util.Arrays;
import java.util.Locale;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Tables of the docs say what the code says: no option, meter, header, reason or column is missing there or made up. */
class DocsDriftTest {

    private static final Pattern NAME = Pattern.compile("`([^`]+)`");

    private static String page(String name) throws IOException {
        return Files.readString(MainSources.ROOT.resolve("docs").resolve(name));
    }

    private static String section(String page, String heading) {
        String[] parts = ("\n" + page).split("\n## " + Pattern.quote(heading) + "\n", 2);
        assertThat(parts).as("a section " + heading).hasSize(2);
        return parts[1].split("\n## ", 2)[0];
    }

    /** What stands in backticks in the first column of the tables of a text. */
    private static Set<String> firstColumn(String text) {
        return text.lines()
                .filter(line -> line.startsWith("| `"))
                .map(line -> line.substring(1, line.indexOf(" |", 1)))
                .flatMap(cell -> NAME.matcher(cell).results().map(name -> name.group(1)))
                .collect(toCollection(TreeSet::new));
    }

    // ---- configuration

    static Stream<Arguments> configured() {
        return Stream.of(
                Arguments.of("KafkaCluster", KafkaCluster.class, KafkaCluster.class),
                Arguments.of("EventType", EventType.class, EventType.class),
                Arguments.of("JdbcOutbox", JdbcOutbox.class, JdbcOutbox.class),
                Arguments.of("OutboxRelay", OutboxRelay.Builder.class, OutboxRelay.Builder.class),
                Arguments.of("OutboxAdmin", OutboxAdmin.class, OutboxAdmin.class),
                Arguments.of("ConsumerRunner", ConsumerRunnerBuilder.class, ConsumerRunnerBuilder.class),
                Arguments.of("JdbcInbox", JdbcInbox.class, JdbcInbox.class),
                Arguments.of("TopicSpec", TopicSpec.class, TopicSpec.class),
                Arguments.of("Redrive", Redrive.class, Redrive.class));
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("configured")
    void each_option_stands_in_its_section_of_the_page_of_configuration(
            String heading, Class<?> owner, Class<?> returned) throws IOException {
        String section = section(page("configuration.md"), heading);
        Set<String> told = new TreeSet<>();
        NAME.matcher(section)
                .results()
                .map(name -> name.group(1).replaceFirst("\\(.*", ""))
                .forEach(told::add);
        assertThat(told).containsAll(optionsOf(owner, returned));
    }

    /** Public methods that give the same kind of object again, beside those that are no option but a way to make one. */
    private static Set<String> optionsOf(Class<?> owner, Class<?> returned) {
        Set<String> options = Arrays.stream(owner.getMethods())
                .filter(method -> returned == method.getReturnType())
                .filter(method -> !Modifier.isStatic(method.getModifiers()))
                .map(Method::getName)
                .collect(toCollection(TreeSet::new));
        assertThat(options).as("options of " + owner).isNotEmpty();
        return options;
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("configured")
    void each_option_of_the_page_of_configuration_exists(String heading, Class<?> owner, Class<?> returned)
            throws IOException {
        Set<String> methods = Stream.of(
                        owner, heading.equals("OutboxRelay") ? OutboxRelay.class : owner, consumerOf(heading))
                .flatMap(type -> Arrays.stream(type.getMethods()))
                .map(Method::getName)
                .collect(toCollection(TreeSet::new));
        Stream.of(EventType.class.getDeclaredClasses())
                .flatMap(type -> Arrays.stream(type.getMethods()))
                .map(Method::getName)
                .forEach(methods::add);
        assertThat(firstColumn(section(page("configuration.md"), heading)).stream()
                        .filter(option -> option.matches("\\w+(\\(.*)?"))
                        .map(option -> option.replaceFirst("\\(.*", "")))
                .isSubsetOf(methods);
    }

    private static Class<?> consumerOf(String heading) {
        return heading.equals("ConsumerRunner") ? dev.eventbus.consumer.ConsumerRunner.class : Object.class;
    }

    static Stream<Arguments> defaults() {
        return Stream.of(
                Arguments.of("JdbcOutbox", "maxEventBytes(n)", number(EventLimits.MAX_EVENT_BYTES)),
                Arguments.of("OutboxRelay", "lease(duration)", text(OutboxRelay.DEFAULT_LEASE)),
                Arguments.of("OutboxRelay", "maxRelayStop(duration)", text(OutboxRelay.DEFAULT_MAX_RELAY_STOP)),
                Arguments.of("OutboxRelay", "close(limit)", text(OutboxRelay.DEFAULT_CLOSE_LIMIT)),
                Arguments.of("ConsumerRunner", "concurrency(n)", number(ConsumerRunnerBuilder.DEFAULT_CONCURRENCY)),
                Arguments.of(
                        "ConsumerRunner",
                        "maxInFlight(records, bytes)",
                        "%s and %d MiB"
                                .formatted(
                                        number(ConsumerRunnerBuilder.DEFAULT_MAX_RECORDS),
                                        ConsumerRunnerBuilder.DEFAULT_MAX_BYTES / 1024 / 1024)),
                Arguments.of("ConsumerRunner", "close(limit)", text(ConsumerRunnerBuilder.DEFAULT_DRAIN)),
                Arguments.of("Redrive", "mostRedrives(n)", number(Redrive.DEFAULT_MOST_REDRIVES)),
                Arguments.of("Redrive", "perSecond(n)", number(Redrive.DEFAULT_PER_SECOND)),
                Arguments.of("Redrive", "stopsAfter(n)", number(Redrive.DEFAULT_STOPS_AFTER)));
    }

    @ParameterizedTest(name = "{0}.{1}")
    @MethodSource("defaults")
    void a_default_is_the_one_of_the_code(String heading, String option, String value) throws IOException {
        assertThat(section(page("configuration.md"), heading).lines())
                .anyMatch(line -> line.startsWith("| `%s` | %s |".formatted(option, value)));
    }

    private static String number(long number) {
        return "%,d".formatted(number);
    }

    private static String text(Duration duration) {
        return duration.toDays() > 0 ? duration.toDays() + " days" : duration.toSeconds() + " s";
    }

    @Test
    void the_connector_of_the_page_is_the_one_that_is_generated() throws IOException {
        String connector = JdbcOutbox.postgres()
                .schema("scan")
                .table("outbox")
                .relayedByDebezium()
                .debeziumConnector(KafkaCluster.at("localhost:9092").topicPrefix("staging."), "scan_outbox");
        assertThat(page("debezium.md")).contains("```json\n" + connector + "```");
    }

    // ---- meters

    @Test
    void the_meters_of_the_page_are_those_that_are_registered() throws IOException {
        Set<String> registered = new TreeSet<>();
        for (MainSources.Source source : MainSources.all()) {
            if (source.name().endsWith("Metrics.java")) {
                Pattern.compile("\"(eventbus\\.[a-z.]*[a-z])\"")
                        .matcher(source.code())
                        .results()
                        .forEach(name -> registered.add(name.group(1)));
                if (source.code().contains("\"eventbus.redrive.\" + what")) {
                    Pattern.compile("counter\\(\"([a-z.]+)\"\\)")
                            .matcher(source.code())
                            .results()
                            .forEach(name -> registered.add("eventbus.redrive." + name.group(1)));
                }
            }
        }
        assertThat(registered).hasSizeGreaterThan(25);
        Set<String> told = new TreeSet<>(firstColumn(page("metrics.md")));
        told.removeIf(name -> !name.startsWith("eventbus.") || name.contains("{"));
        assertThat(told).isEqualTo(registered);
    }

    // ---- the wire

    @Test
    void the_reasons_of_the_page_are_those_of_the_code() throws IOException {
        assertThat(firstColumn(section(page("wire-format.md"), "Reading")))
                .containsExactlyInAnyOrderElementsOf(
                        Arrays.stream(FailureReason.values()).map(Enum::name).toList());
    }

    @Test
    void the_headers_of_the_page_are_those_of_the_code() throws IOException {
        String wire = page("wire-format.md");
        assertThat(names(section(wire, "Record")))
                .contains(
                        EventHeaders.ID,
                        EventHeaders.EVENT_TYPE,
                        EventHeaders.CONTENT_TYPE,
                        EventHeaders.TRACEPARENT,
                        EventHeaders.TRACESTATE);
        Set<String> letters = names(section(wire, "Dead letter")).stream()
                .map(name -> name.startsWith("-") ? "eventbus-dlq" + name : name)
                .collect(toCollection(TreeSet::new));
        assertThat(letters).isEqualTo(literals("DeadLetterHeaders.java", "eventbus-dlq-[a-z-]*[a-z]"));
        assertThat(names(section(wire, "Redriven record")))
                .isEqualTo(literals("RedriveHeaders.java", "eventbus-redrive(?:s|-[a-z]+)"));
    }

    private static Set<String> names(String text) {
        return NAME.matcher(text)
                .results()
                .map(name -> name.group(1))
                .filter(name -> name.matches("[a-zA-Z-]+"))
                .collect(toCollection(TreeSet::new));
    }

    private static Set<String> literals(String file, String name) {
        return MainSources.of("eventbus-consumer").stream()
                .filter(source -> source.name().equals(file))
                .flatMap(source -> Pattern.compile("\"(" + name + ")\"")
                        .matcher(source.code())
                        .results())
                .map(literal -> literal.group(1))
                .collect(toCollection(TreeSet::new));
    }

    // ---- tables

    @ParameterizedTest
    @ValueSource(
            strings = {
                "eventbus-outbox/src/main/resources/META-INF/eventbus/outbox/postgresql/V1__eventbus_outbox.sql",
                "eventbus-consumer/src/main/resources/META-INF/eventbus/inbox/postgresql/V1__eventbus_inbox.sql"
            })
    void the_columns_of_the_page_are_those_of_the_script(String file) throws IOException {
        String script = Files.readString(MainSources.ROOT.resolve(file));
        Set<String> tables = new TreeSet<>();
        Pattern.compile("(?ms)^CREATE TABLE (?:IF NOT EXISTS )?\"?(\\w+)\"? \\((.*?)^\\)")
                .matcher(script)
                .results()
                .forEach(table -> {
                    tables.add(table.group(1));
                    String told = sectionOfTables(table.group(1));
                    Set<String> columns = table.group(2)
                            .lines()
                            .map(String::strip)
                            .filter(line -> !line.isEmpty() && !line.matches("(PRIMARY|FOREIGN) .*"))
                            .map(line -> line.split("\\s+", 2)[0].toLowerCase(Locale.ROOT))
                            .collect(toCollection(TreeSet::new));
                    assertThat(names(told.replace('_', '-')))
                            .as(table.group(1))
                            .containsAll(columns.stream()
                                    .map(column -> column.replace('_', '-'))
                                    .toList());
                    if (!table.group(1).equals("eventbus_meta")) { // where names of rows are told
                        assertThat(columns).as(table.group(1)).containsAll(firstColumn(told));
                    }
                });
        assertThat(tables).hasSizeGreaterThan(4);
    }

    private static String sectionOfTables(String table) {
        try {
            return section(page("tables.md"), table);
        } catch (IOException e) {
            throw new java.io.UncheckedIOException(e);
        }
    }
}
