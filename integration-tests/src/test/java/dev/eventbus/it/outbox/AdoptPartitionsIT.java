package dev.eventbus.it.outbox;

import static dev.eventbus.it.Events.ASSET_UPDATED;
import static dev.eventbus.it.Events.HOUSING_UPDATED;
import static dev.eventbus.it.outbox.SerialisedWriters.event;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.eventbus.StartRefusedException;
import dev.eventbus.consumer.AfterRetries;
import dev.eventbus.consumer.ConsumerRunner;
import dev.eventbus.embedded.KafkaServer;
import dev.eventbus.embedded.PostgresServer;
import dev.eventbus.embedded.ServersExtension;
import dev.eventbus.it.Events.HousingUpdated;
import dev.eventbus.it.Eventually;
import dev.eventbus.it.Scene;
import dev.eventbus.outbox.OutboxAdmin;
import dev.eventbus.outbox.OutboxRelay;
import dev.eventbus.outbox.SendMode;
import dev.eventbus.topics.KafkaCluster;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewPartitions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.parallel.Execution;
import org.junit.jupiter.api.parallel.ExecutionMode;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** A topic grows under load, and its new partitions are adopted without any key's events changing places. */
@ExtendWith(ServersExtension.class)
@Execution(ExecutionMode.CONCURRENT)
class AdoptPartitionsIT {

    private static final String PENDING = "SELECT count(*) FROM eventbus_outbox";
    private static final String RECORDED = "SELECT value FROM eventbus_meta WHERE name LIKE 'partitions.%'";
    private static final Duration LEASE = Duration.ofSeconds(2);
    private static final Duration LIMIT = Duration.ofSeconds(60);

    private static OutboxRelay relay(Scene scene, SendMode mode) {
        OutboxRelay relay = OutboxRelay.builder(scene.outbox(), scene.database(), scene.kafka())
                .lease(LEASE)
                .sendMode(mode)
                .build();
        relay.start();
        return relay;
    }

    private static void grow(Scene scene) throws Exception {
        try (Admin admin = scene.kafka().admin()) {
            admin.createPartitions(Map.of(scene.kafka().physicalTopic("asset.events"), NewPartitions.increaseTo(6)))
                    .all()
                    .get();
        }
    }

    /** A group that notices new partitions soon. */
    private static ConsumerRunner runner(Scene scene, KafkaServer server, String group, List<String> handled) {
        KafkaCluster kafka = KafkaCluster.of(
                        Map.of("bootstrap.servers", server.bootstrapServers(), "metadata.max.age.ms", "1000"))
                .topicPrefix(scene.kafka().physicalTopic(""));
        return ConsumerRunner.builder(kafka, group)
                .on(ASSET_UPDATED, (event, delivery) -> handled.add(event.id()))
                .afterRetries(AfterRetries.deadLetter("dlq.events"))
                .build();
    }

    @ParameterizedTest
    @EnumSource
    void no_key_is_reordered_by_growth_under_load_with_two_relays_and_a_restart(
            SendMode mode, KafkaServer kafka, PostgresServer postgres) throws Exception {
        try (Scene scene = Scene.create(kafka, postgres, "asset.events:3", "dlq.events:1");
                OutboxRelay one = relay(scene, mode)) {
            OutboxRelay two = relay(scene, mode);
            String group = scene.group("calculator");
            List<String> handled = new CopyOnWriteArrayList<>();
            scene.start(runner(scene, kafka, group, handled));
            SerialisedWriters writers = SerialisedWriters.on(scene.database(), scene.outbox());
            OutboxAdmin admin = OutboxAdmin.of(scene.outbox(), scene.database());
            ExecutorService threads = Executors.newFixedThreadPool(2);
            Future<Long> load = threads.submit(() -> writers.write(SerialisedWriters.LOAD.multipliedBy(5)));
            Eventually.holds(() -> handled.size() > 500, one::health);

            grow(scene);
            Future<Integer> adoption =
                    threads.submit(() -> admin.adoptPartitions(scene.kafka(), "asset.events", LIMIT, group));
            Eventually.holds(() -> !scene.strings(RECORDED).get(0).equals("3"), one::health);
            two.close();
            try (OutboxRelay three = relay(scene, mode)) {
                assertThat(adoption.get()).isEqualTo(6);
                long committed = load.get();
                threads.shutdown();
                scene.inTransaction(tx -> {
                    for (int i = 1_000; i < 1_100; i++) {
                        scene.outbox().within(tx).publish(event("user-" + i, 1));
                    }
                });
                Eventually.holds(() -> scene.count(PENDING) == 0, three::health);
                Eventually.holds(
                        () -> handled.stream().distinct().count() == committed + 100,
                        () -> "handled %d of %d; %s".formatted(handled.size(), committed + 100, one.health()));
            }
            assertThat(SerialisedWriters.reordered(handled)).isEmpty();
            assertThat(scene.strings(RECORDED)).contains("6");
            assertThat(scene.strings("SELECT name FROM eventbus_meta WHERE name LIKE 'adopting.%'"))
                    .isEmpty();
            assertThat(scene.records("asset.events")).anyMatch(record -> record.partition() > 2);
        }
    }

    @Test
    void a_group_that_is_behind_ends_the_adoption_and_the_topic_goes_on_as_before(
            KafkaServer kafka, PostgresServer postgres) throws Exception {
        try (Scene scene = Scene.create(kafka, postgres, "asset.events:3", "dlq.events:1");
                OutboxRelay relay = relay(scene, SendMode.STRICT)) {
            OutboxAdmin admin = OutboxAdmin.of(scene.outbox(), scene.database());
            scene.inTransaction(tx -> scene.outbox().within(tx).publish(event("user-1", 1)));
            Eventually.holds(() -> scene.count(PENDING) == 0, relay::health);
            assertThat(admin.adoptPartitions(scene.kafka(), "asset.events", LIMIT))
                    .isEqualTo(3);
            grow(scene);
            String group = scene.group("calculator");
            assertThatThrownBy(
                            () -> admin.adoptPartitions(scene.kafka(), "asset.events", Duration.ofSeconds(30), group))
                    .isInstanceOf(StartRefusedException.class)
                    .hasMessageContaining(group)
                    .hasMessageContaining("goes on as before");
            assertThat(scene.strings(RECORDED)).containsExactly("3");
            scene.inTransaction(tx -> scene.outbox().within(tx).publish(event("user-1", 2)));
            Eventually.holds(() -> scene.count(PENDING) == 0, relay::health);

            List<String> handled = new CopyOnWriteArrayList<>();
            scene.start(runner(scene, kafka, group, handled));
            assertThat(admin.adoptPartitions(scene.kafka(), "asset.events", LIMIT, group))
                    .isEqualTo(6);
            assertThat(handled).containsExactly("user-1:1", "user-1:2");
        }
    }

    @Test
    void an_adoption_that_died_leaves_the_topic_waiting_and_is_called_again(KafkaServer kafka, PostgresServer postgres)
            throws Exception {
        try (Scene scene = Scene.create(kafka, postgres, "asset.events:3", "housing.events:1");
                OutboxRelay relay = relay(scene, SendMode.PIPELINED)) {
            scene.inTransaction(tx -> scene.outbox().within(tx).publish(event("user-1", 1)));
            Eventually.holds(() -> scene.count(PENDING) == 0, relay::health);
            grow(scene);
            scene.execute("UPDATE eventbus_meta SET value = '3>6 died' WHERE name LIKE 'partitions.%'");
            Eventually.holds(
                    () -> relay.health().problems().stream()
                            .anyMatch(problem -> problem.contains("call OutboxAdmin.adoptPartitions again")),
                    relay::health);
            scene.inTransaction(tx -> {
                scene.outbox().within(tx).publish(event("user-1", 2));
                scene.outbox()
                        .within(tx)
                        .publish(HOUSING_UPDATED, new HousingUpdated("user-1", "h-1", "PRICE_CHANGED"));
            });
            Eventually.holds(() -> scene.records("housing.events").size() == 1, relay::health);
            Eventually.holds(() -> scene.count(PENDING) == 1, relay::health);
            assertThat(scene.strings("SELECT id FROM eventbus_outbox"))
                    .as("the later event of the same shard went past it")
                    .containsExactly("user-1:2");
            assertThat(scene.records("asset.events")).hasSize(1);
            OutboxAdmin admin = OutboxAdmin.of(scene.outbox(), scene.database());
            assertThat(admin.adoptPartitions(scene.kafka(), "asset.events", LIMIT))
                    .isEqualTo(6);
            Eventually.holds(() -> scene.count(PENDING) == 0, relay::health);
            Eventually.holds(() -> relay.health().up(), relay::health);
        }
    }
}
