package dev.eventbus.outbox;

import static dev.eventbus.outbox.TestEvents.HOUSING_UPDATED;
import static dev.eventbus.outbox.TestEvents.event;
import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.Event;
import dev.eventbus.EventRecords;
import dev.eventbus.outbox.internal.Room;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.IntStream;
import javax.sql.DataSource;
import org.apache.kafka.common.errors.InvalidTimestampException;
import org.apache.kafka.common.errors.RecordTooLargeException;
import org.apache.kafka.common.errors.TopicAuthorizationException;
import org.apache.kafka.common.errors.UnknownServerException;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.parallel.Execution;
import org.junit.jupiter.api.parallel.ExecutionMode;

/** One topic in trouble, and what the others notice of it. */
@Execution(ExecutionMode.CONCURRENT)
class RelayTopicsTest {

    private final TestDatabase database = new TestDatabase();
    private final FakeKafka kafka = new FakeKafka();
    private final RelayPass pass = pass(database.dataSource, "one");

    private RelayPass pass(DataSource dataSource, String owner) {
        return pass(dataSource, owner, new RelayListener() {});
    }

    private RelayPass pass(DataSource dataSource, String owner, RelayListener listener) {
        return new RelayPass(
                database.outbox,
                dataSource,
                kafka,
                new OutboxRelay.Settings(
                        owner,
                        Duration.ofSeconds(10),
                        SendMode.PIPELINED,
                        OutboxRelay.DEFAULT_MAX_RELAY_STOP,
                        listener),
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
    void a_topic_has_at_most_three_quarters_of_the_rows_in_flight() {
        kafka.answer = FakeKafka.Answer.HOLD;
        database.publish(IntStream.range(0, 4_000)
                .mapToObj(i -> event("evt-" + i, "user-" + i % 100))
                .toArray(Event<?>[]::new));
        run();
        assertThat(pass.health().inFlight()).isEqualTo(Room.MAX_ROWS_PER_TOPIC);
        for (int i = 0; i < 20; i++) {
            kafka.producer().ackAll();
            run();
        }
        assertThat(kafka.ids()).hasSize(4_000).doesNotHaveDuplicates();
        assertThat(database.ids()).isEmpty();
    }

    /** Made again, it does not know the producer, and would take a second record without the first. */
    @Test
    void all_partitions_of_a_topic_that_was_away_are_cold() {
        database.publish(event("warm", "bob"), event("warm-too", "carol"));
        run();
        kafka.answer = FakeKafka.Answer.HOLD;
        database.publish(event("late", "bob"));
        run();
        kafka.partitions.remove("asset.events");
        database.publish(event("trial", "carol"));
        Eventually.isTrue(() -> {
            pass.look();
            return !pass.health().waitingTopics().isEmpty();
        });
        kafka.producer().ackAll(); // by the one that was deleted
        run();
        kafka.answer = FakeKafka.Answer.ACK;
        kafka.partitions.put("asset.events", 3);
        Eventually.isTrue(() -> {
            pass.look();
            kafka.advance(Duration.ofMillis(100));
            return kafka.ids().contains("trial");
        });
        assertThat(EventRecords.partition("carol", 3)).isNotEqualTo(EventRecords.partition("bob", 3));
        kafka.answer = FakeKafka.Answer.HOLD;
        database.publish(event("first", "bob"), event("second", "bob"));
        run();
        assertThat(kafka.producer().heldIds()).containsExactly("first");
        kafka.producer().ackNext();
        run();
        assertThat(kafka.producer().heldIds()).containsExactly("second");
    }

    @Test
    void one_topic_that_hangs_leaves_room_for_others() {
        kafka.answer = FakeKafka.Answer.HOLD;
        database.publish(IntStream.range(0, 2_600)
                .mapToObj(i -> event("hangs-" + i, "user-" + i % 100))
                .toArray(Event<?>[]::new));
        run();
        database.publish(event(HOUSING_UPDATED, "flows", "user-2"));
        Eventually.isTrue(() -> {
            pass.look();
            return kafka.producer().heldIds().contains("flows");
        });
    }

    @Test
    void the_relays_own_rounds_read_on_beside_a_topic_that_hangs() {
        kafka.answer = FakeKafka.Answer.HOLD;
        database.publish(IntStream.range(0, 4_000)
                .mapToObj(i -> event("hangs-" + i, "user-" + i % 100))
                .toArray(Event<?>[]::new));
        Eventually.isTrue(() -> {
            pass.run();
            return pass.health().inFlight() == Room.MAX_ROWS_PER_TOPIC;
        });
        database.publish(event(HOUSING_UPDATED, "flows", "user-2"));
        Eventually.isTrue(() -> {
            pass.run();
            return kafka.producer().heldIds().contains("flows");
        });
        assertThat(kafka.producers).as("before anything was given up").hasSize(1);
    }

    @Test
    void one_topic_that_hangs_with_large_events_leaves_room_for_others() {
        database.publish(IntStream.range(0, 100)
                .mapToObj(i -> event("warm-" + i, "user-" + i))
                .toArray(Event<?>[]::new));
        run();
        assertThat(database.ids()).isEmpty();
        kafka.answer = FakeKafka.Answer.HOLD;
        database.publish(IntStream.range(0, 300)
                .mapToObj(i -> event("hangs-" + i, "user-" + i % 100))
                .toArray(Event<?>[]::new));
        database.update("UPDATE \"eventbus_outbox\" SET payload = CAST(REPEAT('ab', 20000) AS varbinary)");
        run();
        database.publish(event(HOUSING_UPDATED, "flows", "user-2"));
        Eventually.isTrue(() -> {
            pass.look();
            return kafka.producer().heldIds().contains("flows");
        });
        assertThat(kafka.producers).as("before anything was given up").hasSize(1);
    }

    @Test
    void a_topic_that_falls_silent_is_given_up_once_and_tried_with_one_event() {
        warmUp();
        database.publish(event("evt-1", "bob"), event("evt-2", "bob"));
        run();
        FakeKafka.FakeProducer first = kafka.producer();
        Eventually.isTrue(() -> {
            pass.look();
            return first.closedWith != null;
        });
        assertThat(pass.health().waitingTopics()).containsOnlyKeys("asset.events");
        kafka.advance(Duration.ofSeconds(40));
        run();
        assertThat(kafka.producers).hasSize(2);
        assertThat(kafka.producer().heldIds()).containsExactly("evt-1");
        assertThat(pass.health().inFlight()).isEqualTo(1);
        kafka.producer().ackAll();
        kafka.answer = FakeKafka.Answer.ACK;
        run();
        assertThat(kafka.idsOf("bob")).containsExactly("warm", "evt-1", "evt-2");
        assertThat(database.ids()).isEmpty();
    }

    @Test
    void the_clock_of_the_relays_host_is_no_fault_of_any_event() {
        kafka.refusal = id -> new InvalidTimestampException("Timestamp of message is out of range");
        database.publish(event("evt-1", "bob"), event("evt-2", "alice"));
        for (int i = 0; i < 10; i++) {
            run();
            kafka.advance(Duration.ofMinutes(1));
        }
        assertThat(pass.health().blockedKeys()).isZero();
        kafka.refusal = id -> null;
        run();
        assertThat(kafka.ids()).containsExactlyInAnyOrder("evt-1", "evt-2");
    }

    @Test
    void an_unclear_failure_blocks_a_key_only_after_a_minute() {
        AtomicInteger tries = new AtomicInteger();
        kafka.refusal = id -> {
            tries.incrementAndGet();
            return new UnknownServerException("?");
        };
        database.publish(event("evt-1", "bob"));
        for (int i = 0; i < 59; i++) {
            pass.look();
            kafka.advance(Duration.ofSeconds(1));
        }
        assertThat(tries.get()).isGreaterThan(5);
        assertThat(pass.health().blockedKeys()).isZero();
        kafka.advance(Duration.ofSeconds(31));
        run();
        assertThat(database.strings("SELECT reason FROM \"eventbus_blocked_key\""))
                .containsExactly("FAILED_REPEATEDLY");
    }

    @Test
    void a_topic_with_one_bad_partition_does_not_come_and_go_all_the_time() {
        List<String> told = new ArrayList<>();
        AtomicInteger failures = new AtomicInteger();
        RelayPass heard = pass(database.dataSource, "heard", new RelayListener() {
            @Override
            public void topicWaits(String topic, String problem, Instant retryAt) {
                told.add("waits");
            }

            @Override
            public void topicResumed(String topic) {
                told.add("resumed");
            }

            @Override
            public void sendFailed(String eventId, String topic, Exception error) {
                failures.incrementAndGet();
            }
        });
        kafka.refusal = id -> id.startsWith("bad") ? new TopicAuthorizationException("asset.events") : null;
        database.publish(event("bad", "bob"));
        for (int i = 0; i < 500; i++) {
            database.publish(event("good-" + i, "alice"));
            heard.look();
            heard.look();
            kafka.advance(Duration.ofMillis(100));
        }
        assertThat(failures.get()).isLessThan(40);
        assertThat(told).hasSizeBetween(1, 3);
        heard.end(Duration.ofMillis(20));
    }

    @Test
    void a_new_producer_tries_a_topic_once_it_knows_it_however_many_there_were_before() {
        warmUp();
        for (int stop = 0; stop < 8; stop++) {
            database.publish(event("evt-" + stop, "bob"));
            run();
            kafka.coldAnswers = 2;
            kafka.answer = FakeKafka.Answer.ACK;
            kafka.producer().fail("evt-" + stop, new RecordTooLargeException("once"));
            run();
            assertThat(kafka.ids()).as("after %d stops", stop + 1).contains("evt-" + stop);
            kafka.answer = FakeKafka.Answer.HOLD;
        }
    }

    @Test
    void a_topic_that_waits_and_has_no_event_any_more_is_well() {
        kafka.refusal = id -> new TopicAuthorizationException("asset.events");
        database.publish(event("evt-1", "bob"));
        run();
        assertThat(pass.health().waitingTopics()).containsOnlyKeys("asset.events");
        database.update("DELETE FROM \"eventbus_outbox\"");
        kafka.advance(Duration.ofMinutes(1));
        run();
        assertThat(pass.health().waitingTopics()).isEmpty();
        assertThat(pass.health().up()).isTrue();
    }

    @Test
    void a_relay_without_shards_has_no_topics_that_wait() {
        kafka.refusal = id -> new TopicAuthorizationException("asset.events");
        database.publish(event("evt-1", "bob"), event(HOUSING_UPDATED, "other", "alice"));
        kafka.answer = FakeKafka.Answer.HOLD;
        kafka.refusal = id -> id.equals("evt-1") ? new TopicAuthorizationException("asset.events") : null;
        run();
        assertThat(pass.health().waitingTopics()).containsOnlyKeys("asset.events");
        database.update("UPDATE \"eventbus_relay_lease\" SET owner = 'successor', epoch = epoch + 1");
        database.update("DELETE FROM \"eventbus_outbox\" WHERE id = 'other'");
        kafka.producer().ackAll();
        run();
        assertThat(pass.health().ownedShards()).isEmpty();
        assertThat(pass.health().waitingTopics()).isEmpty();
    }

    @Test
    void a_topic_that_came_back_for_a_moment_is_told_again_though_nothing_of_it_fails_any_more() {
        List<String> told = new ArrayList<>();
        RelayPass telling = pass(database.dataSource, "two", new RelayListener() {
            @Override
            public void topicWaits(String topic, String problem, Instant retryAt) {
                told.add("waits");
            }

            @Override
            public void topicResumed(String topic) {
                told.add("resumed");
            }
        });
        TopicAuthorizationException refusal = new TopicAuthorizationException("asset.events");
        kafka.refusal = id -> refusal;
        database.publish(event("evt-1", "bob"));
        looks(telling);
        kafka.refusal = id -> null;
        kafka.advance(Duration.ofSeconds(1));
        looks(telling);
        kafka.refusal = id -> refusal;
        database.publish(event("evt-2", "bob"));
        looks(telling);
        kafka.refusal = id -> null;
        kafka.answer = FakeKafka.Answer.HOLD;
        assertThat(told).containsExactly("waits", "resumed");
        kafka.advance(Duration.ofMinutes(2));
        looks(telling);
        assertThat(told).containsExactly("waits", "resumed", "waits");
        telling.end(Duration.ofMillis(20));
    }

    private static void looks(RelayPass pass) {
        for (int i = 0; i < 6; i++) {
            pass.look();
        }
    }
}
