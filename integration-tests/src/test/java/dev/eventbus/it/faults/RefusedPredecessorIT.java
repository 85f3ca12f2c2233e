package dev.eventbus.it.faults;

import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.EventRecords;
import dev.eventbus.embedded.PostgresServer;
import dev.eventbus.embedded.ServersExtension;
import dev.eventbus.faults.wire.KafkaWire.Fate;
import dev.eventbus.it.Eventually;
import java.sql.SQLException;
import java.time.Duration;
import java.util.List;
import java.util.stream.IntStream;
import org.apache.kafka.common.protocol.Errors;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * An event that fails on its way is never overtaken by the next of its key, although that one is in the client's hands already.
 * Each trial has a topic of its own, which the producer of the moment has written to: to the same partition, which is warm, or
 * to the other only, so that it is cold. {@code -Deventbus.it.trials=200} makes more trials than the default of 20.
 */
@ExtendWith({ServersExtension.class, FaultyKafkaExtension.class})
class RefusedPredecessorIT {

    private static final int TRIALS = Integer.getInteger("eventbus.it.trials", 20);
    private static final int PARTITIONS = 2;
    private static final int LIMIT = 3_000;
    private static final int BATCH = 64 * 1024;
    private static final Duration ROUND_TRIP = Duration.ofMillis(8);

    /** How the predecessor fails. */
    enum Refusal {
        LOWERED_TOPIC_LIMIT {
            @Override
            void prepare(FaultyBus bus, String... topics) {
                bus.kafka.limit(bus.scene, LIMIT, topics);
            }

            @Override
            void trial(FaultyBus bus, int trial) throws SQLException {
                int successor = trial % 2 == 0 ? 100 : LIMIT / 2;
                int predecessor = trial % 2 == 0 ? LIMIT : BATCH; // in one batch with its successor, or in its own
                bus.streams.publish(topic(trial), key(trial), predecessor, successor, successor, successor);
                Eventually.holds(() -> bus.heard.blocks.size() == trial + 1, () -> bus.heard.failures);
            }

            @Override
            void mend(FaultyBus bus, String... topics) throws SQLException {
                assertThat(bus.heard.blocks).extracting(Heard.Block::reason).containsOnly("REFUSED");
                bus.kafka.limit(bus.scene, 1_000_000, topics);
                bus.unblock();
            }
        },

        REVOKED_ACL {
            @Override
            void trial(FaultyBus bus, int trial) throws SQLException {
                Fate refused = Fate.between(
                        () -> bus.kafka.revoke(bus.scene, topic(trial)),
                        () -> bus.kafka.grant(bus.scene, topic(trial)));
                failNext(refused, bus, trial);
            }
        },

        FAILING_BROKER {
            @Override
            void trial(FaultyBus bus, int trial) throws SQLException {
                failNext(Fate.refused(Errors.UNKNOWN_SERVER_ERROR), bus, trial);
            }
        };

        /** Events of which no two fit into one batch; the first meets its fate. */
        static void failNext(Fate fate, FaultyBus bus, int trial) throws SQLException {
            bus.kafka.failOnce(bus.streams.nextId(key(trial)), fate);
            bus.streams.publish(topic(trial), key(trial), BATCH - 2_000, BATCH - 2_000, BATCH - 2_000, 100);
            bus.awaitSent(topic(trial));
        }

        void prepare(FaultyBus bus, String... topics) {}

        abstract void trial(FaultyBus bus, int trial) throws SQLException;

        void mend(FaultyBus bus, String... topics) throws SQLException {
            assertThat(bus.heard.blocks).isEmpty();
        }
    }

    private static String topic(int trial) {
        return "trial-" + trial;
    }

    private static String key(int trial) {
        return "user-" + trial;
    }

    @ParameterizedTest
    @CsvSource({
        "LOWERED_TOPIC_LIMIT, true",
        "LOWERED_TOPIC_LIMIT, false",
        "REVOKED_ACL, true",
        "REVOKED_ACL, false",
        "FAILING_BROKER, true",
        "FAILING_BROKER, false"
    })
    void no_successor_reaches_the_topic_before_a_refused_predecessor(
            Refusal refusal, boolean warm, FaultyKafka kafka, PostgresServer postgres) throws Exception {
        String[] topics =
                IntStream.range(0, TRIALS).mapToObj(RefusedPredecessorIT::topic).toArray(String[]::new);
        String[] specs = IntStream.range(0, TRIALS)
                .mapToObj(trial -> topic(trial) + ":" + PARTITIONS)
                .toArray(String[]::new);
        try (FaultyBus bus = FaultyBus.create(kafka, postgres, specs)) {
            refusal.prepare(bus, topics);
            kafka.network().latency(ROUND_TRIP.dividedBy(2)); // so long that the successor is on its way by then
            bus.relay.start();
            for (int trial = 0; trial < TRIALS; trial++) {
                bus.warmUp(topic(trial), warm ? key(trial) : neighbour(trial));
                refusal.trial(bus, trial);
            }
            kafka.heal();
            assertThat(List.of(topics)).allMatch(bus.heard::failed);
            refusal.mend(bus, topics);
            bus.assertNothingLostOrReordered();
        }
    }

    /** A key of the other partition. */
    private static String neighbour(int trial) {
        int partition = EventRecords.partition(key(trial), PARTITIONS);
        return IntStream.range(0, 1_000)
                .mapToObj(i -> "neighbour-" + trial + "-" + i)
                .filter(key -> EventRecords.partition(key, PARTITIONS) != partition)
                .findFirst()
                .orElseThrow();
    }
}
