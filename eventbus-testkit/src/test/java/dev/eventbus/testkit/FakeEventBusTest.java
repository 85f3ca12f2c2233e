package dev.eventbus.testkit;

import static dev.eventbus.testkit.Calculator.ASSET_UPDATED;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.eventbus.Event;
import dev.eventbus.PublishRefusedException;
import dev.eventbus.consumer.AfterRetries;
import dev.eventbus.consumer.ConsumerRunner;
import dev.eventbus.consumer.ConsumerRunnerBuilder;
import dev.eventbus.consumer.deadletter.DeadLetter;
import dev.eventbus.outbox.JdbcOutbox;
import dev.eventbus.outbox.OutboxRelay;
import dev.eventbus.testkit.Calculator.AssetUpdated;
import io.github.resilience4j.core.IntervalFunction;
import io.github.resilience4j.retry.RetryConfig;
import java.sql.Connection;
import java.sql.SQLException;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.UUID;
import javax.sql.DataSource;
import org.h2.jdbcx.JdbcConnectionPool;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.parallel.Execution;
import org.junit.jupiter.api.parallel.ExecutionMode;

@Execution(ExecutionMode.CONCURRENT)
class FakeEventBusTest {

    private static final String TOPIC = "asset.events";

    private final FakeEventBus bus = FakeEventBus.create();
    private final List<String> handled = new ArrayList<>();

    @AfterEach
    void close() {
        bus.close();
    }

    @Test
    void a_users_unit_test_runs_the_production_builder_in_virtual_time() {
        var bus = FakeEventBus.create();
        var evicted = new ArrayList<String>();
        bus.start(Calculator.runner(bus.kafka(), user -> {
            if (user.equals("bob")) throw new IllegalStateException();
            evicted.add(user);
        }));
        bus.publish(ASSET_UPDATED, updated("bob", 1), updated("alice", 1));
        bus.runUntilIdle(); // retries of hours take microseconds
        assertThat(evicted).containsExactly("alice");
        assertThat(bus.deadLetters()).extracting(DeadLetter::keyText).containsExactly("bob");
        bus.close();
    }

    @Test
    void what_is_published_on_a_bus_with_a_prefix_reaches_the_code_that_sets_it() {
        try (FakeEventBus staging = FakeEventBus.withTopicPrefix("staging.")) {
            staging.topic(TOPIC, 1).faults().failTimes(1).forSendsTo("dlq.events");
            staging.start(Calculator.runner(staging.kafka().topicPrefix("staging."), user -> {
                if (user.equals("bob")) {
                    throw new IllegalStateException();
                }
                handled.add(user);
            }));
            staging.publish(ASSET_UPDATED, updated("bob", 1), updated("alice", 1));
            staging.publishRaw(TOPIC, "carol", "what?");
            staging.runUntilIdle();

            assertThat(handled).containsExactly("alice");
            assertThat(staging.deadLetters()).extracting(DeadLetter::keyText).containsExactlyInAnyOrder("bob", "carol");
            assertThat(staging.events(ASSET_UPDATED)).extracting(Event::key).containsExactly("bob", "alice");
            assertThat(staging.committedOffset(Calculator.GROUP, TOPIC, 0)).hasValue(3);
            assertThat(staging.records(TOPIC))
                    .hasSize(3)
                    .allSatisfy(record -> assertThat(record.topic()).isEqualTo("staging.asset.events"));
        }
        assertThatThrownBy(() -> FakeEventBus.withTopicPrefix("stag ing."))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("topicPrefix");
    }

    @Test
    void retries_of_seconds_pass_in_virtual_time_and_each_at_its_own() {
        List<Duration> at = new ArrayList<>();
        bus.start(runner("g")
                .on(ASSET_UPDATED, (event, delivery) -> {
                    at.add(Duration.between(VirtualClock.START, bus.now()));
                    throw new IllegalStateException();
                })
                .retry(RetryConfig.custom()
                        .maxAttempts(4)
                        .intervalFunction(IntervalFunction.of(Duration.ofSeconds(10)))
                        .build())
                .build());
        bus.publish(ASSET_UPDATED, updated("bob", 1));

        bus.advance(Duration.ofSeconds(15));
        assertThat(at).containsExactly(Duration.ZERO, Duration.ofSeconds(10));
        assertThat(bus.now()).isEqualTo(VirtualClock.START.plusSeconds(15));
        bus.runUntilIdle();
        assertThat(at).last().isEqualTo(Duration.ofSeconds(30));
        assertThat(bus.deadLetters()).hasSize(1);
    }

    @Test
    void half_a_day_of_an_outage_may_pass_however_many_tries_that_takes() {
        bus.start(failing("g"));
        bus.faults().down("dlq.events");
        for (int user = 0; user < 12; user++) {
            bus.publish(ASSET_UPDATED, updated("user-" + user, 1));
            bus.advance(Duration.ofMillis(100)); // so that each is tried at a time of its own
        }
        bus.advance(Duration.ofHours(12));
        assertThat(bus.deadLetters()).isEmpty();
    }

    @Test
    void nothing_runs_and_no_time_passes_before_the_bus_is_told() {
        bus.start(recording("g"));
        bus.publish(ASSET_UPDATED, updated("alice", 1));

        assertThat(handled).isEmpty();
        assertThat(bus.now()).isEqualTo(Instant.parse("2030-01-01T00:00:00Z"));
    }

    @Test
    void what_was_handled_is_committed_when_the_bus_is_idle() {
        bus.start(recording("g"));
        for (int i = 0; i < 50; i++) {
            bus.publish(ASSET_UPDATED, updated("user-" + i % 10, i));
            bus.runUntilIdle();
        }

        assertThat(handled).hasSize(50);
        for (int partition = 0; partition < 3; partition++) {
            int number = partition;
            long end = bus.records(TOPIC).stream()
                    .filter(record -> record.partition() == number)
                    .count();
            assertThat(bus.committedOffset("g", TOPIC, partition)).hasValue(end);
        }
    }

    @Test
    void a_runner_that_starts_again_goes_on_after_what_the_first_had_handled() {
        ConsumerRunner first = bus.start(recording("g"));
        bus.publish(ASSET_UPDATED, updated("alice", 1), updated("bob", 1));
        bus.runUntilIdle();
        first.close();
        bus.publish(ASSET_UPDATED, updated("alice", 2));
        bus.start(recording("g"));
        bus.runUntilIdle();

        assertThat(handled).containsExactlyInAnyOrder("alice/1", "bob/1", "alice/2");
    }

    @Test
    void two_members_of_a_group_share_its_partitions_and_two_groups_each_get_everything() {
        List<String> second = new ArrayList<>();
        bus.start(recording("g"));
        bus.start(recording("g", second));
        bus.start(recording("audit", new ArrayList<>()));
        bus.runUntilIdle();
        for (int i = 0; i < 60; i++) {
            bus.publish(ASSET_UPDATED, updated("user-" + i, i));
        }
        bus.runUntilIdle();

        assertThat(handled).isNotEmpty();
        assertThat(second).isNotEmpty();
        assertThat(handled.size() + second.size()).isEqualTo(60);
        assertThat(handled).doesNotContainAnyElementsOf(second);
    }

    @Test
    void a_rebalance_in_the_middle_of_retries_neither_loses_nor_reorders_an_event() {
        List<String> all = new ArrayList<>();
        bus.start(failingOnce("g", all));
        bus.start(failingOnce("g", all));
        bus.publish(ASSET_UPDATED, updated("bob", 1), updated("bob", 2), updated("alice", 1));
        bus.advance(Duration.ofMillis(10));
        bus.faults().rebalance("g");
        bus.runUntilIdle();

        assertThat(all)
                .containsOnlyOnce("alice/1")
                .containsSubsequence("bob/1", "bob/2")
                .hasSize(3);
        assertThat(bus.deadLetters()).isEmpty();
    }

    @Test
    void a_duplicate_on_the_wire_is_delivered_again() {
        bus.start(recording("g"));
        List<Event<AssetUpdated>> published = bus.publish(ASSET_UPDATED, updated("alice", 1), updated("alice", 2));
        bus.faults().duplicate(published.get(0).id());
        bus.deliverAgain(bus.records(TOPIC).get(1));
        bus.runUntilIdle();

        assertThat(handled).containsExactly("alice/1", "alice/2", "alice/1", "alice/2");
        assertThat(bus.events(ASSET_UPDATED))
                .extracting(Event::id)
                .containsExactly(
                        published.get(0).id(),
                        published.get(1).id(),
                        published.get(0).id(),
                        published.get(1).id());
    }

    @Test
    void a_dead_letter_topic_that_fails_for_a_while_only_delays_the_letter() {
        bus.start(failing("g"));
        bus.faults().failTimes(5).forSendsTo("dlq.events");
        bus.publish(ASSET_UPDATED, updated("bob", 1));
        bus.runUntilIdle();

        assertThat(bus.deadLetters()).hasSize(1);
        assertThat(handled)
                .as("a handler is not run again because a sending failed")
                .hasSize(3);
    }

    @Test
    void fails_with_who_waits_for_what_if_it_never_comes_to_rest() {
        bus.start(failing("g"));
        bus.faults().failTimes(Integer.MAX_VALUE).forSendsTo("dlq.events");
        bus.publish(ASSET_UPDATED, updated("bob", 1), updated("bob", 2));

        assertThatThrownBy(bus::runUntilIdle)
                .isInstanceOf(AssertionError.class)
                .hasMessageContaining("after 100,000 rounds there is still something to do")
                .hasMessageContaining("runner 1 is DEGRADED: 1 keys wait, next try at 2030-01-")
                .hasMessageContaining("dead-letter topic dlq.events cannot be written")
                .hasMessageContaining(
                        "group g has 2 records of asset.events-0 open: offset 0 key #1f214, offset 1 key #1f214")
                .hasMessageNotContaining("bob");
        bus.faults().failTimes(0).forSendsTo("dlq.events");
        bus.runUntilIdle();
        assertThat(bus.deadLetters()).hasSize(2);
    }

    @Test
    void fails_if_everything_is_at_rest_before_a_condition_holds() {
        bus.start(recording("g"));

        assertThatThrownBy(() -> bus.runUntil("pigs to fly", () -> false))
                .isInstanceOf(AssertionError.class)
                .hasMessageContaining("everything is at rest, but not: pigs to fly");
    }

    @Test
    void refuses_what_production_refuses() {
        assertThatThrownBy(() -> bus.publish(ASSET_UPDATED, updated("", 1)))
                .isInstanceOf(PublishRefusedException.class);
        assertThat(bus.records(TOPIC)).isEmpty();
    }

    @Test
    void a_line_from_a_console_and_bytes_that_are_no_event_come_as_from_others() {
        bus.start(recording("g"));
        bus.publishRaw(
                TOPIC,
                "user-001",
                "{\"eventId\":\"evt-test-001\",\"eventType\":\"ASSET_UPDATED\",\"timestamp\":\"2025-12-29T10:00:00Z\",\"userId\":\"user-001\"}");
        bus.publishRaw(TOPIC, null, "what?");
        bus.runUntilIdle();

        assertThat(handled).containsExactly("user-001/null");
        assertThat(bus.deadLetters())
                .singleElement()
                .satisfies(letter -> assertThat(letter.value()).asString().isEqualTo("what?"));
    }

    @Test
    void a_relay_brings_what_was_committed_and_nothing_else() throws SQLException {
        JdbcConnectionPool database = database();
        JdbcOutbox outbox = JdbcOutbox.h2().clock(bus.kafka().clock());
        outbox.createTables(database);
        bus.start(OutboxRelay.builder(outbox, database, bus.kafka()).build());
        bus.start(recording("g"));
        commit(outbox, database, updated("alice", 1), updated("alice", 2));
        try (Connection rolledBack = database.getConnection()) {
            rolledBack.setAutoCommit(false);
            outbox.within(rolledBack).publish(ASSET_UPDATED, updated("bob", 1));
            rolledBack.rollback();
        }
        bus.runUntilIdle();

        assertThat(handled).containsExactly("alice/1", "alice/2");
        assertThat(bus.events(ASSET_UPDATED))
                .first()
                .extracting(Event::timestamp)
                .isEqualTo(VirtualClock.START);
        bus.close();
        database.dispose();
    }

    @Test
    void a_relay_that_its_user_closed_is_let_go() throws SQLException {
        JdbcConnectionPool database = database();
        JdbcOutbox outbox = JdbcOutbox.h2().clock(bus.kafka().clock());
        outbox.createTables(database);
        OutboxRelay relay =
                bus.start(OutboxRelay.builder(outbox, database, bus.kafka()).build());
        bus.start(recording("g"));
        relay.close();
        bus.publish(ASSET_UPDATED, updated("alice", 1));
        bus.runUntilIdle();
        assertThat(handled).containsExactly("alice/1");
        bus.close();
        database.dispose();
    }

    @Test
    void a_relay_sends_again_and_in_order_what_kafka_did_not_take() throws SQLException {
        JdbcConnectionPool database = database();
        JdbcOutbox outbox = JdbcOutbox.h2().clock(bus.kafka().clock());
        outbox.createTables(database);
        bus.start(OutboxRelay.builder(outbox, database, bus.kafka()).build());
        bus.faults().failTimes(3).forSendsTo(TOPIC);
        commit(outbox, database, updated("alice", 1), updated("alice", 2), updated("alice", 3));
        bus.runUntilIdle();

        assertThat(bus.events(ASSET_UPDATED))
                .extracting(event -> event.payload().amount())
                .containsExactly(1, 2, 3);
        bus.close();
        database.dispose();
    }

    private static JdbcConnectionPool database() {
        return JdbcConnectionPool.create("jdbc:h2:mem:%s;DB_CLOSE_DELAY=-1".formatted(UUID.randomUUID()), "sa", "");
    }

    private static void commit(JdbcOutbox outbox, DataSource database, AssetUpdated... payloads) throws SQLException {
        try (Connection connection = database.getConnection()) {
            connection.setAutoCommit(false);
            for (AssetUpdated payload : payloads) {
                outbox.within(connection).publish(ASSET_UPDATED, payload);
            }
            connection.commit();
        }
    }

    private ConsumerRunner recording(String group) {
        return recording(group, handled);
    }

    private ConsumerRunner recording(String group, List<String> into) {
        return runner(group)
                .on(
                        ASSET_UPDATED,
                        (event, delivery) ->
                                into.add(event.key() + "/" + event.payload().amount()))
                .build();
    }

    private ConsumerRunner failing(String group) {
        return runner(group)
                .on(ASSET_UPDATED, (event, delivery) -> {
                    handled.add(event.key());
                    throw new IllegalStateException();
                })
                .retry(RetryConfig.custom().maxAttempts(3).build())
                .build();
    }

    private ConsumerRunner failingOnce(String group, List<String> into) {
        return runner(group)
                .on(ASSET_UPDATED, (event, delivery) -> {
                    if (delivery.attempt() == 1) {
                        throw new IllegalStateException();
                    }
                    into.add(event.key() + "/" + event.payload().amount());
                })
                .build();
    }

    private ConsumerRunnerBuilder runner(String group) {
        return ConsumerRunner.builder(bus.kafka(), group).afterRetries(AfterRetries.deadLetter("dlq.events"));
    }

    private static AssetUpdated updated(String user, int amount) {
        return new AssetUpdated(user, amount);
    }
}
