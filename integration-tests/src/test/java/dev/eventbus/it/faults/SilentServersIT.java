package dev.eventbus.it.faults;

import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.EventRecords;
import dev.eventbus.embedded.EmbeddedPostgres;
import dev.eventbus.embedded.PostgresServer;
import dev.eventbus.embedded.ServersExtension;
import dev.eventbus.faults.wire.KafkaWire.Fate;
import dev.eventbus.faults.wire.KafkaWire.Rule;
import dev.eventbus.faults.wire.LoopbackProxy.Way;
import dev.eventbus.it.Eventually;
import dev.eventbus.topics.TopicSpec;
import dev.eventbus.topics.Topics;
import java.sql.SQLException;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.parallel.Isolated;

/** What never ends stops nothing else: batches that nobody answers, a topic that is gone, a broker or a database that is. */
@ExtendWith({ServersExtension.class, FaultyKafkaExtension.class})
@Isolated("looks at all threads or sessions there are")
class SilentServersIT {

    private static final int PARTITIONS = 4;

    @Test
    void a_topic_deleted_with_a_thousand_events_on_their_way_stops_no_other_and_gets_them_when_it_is_made_again(
            FaultyKafka kafka, PostgresServer postgres) throws Exception {
        try (FaultyBus bus = FaultyBus.create(kafka, postgres, "doomed:" + PARTITIONS, "other:1")) {
            long deleted = deleteWithAThousandOnTheirWay(kafka, bus);
            bus.streams.publish("other", "carol", 100, 100, 100);
            bus.awaitSent("other");
            assertThat(Duration.ofNanos(System.nanoTime() - deleted)).isLessThan(Duration.ofSeconds(11));

            Eventually.holds(() -> bus.heard.waits.contains("doomed"), bus.relay::health);
            bus.streams.publish("other", "carol", 100);
            bus.awaitSent("other");
            assertThat(bus.streams.pending("doomed")).isEqualTo(1_000);
            Topics.of(
                            bus.scene.kafka(),
                            TopicSpec.of("doomed", PARTITIONS)
                                    .replicationFactor(1)
                                    .minInsyncReplicas(1))
                    .provision();
            bus.awaitAllSent();
            assertThat(bus.scene.records("doomed").stream().map(Streams::id).distinct())
                    .hasSize(1_000);
            assertThat(bus.heard.blocks).isEmpty();
        }
    }

    @Test
    void close_keeps_its_limit_with_a_thousand_events_on_their_way_to_a_deleted_topic(
            FaultyKafka kafka, PostgresServer postgres) throws Exception {
        try (FaultyBus bus = FaultyBus.create(kafka, postgres, "doomed:" + PARTITIONS, "other:1")) {
            deleteWithAThousandOnTheirWay(kafka, bus);
            assertThat(timeToClose(bus, Duration.ofSeconds(2))).isLessThan(Duration.ofSeconds(4));
            assertThat(bus.streams.pending("doomed")).isEqualTo(1_000);
        }
    }

    /** Returns when it was deleted. */
    private static long deleteWithAThousandOnTheirWay(FaultyKafka kafka, FaultyBus bus) throws SQLException {
        bus.relay.start();
        bus.warmUp("other", "carol");
        for (int partition = 0; partition < PARTITIONS; partition++) {
            bus.warmUp("doomed", keyIn(partition));
        }
        long[] deletedAt = new long[1];
        Rule first = kafka.wire()
                .when(
                        batch -> true,
                        Fate.between(
                                () -> {
                                    Eventually.holds(() -> bus.relay.health().inFlight() == 1_000, bus.relay::health);
                                    kafka.deleteTopic(bus.scene, "doomed");
                                    deletedAt[0] = System.nanoTime();
                                },
                                () -> {}))
                .times(1);
        int[] sizes = new int[1_000 / PARTITIONS];
        Arrays.fill(sizes, 100);
        bus.scene.inTransaction(tx -> {
            for (int partition = 0; partition < PARTITIONS; partition++) {
                bus.scene.outbox().within(tx).publishAll(bus.streams.next("doomed", keyIn(partition), sizes));
            }
        });
        Eventually.holds(() -> first.hits() == 1 && deletedAt[0] != 0, bus.relay::health);
        return deletedAt[0];
    }

    private static String keyIn(int partition) {
        return IntStream.range(0, 1_000)
                .mapToObj(i -> "user-" + i)
                .filter(key -> EventRecords.partition(key, PARTITIONS) == partition)
                .findFirst()
                .orElseThrow();
    }

    @Test
    void a_batch_of_a_too_large_record_and_a_tiny_one_is_not_split_for_ever(FaultyKafka kafka, PostgresServer postgres)
            throws Exception {
        Map<String, Object> gathering = Map.of("linger.ms", 50); // so that both are in one batch
        try (FaultyBus bus = FaultyBus.create(
                        kafka,
                        postgres,
                        cluster -> EditedCluster.withSettings(
                                EditedCluster.withRecords(cluster, SilentServersIT::bare), gathering),
                        "asset.events:1",
                        "other:1")
                .startWarm("carol")) {
            kafka.limit(bus.scene, 2_000, "asset.events");
            Rule tooLarge = kafka.wire().when(batch -> batch.bytes() > 3_000, Fate.passed());
            String poison = bus.streams.publish("asset.events", "bob", 3_000, 1).get(0);
            bus.streams.publish("other", "dave", 500, 500);
            bus.awaitSent("other");

            Eventually.holds(() -> !bus.heard.blocks.isEmpty(), bus.relay::health);
            assertThat(bus.heard.blocks).containsExactly(new Heard.Block(poison, "asset.events", "REFUSED"));
            int tries = tooLarge.hits();
            bus.streams.publish("other", "dave", 500);
            bus.awaitSent("other");
            assertThat(tooLarge.hits()).as("it has ended").isEqualTo(tries);
            assertThat(bus.streams.pending()).isEqualTo(2);
        }
    }

    /** A record of a few bytes may stay with the large one when a batch is split; the library's own are never so small. */
    private static ProducerRecord<byte[], byte[]> bare(ProducerRecord<byte[], byte[]> message) {
        if (message.topic().endsWith("other")) {
            return message;
        }
        byte[] value = message.value().length < 1_000 ? new byte[1] : message.value();
        return new ProducerRecord<>(message.topic(), message.partition(), null, value);
    }

    @Test
    void close_keeps_its_limit_in_a_black_hole_and_leaves_no_thread(FaultyKafka kafka, PostgresServer postgres)
            throws Exception {
        try (FaultyBus bus = FaultyBus.create(kafka, postgres, "asset.events:1").startWarm("bob")) {
            kafka.network().blackHole();
            bus.streams.publish("asset.events", "bob", 100, 100, 100);
            Eventually.holds(() -> bus.relay.health().inFlight() == 3, bus.relay::health);
            assertThat(timeToClose(bus, Duration.ofSeconds(2))).isLessThan(Duration.ofSeconds(4));
            Eventually.holds(() -> relayThreads().isEmpty(), SilentServersIT::relayThreads);
            assertThat(bus.streams.pending()).isEqualTo(3);
            kafka.heal();
        }
    }

    private static List<String> relayThreads() {
        return Thread.getAllStackTraces().keySet().stream()
                .map(Thread::getName)
                .filter(name -> name.contains("eventbus-relay"))
                .toList();
    }

    private static Duration timeToClose(FaultyBus bus, Duration limit) {
        long start = System.nanoTime();
        bus.relay.close(limit);
        return Duration.ofNanos(System.nanoTime() - start);
    }

    @Test
    void a_database_that_dies_with_all_that_may_be_on_its_way_loses_nothing_and_repeats_no_more(FaultyKafka kafka)
            throws Exception {
        int events = 5_000; // so many that a relay which repeats everything is seen
        int inFlight = 3_000; // of one topic
        try (EmbeddedPostgres postgres = EmbeddedPostgres.start();
                FaultyBus bus =
                        FaultyBus.create(kafka, postgres, "asset.events:1").startWarm("bob")) {
            kafka.network().blackHole(Way.TO_CLIENT);
            int[] sizes = new int[events];
            Arrays.fill(sizes, 100);
            bus.streams.publish("asset.events", "bob", sizes);
            Eventually.holds(() -> bus.relay.health().inFlight() == inFlight, bus.relay::health);
            postgres.kill();
            kafka.network().heal();
            Eventually.holds(() -> !bus.relay.health().up(), bus.relay::health);
            postgres.restart();
            bus.assertNothingLostOrReordered();
            assertThat(bus.records()).hasSizeBetween(events + 1, events + 1 + inFlight);
        }
    }
}
