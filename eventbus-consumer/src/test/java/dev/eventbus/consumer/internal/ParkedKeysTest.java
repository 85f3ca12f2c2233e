package dev.eventbus.consumer.internal;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.consumer.inbox.JdbcInbox;
import dev.eventbus.consumer.inbox.Mark;
import dev.eventbus.consumer.inbox.MarkResult;
import dev.eventbus.consumer.internal.DrainLoop.Turn;
import dev.eventbus.consumer.parking.ParkedEvent;
import dev.eventbus.consumer.parking.ParkedKey;
import dev.eventbus.consumer.parking.ParkedKey.State;
import dev.eventbus.internal.Growth;
import dev.eventbus.it.inbox.HookedDataSource;
import java.sql.SQLException;
import java.time.Instant;
import java.util.List;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import java.util.stream.IntStream;
import org.apache.kafka.clients.consumer.Consumer;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.MockConsumer;
import org.apache.kafka.common.Node;
import org.apache.kafka.common.PartitionInfo;
import org.apache.kafka.common.TopicPartition;
import org.h2.jdbcx.JdbcDataSource;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** What a runner believes of keys that others park and drain. */
class ParkedKeysTest {

    private static final String GROUP = "calculator";
    private static final String TOPIC = "asset.events";
    private static final byte[] BOB = "bob".getBytes(UTF_8);
    private static final Instant NOON = Instant.parse("2030-01-01T12:00:00Z");

    private final JdbcDataSource database = new JdbcDataSource();
    private final JdbcInbox inbox = JdbcInbox.h2(database);
    private final AtomicLong nanos = new AtomicLong();
    private final ParkedKeys ours = new ParkedKeys(inbox.parking(), GROUP, nanos::get);
    private final ParkedKeys another = new ParkedKeys(inbox.parking(), GROUP, nanos::get);

    @BeforeEach
    void tables() throws SQLException {
        database.setURL("jdbc:h2:mem:" + UUID.randomUUID() + ";DB_CLOSE_DELAY=-1");
        inbox.createTables();
    }

    private void anotherParks(State state) throws SQLException {
        anotherParks("bob/7", state);
    }

    private void anotherParks(String id, State state) throws SQLException {
        ConsumerRecord<byte[], byte[]> record = new ConsumerRecord<>(TOPIC, 1, 7, BOB, new byte[] {1});
        ParkedEvent event = ParkedEvent.following(id, record).failed(4, "ATTEMPTS_EXHAUSTED", null);
        assertThat(another.park(Mark.of(GROUP, id, record), event, state, null)).isEqualTo(new MarkResult.Decided());
    }

    /** As {@link Growth} has it: the key's next event may come to any runner once its topic's growth is adopted. */
    @Test
    void P4_a_key_that_another_runner_has_parked_is_known_before_its_next_event_can_come_by_an_adopted_growth()
            throws SQLException {
        ours.know();
        anotherParks(State.PARKED);
        ours.know();
        assertThat(ours.contains(TOPIC, BOB)).as("believed for a while").isFalse();

        nanos.addAndGet(Growth.RUNNERS_KNOW.toNanos());
        ours.know();
        assertThat(ours.contains(TOPIC, BOB)).isTrue();
        assertThat(Growth.RUNNERS_KNOW).isGreaterThan(Growth.PARKED_KEYS_BELIEVED);
        assertThat(Growth.PARKED_KEYS_BELIEVED).isGreaterThan(ParkedKeys.BELIEVED);
    }

    @Test
    void a_key_that_is_due_while_all_are_read_anew_is_known_afterwards_too() throws SQLException {
        AtomicBoolean armed = new AtomicBoolean();
        ParkedKeys[] readers = new ParkedKeys[1];
        JdbcInbox hooked = JdbcInbox.h2(HookedDataSource.over(database, (real, method, arguments, rest) -> {
            Object result = rest.call();
            if (method.equals("close") && armed.compareAndSet(true, false)) {
                anotherParks("bob/8", State.REDRIVE); // what is being read has been read
                readers[0].due(NOON);
            }
            return result;
        }));
        ParkedKeys keys = new ParkedKeys(hooked.parking(), GROUP, nanos::get);
        readers[0] = keys;
        anotherParks(State.REDRIVE);
        keys.know();
        ParkedKey bob = inbox.parking().load(GROUP).get(0);
        assertThat(inbox.parking().discard(GROUP, bob, any -> true)).isEqualTo(1);
        keys.partitionsCame();
        armed.set(true);
        keys.know();
        assertThat(armed).isFalse();
        assertThat(keys.contains(TOPIC, BOB)).isTrue();
    }

    @Test
    void a_repeat_of_a_parked_event_is_not_counted_as_one_more() throws SQLException {
        anotherParks(State.PARKED);
        ours.know();
        for (int i = 0; i < 3; i++) {
            ours.met(TOPIC, BOB);
        }
        assertThat(ours.events()).isEqualTo(1);
    }

    /** A partition that is this runner's, or not any more. */
    private record Owned(TopicPartition id) implements FlowControl.Read {

        @Override
        public int span() {
            return 0;
        }

        @Override
        public long committable() {
            return 0;
        }

        @Override
        public int inFlight() {
            return 0;
        }

        @Override
        public long bytes() {
            return 0;
        }

        @Override
        public boolean isClosed() {
            return false;
        }

        @Override
        public @Nullable String stoppedBecause() {
            return null;
        }
    }

    @Test
    void what_was_wrong_with_a_parked_key_is_no_problem_of_a_runner_that_has_lost_it() throws SQLException {
        anotherParks(State.REDRIVE);
        DrainLoop loop =
                new DrainLoop(GROUP, ours, Set.of(TOPIC), new DrainLoop.Lent(() -> NOON, null, e -> {}), key -> {
                    throw new SQLException("connection lost", "08006");
                });
        try (Consumer<byte[], byte[]> client = new MockConsumer<>("earliest")) {
            loop.owns(List.of(new Owned(new TopicPartition(TOPIC, 1))), client);
            loop.round();
            assertThat(loop.problem()).contains("parked events cannot be read");

            loop.owns(List.of(new Owned(new TopicPartition(TOPIC, 0))), client);
            loop.round();
            assertThat(loop.problem()).isNull();
        }
        loop.stop();
    }

    private static List<PartitionInfo> partitions(int count) {
        Node[] nobody = {};
        return IntStream.range(0, count)
                .mapToObj(number -> new PartitionInfo(TOPIC, number, null, nobody, nobody))
                .toList();
    }

    @Test
    void a_key_is_drained_by_the_owner_of_its_first_event_or_of_partition_0_if_that_is_gone() throws SQLException {
        anotherParks(State.REDRIVE);
        AtomicLong drained = new AtomicLong();
        DrainLoop loop =
                new DrainLoop(GROUP, ours, Set.of(TOPIC), new DrainLoop.Lent(() -> NOON, null, e -> {}), key -> {
                    drained.incrementAndGet();
                    return new Turn(1, false);
                });
        try (MockConsumer<byte[], byte[]> client = new MockConsumer<>("earliest")) {
            client.updatePartitions(TOPIC, partitions(2));
            loop.owns(List.of(new Owned(new TopicPartition(TOPIC, 0))), client);
            assertThat(loop.round()).isZero();

            client.updatePartitions(TOPIC, partitions(1)); // the topic was made again
            loop.owns(List.of(), client);
            loop.owns(List.of(new Owned(new TopicPartition(TOPIC, 0))), client);
            assertThat(loop.round()).isEqualTo(1);
            assertThat(drained).hasValue(1);
        }
        loop.stop();
    }

    @Test
    void what_another_runners_keys_wait_for_is_no_problem_of_this_one() throws SQLException {
        anotherParks(State.WAITING);
        ours.know();
        ParkedKey bob = inbox.parking().load(GROUP).get(0);
        DrainProblems problems = new DrainProblems();
        problems.put(bob, "the mail server is away");
        assertThat(problems.ofParked(ours, key -> true)).isEqualTo("the mail server is away");
        assertThat(problems.ofParked(ours, key -> false)).isNull();
        assertThat(problems.ofParked(ours, key -> true)).as("its new owner's").isNull();
    }
}
