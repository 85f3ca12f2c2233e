package dev.eventbus.testkit;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.eventbus.Event;
import dev.eventbus.EventType;
import dev.eventbus.FailureReason;
import dev.eventbus.StartRefusedException;
import dev.eventbus.consumer.AfterRetries;
import dev.eventbus.consumer.ConsumerRunner;
import dev.eventbus.consumer.ConsumerRunnerBuilder;
import dev.eventbus.consumer.Delivery;
import dev.eventbus.consumer.RunnerListener;
import dev.eventbus.consumer.deadletter.Origin;
import dev.eventbus.consumer.inbox.JdbcInbox;
import dev.eventbus.consumer.inbox.Mark;
import dev.eventbus.consumer.inbox.MarkResult;
import dev.eventbus.consumer.parking.ParkedEvent;
import dev.eventbus.consumer.parking.ParkedKey;
import dev.eventbus.consumer.parking.ParkedKey.State;
import dev.eventbus.internal.RunLoop;
import io.github.resilience4j.retry.RetryConfig;
import java.lang.ref.WeakReference;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Random;
import java.util.Set;
import java.util.UUID;
import java.util.stream.IntStream;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.h2.jdbcx.JdbcDataSource;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.parallel.Execution;
import org.junit.jupiter.api.parallel.ExecutionMode;

/** Parked keys, in virtual time and H2: their events wait in order, and nobody else does. */
@Execution(ExecutionMode.CONCURRENT)
class ParkedKeysTest {

    record Booking(String user, int n) {}

    private static final EventType<Booking> BOOKING =
            EventType.of("BOOKING", Booking.class).topic("bookings").key(Booking::user);

    private static final String GROUP = "ledger";

    private final JdbcDataSource database = new JdbcDataSource();
    private final FakeEventBus bus = FakeEventBus.create();
    private final Set<String> failing = new HashSet<>();
    private final Set<String> failingOnce = new HashSet<>();
    private final Map<String, Integer> runs = new HashMap<>();
    private final List<WeakReference<Booking>> payloads = new ArrayList<>();
    private boolean outage;
    private Duration delay = Duration.ofMillis(200);
    private JdbcInbox inbox = JdbcInbox.h2(database);

    @BeforeEach
    void tables() throws SQLException {
        database.setURL("jdbc:h2:mem:" + UUID.randomUUID() + ";DB_CLOSE_DELAY=-1");
        inbox = JdbcInbox.h2(database);
        inbox.createTables();
        execute("CREATE TABLE booked (ord bigint GENERATED ALWAYS AS IDENTITY, owner varchar(40), n integer)");
    }

    @AfterEach
    void no_event_is_left_without_its_key() throws SQLException {
        bus.close();
        assertThat(numbers("""
                        SELECT count(*) FROM eventbus_parked_event e WHERE NOT EXISTS
                          (SELECT 1 FROM eventbus_parked_key k WHERE k.topic = e.topic AND k.key_bytes = e.key_bytes)""")).containsExactly(0);
    }

    private ConsumerRunnerBuilder builder() {
        return ConsumerRunner.builder(bus.kafka(), GROUP)
                .inTransaction(inbox, BOOKING, (event, tx) -> {
                    String id = event.payload().user() + event.payload().n();
                    runs.merge(id, 1, Integer::sum);
                    payloads.add(new WeakReference<>(event.payload()));
                    try (PreparedStatement insert =
                            tx.connection().prepareStatement("INSERT INTO booked (owner, n) VALUES (?, ?)")) {
                        insert.setString(1, event.payload().user());
                        insert.setInt(2, event.payload().n());
                        insert.executeUpdate();
                    }
                    if (outage) {
                        throw new SQLException("down", "08006");
                    }
                    if (failing.contains(id) || failingOnce.remove(id)) {
                        throw new IllegalStateException("no luck");
                    }
                })
                .retry(RetryConfig.custom()
                        .maxAttempts(3)
                        .intervalFunction(attempt -> delay.toMillis())
                        .build())
                .afterRetries(AfterRetries.parkKey(inbox, "dlq"));
    }

    private ConsumerRunner start() {
        return bus.start(builder().build());
    }

    private void publish(String user, int... numbers) {
        for (int n : numbers) {
            bus.publish(BOOKING, new Booking(user, n));
        }
    }

    private void redrive(String user) throws SQLException {
        assertThat(inbox.parking().redrive(GROUP, "bookings", user.getBytes(UTF_8)))
                .isTrue();
    }

    private ParkedKey parked() throws SQLException {
        List<ParkedKey> keys = inbox.parking().load(GROUP);
        assertThat(keys).hasSize(1);
        return keys.get(0);
    }

    @Test
    void X07_later_events_of_the_key_wait_in_order_and_are_handled_before_live_ones() throws SQLException {
        ConsumerRunner runner = start();
        failing.add("bob2");
        publish("bob", 1, 2, 3, 4);
        publish("alice", 1, 2);
        bus.runUntilIdle();
        assertThat(booked("bob")).containsExactly(1);
        assertThat(booked("alice")).containsExactly(1, 2);
        assertThat(bus.deadLetters())
                .singleElement()
                .satisfies(letter -> assertThat(letter.keyText()).isEqualTo("bob"));
        assertThat(parked().state()).isEqualTo(State.PARKED);
        assertThat(parked().events()).isEqualTo(3);
        assertThat(runner.health().parked().keys()).isEqualTo(1);
        assertThat(runner.health().parked().events()).isEqualTo(3);
        assertThat(runs).containsEntry("bob2", 3).doesNotContainKey("bob3");

        publish("bob", 5);
        bus.runUntilIdle();
        assertThat(booked("bob")).containsExactly(1);

        failing.clear();
        redrive("bob");
        publish("bob", 6);
        bus.runUntilIdle();
        assertThat(booked("bob")).containsExactly(1, 2, 3, 4, 5, 6);
        assertThat(inbox.parking().load(GROUP)).isEmpty();
        publish("bob", 7);
        bus.runUntilIdle();
        assertThat(booked("bob")).containsExactly(1, 2, 3, 4, 5, 6, 7);
        assertThat(runner.health().parked().keys()).isZero();
    }

    @Test
    void a_key_stays_parked_across_a_restart_and_a_hand_over() throws SQLException {
        ConsumerRunner first = start();
        failing.add("bob1");
        publish("bob", 1, 2);
        bus.runUntilIdle();
        first.close();
        publish("bob", 3);
        start();
        bus.runUntilIdle();
        publish("bob", 4);
        start();
        bus.runUntilIdle();
        bus.faults().rebalance(GROUP);
        publish("bob", 5);
        bus.runUntilIdle();
        assertThat(booked("bob")).isEmpty();
        assertThat(bus.deadLetters()).hasSize(1);
        failing.clear();
        redrive("bob");
        bus.runUntilIdle();
        assertThat(booked("bob")).containsExactly(1, 2, 3, 4, 5);
    }

    @Test
    void a_key_that_moves_to_another_partition_stays_parked() throws SQLException {
        bus.topic("bookings", 3);
        start();
        List<String> users = IntStream.range(0, 12).mapToObj(i -> "user" + i).toList();
        users.forEach(user -> failing.add(user + "1"));
        users.forEach(user -> publish(user, 1, 2));
        bus.runUntilIdle();
        bus.topic("bookings", 6);
        start();
        bus.runUntilIdle();
        users.forEach(user -> publish(user, 3));
        bus.runUntilIdle();
        assertThat(numbers("SELECT n FROM booked")).isEmpty();
        failing.clear();
        for (String user : users) {
            redrive(user);
        }
        bus.runUntilIdle();
        for (String user : users) {
            assertThat(booked(user)).as(user).containsExactly(1, 2, 3);
        }
    }

    @Test
    void F9_what_a_zombie_parks_after_the_hand_over_is_followed_and_not_overtaken() throws SQLException {
        ConsumerRunner owner = start();
        publish("alice", 1);
        bus.runUntilIdle();
        publish("bob", 1, 2);
        ConsumerRecord<byte[], byte[]> record = bus.records("bookings").get(1);
        Event<Booking> event = bus.events(BOOKING).get(1);
        Mark mark = Mark.of(GROUP, event.id(), record);
        ParkedEvent failed =
                ParkedEvent.following(mark.eventId(), record).failed(3, "ATTEMPTS_EXHAUSTED", "java.lang.Exception");
        assertThat(inbox.parking().park(mark, failed, State.PARKED, null)).isEqualTo(new MarkResult.Decided());
        bus.runUntilIdle();
        assertThat(booked("bob")).isEmpty();
        assertThat(bus.deadLetters())
                .as("nobody knows whether the zombie sent it")
                .hasSize(1);
        assertThat(parked().events()).isEqualTo(2);
        redrive("bob");
        bus.runUntilIdle();
        assertThat(booked("bob")).containsExactly(1, 2);
        assertThat(owner.health().problems()).isEmpty();
    }

    @Test
    void a_retry_of_hours_waits_in_the_database_and_survives_a_restart() throws SQLException {
        delay = Duration.ofHours(3);
        ConsumerRunner first = start();
        failing.add("bob1");
        publish("bob", 1, 2);
        bus.advance(Duration.ofMinutes(1));
        assertThat(parked().state()).isEqualTo(State.WAITING);
        assertThat(bus.deadLetters()).isEmpty();
        first.close();
        start();
        bus.advance(Duration.ofMinutes(1));
        publish("alice", 1);
        bus.advance(Duration.ofMinutes(1));
        assertThat(booked("alice")).containsExactly(1);
        assertThat(runs).containsEntry("bob1", 1);
        bus.advance(Duration.ofHours(3));
        assertThat(runs).as("attempts count on").containsEntry("bob1", 2);
        failing.clear();
        bus.advance(Duration.ofHours(4));
        assertThat(booked("bob")).containsExactly(1, 2);
        assertThat(inbox.parking().load(GROUP)).isEmpty();
    }

    @Test
    void an_event_that_fails_for_the_last_time_after_a_long_wait_waits_for_a_person() throws SQLException {
        delay = Duration.ofHours(1);
        start();
        failing.add("bob1");
        publish("bob", 1, 2);
        bus.faults().failTimes(1).forSendsTo("dlq");
        bus.runUntilIdle();
        assertThat(runs).as("a publish that failed runs no handler").containsEntry("bob1", 3);
        assertThat(parked().state()).isEqualTo(State.PARKED);
        assertThat(bus.deadLetters()).hasSize(1);
        failing.clear();
        redrive("bob");
        bus.runUntilIdle();
        assertThat(booked("bob")).containsExactly(1, 2);
    }

    @Test
    void a_redrive_that_fails_puts_the_key_back_with_its_events_in_place() throws SQLException {
        start();
        failing.add("bob2");
        failing.add("bob3");
        publish("bob", 1, 2, 3, 4);
        bus.runUntilIdle();
        failing.remove("bob2");
        redrive("bob");
        bus.runUntilIdle();
        assertThat(booked("bob")).containsExactly(1, 2);
        assertThat(parked().state()).isEqualTo(State.PARKED);
        assertThat(parked().redrives()).isEqualTo(1);
        assertThat(parked().events()).isEqualTo(2);
        assertThat(inbox.parking()
                        .discard(GROUP, parked(), bus.events(BOOKING).get(2).id()::equals))
                .isEqualTo(1);
        redrive("bob");
        bus.runUntilIdle();
        assertThat(booked("bob")).containsExactly(1, 2, 4);
    }

    @Test
    void only_the_sending_of_the_copy_is_tried_again() {
        start();
        failing.add("bob1");
        publish("bob", 1);
        bus.faults().failTimes(5).forSendsTo("dlq");
        bus.runUntilIdle();
        assertThat(runs).containsEntry("bob1", 3);
        assertThat(bus.deadLetters()).hasSize(1);
    }

    @Test
    void keys_that_are_parked_wait_and_can_be_redriven_whatever_the_policy_is_now() throws SQLException {
        ConsumerRunner before = start();
        failing.add("bob1");
        publish("bob", 1, 2);
        bus.runUntilIdle();
        before.close();
        ConsumerRunner now =
                bus.start(builder().afterRetries(AfterRetries.deadLetter("dlq")).build());
        publish("bob", 3);
        failing.add("ann1");
        publish("ann", 1, 2);
        bus.runUntilIdle();
        assertThat(booked("bob")).isEmpty();
        assertThat(booked("ann")).as("the policy says what becomes of others").containsExactly(2);
        assertThat(now.health().parked().events()).isEqualTo(3);
        failing.clear();
        redrive("bob");
        bus.runUntilIdle();
        assertThat(booked("bob")).containsExactly(1, 2, 3);
    }

    @Test
    void a_follower_that_never_ran_has_all_its_attempts_and_a_letter_of_its_own() throws SQLException {
        start();
        failing.add("bob1");
        publish("bob", 1, 2, 3);
        bus.runUntilIdle();
        failing.clear();
        failing.add("bob2");
        redrive("bob");
        bus.runUntilIdle();
        assertThat(runs).containsEntry("bob1", 4).containsEntry("bob2", 3).doesNotContainKey("bob3");
        assertThat(bus.deadLetters()).hasSize(2);
        assertThat(parked().state()).isEqualTo(State.PARKED);
        assertThat(parked().redrives()).isEqualTo(1);
        failing.clear();
        failingOnce.add("bob3");
        redrive("bob");
        bus.runUntilIdle();
        assertThat(booked("bob")).containsExactly(1, 2, 3);
        assertThat(runs).containsEntry("bob3", 2);
        assertThat(bus.deadLetters()).hasSize(2);
    }

    @Test
    void an_outage_during_a_redrive_uses_no_attempt_and_is_told() throws SQLException {
        ConsumerRunner runner = start();
        failing.add("bob1");
        publish("bob", 1, 2);
        bus.runUntilIdle();
        failing.clear();
        outage = true;
        redrive("bob");
        bus.advance(Duration.ofMinutes(2));
        assertThat(runs).hasEntrySatisfying("bob1", n -> assertThat(n).isGreaterThan(10));
        assertThat(parked().state()).isEqualTo(State.REDRIVE);
        assertThat(inbox.parking().first(GROUP, parked()).orElseThrow().attempts())
                .isEqualTo(3);
        assertThat(runner.health().problems()).singleElement().asString().contains("08006");
        outage = false;
        bus.runUntilIdle();
        assertThat(booked("bob")).containsExactly(1, 2);
        assertThat(runner.health().problems()).isEmpty();
    }

    @Test
    void what_a_discarded_event_waited_for_is_no_problem_of_the_keys_that_are_still_parked() throws SQLException {
        ConsumerRunner runner = start();
        failing.addAll(Set.of("bob1", "alice1"));
        publish("bob", 1);
        publish("alice", 1);
        bus.runUntilIdle();
        outage = true;
        redrive("bob");
        bus.advance(Duration.ofMinutes(1));
        assertThat(runner.health().problems()).singleElement().asString().contains("08006");

        for (ParkedKey key : inbox.parking().load(GROUP)) { // by somebody else
            inbox.parking().discard(GROUP, key, id -> new String(key.key(), UTF_8).equals("bob"));
        }
        bus.advance(Duration.ofMinutes(1));
        assertThat(runner.health().parked().keys()).isEqualTo(1);
        assertThat(runner.health().problems()).isEmpty();
    }

    /** The database keeps it, and thousands of keys may wait at once. */
    @Test
    void an_event_that_waits_in_the_database_is_not_kept_in_memory_too() throws SQLException {
        start();
        failing.add("bob1");
        publish("bob", 1);
        bus.runUntilIdle();
        outage = true;
        redrive("bob");
        payloads.clear();
        bus.advance(Duration.ofMinutes(1));
        assertThat(payloads).hasSizeGreaterThan(2);
        assertThat(RunLoop.await(Duration.ofSeconds(20), () -> {
                    System.gc();
                    return payloads.stream().allMatch(payload -> payload.get() == null);
                }))
                .isTrue();
        assertThat(parked().state()).isEqualTo(State.REDRIVE);
    }

    @Test
    void a_start_is_not_left_noted_where_no_handler_ran() throws SQLException {
        start();
        failing.add("bob1");
        publish("bob", 1, 2);
        bus.runUntilIdle();
        failing.clear();
        Integer ran = runs.get("bob1");
        execute("ALTER TABLE eventbus_inbox RENAME TO away");
        redrive("bob");
        bus.advance(Duration.ofSeconds(3));
        assertThat(numbers("SELECT starts FROM eventbus_attempt WHERE failures > 0 OR starts > 0"))
                .as("a crash from now on makes no suspect of it")
                .containsOnly(0);
        assertThat(runs).containsEntry("bob1", ran);
        execute("ALTER TABLE away RENAME TO eventbus_inbox");
        bus.runUntilIdle();
        assertThat(booked("bob")).containsExactly(1, 2);
        assertThat(numbers("SELECT count(*) FROM eventbus_attempt")).containsExactly(0);
    }

    @Test
    void a_key_of_a_partition_that_is_gone_is_drained_all_the_same() throws SQLException {
        bus.topic("bookings", 3);
        publish("bob", 1);
        ConsumerRecord<byte[], byte[]> record = bus.records("bookings").get(0);
        park(at("bookings", 7, record), "RETRY_LATER", State.REDRIVE);
        start();
        bus.runUntilIdle();
        assertThat(booked("bob")).containsExactly(1);
        assertThat(inbox.parking().load(GROUP)).isEmpty();
    }

    @Test
    void keys_of_topics_that_nobody_reads_are_told() throws SQLException {
        ConsumerRunner runner = start();
        publish("bob", 1);
        park(at("others", 0, bus.records("bookings").get(0)), "RETRY_LATER", State.REDRIVE);
        bus.runUntilIdle();
        bus.runUntilIdle();
        assertThat(runner.health().problems()).singleElement().asString().contains("1 parked keys", "does not read");
    }

    @Test
    void a_letter_that_was_noted_and_not_sent_is_sent_with_what_was_noted_and_no_handler_runs() throws SQLException {
        publish("bob", 1);
        ConsumerRecord<byte[], byte[]> record = bus.records("bookings").get(0);
        Event<Booking> event = bus.events(BOOKING).get(0);
        ParkedEvent failed = ParkedEvent.following(event.id(), record)
                .failed(3, "NOT_RETRYABLE", "java.lang.IllegalStateException at a.B.c:1");
        inbox.parking().park(Mark.of(GROUP, event.id(), record), failed, State.WAITING, bus.now());
        bus.topic("bookings", 3);
        bus.faults().rebalance(GROUP);
        start();
        bus.runUntilIdle();
        assertThat(bus.deadLetters()).isNotEmpty().allSatisfy(letter -> {
            Origin origin = Objects.requireNonNull(letter.origin());
            assertThat(origin.exception()).isEqualTo("java.lang.IllegalStateException");
            assertThat(origin.message()).contains("a.B.c:1");
            assertThat(origin.attempts()).isEqualTo(3);
        });
        assertThat(parked().state()).isEqualTo(State.PARKED);
        assertThat(runs).isEmpty();
    }

    @Test
    void the_last_failure_is_noted_before_its_letter_is_sent() throws SQLException {
        delay = Duration.ofHours(1);
        start();
        failing.add("bob1");
        publish("bob", 1);
        bus.faults().failTimes(3).forSendsTo("dlq");
        bus.advance(Duration.ofHours(2).plusSeconds(3));
        assertThat(bus.deadLetters()).isEmpty();
        assertThat(parked().state()).isEqualTo(State.WAITING);
        assertThat(parked().reason()).isEqualTo("ATTEMPTS_EXHAUSTED");
        assertThat(runs).containsEntry("bob1", 3);
        bus.runUntilIdle();
        assertThat(bus.deadLetters()).hasSize(1);
        assertThat(runs).containsEntry("bob1", 3);
    }

    @Test
    void a_listener_hears_of_a_drain_what_it_hears_of_a_lane_and_of_an_effect_once_it_is_committed() {
        List<String> heard = new ArrayList<>();
        delay = Duration.ofHours(1);
        bus.start(builder()
                .listener(new RunnerListener() {
                    @Override
                    public void handled(String eventType, Delivery delivery, Duration took) {
                        heard.add("handled " + booked("bob"));
                    }

                    @Override
                    public void retried(String eventType, Delivery delivery, Throwable cause, Duration after) {
                        heard.add("retried " + delivery.attempt());
                    }

                    @Override
                    public void parked(String eventType, Delivery delivery, @Nullable FailureReason reason) {
                        heard.add("parked " + reason);
                    }
                })
                .build());
        failing.add("bob1");
        publish("bob", 1);
        bus.advance(Duration.ofHours(1).plusMinutes(1));
        failing.clear();
        bus.runUntilIdle();
        assertThat(heard).containsExactly("parked null", "retried 2", "handled [1]");
    }

    @Test
    void a_parked_event_of_a_type_that_is_ignored_now_is_skipped() throws SQLException {
        ConsumerRunner before = start();
        failing.add("bob1");
        publish("bob", 1, 2);
        bus.runUntilIdle();
        before.close();
        EventType<Booking> other =
                EventType.of("OTHER", Booking.class).topic("bookings").key(Booking::user);
        bus.start(ConsumerRunner.builder(bus.kafka(), GROUP)
                .inTransaction(inbox, other, (event, tx) -> {})
                .ignoringOtherTypes()
                .afterRetries(AfterRetries.parkKey(inbox, "dlq"))
                .build());
        redrive("bob");
        bus.runUntilIdle();
        assertThat(inbox.parking().load(GROUP)).isEmpty();
        assertThat(numbers("SELECT count(*) FROM eventbus_inbox WHERE outcome = 'SKIPPED'"))
                .containsExactly(2);
    }

    @Test
    void beyond_the_bound_events_wait_in_their_lane_and_repeats_do_not() throws SQLException {
        ConsumerRunner before = start();
        List<Event<Booking>> first = bus.publish(BOOKING, new Booking("bob", 1));
        failing.add("bob2");
        publish("bob", 2);
        bus.runUntilIdle();
        before.close();
        execute("""
                INSERT INTO eventbus_parked_event (consumer_group, topic, key_bytes, event_id, partition_no, record_offset, value_bytes, headers,
                    record_time, attempts, reason, error, parked_at)
                SELECT consumer_group, topic, key_bytes, STRINGTOUTF8('more' || x), partition_no, record_offset, value_bytes, headers,
                    record_time, 0, NULL, NULL, parked_at
                FROM eventbus_parked_event CROSS JOIN SYSTEM_RANGE(1, 9999)""");
        ConsumerRunner runner = start();
        bus.faults().duplicate(first.get(0).id());
        publish("bob", 3);
        publish("alice", 1);
        bus.advance(Duration.ofMinutes(1));
        assertThat(runner.health().problems())
                .anySatisfy(problem -> assertThat(problem).contains("as many events are parked as may be"));
        assertThat(runner.health().waitingKeys()).isEqualTo(1);
        assertThat(booked("alice")).containsExactly(1);
        assertThat(bus.committedOffset(GROUP, "bookings", partitionOf("bob")))
                .as("the repeat has ended, the event behind it waits")
                .hasValue(bus.records("bookings").stream()
                        .filter(record -> new String(record.key(), UTF_8).equals("bob"))
                        .mapToLong(ConsumerRecord::offset)
                        .max()
                        .orElseThrow());
        execute("DELETE FROM eventbus_parked_event WHERE event_id = STRINGTOUTF8('more1')");
        bus.advance(Duration.ofMinutes(1));
        assertThat(runner.health().problems()).isEmpty();
        assertThat(parked().events()).isEqualTo(10_000);
    }

    private int partitionOf(String user) {
        return bus.records("bookings").stream()
                .filter(record -> new String(record.key(), UTF_8).equals(user))
                .findFirst()
                .orElseThrow()
                .partition();
    }

    @Test
    void a_runner_that_only_reads_dead_letters_parks_nothing_whatever_its_policy() {
        ConsumerRunner runner = bus.start(ConsumerRunner.builder(bus.kafka(), "monitoring")
                .onDeadLetters("dlq", (letter, delivery) -> {})
                .afterRetries(AfterRetries.parkKey(inbox, "others"))
                .build());
        bus.publishRaw("dlq", "bob", "{}");
        bus.runUntilIdle();
        assertThat(runner.health().problems()).isEmpty();
    }

    private void park(ConsumerRecord<byte[], byte[]> record, String reason, State state) throws SQLException {
        Mark mark = Mark.of(GROUP, bus.events(BOOKING).get(0).id(), record);
        ParkedEvent event = ParkedEvent.following(mark.eventId(), record).failed(1, reason, null);
        assertThat(inbox.parking().park(mark, event, state, null)).isEqualTo(new MarkResult.Decided());
    }

    private static ConsumerRecord<byte[], byte[]> at(
            String topic, int partition, ConsumerRecord<byte[], byte[]> record) {
        ConsumerRecord<byte[], byte[]> moved =
                new ConsumerRecord<>(topic, partition, record.offset(), record.key(), record.value());
        record.headers().forEach(moved.headers()::add);
        return moved;
    }

    @Test
    void combinations_that_cannot_keep_order_are_refused() {
        assertThatThrownBy(() -> builder()
                        .afterRetries(AfterRetries.parkKey(JdbcInbox.h2(database), "dlq"))
                        .build())
                .isInstanceOf(StartRefusedException.class)
                .hasMessageContaining("another inbox");
        assertThatThrownBy(() -> ConsumerRunner.builder(bus.kafka(), GROUP)
                        .on(BOOKING, (event, delivery) -> {})
                        .afterRetries(AfterRetries.parkKey(inbox, "dlq"))
                        .build())
                .isInstanceOf(StartRefusedException.class)
                .hasMessageContaining("handled without an inbox");
    }

    @Test
    void whatever_fails_restarts_and_is_redriven_each_key_has_its_effects_in_order_without_a_gap() throws SQLException {
        for (int seed = 0; seed < 1_000; seed++) {
            execute("DELETE FROM booked");
            execute("DELETE FROM eventbus_parked_event");
            execute("DELETE FROM eventbus_parked_key");
            execute("DELETE FROM eventbus_inbox");
            failing.clear();
            story(new Random(seed), seed);
        }
    }

    private void story(Random random, int seed) throws SQLException {
        try (FakeEventBus own = FakeEventBus.create()) {
            own.topic("bookings", 2);
            List<String> users = List.of("ann", "bob", "cid");
            Map<String, Integer> published = new HashMap<>();
            List<ConsumerRunner> runners = new ArrayList<>();
            delay = Duration.ofMillis(random.nextBoolean() ? 200 : 60_000);
            runners.add(own.start(onBus(own)));
            for (int step = 0; step < 12; step++) {
                String user = users.get(random.nextInt(3));
                switch (random.nextInt(6)) {
                    case 0 -> {
                        ConsumerRunner gone = runners.remove(0);
                        gone.close();
                        runners.add(own.start(onBus(own)));
                    }
                    case 1 -> failing.add(user + (published.getOrDefault(user, 0) + 1));
                    case 2 -> {
                        if (random.nextBoolean()) {
                            failing.clear();
                        }
                        inbox.parking().redrive(GROUP, "bookings", user.getBytes(UTF_8));
                    }
                    case 3 -> own.faults().rebalance(GROUP);
                    default -> own.publish(BOOKING, new Booking(user, published.merge(user, 1, Integer::sum)));
                }
                own.advance(Duration.ofMillis(random.nextInt(2_000)));
            }
            own.publish(BOOKING, new Booking("zoe", 1));
            own.runUntilIdle();
            assertThat(booked("zoe")).as("seed %d: a key without a fault", seed).containsExactly(1);
            failing.clear();
            for (String user : users) {
                inbox.parking().redrive(GROUP, "bookings", user.getBytes(UTF_8));
            }
            own.runUntilIdle();
            for (String user : users) {
                assertThat(booked(user))
                        .as("seed %d: effects of %s", seed, user)
                        .containsExactlyElementsOf(IntStream.rangeClosed(1, published.getOrDefault(user, 0))
                                .boxed()
                                .toList());
            }
            assertThat(inbox.parking().load(GROUP)).as("seed %d", seed).isEmpty();
        }
    }

    private ConsumerRunner onBus(FakeEventBus own) {
        return ConsumerRunner.builder(own.kafka(), GROUP)
                .inTransaction(inbox, BOOKING, (event, tx) -> {
                    try (PreparedStatement insert =
                            tx.connection().prepareStatement("INSERT INTO booked (owner, n) VALUES (?, ?)")) {
                        insert.setString(1, event.payload().user());
                        insert.setInt(2, event.payload().n());
                        insert.executeUpdate();
                    }
                    if (failing.contains(
                            event.payload().user() + event.payload().n())) {
                        throw new IllegalStateException("no luck");
                    }
                })
                .retry(RetryConfig.custom()
                        .maxAttempts(2)
                        .intervalFunction(attempt -> delay.toMillis())
                        .build())
                .afterRetries(AfterRetries.parkKey(inbox, "dlq"))
                .build();
    }

    private void execute(String sql) throws SQLException {
        try (Connection connection = database.getConnection();
                Statement statement = connection.createStatement()) {
            statement.execute(sql);
        }
    }

    private List<Integer> booked(String owner) {
        return numbers("SELECT n FROM booked WHERE owner = '" + owner + "' ORDER BY ord");
    }

    private List<Integer> numbers(String sql) {
        try (Connection connection = database.getConnection();
                Statement statement = connection.createStatement();
                ResultSet rows = statement.executeQuery(sql)) {
            List<Integer> numbers = new ArrayList<>();
            while (rows.next()) {
                numbers.add(rows.getInt(1));
            }
            return numbers;
        } catch (SQLException e) {
            throw new IllegalStateException(e);
        }
    }
}
