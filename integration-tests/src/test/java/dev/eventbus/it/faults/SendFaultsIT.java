package dev.eventbus.it.faults;

import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.Event;
import dev.eventbus.embedded.PostgresServer;
import dev.eventbus.embedded.ServersExtension;
import dev.eventbus.faults.wire.KafkaWire.Fate;
import dev.eventbus.faults.wire.KafkaWire.Rule;
import dev.eventbus.it.Events.AssetUpdated;
import dev.eventbus.it.Eventually;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.protocol.Errors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/** What a broker answers, or fails to answer, loses nothing and reorders nothing. */
@ExtendWith({ServersExtension.class, FaultyKafkaExtension.class})
class SendFaultsIT {

    /** So large that no two fit into one batch. */
    private static final int ALONE = 62_000;

    /** Clients that give up on a batch, as the library's own never do. */
    private static final Map<String, Object> IMPATIENT =
            Map.of("delivery.timeout.ms", 1_000, "request.timeout.ms", 500, "retry.backoff.ms", 20);

    @Test
    void a_lost_reply_repeats_nothing(FaultyKafka kafka, PostgresServer postgres) throws Exception {
        try (FaultyBus bus = FaultyBus.create(kafka, postgres, "asset.events:1").startWarm("bob")) {
            Rule lost = kafka.wire()
                    .when(batch -> batch.number() % 3 == 0, Fate.replyLost())
                    .times(5);
            for (int i = 0; i < 10; i++) {
                bus.streams.publish("asset.events", "bob", ALONE, ALONE, ALONE);
            }
            bus.awaitAllSent();
            assertThat(lost.hits()).isEqualTo(5);
            assertThat(bus.records()).as("nothing is there twice").hasSize(31);
            bus.assertNothingLostOrReordered();
        }
    }

    @Test
    void what_the_client_gave_up_although_it_was_written_comes_twice_and_in_order(
            FaultyKafka kafka, PostgresServer postgres) throws Exception {
        try (FaultyBus bus = FaultyBus.create(
                        kafka, postgres, cluster -> EditedCluster.withSettings(cluster, IMPATIENT), "asset.events:1")
                .startWarm("bob")) {
            kafka.wire().when(batch -> !bus.heard.failed("asset.events"), Fate.replyNeverComes());
            bus.streams.publish("asset.events", "bob", ALONE, ALONE, ALONE);
            bus.awaitAllSent();
            assertThat(bus.heard.failed("asset.events")).isTrue();
            assertThat(bus.records()).as("written twice").hasSizeGreaterThan(4);
            bus.assertNothingLostOrReordered();
        }
    }

    @ParameterizedTest
    @ValueSource(longs = {1, 2, 3, 4, 5})
    void a_batch_that_expires_while_its_successor_is_on_its_way_is_not_overtaken(
            long seed, FaultyKafka kafka, PostgresServer postgres) throws Exception {
        SplittableRandom random = new SplittableRandom(seed);
        try (FaultyBus bus = FaultyBus.create(
                        kafka, postgres, cluster -> EditedCluster.withSettings(cluster, IMPATIENT), "asset.events:1")
                .startWarm("bob")) {
            for (int round = 0; round < 2; round++) {
                int before = 1 + random.nextInt(3);
                for (int i = 0; i < before; i++) {
                    bus.streams.publish("asset.events", "bob", ALONE);
                }
                bus.awaitAllSent(); // so the partition is warm, after the failure of the round before too
                Expiry expiry = Expiry.of(bus, random);
                bus.streams.publish("asset.events", "bob", ALONE, ALONE, ALONE);
                bus.awaitAllSent();
                assertThat(bus.heard.failures).hasSizeGreaterThan(expiry.failures());
                assertThat(expiry.successor().hits())
                        .as("sent before the failure")
                        .isPositive();
            }
            bus.assertNothingLostOrReordered();
        }
    }

    /** The first batch of a partition is tried for as long as the client's patience lasts, and no other until it is there. */
    @ParameterizedTest
    @ValueSource(longs = {1, 2, 3})
    void nothing_follows_the_first_batch_into_a_cold_partition_before_it_is_there(
            long seed, FaultyKafka kafka, PostgresServer postgres) throws Exception {
        try (FaultyBus bus = FaultyBus.create(
                kafka, postgres, cluster -> EditedCluster.withSettings(cluster, IMPATIENT), "asset.events:1")) {
            Expiry expiry = Expiry.of(bus, new SplittableRandom(seed));
            bus.streams.publish("asset.events", "bob", ALONE, ALONE, ALONE);
            bus.relay.start();
            bus.awaitAllSent();
            assertThat(bus.heard.failures).isNotEmpty();
            assertThat(expiry.successor().hits()).isZero();
            bus.assertNothingLostOrReordered();
        }
    }

    /** Bob's next batch expires; its successor is counted when it comes before that is known. */
    private record Expiry(int failures, Rule successor) {

        static Expiry of(FaultyBus bus, SplittableRandom random) {
            int failures = bus.heard.failures.size();
            String first = bus.streams.nextId("bob");
            int number = Integer.parseInt(first.substring(first.indexOf(':') + 1));
            Errors error = random.nextBoolean() ? Errors.REQUEST_TIMED_OUT : Errors.NOT_ENOUGH_REPLICAS;
            bus.kafka
                    .wire()
                    .when(
                            batch -> batch.ids().contains(first) && bus.heard.failures.size() == failures,
                            Fate.refused(error));
            Rule successor = bus.kafka
                    .wire()
                    .when(
                            batch -> batch.ids().contains("bob:" + (number + 1))
                                    && bus.heard.failures.size() == failures,
                            Fate.passed());
            return new Expiry(failures, successor);
        }
    }

    @ParameterizedTest
    @EnumSource(
            value = Errors.class,
            names = {
                "OUT_OF_ORDER_SEQUENCE_NUMBER",
                "UNKNOWN_PRODUCER_ID",
                "INVALID_PRODUCER_EPOCH",
                "INVALID_PRODUCER_ID_MAPPING",
                "CLUSTER_AUTHORIZATION_FAILED"
            })
    void a_producer_beyond_repair_is_replaced_and_nothing_is_reordered(
            Errors error, FaultyKafka kafka, PostgresServer postgres) throws Exception {
        try (FaultyBus bus = FaultyBus.create(kafka, postgres, "asset.events:1").startWarm("bob")) {
            kafka.network().latency(Duration.ofMillis(4));
            Rule refused = kafka.failOnce(bus.streams.nextId("bob"), Fate.refused(error));
            bus.streams.publish("asset.events", "bob", ALONE, ALONE, ALONE);
            bus.awaitAllSent();
            assertThat(refused.hits()).isEqualTo(1);
            assertThat(bus.heard.blocks).isEmpty();
            bus.assertNothingLostOrReordered();
        }
    }

    @Test
    void an_event_too_large_for_its_topic_blocks_its_key_with_the_reason_and_others_flow(
            FaultyKafka kafka, PostgresServer postgres) throws Exception {
        try (FaultyBus bus = FaultyBus.create(kafka, postgres, "asset.events:1").startWarm("alice")) {
            kafka.limit(bus.scene, 3_000, "asset.events");
            String poison = bus.streams.publish("asset.events", "bob", 4_000).get(0);
            bus.streams.publish("asset.events", "bob", 100, 100);
            bus.streams.publish("asset.events", "alice", 100, 100, 100);

            Eventually.holds(() -> !bus.heard.blocks.isEmpty(), bus.relay::health);
            Eventually.holds(() -> bus.streams.pending() == 3, bus.relay::health);
            assertThat(bus.heard.blocks).containsExactly(new Heard.Block(poison, "asset.events", "REFUSED"));
            assertThat(bus.scene.strings("SELECT event_id || ' ' || reason || ' ' || error FROM eventbus_blocked_key"))
                    .containsExactly(poison + " REFUSED org.apache.kafka.common.errors.RecordTooLargeException");
            Eventually.holds(() -> bus.relay.health().blockedKeys() == 1, bus.relay::health);
            assertThat(bus.relay.health().up()).as("others flow").isTrue();

            kafka.limit(bus.scene, 100_000, "asset.events");
            bus.unblock();
            bus.assertNothingLostOrReordered();
        }
    }

    @Test
    void a_topic_that_may_not_be_written_to_waits_and_resumes_by_itself(FaultyKafka kafka, PostgresServer postgres)
            throws Exception {
        try (FaultyBus bus = FaultyBus.create(kafka, postgres, "asset.events:2", "housing.events:2")
                .startWarm("bob")) {
            kafka.revoke(bus.scene, "asset.events");
            bus.streams.publish("asset.events", "alice", 100, 100, 100);
            bus.streams.publish("housing.events", "carol", 100, 100, 100);
            bus.awaitSent("housing.events");
            Eventually.holds(() -> bus.heard.waits.contains("asset.events"), bus.relay::health);
            Eventually.holds(
                    () -> bus.relay.health().problems().stream()
                            .anyMatch(problem -> problem.contains("does not let this user use topic")),
                    bus.relay::health);
            bus.streams.publish("asset.events", "bob", 100, 100);
            bus.streams.publish("housing.events", "dave", 100);
            bus.awaitSent("housing.events");
            assertThat(bus.streams.pending("asset.events")).isEqualTo(5);

            kafka.grant(bus.scene, "asset.events");
            bus.awaitAllSent();
            assertThat(bus.heard.resumed).containsExactly("asset.events");
            assertThat(bus.heard.blocks).isEmpty();
            bus.assertNothingLostOrReordered();
            Eventually.holds(() -> bus.relay.health().up(), bus.relay::health);
        }
    }

    @Test
    void an_event_older_than_retention_is_still_readable_after_a_retention_check(
            FaultyKafka kafka, PostgresServer postgres) throws Exception {
        try (FaultyBus bus = FaultyBus.create(kafka, postgres, "asset.events:1", "control:1")) {
            kafka.set(bus.scene, "retention.ms", "86400000", "asset.events", "control");
            Instant old = Instant.now().minus(Duration.ofHours(25));
            publishDated(bus, old);
            bus.relay.start();
            bus.awaitAllSent();
            bus.scene.send(new ProducerRecord<>(
                    bus.scene.kafka().physicalTopic("control"), 0, old.toEpochMilli(), null, new byte[] {1}));
            bus.scene.flush();
            Eventually.holds(() -> bus.scene.beginningOffsets("control") == 1, () -> "there was no retention check");
            assertThat(bus.scene.records("asset.events"))
                    .extracting(Streams::id)
                    .containsExactly("dated");
        }
    }

    @Test
    void an_event_dated_next_year_is_published(FaultyKafka kafka, PostgresServer postgres) throws Exception {
        try (FaultyBus bus = FaultyBus.create(kafka, postgres, "asset.events:1")) {
            Instant nextYear = Instant.now().plus(Duration.ofDays(365));
            publishDated(bus, nextYear);
            bus.relay.start();
            bus.awaitAllSent();
            List<ConsumerRecord<byte[], byte[]>> records = bus.scene.records("asset.events");
            assertThat(records).extracting(Streams::id).containsExactly("dated");
            assertThat(records.get(0).timestamp()).isLessThan(nextYear.toEpochMilli());
            assertThat(bus.heard.failures).isEmpty();
        }
    }

    private static void publishDated(FaultyBus bus, Instant when) throws Exception {
        bus.scene.inTransaction(tx -> bus.scene
                .outbox()
                .within(tx)
                .publish(Event.of(Streams.type("asset.events"), "dated", when, AssetUpdated.amount("bob", 1))));
    }
}
