package dev.eventbus.it;

import static dev.eventbus.it.Events.ASSET_UPDATED;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.eventbus.KafkaAccessException;
import dev.eventbus.consumer.AfterRetries;
import dev.eventbus.consumer.ConsumerRunner;
import dev.eventbus.embedded.EmbeddedKafka;
import dev.eventbus.embedded.KafkaServer;
import dev.eventbus.embedded.PostgresServer;
import dev.eventbus.embedded.ServersExtension;
import dev.eventbus.faults.wire.LoopbackProxy;
import dev.eventbus.it.Events.AssetUpdated;
import dev.eventbus.outbox.OutboxRelay;
import dev.eventbus.topics.KafkaCluster;
import dev.eventbus.topics.TopicSpec;
import dev.eventbus.topics.Topics;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CopyOnWriteArrayList;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.parallel.Execution;
import org.junit.jupiter.api.parallel.ExecutionMode;

/** A Kafka that wants a password, given a wrong one and then the right one. */
@ExtendWith(ServersExtension.class)
@Execution(ExecutionMode.CONCURRENT)
class WrongPasswordIT {

    private static final Duration SECONDS = Duration.ofSeconds(20);
    private static final Duration WATCHED = Duration.ofSeconds(10);
    private static final TopicSpec[] TOPICS = {topic("asset.events"), topic("dlq.events")};

    @Test
    void a_wrong_password_is_named_with_cluster_and_fix_and_nothing_is_lost(KafkaServer shared, PostgresServer postgres)
            throws Exception {
        try (EmbeddedKafka broker =
                        EmbeddedKafka.builder().saslUser("asset", "right-one").start();
                Scene scene = Scene.create(shared, postgres)) {
            KafkaCluster wrong = cluster(broker, "S3CR3T-wrong");
            assertThatThrownBy(() -> Topics.of(wrong, TOPICS).provision())
                    .isInstanceOf(KafkaAccessException.class)
                    .hasMessageContaining("kafka-events")
                    .hasMessageContaining(broker.bootstrapServers())
                    .hasMessageContaining("refuses the credentials")
                    .hasMessageNotContaining("S3CR3T");
            scene.inTransaction(
                    tx -> scene.outbox().within(tx).publish(ASSET_UPDATED, AssetUpdated.amount("alice", 1)));
            try (OutboxRelay relay = OutboxRelay.builder(scene.outbox(), scene.database(), wrong)
                            .build();
                    ConsumerRunner runner = runner(wrong, new CopyOnWriteArrayList<>())) {
                relay.start();
                runner.start();
                Eventually.holds(SECONDS, () -> saysWhatIsWrong(relay.health().problems(), broker), relay::health);
                Eventually.holds(SECONDS, () -> saysWhatIsWrong(runner.health().problems(), broker), runner::health);
            }
            assertThat(scene.count("SELECT count(*) FROM eventbus_outbox")).isEqualTo(1);

            KafkaCluster right = cluster(broker, "right-one");
            Topics.of(right, TOPICS).provision();
            List<String> handled = new CopyOnWriteArrayList<>();
            try (OutboxRelay relay = OutboxRelay.builder(scene.outbox(), scene.database(), right)
                            .build();
                    ConsumerRunner runner = runner(right, handled)) {
                relay.start();
                runner.start();
                Eventually.holds(() -> handled.equals(List.of("alice")), runner::health);
            }
        }
    }

    /** A hot loop of refused logins locks accounts and fills the brokers' logs. */
    @Test
    void S_03_a_wrong_password_is_tried_again_about_once_a_second(KafkaServer shared, PostgresServer postgres)
            throws Exception {
        try (EmbeddedKafka broker =
                        EmbeddedKafka.builder().saslUser("asset", "right-one").start();
                Scene scene = Scene.create(shared, postgres)) {
            scene.inTransaction(
                    tx -> scene.outbox().within(tx).publish(ASSET_UPDATED, AssetUpdated.amount("alice", 1)));
            try (LoopbackProxy before = LoopbackProxy.open().forwardTo(broker.bootstrapServers());
                    OutboxRelay relay = OutboxRelay.builder(
                                    scene.outbox(), scene.database(), cluster(before.address(), "wrong"))
                            .build()) {
                relay.start();
                Eventually.holds(SECONDS, () -> !relay.health().problems().isEmpty(), relay::health);
                assertBounded("relay", before);
            }
            try (LoopbackProxy before = LoopbackProxy.open().forwardTo(broker.bootstrapServers());
                    ConsumerRunner runner = runner(cluster(before.address(), "wrong"), new CopyOnWriteArrayList<>())) {
                runner.start();
                Eventually.holds(SECONDS, () -> !runner.health().problems().isEmpty(), runner::health);
                assertBounded("runner", before);
            }
        }
    }

    /**
     * A client waits for a second, give or take a fifth, once it has come to that in six tries. Relay and runner have two: one that works,
     * and one that looks after the cluster.
     */
    private static void assertBounded(String who, LoopbackProxy proxy) {
        int already = proxy.accepted();
        long until = System.nanoTime() + WATCHED.toNanos();
        Eventually.holds(WATCHED.multipliedBy(2), () -> System.nanoTime() - until >= 0, proxy::accepted);
        assertThat(proxy.accepted() - already)
                .as("logins of the %s in %s", who, WATCHED)
                .isBetween(1, 2 * (6 + (int) WATCHED.toSeconds() * 5 / 4));
    }

    private static boolean saysWhatIsWrong(List<String> problems, EmbeddedKafka broker) {
        assertThat(problems).noneMatch(problem -> problem.contains("S3CR3T"));
        return problems.stream()
                .anyMatch(problem -> problem.contains("kafka-events")
                        && problem.contains(broker.bootstrapServers())
                        && problem.contains("refuses the credentials")
                        && problem.contains("Check user and password"));
    }

    private static KafkaCluster cluster(EmbeddedKafka broker, String password) {
        return cluster(broker.bootstrapServers(), password);
    }

    private static KafkaCluster cluster(String address, String password) {
        return KafkaCluster.of(Map.of(
                        "bootstrap.servers",
                        address,
                        "security.protocol",
                        "SASL_PLAINTEXT",
                        "sasl.mechanism",
                        "PLAIN",
                        "sasl.jaas.config",
                        "org.apache.kafka.common.security.plain.PlainLoginModule required username=\"asset\" password=\"%s\";"
                                .formatted(password)))
                .named("kafka-events");
    }

    private static ConsumerRunner runner(KafkaCluster kafka, List<String> handled) {
        return ConsumerRunner.builder(kafka, "calculator.asset.events")
                .on(ASSET_UPDATED, (event, delivery) -> handled.add(event.key()))
                .afterRetries(AfterRetries.deadLetter("dlq.events"))
                .build();
    }

    private static TopicSpec topic(String name) {
        return TopicSpec.of(name, 1).replicationFactor(1).minInsyncReplicas(1);
    }
}
