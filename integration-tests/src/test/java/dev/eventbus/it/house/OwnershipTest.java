package dev.eventbus.it.house;

import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.it.house.MainSources.Source;
import java.util.List;
import java.util.function.Function;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/** Each concept has one file that owns it, and files keep their budgets. */
class OwnershipTest {

    private final List<Source> all = MainSources.all();
    private final List<Source> consumer = MainSources.of("eventbus-consumer");

    @Test
    void only_the_committer_commits_offsets() {
        assertThat(MainSources.filesWhere(
                        consumer, code -> code.contains("commitSync(") || code.contains("commitAsync(")))
                .containsExactly("OffsetCommitter.java");
    }

    @Test
    void only_the_record_source_polls_kafka_for_the_group_and_a_redrive_beside_it() {
        assertThat(MainSources.filesWhere(
                        consumer, code -> code.matches("(?s).*\\b(consumer|opened|kafka)\\.poll\\(.*")))
                .containsExactly("RecordSource.java", "TopicReader.java");
    }

    @Test
    void only_the_two_header_classes_spell_the_names_of_our_own_headers() {
        assertThat(MainSources.filesWhere(
                        all, code -> code.contains("\"eventbus-dlq") || code.contains("\"eventbus-redrive")))
                .containsExactly("DeadLetterHeaders.java", "RedriveHeaders.java");
        assertThat(MainSources.filesWhere(all, code -> code.contains("\"eventbus-\";")))
                .containsExactly("EventHeaders.java");
    }

    @Test
    void only_the_run_loop_makes_threads_and_nobody_sleeps_or_reads_the_wall_clock() {
        List<Source> library = all.stream()
                .filter(source -> !source.path().toString().contains("eventbus-embedded"))
                .toList();
        assertThat(MainSources.filesWhere(library, code -> code.contains("new Thread(")))
                .containsExactly("RunLoop.java");
        assertThat(MainSources.filesWhere(
                        all,
                        code -> code.contains("Thread.sleep")
                                || code.contains("Instant.now(")
                                || code.contains("System.currentTimeMillis")))
                .isEmpty();
        assertThat(MainSources.filesWhere(library, code -> code.contains("InstantSource.system()")))
                .as("the one door through which time enters")
                .containsOnly("ConfiguredKafkaCluster.java", "JdbcOutbox.java");
    }

    @Test
    void only_classes_of_statements_have_statements() {
        List<Source> library = all.stream()
                .filter(source -> !source.path().toString().contains("eventbus-embedded"))
                .toList();
        Pattern statement = Pattern.compile("(^\\s*|\")(SELECT|INSERT INTO|UPDATE|DELETE FROM) ", Pattern.MULTILINE);
        assertThat(MainSources.filesWhere(library, statement.asPredicate()))
                .contains("PostgresOutboxSql.java", "PostgresAdminSql.java", "PostgresInboxSql.java")
                .allMatch(name -> name.endsWith("Sql.java")
                        || name.equals("InboxTables.java")); // it reads no row, but asks for each column
    }

    @Test
    void no_class_is_chosen_by_data_and_nothing_is_printed() {
        assertThat(MainSources.filesWhere(
                        all,
                        code -> code.contains("Class.forName")
                                || code.contains("ServiceLoader")
                                || code.contains("JsonTypeInfo")
                                || code.contains("activateDefaultTyping")
                                || code.contains("enableDefaultTyping")
                                || code.contains("printStackTrace")))
                .isEmpty();
        assertThat(MainSources.filesWhere(
                        all.stream()
                                .filter(source -> !source.path().toString().contains("eventbus-embedded"))
                                .toList(),
                        code -> code.contains("System.out") || code.contains("System.err")))
                .isEmpty();
    }

    @Test
    void nothing_is_read_by_the_serialization_of_java_nor_by_breaking_into_a_class() {
        assertThat(MainSources.filesWhere(
                        all,
                        code -> code.contains("ObjectInputStream")
                                || code.contains("readObject(")
                                || code.contains("Serializable")
                                || code.contains("Externalizable")
                                || code.contains("setAccessible")))
                .isEmpty();
    }

    @Test
    void only_the_two_programs_end_their_JVM_and_crash_points_are_the_test_kits() {
        assertThat(MainSources.filesWhere(
                        all, code -> code.contains("System.exit") || code.matches("(?s).*\\.(halt|exit)\\(.*")))
                .containsExactly("BrokerMain.java", "EventbusCli.java");
        assertThat(Stream.of("eventbus-core", "eventbus-outbox", "eventbus-consumer")
                        .flatMap(module ->
                                MainSources.filesWhere(MainSources.of(module), code -> code.contains("CrashPoint"))
                                        .stream()))
                .isEmpty();
    }

    @Test
    void nobody_opens_a_port_but_who_looks_for_a_free_one_for_embedded_servers() {
        assertThat(MainSources.filesWhere(
                        all,
                        code -> code.contains("ServerSocket")
                                || code.contains("HttpServer")
                                || code.contains("DatagramSocket")))
                .containsExactly("FreePorts.java");
    }

    @Test
    void only_the_cluster_makes_clients_of_kafka_and_so_hands_them_their_settings() {
        assertThat(MainSources.filesWhere(
                        all,
                        code -> code.contains("new KafkaProducer")
                                || code.contains("new KafkaConsumer")
                                || code.contains("Admin.create(")
                                || code.contains("AdminClient.create(")))
                .containsExactly("ConfiguredKafkaCluster.java");
    }

    @Test
    void a_file_has_at_most_400_lines_and_a_package_at_most_25_types() {
        assertThat(all.stream().filter(source -> source.text().lines().count() > 400))
                .extracting(Source::name)
                .isEmpty();
        assertThat(all.stream()
                        .filter(source -> !source.name().equals("package-info.java"))
                        .collect(Collectors.groupingBy(source -> source.path().getParent(), Collectors.counting()))
                        .entrySet())
                .allSatisfy(types -> assertThat(types.getValue())
                        .as(types.getKey().toString())
                        .isLessThanOrEqualTo(25));
    }

    @Test
    void names_follow_the_grammar() {
        assertThat(all)
                .extracting(source -> source.name().replace(".java", ""))
                .noneMatch(name -> name.matches(".*(Manager|Helper|Utils?|Impl|Context)"));
    }

    @Test
    void every_package_says_what_it_is_and_where_null_may_be() {
        Function<Source, String> folder = source -> source.path().getParent().toString();
        assertThat(all.stream().map(folder).distinct())
                .allMatch(path -> all.stream()
                        .anyMatch(source -> folder.apply(source).equals(path)
                                && source.name().equals("package-info.java")
                                && source.text().contains("@NullMarked")
                                && source.text().contains("/**")));
    }

    @Test
    void nothing_is_left_to_do() {
        assertThat(all.stream().filter(source -> source.text().matches("(?s).*\\b(TODO|FIXME|XXX|HACK)\\b.*")))
                .extracting(Source::name)
                .isEmpty();
    }
}
