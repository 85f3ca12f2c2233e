package dev.eventbus.outbox;

import static dev.eventbus.outbox.TestEvents.HOUSING_UPDATED;
import static dev.eventbus.outbox.TestEvents.event;
import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.Event;
import dev.eventbus.EventRecords;
import dev.eventbus.outbox.sql.Shards;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Proxy;
import java.sql.Connection;
import java.sql.SQLException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicReference;
import java.util.stream.IntStream;
import javax.sql.DataSource;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.errors.OutOfOrderSequenceException;
import org.apache.kafka.common.errors.RecordTooLargeException;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** The relay's rounds with a broker that answers when the test says so. */
class RelayPassTest {

    private final TestDatabase database = new TestDatabase();
    private final FakeKafka kafka = new FakeKafka();
    private final RelayPass pass = pass(database.dataSource, "one");

    /** How many shards each fetch of a {@link #breakable} database asked for. */
    private final List<Integer> shardsOfFetches = new ArrayList<>();

    private RelayPass pass(DataSource dataSource, String owner) {
        return new RelayPass(
                database.outbox,
                dataSource,
                kafka,
                new OutboxRelay.Settings(
                        owner,
                        Duration.ofSeconds(10),
                        SendMode.PIPELINED,
                        OutboxRelay.DEFAULT_MAX_RELAY_STOP,
                        new RelayListener() {}),
                OutboxRelay.Signals.NONE);
    }

    @AfterEach
    void close() {
        pass.end(Duration.ofMillis(20));
    }

    /** Rounds until nothing changes any more. */
    private void run() {
        for (int i = 0; i < 6; i++) {
            pass.look();
        }
    }

    /** Makes bob's partition warm. */
    private void warmUp() {
        database.publish(event("warm", "bob"));
        run();
        assertThat(kafka.ids()).containsExactly("warm");
        kafka.answer = FakeKafka.Answer.HOLD;
    }

    @Test
    void the_first_record_of_a_partition_goes_alone() {
        kafka.answer = FakeKafka.Answer.HOLD;
        database.publish(event("evt-1", "bob"), event("evt-2", "bob"), event("evt-3", "bob"));
        run();
        assertThat(kafka.producer().heldIds()).containsExactly("evt-1");
        kafka.producer().ackAll();
        run();
        assertThat(kafka.producer().heldIds()).containsExactly("evt-2", "evt-3");
    }

    @Test
    void a_failed_record_closes_the_producer_within_its_callback_and_nothing_behind_it_gets_out() {
        warmUp();
        database.publish(event("evt-1", "bob"), event("evt-2", "bob"), event("evt-3", "bob"));
        run();
        FakeKafka.FakeProducer first = kafka.producer();
        assertThat(first.heldIds()).containsExactly("evt-1", "evt-2", "evt-3");

        first.fail("evt-1", new OutOfOrderSequenceException("out of order"));
        assertThat(first.closedInCallback).isTrue();
        assertThat(first.closedWith).isEqualTo(Duration.ZERO);
        assertThat(kafka.ids()).containsExactly("warm");

        kafka.answer = FakeKafka.Answer.ACK;
        pass.look();
        kafka.advance(Duration.ofSeconds(1));
        run();
        assertThat(kafka.producers).hasSize(2);
        assertThat(kafka.ids()).containsExactly("warm", "evt-1", "evt-2", "evt-3");
        assertThat(database.ids()).isEmpty();
    }

    @Test
    void a_record_refused_for_good_in_mid_stream_is_tried_alone_and_then_blocks_its_key() {
        warmUp();
        database.publish(event("poison", "bob"), event("evt-2", "bob"), event(HOUSING_UPDATED, "other", "alice"));
        run();
        kafka.producer().fail("poison", new RecordTooLargeException("too large"));
        run();
        assertThat(kafka.producer().heldIds()).containsExactlyInAnyOrder("poison", "other");

        FakeKafka.FakeProducer second = kafka.producer();
        second.fail("poison", new RecordTooLargeException("too large"));
        assertThat(second.closedWith)
                .as("nothing is behind a record that is alone")
                .isNull();
        run();
        assertThat(database.strings("SELECT event_id FROM \"eventbus_blocked_key\""))
                .containsExactly("poison");
        assertThat(kafka.ids()).contains("other").doesNotContain("evt-2", "poison");
        assertThat(database.ids()).containsExactly("poison", "evt-2");
    }

    @Test
    void an_event_that_failed_goes_alone_even_into_a_warm_partition() {
        String neighbour = IntStream.range(0, 1_000)
                .mapToObj(i -> "user-" + i)
                .filter(user -> EventRecords.partition(user, 3) == EventRecords.partition("bob", 3)
                        && Shards.of(user) == Shards.of("bob"))
                .findFirst()
                .orElseThrow();
        warmUp();
        database.publish(event("neighbour", neighbour), event("poison", "bob"), event("evt-2", "bob"));
        run();
        kafka.producer().fail("poison", new RecordTooLargeException("too large"));
        run();
        assertThat(kafka.producer().heldIds()).as("the partition is cold").containsExactly("neighbour");
        kafka.producer().ackAll();
        run();
        assertThat(kafka.producer().heldIds()).as("it is warm now").containsExactly("poison");
        kafka.producer().ackAll();
        run();
        assertThat(kafka.producer().heldIds()).containsExactly("evt-2");
    }

    /** Runs something right before a DELETE, as if the client's sender thread had done it then. */
    private DataSource beforeNextDelete(AtomicReference<Runnable> work) {
        return (DataSource) proxy(
                DataSource.class,
                database.dataSource,
                (name, argument, result) -> result instanceof Connection connection
                        ? proxy(Connection.class, connection, (method, sql, statement) -> {
                            if (method.equals("prepareStatement")
                                    && String.valueOf(sql).contains("MERGE INTO \"eventbus_outbox\"")) {
                                work.getAndSet(() -> {}).run();
                            }
                            return statement;
                        })
                        : result);
    }

    @Test
    void a_producer_that_dies_between_settling_and_reading_is_settled_before_there_is_another() {
        AtomicReference<Runnable> before = new AtomicReference<>(() -> {});
        RelayPass unlucky = pass(beforeNextDelete(before), "unlucky");
        database.publish(event("warm", "bob"));
        unlucky.look();
        unlucky.look();
        kafka.answer = FakeKafka.Answer.HOLD;
        database.publish(event("evt-0", "bob"), event("evt-1", "bob"));
        unlucky.look();
        FakeKafka.FakeProducer first = kafka.producer();
        assertThat(first.heldIds()).containsExactly("evt-0", "evt-1");
        first.ackNext();
        database.publish(event("evt-2", "bob"));
        kafka.answer = FakeKafka.Answer.ACK;
        before.set(() -> first.fail("evt-1", new OutOfOrderSequenceException("out of order")));
        for (int i = 0; i < 6; i++) {
            unlucky.look();
            kafka.advance(Duration.ofSeconds(40));
        }
        assertThat(kafka.ids()).containsExactly("warm", "evt-0", "evt-1", "evt-2");
        assertThat(database.ids()).isEmpty();
        unlucky.end(Duration.ofMillis(20));
    }

    @Test
    void a_producer_that_is_closed_while_a_row_is_handed_over_is_no_fault_of_that_rows_topic() {
        warmUp();
        database.publish(event("evt-1", "bob"), event("evt-2", "bob"));
        run();
        FakeKafka.FakeProducer first = kafka.producer();
        database.publish(event(HOUSING_UPDATED, "other", "alice"));
        kafka.refusal = id -> {
            if (id.equals("other") && kafka.producer() == first) {
                first.fail("evt-1", new OutOfOrderSequenceException("out of order"));
                throw new IllegalStateException("Cannot perform operation after producer has been closed");
            }
            return null;
        };
        pass.look();
        assertThat(first.closedWith).isEqualTo(Duration.ZERO);
        assertThat(pass.health().waitingTopics()).containsOnlyKeys("asset.events");
        kafka.answer = FakeKafka.Answer.ACK;
        kafka.advance(Duration.ofMinutes(1));
        run();
        assertThat(database.ids()).isEmpty();
    }

    @Test
    void what_a_dying_producer_says_late_about_an_event_is_remembered() {
        warmUp();
        database.publish(event("evt-1", "bob"), event("poison", "bob"), event("evt-3", "bob"));
        run();
        FakeKafka.FakeProducer first = kafka.producer();
        FakeKafka.Held late = first.take("poison");
        first.fail("evt-1", new OutOfOrderSequenceException("out of order"));
        pass.look();
        late.callback().onCompletion(null, new RecordTooLargeException("too large"));
        List<String> refused = new ArrayList<>();
        kafka.refusal = id -> {
            if (id.equals("poison")) {
                refused.add(id);
                return new RecordTooLargeException("too large");
            }
            return null;
        };
        kafka.answer = FakeKafka.Answer.ACK;
        kafka.advance(Duration.ofSeconds(40));
        run();
        assertThat(database.strings("SELECT event_id FROM \"eventbus_blocked_key\""))
                .containsExactly("poison");
        assertThat(refused).as("the late word was its first failure").hasSize(1);
    }

    @Test
    void an_innocent_record_of_a_spoilt_batch_is_not_blamed() {
        warmUp();
        database.publish(event("innocent", "bob"), event("evt-2", "bob"));
        run();
        kafka.producer().fail("innocent", new KafkaException("part of a batch with invalid records"));
        kafka.answer = FakeKafka.Answer.ACK;
        pass.look();
        kafka.advance(Duration.ofSeconds(1));
        run();
        assertThat(kafka.ids()).containsExactly("warm", "innocent", "evt-2");
        assertThat(database.strings("SELECT event_id FROM \"eventbus_blocked_key\""))
                .isEmpty();
    }

    @Test
    void rows_stay_until_kafka_has_them_and_are_read_no_second_time_meanwhile() {
        kafka.answer = FakeKafka.Answer.HOLD;
        database.publish(event("evt-1", "bob"));
        run();
        run();
        assertThat(kafka.producer().heldIds()).containsExactly("evt-1");
        assertThat(database.ids()).containsExactly("evt-1");
        kafka.producer().ackAll();
        run();
        assertThat(database.ids()).isEmpty();
    }

    /** P-11: nobody may take the highest number seen for all that there is. */
    @Test
    void a_row_that_is_committed_after_higher_ones_were_sent_is_sent_at_the_next_look() throws SQLException {
        try (Connection slow = database.begin()) {
            database.outbox.within(slow).publish(event("late", "alice"));
            database.publish(event("evt-2", "bob"), event("evt-3", "carol"));
            run();
            assertThat(kafka.ids()).containsExactlyInAnyOrder("evt-2", "evt-3");
            slow.commit();
        }
        run();
        assertThat(kafka.ids()).endsWith("late").hasSize(3);
        assertThat(database.ids()).isEmpty();
    }

    @Test
    void a_broker_that_falls_silent_is_told_before_its_topic_waits() {
        kafka.answer = FakeKafka.Answer.HOLD;
        database.publish(event("evt-1", "bob"));
        Eventually.isTrue(() -> {
            pass.look();
            return pass.health().problems().stream()
                    .anyMatch(problem -> problem.contains("acknowledged nothing for 3 s"));
        });
        assertThat(pass.health().up()).isFalse();
        kafka.producer().ackAll();
        run();
        assertThat(pass.health().up()).isTrue();
    }

    @Test
    void a_stale_acknowledgement_spares_a_row_that_got_its_number_again() throws SQLException {
        kafka.answer = FakeKafka.Answer.HOLD;
        database.publish(event("evt-1", "bob"));
        run();
        // as after a restore: the sequence number is given out a second time
        database.update("UPDATE \"eventbus_outbox\" SET id = 'evt-2'");
        kafka.producer().ackAll();
        kafka.answer = FakeKafka.Answer.ACK;
        run();
        assertThat(kafka.ids()).containsExactly("evt-1", "evt-2");
    }

    @Test
    void a_number_given_out_again_after_a_fail_over_hides_no_event_from_its_successor() {
        AtomicBoolean broken = new AtomicBoolean();
        RelayPass fragile = pass(breakable(broken, new ArrayList<>()), "fragile");
        kafka.answer = FakeKafka.Answer.HOLD;
        database.publish(event("lost-by-the-fail-over", "bob"));
        for (int i = 0; i < 6; i++) {
            fragile.look();
        }
        FakeKafka.FakeProducer first = kafka.producer();
        assertThat(first.heldIds()).containsExactly("lost-by-the-fail-over");
        broken.set(true);
        fragile.look();
        // the new primary never had the event, and gives its number to another of its key
        database.update("UPDATE \"eventbus_outbox\" SET id = 'evt-1'");
        database.publish(event("evt-2", "bob"));
        broken.set(false);
        kafka.advance(Duration.ofSeconds(1));
        for (int i = 0; i < 6; i++) {
            fragile.look();
        }
        first.ackAll();
        kafka.answer = FakeKafka.Answer.ACK;
        kafka.producers.forEach(FakeKafka.FakeProducer::ackAll);
        for (int i = 0; i < 6; i++) {
            fragile.look();
        }
        assertThat(kafka.ids()).containsSubsequence("evt-1", "evt-2");
        assertThat(kafka.ids().indexOf("evt-1")).isLessThan(kafka.ids().indexOf("evt-2"));
        assertThat(database.ids()).isEmpty();
        fragile.end(Duration.ofMillis(20));
    }

    @Test
    void a_row_that_a_crash_of_the_database_brings_back_is_not_left_behind_a_later_one_of_its_key() {
        AtomicBoolean broken = new AtomicBoolean();
        RelayPass fragile = pass(breakable(broken, new ArrayList<>()), "fragile");
        database.publish(event("evt-1", "bob"));
        database.update("CREATE TABLE before_the_delete AS SELECT * FROM \"eventbus_outbox\"");
        fragile.look();
        fragile.look();
        assertThat(database.ids()).isEmpty();
        database.publish(event("evt-2", "bob"));
        fragile.look();
        assertThat(kafka.ids()).containsExactly("evt-1", "evt-2");
        assertThat(database.ids()).as("Kafka has it, and it is not deleted yet").containsExactly("evt-2");
        // what was committed asynchronously is undone
        database.update("INSERT INTO \"eventbus_outbox\" OVERRIDING SYSTEM VALUE SELECT * FROM before_the_delete");
        broken.set(true);
        fragile.look();
        broken.set(false);
        for (int i = 0; i < 6; i++) {
            kafka.advance(Duration.ofSeconds(1));
            fragile.look();
        }
        assertThat(kafka.ids()).containsExactly("evt-1", "evt-2", "evt-1", "evt-2");
        assertThat(database.ids()).isEmpty();
        fragile.end(Duration.ofMillis(20));
    }

    @Test
    void that_it_is_back_is_found_once_and_not_at_each_new_connection() {
        AtomicBoolean broken = new AtomicBoolean();
        RelayPass fragile = pass(breakable(broken, new ArrayList<>()), "fragile");
        database.publish(event("evt-1", "bob"));
        database.update("CREATE TABLE before_the_delete AS SELECT * FROM \"eventbus_outbox\"");
        fragile.look();
        fragile.look();
        assertThat(database.ids()).isEmpty();
        database.update("INSERT INTO \"eventbus_outbox\" OVERRIDING SYSTEM VALUE SELECT * FROM before_the_delete");
        kafka.answer = FakeKafka.Answer.HOLD;
        for (int i = 0; i < 4; i++) {
            broken.set(true);
            fragile.look();
            broken.set(false);
            kafka.advance(Duration.ofSeconds(1));
            Eventually.isTrue(() -> {
                fragile.look();
                return fragile.health().inFlight() == 1;
            });
        }
        assertThat(kafka.producers).as("the first, and the one after the crash").hasSize(2);
        fragile.end(Duration.ofMillis(20));
    }

    @Test
    void nor_is_it_after_a_delete_that_found_nothing_to_delete() {
        AtomicBoolean broken = new AtomicBoolean();
        RelayPass fragile = pass(breakable(broken, new ArrayList<>()), "fragile");
        database.publish(event("evt-1", "bob"));
        database.update("CREATE TABLE before_the_delete AS SELECT * FROM \"eventbus_outbox\"");
        fragile.look();
        fragile.look();
        database.publish(event("evt-a", "alice"));
        fragile.look();
        database.update("DELETE FROM \"eventbus_outbox\" WHERE id = 'evt-a'");
        fragile.look();
        database.publish(event("evt-2", "bob"));
        fragile.look();
        database.update("INSERT INTO \"eventbus_outbox\" OVERRIDING SYSTEM VALUE SELECT * FROM before_the_delete");
        broken.set(true);
        fragile.look();
        broken.set(false);
        for (int i = 0; i < 6; i++) {
            kafka.advance(Duration.ofSeconds(1));
            fragile.look();
        }
        assertThat(kafka.ids()).containsExactly("evt-1", "evt-a", "evt-2", "evt-1", "evt-2");
        assertThat(database.ids()).isEmpty();
        fragile.end(Duration.ofMillis(20));
    }

    @Test
    void a_delete_whose_answer_was_lost_is_repeated_before_the_next_fetch() {
        AtomicBoolean broken = new AtomicBoolean();
        List<String> statements = new ArrayList<>();
        RelayPass fragile = pass(breakable(broken, statements), "fragile");
        kafka.answer = FakeKafka.Answer.HOLD;
        database.publish(event("evt-1", "bob"));
        fragile.look();
        kafka.producer().ackAll();
        broken.set(true);
        fragile.look();
        assertThat(fragile.health().up()).isFalse();
        assertThat(database.ids()).containsExactly("evt-1");

        broken.set(false);
        statements.clear();
        kafka.advance(Duration.ofSeconds(1));
        fragile.look();
        assertThat(statements).containsSubsequence("delete", "fetch");
        assertThat(statements.indexOf("delete")).isLessThan(statements.indexOf("fetch"));
        assertThat(database.ids()).isEmpty();
        assertThat(kafka.ids()).containsExactly("evt-1");
        fragile.end(Duration.ofMillis(20));
    }

    @Test
    void after_a_fetch_that_failed_few_shards_are_read_at_a_time_until_all_were() {
        AtomicBoolean broken = new AtomicBoolean();
        RelayPass fragile = pass(breakable(broken, new ArrayList<>()), "fragile");
        fragile.look();
        broken.set(true);
        fragile.look();
        assertThat(fragile.health().up()).isFalse();
        assertThat(shardsOfFetches).containsExactly(Shards.COUNT, Shards.COUNT);

        broken.set(false);
        shardsOfFetches.clear();
        kafka.advance(Duration.ofSeconds(1));
        database.publish(IntStream.range(0, 200)
                .mapToObj(i -> event("evt-" + i, "user-" + i))
                .toArray(Event<?>[]::new));
        for (int look = 0; look < 10; look++) {
            fragile.look();
        }
        assertThat(shardsOfFetches).startsWith(1, 2, 4).endsWith(Shards.COUNT);
        assertThat(database.ids()).isEmpty();
        assertThat(kafka.ids()).hasSize(200).doesNotHaveDuplicates();
        fragile.end(Duration.ofMillis(20));
    }

    /** Connections whose statements on the event table fail while {@code broken}. */
    private DataSource breakable(AtomicBoolean broken, List<String> statements) {
        return (DataSource) proxy(
                DataSource.class,
                database.dataSource,
                (name, argument, result) -> result instanceof Connection connection
                        ? proxy(Connection.class, connection, (method, sql, statement) -> {
                            String text = String.valueOf(sql);
                            if (method.equals("prepareStatement") && text.contains("MERGE INTO \"eventbus_outbox\"")) {
                                statements.add("delete");
                                if (broken.get()) {
                                    throw new SQLException("connection reset", "08006");
                                }
                            } else if (method.equals("prepareStatement") && text.contains("bytes_before")) {
                                statements.add("fetch");
                                shardsOfFetches.add(text.split("AS turn", -1).length - 1);
                                if (broken.get()) {
                                    throw new SQLException("connection reset", "08006");
                                }
                            }
                            return statement;
                        })
                        : result);
    }

    private interface After {
        @Nullable
        Object apply(String method, Object argument, @Nullable Object result) throws SQLException;
    }

    private static Object proxy(Class<?> type, Object real, After after) {
        return Proxy.newProxyInstance(type.getClassLoader(), new Class<?>[] {type}, (proxy, method, arguments) -> {
            try {
                Object result = method.invoke(real, arguments);
                return after.apply(method.getName(), arguments == null ? "" : arguments[0], result);
            } catch (InvocationTargetException e) {
                throw e.getCause();
            }
        });
    }

    @Test
    void a_block_is_fenced_by_the_lease_of_its_shard() throws SQLException {
        warmUp();
        database.publish(event("poison", "bob"), event("evt-2", "bob"));
        run();
        kafka.producer().fail("poison", new RecordTooLargeException("too large"));
        pass.look();
        kafka.producer().fail("poison", new RecordTooLargeException("too large"));
        database.update("UPDATE \"eventbus_relay_lease\" SET owner = 'successor', epoch = epoch + 1");
        run();
        assertThat(database.strings("SELECT event_id FROM \"eventbus_blocked_key\""))
                .isEmpty();
        assertThat(pass.health().ownedShards()).isEmpty();
    }

    @Test
    void a_block_whose_event_is_gone_is_lifted_when_a_shard_is_taken_over() {
        database.publish(event("evt-1", "bob"));
        database.update(
                "INSERT INTO \"eventbus_blocked_key\" (aggregatetype, aggregateid, shard, seq, event_id, reason, since) VALUES ('asset.events', 'bob', %d, 4711, 'gone', 'REFUSED', CURRENT_TIMESTAMP)"
                        .formatted(Shards.of("bob")));
        run();
        assertThat(kafka.ids()).containsExactly("evt-1");
        assertThat(database.strings("SELECT event_id FROM \"eventbus_blocked_key\""))
                .isEmpty();
    }

    @Test
    void a_relay_that_lost_its_shards_sends_nothing_more() {
        warmUp();
        database.publish(event("evt-1", "bob"), event("evt-2", "alice"));
        pass.look();
        // another relay has taken over, and has sent and deleted evt-2; its missing row makes this one look at its
        // leases
        database.update("UPDATE \"eventbus_relay_lease\" SET owner = 'successor', epoch = epoch + 1");
        database.update("DELETE FROM \"eventbus_outbox\" WHERE id = 'evt-2'");
        kafka.producer().ackAll();
        database.publish(event("evt-3", "bob"));
        run();
        assertThat(kafka.ids()).doesNotContain("evt-3");
        assertThat(pass.health().ownedShards()).isEmpty();
        assertThat(kafka.producer().closedWith).isEqualTo(Duration.ZERO);
    }
}
