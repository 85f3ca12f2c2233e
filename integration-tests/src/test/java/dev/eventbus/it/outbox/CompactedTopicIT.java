package dev.eventbus.it.outbox;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.embedded.EmbeddedKafka;
import dev.eventbus.embedded.PostgresServer;
import dev.eventbus.embedded.ServersExtension;
import dev.eventbus.faults.crash.CrashPoint;
import dev.eventbus.faults.wire.KafkaWire;
import dev.eventbus.faults.wire.KafkaWire.Fate;
import dev.eventbus.faults.wire.LoopbackProxy;
import dev.eventbus.it.Eventually;
import dev.eventbus.it.Scene;
import dev.eventbus.outbox.OutboxRelay;
import dev.eventbus.outbox.SendMode;
import dev.eventbus.outbox.sql.Shards;
import dev.eventbus.topics.TopicSpec;
import dev.eventbus.topics.Topics;
import java.sql.SQLException;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.common.config.ConfigResource;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.parallel.Execution;
import org.junit.jupiter.api.parallel.ExecutionMode;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * A topic whose cleaner keeps the last record of each key, and a relay that freezes with the key's first event in its hands or on the
 * way; by the time it goes on, its successor has sent that event and later ones.
 */
@ExtendWith(ServersExtension.class)
@Execution(ExecutionMode.CONCURRENT)
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class CompactedTopicIT {

    private static final String PENDING = "SELECT count(*) FROM eventbus_outbox";
    private static final Duration LEASE = Duration.ofSeconds(2);
    private static final String KEY = "user-1";

    private final KafkaWire wire = new KafkaWire();
    private final LoopbackProxy network = LoopbackProxy.open(wire);
    private final EmbeddedKafka kafka = EmbeddedKafka.builder()
            .advertisedPorts(network.port())
            .property("log.cleaner.backoff.ms", "200")
            .start();

    CompactedTopicIT() {
        network.forwardTo(kafka.address(1));
    }

    @AfterAll
    void close() {
        kafka.close();
        network.close();
    }

    /** With segments so short that the cleaner has something to do at once. */
    private static void provision(Scene scene) throws Exception {
        Topics.of(
                        scene.kafka(),
                        TopicSpec.of("asset.events", 1)
                                .replicationFactor(1)
                                .minInsyncReplicas(1)
                                .compactedAfter(Duration.ofMillis(1)))
                .provision();
        ConfigResource topic =
                new ConfigResource(ConfigResource.Type.TOPIC, scene.kafka().physicalTopic("asset.events"));
        List<AlterConfigOp> soon = Stream.of("segment.ms=100", "min.cleanable.dirty.ratio=0.0")
                .map(setting -> setting.split("="))
                .map(setting -> new AlterConfigOp(new ConfigEntry(setting[0], setting[1]), AlterConfigOp.OpType.SET))
                .toList();
        try (Admin admin = scene.kafka().admin()) {
            admin.incrementalAlterConfigs(Map.of(topic, soon)).all().get();
        }
    }

    private static void publish(Scene scene, int number) throws SQLException {
        scene.inTransaction(tx -> scene.outbox().within(tx).publish(SerialisedWriters.event(KEY, number)));
    }

    private static List<String> sent(Scene scene) {
        return scene.records("asset.events").stream()
                .filter(record -> new String(record.key(), UTF_8).equals(KEY))
                .map(SerialisedWriters::id)
                .toList();
    }

    private RelayProcess zombie(Scene scene, SendMode mode, String... jvmArguments) {
        String[] all = Stream.concat(Stream.of("-D%s=%s".formatted(RelayMain.SEND_MODE, mode)), Stream.of(jvmArguments))
                .toArray(String[]::new);
        RelayProcess relay = RelayProcess.start(scene, LEASE, all);
        Eventually.holds(() -> relay.owned().size() == Shards.COUNT, () -> relay);
        return relay;
    }

    private OutboxRelay successor(Scene scene, SendMode mode) {
        OutboxRelay relay = OutboxRelay.builder(scene.outbox(), scene.database(), scene.kafka())
                .lease(LEASE)
                .sendMode(mode)
                .build();
        relay.start();
        return relay;
    }

    private static void awaitSent(Scene scene, OutboxRelay relay) {
        Eventually.holds(() -> scene.count(PENDING) == 0, relay::health);
    }

    /** The zombie's first event, which it has not ended, and two more. */
    private static void sendThree(Scene scene, OutboxRelay relay) throws SQLException {
        awaitSent(scene, relay);
        publish(scene, 2);
        awaitSent(scene, relay);
        publish(scene, 3);
        awaitSent(scene, relay);
    }

    /** What a reader finds who comes after the cleaner. */
    private static List<String> keptOf(Scene scene) {
        Eventually.holds(
                () -> {
                    scene.sendRaw("asset.events", "another", "{}"); // begins a new segment now and then
                    return sent(scene).size() == 1;
                },
                () -> sent(scene));
        return sent(scene);
    }

    @ParameterizedTest
    @Execution(ExecutionMode.SAME_THREAD) // they share the wire
    @CsvSource({"STRICT, user-1:3", "PIPELINED, user-1:1"})
    void an_event_that_was_on_its_way_for_long_is_not_kept_in_place_of_later_ones_in_mode_STRICT_and_in_that_mode_only(
            SendMode mode, String kept, PostgresServer postgres) throws Exception {
        CountDownLatch late = new CountDownLatch(1);
        CountDownLatch judged = new CountDownLatch(1);
        try (Scene scene = Scene.create(kafka, postgres);
                RelayProcess zombie = zombie(scene, mode)) {
            provision(scene);
            KafkaWire.Rule held = wire.when(
                            batch -> batch.ids().contains(KEY + ":1"),
                            Fate.between(() -> await(late), judged::countDown))
                    .times(1);
            publish(scene, 1);
            Eventually.holds(() -> held.hits() == 1, () -> zombie);
            zombie.freeze();
            try (OutboxRelay successor = successor(scene, mode)) {
                sendThree(scene, successor);
                late.countDown();
                await(judged);
                assertThat(keptOf(scene)).containsExactly(kept);
            }
        } finally {
            late.countDown();
        }
    }

    private static void await(CountDownLatch latch) {
        try {
            assertThat(latch.await(1, TimeUnit.MINUTES)).isTrue();
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }

    @ParameterizedTest
    @Execution(ExecutionMode.SAME_THREAD) // they share the wire
    @ValueSource(strings = {"BEFORE_SHUT_OUT", "BEFORE_SEND", "AFTER_ACK"})
    void in_mode_STRICT_a_relay_that_wakes_late_leaves_the_last_event_of_a_key_the_last(
            String place, PostgresServer postgres) throws Exception {
        try (Scene scene = Scene.create(kafka, postgres)) {
            provision(scene);
            publish(scene, 1);
            try (RelayProcess zombie =
                            zombie(scene, SendMode.STRICT, "-D%s=%s:1:FREEZE".formatted(CrashPoint.PROPERTY, place));
                    OutboxRelay successor = successor(scene, SendMode.STRICT)) {
                sendThree(scene, successor);
                zombie.thaw();
                Eventually.holds(() -> zombie.owned().size() == Shards.COUNT / 2, () -> zombie);
                zombie.close(); // after which nothing of it is on its way
                assertThat(keptOf(scene)).containsExactly(KEY + ":3");
            }
        }
    }
}
