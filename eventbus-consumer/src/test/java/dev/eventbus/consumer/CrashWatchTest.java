package dev.eventbus.consumer;

import static dev.eventbus.consumer.MockKafka.ASSET;
import static dev.eventbus.consumer.MockKafka.LETTERS;
import static dev.eventbus.consumer.MockKafka.P0;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.Codec;
import dev.eventbus.EventType;
import dev.eventbus.consumer.RunnerHealth.Status;
import dev.eventbus.consumer.inbox.JdbcInbox;
import dev.eventbus.consumer.inbox.Mark;
import dev.eventbus.consumer.inbox.MarkResult;
import dev.eventbus.consumer.internal.CrashWatch;
import dev.eventbus.consumer.parking.ParkedEvent;
import dev.eventbus.consumer.parking.ParkedKey;
import io.github.resilience4j.retry.RetryConfig;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.SQLTransientConnectionException;
import java.sql.Statement;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Objects;
import java.util.Set;
import java.util.UUID;
import java.util.function.UnaryOperator;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.header.Header;
import org.h2.jdbcx.JdbcDataSource;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** Processes that die and their successors, on one inbox in H2. An error of the JVM's own stands for the end of the process. */
@SuppressWarnings("unchecked") // generic varargs of a record's only type here
class CrashWatchTest {

    private static final EventType<MockKafka.Asset> OTHER =
            EventType.of("OTHER", MockKafka.Asset.class).topic(MockKafka.TOPIC).key(MockKafka.Asset::userId);

    private final EventType<String> coded = EventType.of("CODED", String.class, Codec.<String>reading(this::read))
            .topic(MockKafka.TOPIC)
            .key(text -> text);

    /** Each whose reading ends the process, as part of its value. */
    private final Set<String> deadlyToRead = new HashSet<>();

    private final Set<String> unreadable = new HashSet<>();

    /** Each while whose reading the inbox's table goes away. */
    private final Set<String> hidingTheTable = new HashSet<>();

    private final JdbcDataSource database = new JdbcDataSource();
    private final Set<String> deadly = new HashSet<>();
    private final Set<String> failing = new HashSet<>();
    private final Set<String> away = new HashSet<>();
    private final List<String> runs = new ArrayList<>();
    private final List<Integer> attempts = new ArrayList<>();
    private final List<String> letters = new ArrayList<>();
    private JdbcInbox inbox = JdbcInbox.h2(database);
    private MockKafka kafka = MockKafka.create();
    private ConsumerRecord<byte[], byte[]>[] log = new ConsumerRecord[0];

    @BeforeEach
    void tables() throws SQLException {
        database.setURL("jdbc:h2:mem:" + UUID.randomUUID() + ";DB_CLOSE_DELAY=-1");
        inbox = JdbcInbox.h2(database);
        inbox.createTables();
    }

    @Test
    void K16_an_event_that_ends_the_process_each_time_is_dead_lettered_after_six_noted_starts() throws SQLException {
        deadly.add("poison");
        send("alice a1", "bob poison", "bob b2", "carol c1");
        int crashes = 0;
        while (!process()) {
            crashes++;
            assertThat(crashes).as("starts of the poison").isLessThanOrEqualTo(1 + CrashWatch.MAX_STARTS);
        }
        assertThat(crashes).as("one unnoticed, then those that are noted").isEqualTo(1 + CrashWatch.MAX_STARTS);
        assertThat(letters).containsExactly("poison CRASHED_HANDLER 6");
        assertThat(outcomes()).containsExactly("a1 DONE", "b2 DONE", "c1 DONE", "poison DEAD");
        assertThat(kafka.committed(P0)).isEqualTo(4);
        assertThat(noted()).as("nothing is left of it").isEmpty();
    }

    @Test
    void an_event_whose_type_works_without_marks_is_found_too() throws SQLException {
        deadly.add("poison");
        send("bob poison", "bob b2");
        int crashes = 0;
        while (!process(runner -> runner.on(ASSET, (event, delivery) -> handle(event.id(), delivery))
                .inTransaction(inbox, OTHER, (event, delivery) -> handle(event.id(), delivery)))) {
            crashes++;
            assertThat(crashes).isLessThanOrEqualTo(1 + CrashWatch.MAX_STARTS);
        }
        assertThat(letters).containsExactly("poison CRASHED_HANDLER 6");
        assertThat(runs).endsWith("b2");
        assertThat(noted()).isEmpty();
    }

    @Test
    void a_parked_event_that_ends_the_process_is_parked_as_such_and_convicts_nobody_else() throws SQLException {
        UnaryOperator<ConsumerRunnerBuilder> parking =
                runner -> inTransaction(runner).afterRetries(AfterRetries.parkKey(inbox, LETTERS));
        failing.addAll(List.of("a1", "poison", "c1"));
        send("alice a1", "alice a2", "bob poison", "bob b2", "carol c1", "carol c2");
        assertThat(process(parking)).isTrue();
        failing.clear();
        deadly.add("poison");
        for (String user : List.of("alice", "bob", "carol")) {
            redrive(user);
        }
        send("dave d1");
        int crashes = 0;
        while (!process(parking) && crashes < 20) {
            crashes++;
        }
        assertThat(crashes).isEqualTo(CrashWatch.MAX_STARTS);
        assertThat(outcomes())
                .containsExactly("a1 DONE", "a2 DONE", "b2 PARKED", "c1 DONE", "c2 DONE", "d1 DONE", "poison PARKED");
        assertThat(inbox.parking().load("ledger")).singleElement().satisfies(key -> {
            assertThat(key.state()).isEqualTo(ParkedKey.State.PARKED);
            assertThat(key.reason()).isEqualTo("CRASHED_HANDLER");
        });
        assertThat(noted()).as("it has its starts again").isEmpty();
        deadly.clear();
        redrive("bob");
        assertThat(process(parking)).isTrue();
        assertThat(inbox.parking().load("ledger")).isEmpty();
        assertThat(letters).hasSize(3);
    }

    @Test
    void a_record_that_is_read_again_does_not_take_the_starts_of_its_parked_event_away() throws SQLException {
        UnaryOperator<ConsumerRunnerBuilder> parking =
                runner -> inTransaction(runner).afterRetries(AfterRetries.parkKey(inbox, LETTERS));
        away.add("a1"); // so that nothing is committed
        failing.add("poison");
        send("alice a1", "bob poison");
        kafka = kafka.forNextProcess(log);
        ConsumerRunner first = parking.apply(builder()).build();
        begin(first);
        while (inbox.parking().load("ledger").isEmpty()) {
            kafka.setTo(first.health().nextRetry());
            SteppedRunner.settle(first);
        }
        inbox.attempts().started(Mark.of("ledger", "poison", log[1])); // by its drain, and the process ends
        kafka = kafka.forNextProcess(log);
        ConsumerRunner second = parking.apply(builder()).build();
        begin(second);
        assertThat(kafka.committed(P0)).as("both have been read again").isZero();
        assertThat(second.health().partitions())
                .singleElement()
                .satisfies(p -> assertThat(p.inFlight()).isEqualTo(1));
        assertThat(noted()).contains("poison 0 1");
        second.close();
    }

    @Test
    void a_convicted_event_is_run_when_it_is_redriven_though_the_process_ended_just_after_it_was_parked()
            throws SQLException {
        send("bob poison");
        Mark mark = Mark.of("ledger", "poison", log[0]);
        for (int n = 0; n < CrashWatch.MAX_STARTS; n++) {
            inbox.attempts().startedAlone(mark, CrashWatch.MAX_STARTS);
        }
        ParkedEvent convicted =
                ParkedEvent.following("poison", log[0]).failed(CrashWatch.MAX_STARTS, "CRASHED_HANDLER", null);
        assertThat(inbox.parking().park(mark, convicted, ParkedKey.State.PARKED, null))
                .isEqualTo(new MarkResult.Decided());
        redrive("bob");
        assertThat(process(runner -> inTransaction(runner).afterRetries(AfterRetries.parkKey(inbox, LETTERS))))
                .isTrue();
        assertThat(runs).containsExactly("poison");
        assertThat(inbox.parking().load("ledger")).isEmpty();
    }

    private void redrive(String user) throws SQLException {
        assertThat(inbox.parking().redrive("ledger", P0.topic(), user.getBytes(UTF_8)))
                .isTrue();
    }

    @Test
    void under_stop_partition_it_stops_its_partition() throws SQLException {
        deadly.add("poison");
        send("bob poison", "bob b2");
        UnaryOperator<ConsumerRunnerBuilder> stopping =
                runner -> inTransaction(runner).afterRetries(AfterRetries.stopPartition(LETTERS));
        int crashes = 0;
        boolean lives;
        do {
            lives = process(stopping);
        } while (!lives && crashes++ < 10);
        assertThat(crashes).isEqualTo(1 + CrashWatch.MAX_STARTS);
        assertThat(runs).doesNotContain("b2");
        assertThat(letters).isEmpty();

        runs.clear();
        assertThat(process(stopping)).as("a restart runs it once more").isFalse();
        assertThat(process(stopping)).as("and stops again").isTrue();
        assertThat(runs).containsExactly("poison");

        deadly.clear();
        assertThat(process(stopping)).isTrue();
        assertThat(runs).as("its handler is mended").containsExactly("poison", "poison", "b2");
        assertThat(kafka.committed(P0)).isEqualTo(2);
        assertThat(noted()).isEmpty();
    }

    @Test
    void nothing_is_noted_while_processes_end_in_order() throws SQLException {
        for (int i = 0; i < 4; i++) {
            send("alice a" + i, "bob b" + i);
            assertThat(process()).isTrue();
            assertThat(metadata()).isEqualTo(OffsetCommitter.HANDED_OVER);
        }
        deadly.add("c1");
        send("carol c1");
        assertThat(process()).isFalse();
        assertThat(noted()).as("the first crash comes as a surprise").isEmpty();
        assertThat(metadata()).as("a crash leaves no note of an orderly end").isEmpty();
        assertThat(process()).isFalse();
        assertThat(noted()).containsExactly("c1 0 1");
    }

    @Test
    void a_very_first_event_that_ends_the_process_is_found_too() {
        deadly.add("poison");
        send("bob poison");
        int crashes = 0;
        while (!process() && crashes < 20) {
            crashes++;
        }
        assertThat(crashes).isEqualTo(1 + CrashWatch.MAX_STARTS);
    }

    @Test
    void innocents_that_are_killed_now_and_then_are_never_convicted() throws SQLException {
        send("alice a1", "bob b1", "carol c1");
        for (int kills = 0; kills < 20; kills++) {
            String victim = List.of("a1", "b1", "c1").get(kills % 3);
            deadly.add(victim); // the process is killed while it runs
            process();
            deadly.clear();
            if (kills % 5 == 4) {
                assertThat(process()).isTrue();
                send("alice a" + kills, "bob b" + kills, "carol c" + kills);
            }
        }
        assertThat(process()).isTrue();
        assertThat(letters).isEmpty();
        assertThat(noted()).isEmpty();
    }

    @Test
    void T04_attempts_before_a_crash_count_on() throws SQLException {
        failing.add("b1");
        send("bob b1", "carol c1");
        kafka = kafka.forNextProcess(log);
        ConsumerRunner first = inTransaction(builder()).build();
        begin(first);
        kafka.setTo(first.health().nextRetry());
        SteppedRunner.settle(first);
        assertThat(attempts).containsExactly(1, 1, 2); // b1, c1, b1
        assertThat(noted()).containsExactly("b1 2 0");

        attempts.clear(); // the process dies while b1 waits for its third attempt
        kafka = kafka.forNextProcess(log);
        ConsumerRunner second = inTransaction(builder()).build();
        begin(second);
        assertThat(attempts).as("b1; c1 is done").containsExactly(3);
        assertThat(kafka.letters.history()).extracting(CrashWatchTest::said).containsExactly("b1 ATTEMPTS_EXHAUSTED 3");
        assertThat(noted()).isEmpty();
        second.close();
    }

    @Test
    void a_suspect_that_fails_in_the_ordinary_way_is_tried_again_and_dead_lettered_as_such() throws SQLException {
        deadly.add("b1");
        send("bob b1", "carol c1");
        assertThat(process()).isFalse();
        assertThat(process()).isFalse();
        deadly.clear();
        failing.add("b1");
        assertThat(process()).isTrue();
        assertThat(letters).containsExactly("b1 ATTEMPTS_EXHAUSTED 3");
        assertThat(noted()).isEmpty();
    }

    @Test
    void a_record_whose_codec_ends_the_process_each_time_is_dead_lettered_with_its_bytes_untouched()
            throws SQLException {
        deadlyToRead.add("poison");
        sendCoded("alice a1", "bob poison", "bob b2", "carol c1");
        assertThat(crashesOf(this::reading)).isEqualTo(1 + CrashWatch.MAX_STARTS);
        assertThat(letters).containsExactly("poison CRASHED_HANDLER 6");
        assertThat(kafka.letters.history())
                .singleElement()
                .satisfies(letter -> assertThat(letter.value()).isEqualTo(log[1].value()));
        assertThat(outcomes()).containsExactly("a1 DONE", "b2 DONE", "c1 DONE", "poison DEAD");
        assertThat(kafka.committed(P0)).isEqualTo(4);
    }

    @Test
    void a_record_without_an_id_whose_codec_ends_the_process_is_set_aside_by_its_place() throws SQLException {
        deadlyToRead.add("poison");
        send("bob poison");
        assertThat(crashesOf(this::reading)).isEqualTo(1 + CrashWatch.MAX_STARTS);
        assertThat(runs).isEmpty();
        assertThat(letters).containsExactly("null CRASHED_HANDLER 6");
        assertThat(outcomes()).containsExactly("asset.events/0/0 DEAD");
    }

    @Test
    void records_whose_codec_ends_the_process_are_found_one_after_the_other_also_where_nothing_is_committed_between()
            throws SQLException {
        deadlyToRead.addAll(List.of("poison", "venom", "hemlock"));
        sendCoded("alice poison", "bob venom", "carol hemlock", "dave d1");
        assertThat(crashesOf(this::reading)).isLessThanOrEqualTo(1 + 3 * CrashWatch.MAX_STARTS);
        assertThat(letters)
                .containsExactlyInAnyOrder(
                        "poison CRASHED_HANDLER 6", "venom CRASHED_HANDLER 6", "hemlock CRASHED_HANDLER 6");
        assertThat(outcomes()).containsExactly("d1 DONE", "hemlock DEAD", "poison DEAD", "venom DEAD");
    }

    @Test
    void a_record_whose_codec_ends_the_process_is_parked_and_redriven_with_as_many_starts_again() throws SQLException {
        UnaryOperator<ConsumerRunnerBuilder> parking =
                runner -> reading(runner).afterRetries(AfterRetries.parkKey(inbox, LETTERS));
        deadlyToRead.add("poison");
        sendCoded("bob poison", "bob b2", "carol c1");
        assertThat(crashesOf(parking)).isEqualTo(1 + CrashWatch.MAX_STARTS);
        assertThat(outcomes()).containsExactly("b2 PARKED", "c1 DONE", "poison PARKED");
        redrive("bob");
        assertThat(crashesOf(parking)).isEqualTo(CrashWatch.MAX_STARTS);
        assertThat(inbox.parking().load("ledger")).singleElement().satisfies(key -> {
            assertThat(key.state()).isEqualTo(ParkedKey.State.PARKED);
            assertThat(key.reason()).isEqualTo("CRASHED_HANDLER");
        });
        deadlyToRead.clear();
        redrive("bob");
        assertThat(process(parking)).isTrue();
        assertThat(runs).containsExactly("c1", "poison", "b2");
        assertThat(outcomes()).containsExactly("b2 DONE", "c1 DONE", "poison DONE");
    }

    @Test
    void a_codec_that_ends_the_process_stops_its_partition_where_that_is_the_policy_and_is_tried_once_at_each_restart()
            throws SQLException {
        UnaryOperator<ConsumerRunnerBuilder> stopping =
                runner -> reading(runner).afterRetries(AfterRetries.stopPartition(LETTERS));
        deadlyToRead.add("poison");
        sendCoded("bob poison", "bob b2");
        assertThat(crashesOf(stopping)).isEqualTo(1 + CrashWatch.MAX_STARTS);
        assertThat(process(stopping)).as("a restart reads it once more").isFalse();
        assertThat(process(stopping)).as("and stops again").isTrue();
        assertThat(runs).isEmpty();
        deadlyToRead.clear();
        assertThat(process(stopping)).isTrue();
        assertThat(runs).as("its codec is mended").containsExactly("poison", "b2");
        assertThat(noted()).isEmpty();
    }

    @Test
    void records_that_are_read_while_somebody_kills_the_process_are_never_convicted() throws SQLException {
        sendCoded("alice a1", "bob b1", "carol c1");
        for (int kills = 0; kills < 12; kills++) {
            deadlyToRead.add(List.of("a1", "b1", "c1").get(kills % 3));
            process(this::reading);
            deadlyToRead.clear();
        }
        assertThat(process(this::reading)).isTrue();
        assertThat(letters).isEmpty();
        assertThat(outcomes()).containsExactly("a1 DONE", "b1 DONE", "c1 DONE");
        assertThat(noted()).isEmpty();
    }

    @Test
    void a_parked_event_that_cannot_be_read_has_come_back_from_each_of_its_starts() throws SQLException {
        UnaryOperator<ConsumerRunnerBuilder> parking =
                runner -> reading(runner).afterRetries(AfterRetries.parkKey(inbox, LETTERS));
        failing.add("b1");
        sendCoded("bob b1", "bob b2");
        assertThat(process(parking)).isTrue();
        failing.clear();
        unreadable.add("b1");
        redrive("bob");
        assertThat(process(parking)).isTrue();
        assertThat(inbox.parking().load("ledger"))
                .singleElement()
                .satisfies(key -> assertThat(key.reason()).isEqualTo("BAD_VALUE"));
        assertThat(noted()).allSatisfy(row -> assertThat(row).endsWith(" 0"));
        unreadable.clear();
        redrive("bob");
        assertThat(process(parking)).isTrue();
        assertThat(outcomes()).containsExactly("b1 DONE", "b2 DONE");
        assertThat(noted()).isEmpty();
    }

    @Test
    void a_record_of_which_the_inbox_cannot_note_that_it_was_read_waits_until_it_can() throws SQLException {
        deadlyToRead.add("b1");
        sendCoded("bob b1");
        assertThat(process(this::reading)).isFalse();
        deadlyToRead.clear();
        hidingTheTable.add("b1");
        kafka = kafka.forNextProcess(log);
        ConsumerRunner runner = reading(builder()).build();
        begin(runner);
        assertThat(runs).isEmpty();
        assertThat(runner.health().problems())
                .anySatisfy(problem -> assertThat(problem).contains("cannot note"));
        execute("ALTER TABLE hidden RENAME TO eventbus_attempt");
        kafka.setTo(runner.health().nextRetry());
        SteppedRunner.settle(runner);
        assertThat(runs).containsExactly("b1");
        assertThat(noted()).isEmpty();
        runner.close();
    }

    private ConsumerRunnerBuilder reading(ConsumerRunnerBuilder builder) {
        return builder.inTransaction(inbox, coded, (event, delivery) -> handle(event.id(), delivery));
    }

    private String read(String topic, byte[] bytes) {
        String text = new String(bytes, UTF_8);
        if (deadlyToRead.stream().anyMatch(text::contains)) {
            throw new InternalError("the process ends here");
        }
        if (hidingTheTable.removeIf(text::contains)) {
            execute("ALTER TABLE eventbus_attempt RENAME TO hidden");
        }
        if (unreadable.stream().anyMatch(text::contains)) {
            throw new IllegalStateException("no text");
        }
        return text;
    }

    /** How many processes die until one does not. */
    private int crashesOf(UnaryOperator<ConsumerRunnerBuilder> handlers) {
        int crashes = 0;
        while (!process(handlers)) {
            crashes++;
            assertThat(crashes).as("processes that have died").isLessThan(50);
        }
        return crashes;
    }

    /** As {@link #send}, each with its id in a header, too. */
    private void sendCoded(String... events) {
        int first = log.length;
        send(events);
        for (int i = 0; i < events.length; i++) {
            log[first + i].headers().add("id", events[i].split(" ")[1].getBytes(UTF_8));
        }
    }

    /** Runs a process to its end. True if that came in order, false if it died. */
    private boolean process() {
        return process(this::inTransaction);
    }

    private boolean process(UnaryOperator<ConsumerRunnerBuilder> handlers) {
        kafka = kafka.forNextProcess(log);
        ConsumerRunner runner = handlers.apply(builder()).build();
        begin(runner);
        while (runner.health().nextRetry() != null && runner.health().status() != Status.DOWN) {
            kafka.setTo(runner.health().nextRetry());
            SteppedRunner.settle(runner);
        }
        boolean lives = runner.health().status() != Status.DOWN
                || runner.health().problems().stream().noneMatch(problem -> problem.contains("JVM"));
        if (lives) {
            runner.close();
        }
        kafka.letters.history().forEach(letter -> letters.add(said(letter)));
        return lives;
    }

    private void begin(ConsumerRunner runner) {
        kafka.assign(P0);
        SteppedRunner.settle(runner);
    }

    private ConsumerRunnerBuilder inTransaction(ConsumerRunnerBuilder builder) {
        return builder.inTransaction(inbox, ASSET, (event, delivery) -> handle(event.id(), delivery));
    }

    private ConsumerRunnerBuilder builder() {
        return ConsumerRunner.builder(kafka, "ledger")
                .retry(RetryConfig.custom()
                        .maxAttempts(3)
                        .waitDuration(Duration.ofSeconds(1))
                        .build())
                .afterRetries(AfterRetries.deadLetter(LETTERS));
    }

    private void handle(String id, Delivery delivery) throws SQLException {
        runs.add(id);
        attempts.add(delivery.attempt());
        if (deadly.contains(id)) {
            throw new InternalError("the process ends here");
        }
        if (failing.contains(id)) {
            throw new IllegalStateException("no luck");
        }
        if (away.contains(id)) {
            throw new SQLTransientConnectionException("what it needs is away");
        }
    }

    /** Of the last commit. */
    private String metadata() {
        return Objects.requireNonNull(kafka.consumer.commits.get(P0)).metadata();
    }

    /** Appends events, each as {@code key id}. */
    private void send(String... events) {
        List<ConsumerRecord<byte[], byte[]>> all = new ArrayList<>(List.of(log));
        for (String event : events) {
            String[] parts = event.split(" ");
            all.add(new ConsumerRecord<>(
                    P0.topic(),
                    P0.partition(),
                    all.size(),
                    parts[0].getBytes(UTF_8),
                    MockKafka.json(parts[0], parts[1]).getBytes(UTF_8)));
        }
        log = all.toArray(new ConsumerRecord[0]);
    }

    private static String said(ProducerRecord<byte[], byte[]> letter) {
        return header(letter, "event-id") + " " + header(letter, "reason") + " " + header(letter, "attempts");
    }

    private static String header(ProducerRecord<byte[], byte[]> letter, String name) {
        Header header = letter.headers().lastHeader("eventbus-dlq-" + name);
        return header == null ? "null" : new String(header.value(), UTF_8);
    }

    private List<String> outcomes() throws SQLException {
        return query("SELECT UTF8TOSTRING(event_id) || ' ' || outcome FROM eventbus_inbox ORDER BY 1");
    }

    /** What is noted, as {@code id failures starts}. */
    private List<String> noted() throws SQLException {
        return query(
                "SELECT UTF8TOSTRING(event_id) || ' ' || failures || ' ' || starts FROM eventbus_attempt ORDER BY 1");
    }

    private void execute(String sql) {
        try (Connection connection = database.getConnection();
                Statement statement = connection.createStatement()) {
            statement.execute(sql);
        } catch (SQLException e) {
            throw new AssertionError(e);
        }
    }

    private List<String> query(String sql) throws SQLException {
        List<String> rows = new ArrayList<>();
        try (Connection connection = database.getConnection();
                Statement statement = connection.createStatement();
                ResultSet result = statement.executeQuery(sql)) {
            while (result.next()) {
                rows.add(result.getString(1));
            }
        }
        return rows;
    }
}
