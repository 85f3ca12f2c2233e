package dev.eventbus.outbox;

import static dev.eventbus.outbox.TestEvents.event;
import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.outbox.sql.Shards;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.IntStream;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.common.errors.RecordTooLargeException;
import org.apache.kafka.common.errors.TopicAuthorizationException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;
import org.apache.kafka.common.internals.KafkaFutureImpl;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** What two relays do with the events of a shard that goes from one to the other. */
class RelayHandOverTest {

    private static final Duration LEASE = Duration.ofSeconds(2);
    private static final String STAYS = keyIn(0);
    private static final String GOES = keyIn(Shards.COUNT - 1);

    private final TestDatabase database = new TestDatabase();
    private final FakeKafka kafka = new FakeKafka();
    private final AtomicInteger deletedByOthers = new AtomicInteger();
    private final List<String> told = new ArrayList<>();
    private final RelayPass one = pass("one");
    private final RelayPass two = pass("two");

    private static String keyIn(int shard) {
        return IntStream.range(0, 10_000)
                .mapToObj(i -> "user-" + i)
                .filter(key -> Shards.of(key) == shard)
                .findFirst()
                .orElseThrow();
    }

    private RelayPass pass(String owner) {
        RelayListener listener = new RelayListener() {
            @Override
            public void deletedByOthers(int rows) {
                deletedByOthers.addAndGet(rows);
            }

            @Override
            public void topicWaits(String topic, String problem, Instant retryAt) {
                told.add(owner + " waits " + topic);
            }

            @Override
            public void shardsChanged(Set<Integer> owned) {
                told.add(owner + " owns " + owned.size());
            }
        };
        return new RelayPass(
                database.outbox,
                database.dataSource,
                kafka,
                new OutboxRelay.Settings(
                        owner, LEASE, SendMode.PIPELINED, OutboxRelay.DEFAULT_MAX_RELAY_STOP, listener),
                OutboxRelay.Signals.NONE);
    }

    @AfterEach
    void close() {
        one.end(Duration.ofMillis(20));
        two.end(Duration.ofMillis(20));
    }

    /** The first relay owns everything, and has sent three events of a key that Kafka does not acknowledge. */
    private FakeKafka.FakeProducer threeInFlight() {
        database.publish(event("warm", GOES), event("warm-too", STAYS));
        Eventually.isTrue(() -> {
            one.look();
            return kafka.ids().size() == 2;
        });
        kafka.answer = FakeKafka.Answer.HOLD;
        database.publish(event("evt-1", GOES), event("evt-2", GOES), event("evt-3", GOES));
        one.look();
        assertThat(kafka.producer().heldIds()).containsExactly("evt-1", "evt-2", "evt-3");
        return kafka.producer();
    }

    private void rounds() {
        one.look();
        two.look();
    }

    @Test
    void whoever_ends_waits_for_no_ack_longer_than_its_leases_last() {
        kafka.answer = FakeKafka.Answer.HOLD;
        database.publish(event("evt-1", "bob"));
        Eventually.isTrue(() -> {
            one.look();
            return !kafka.producers.isEmpty() && !kafka.producer().held.isEmpty();
        });
        long begun = System.nanoTime();
        one.end(Duration.ofSeconds(40));
        assertThat(Duration.ofNanos(System.nanoTime() - begun))
                .as("half of the limit is for acks")
                .isLessThan(Duration.ofSeconds(10));
        assertThat(kafka.producer().closedWith).isEqualTo(Duration.ZERO);
        assertThat(database.ids()).containsExactly("evt-1");
    }

    @Test
    void a_shard_goes_over_once_kafka_has_what_was_sent_of_it_and_other_shards_go_on() {
        FakeKafka.FakeProducer first = threeInFlight();
        two.look();
        Eventually.isTrue(() -> {
            rounds();
            return two.health().ownedShards().size() == 7;
        });
        assertThat(one.health().ownedShards()).hasSize(9).contains(Shards.of(GOES), Shards.of(STAYS));

        database.publish(event("evt-4", GOES), event("goes-on", STAYS));
        rounds();
        rounds();
        assertThat(first.heldIds()).containsExactly("evt-1", "evt-2", "evt-3", "goes-on");

        first.ackAll();
        kafka.answer = FakeKafka.Answer.ACK;
        Eventually.isTrue(() -> {
            rounds();
            return database.ids().isEmpty();
        });
        assertThat(kafka.idsOf(GOES)).containsExactly("warm", "evt-1", "evt-2", "evt-3", "evt-4");
        assertThat(kafka.idsOf(STAYS)).containsExactly("warm-too", "goes-on");
        assertThat(one.health().ownedShards()).hasSize(8);
        assertThat(two.health().ownedShards()).hasSize(8).contains(Shards.of(GOES));
        assertThat(first.closedWith).as("nothing was given up").isNull();
        assertThat(deletedByOthers).hasValue(0);
    }

    @Test
    void what_kafka_does_not_acknowledge_within_five_seconds_is_given_up_and_sent_by_the_next_owner() {
        FakeKafka.FakeProducer first = threeInFlight();
        kafka.answer = FakeKafka.Answer.ACK;
        long begun = System.nanoTime();
        Eventually.isTrue(() -> {
            rounds();
            return first.closedWith != null;
        });
        assertThat(Duration.ofNanos(System.nanoTime() - begun)).isGreaterThan(Duration.ofSeconds(5));
        assertThat(first.closedWith).isEqualTo(Duration.ZERO);
        Eventually.isTrue(() -> {
            rounds();
            return database.ids().isEmpty();
        });
        assertThat(kafka.idsOf(GOES)).containsExactly("warm", "evt-1", "evt-2", "evt-3");
        assertThat(two.health().ownedShards()).contains(Shards.of(GOES));
    }

    @Test
    void what_waits_behind_a_cold_partition_is_left_to_the_next_owner() {
        kafka.answer = FakeKafka.Answer.HOLD;
        database.publish(event("evt-1", GOES), event("evt-2", GOES));
        one.look();
        FakeKafka.FakeProducer first = kafka.producer();
        assertThat(first.heldIds()).containsExactly("evt-1");
        two.look();
        Eventually.isTrue(() -> {
            rounds();
            return two.health().ownedShards().size() == 7;
        });
        first.ackAll();
        Eventually.isTrue(() -> {
            rounds();
            return !kafka.producer().held.isEmpty();
        });
        assertThat(kafka.producer()).as("the next owner's").isNotSameAs(first);
        assertThat(kafka.producer().heldIds()).containsExactly("evt-2");
        assertThat(kafka.idsOf(GOES)).containsExactly("evt-1");
        assertThat(two.health().ownedShards()).contains(Shards.of(GOES));
    }

    @Test
    void a_relay_that_wakes_after_its_leases_ran_out_repeats_and_finds_its_rows_gone() {
        FakeKafka.FakeProducer first = threeInFlight();
        // as after a long pause of the first: its leases have run out on the database's clock, the other has sent
        // everything
        database.update("UPDATE \"eventbus_relay_lease\" SET lease_until = DATEADD('SECOND', -1, CURRENT_TIMESTAMP)");
        database.update("UPDATE \"eventbus_relay_member\" SET lease_until = DATEADD('SECOND', -1, CURRENT_TIMESTAMP)");
        kafka.answer = FakeKafka.Answer.ACK;
        for (int i = 0; i < 3; i++) {
            two.look();
        }
        assertThat(two.health().ownedShards()).hasSize(Shards.COUNT);
        assertThat(database.ids()).isEmpty();

        first.ackAll();
        one.look();
        assertThat(deletedByOthers).hasValue(3);
        assertThat(one.health().ownedShards())
                .as("the short count made it look at its leases")
                .isEmpty();
        assertThat(kafka.idsOf(GOES)).containsExactly("warm", "evt-1", "evt-2", "evt-3", "evt-1", "evt-2", "evt-3");
        assertThat(first.closedWith).isEqualTo(Duration.ZERO);
    }

    private static void leasesRunOut() {
        long begun = System.nanoTime();
        Eventually.isTrue(() -> System.nanoTime() - begun > LEASE.toNanos());
    }

    @Test
    void an_ack_that_is_heard_of_after_the_leases_ran_out_deletes_nothing() {
        FakeKafka.FakeProducer first = threeInFlight();
        leasesRunOut();
        first.ackAll(); // perhaps behind what an adoption waited for: the next owner must find the rows
        one.look();
        assertThat(database.ids()).containsExactly("evt-1", "evt-2", "evt-3");
        assertThat(first.closedWith).isEqualTo(Duration.ZERO);
        kafka.answer = FakeKafka.Answer.ACK;
        kafka.producer().ackAll();
        Eventually.isTrue(() -> {
            one.look();
            return database.ids().isEmpty();
        });
        assertThat(kafka.idsOf(GOES)).containsExactly("warm", "evt-1", "evt-2", "evt-3", "evt-1", "evt-2", "evt-3");
    }

    @Test
    void what_a_relay_hears_of_topics_after_its_leases_ran_out_is_not_told_and_that_they_ran_out_is() {
        FakeKafka.FakeProducer first = threeInFlight();
        leasesRunOut();
        first.fail("evt-1", new TopicAuthorizationException("asset.events"));
        one.look();
        assertThat(told).startsWith("one owns 16", "one owns 0").doesNotContain("one waits asset.events");
    }

    @Test
    void what_is_said_of_a_topic_after_the_leases_ran_out_counts_for_nothing_and_the_topic_is_asked_for_anew() {
        List<KafkaFutureImpl<TopicDescription>> asked = new ArrayList<>();
        kafka.admin = () -> FakeAdmin.of(() -> {
            asked.add(new KafkaFutureImpl<>());
            return asked.get(asked.size() - 1);
        });
        database.publish(event("evt-1", GOES));
        one.look();
        assertThat(asked).hasSize(1);
        leasesRunOut();
        asked.get(0).completeExceptionally(new UnknownTopicOrPartitionException("as it was then"));
        one.look();
        assertThat(asked).hasSize(2);
        assertThat(told).doesNotContain("one waits asset.events");
        asked.get(1).complete(null);
        Eventually.isTrue(() -> {
            kafka.advance(Duration.ofSeconds(1));
            one.look();
            return database.ids().isEmpty();
        });
    }

    /** What refused it may have been mended meanwhile, perhaps by whoever had the shard. */
    @Test
    void a_verdict_from_before_the_leases_ran_out_blocks_no_key() {
        threeInFlight().ackAll();
        kafka.answer = FakeKafka.Answer.ACK;
        kafka.refusal = id -> id.equals("evt-4") ? new RecordTooLargeException("on purpose") : null;
        database.publish(event("evt-4", GOES));
        one.look();
        one.look(); // alone for the second time
        assertThat(blockedKeys()).isEmpty();
        leasesRunOut();
        kafka.refusal = id -> null;
        Eventually.isTrue(() -> {
            one.look();
            return kafka.ids().contains("evt-4") || !blockedKeys().isEmpty();
        });
        assertThat(blockedKeys()).isEmpty();
        assertThat(kafka.idsOf(GOES)).endsWith("evt-3", "evt-4");
    }

    private List<String> blockedKeys() {
        return database.strings("SELECT aggregateid FROM \"eventbus_blocked_key\"");
    }

    @Test
    void nor_does_it_at_the_end_of_a_relay() {
        FakeKafka.FakeProducer first = threeInFlight();
        leasesRunOut();
        first.ackAll();
        one.end(Duration.ofMillis(20));
        assertThat(database.ids()).containsExactly("evt-1", "evt-2", "evt-3");
    }

    @Test
    void two_passes_of_ones_own_even_out_without_waiting_for_a_clock() {
        try (OutboxRelay a = relay();
                OutboxRelay b = relay()) {
            a.runOnce();
            assertThat(a.health().ownedShards()).hasSize(Shards.COUNT);
            b.runOnce();
            a.runOnce();
            b.runOnce();
            assertThat(List.of(
                            a.health().ownedShards().size(),
                            b.health().ownedShards().size()))
                    .containsExactly(8, 8);
            a.close();
            b.runOnce();
            assertThat(b.health().ownedShards()).hasSize(Shards.COUNT);
        }
        assertThat(Set.copyOf(database.strings("SELECT owner FROM \"eventbus_relay_member\"")))
                .isEmpty();
    }

    private OutboxRelay relay() {
        return OutboxRelay.builder(database.outbox, database.dataSource, kafka).build();
    }
}
