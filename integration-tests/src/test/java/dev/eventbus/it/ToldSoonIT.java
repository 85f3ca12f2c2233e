package dev.eventbus.it;

import static dev.eventbus.it.Events.ASSET_UPDATED;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.catchThrowable;

import dev.eventbus.ErrorCode;
import dev.eventbus.KafkaAccessException;
import dev.eventbus.consumer.AfterRetries;
import dev.eventbus.consumer.ConsumerRunner;
import dev.eventbus.embedded.EmbeddedKafka;
import dev.eventbus.embedded.KafkaServer;
import dev.eventbus.embedded.PostgresServer;
import dev.eventbus.embedded.ServersExtension;
import dev.eventbus.it.Events.AssetUpdated;
import dev.eventbus.outbox.OutboxRelay;
import dev.eventbus.topics.KafkaCluster;
import dev.eventbus.topics.TopicSpec;
import dev.eventbus.topics.Topics;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.file.Path;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.api.parallel.Isolated;

/** How soon a mistake is told that a Kafka client answers with a time-out. */
@ExtendWith(ServersExtension.class)
@Isolated("says how soon")
class ToldSoonIT {

    private static final Duration SECONDS = Duration.ofSeconds(30);

    /** From the start of a relay and a runner, clients and threads included; classes are loaded before, as in a service that runs. */
    private static final Duration WITHIN = Duration.ofSeconds(3);

    private static final TopicSpec[] TOPICS = {topic("asset.events"), topic("dlq.events")};

    @TempDir
    private Path folder;

    /** With the time-outs that the client has by itself. */
    private static KafkaCluster trusted(Path trusted, String bootstrapServers) {
        Map<String, Object> settings = new HashMap<>(Certificates.trust(trusted));
        settings.put("bootstrap.servers", bootstrapServers);
        return KafkaCluster.of(settings);
    }

    /** To each of the four a Kafka client says the same: that it has waited for so long. */
    @Test
    void four_mistakes_that_the_client_answers_with_one_time_out_get_four_answers_within_3_seconds(
            KafkaServer plain, PostgresServer postgres) throws Exception {
        Path right = new Certificates(folder).selfSigned("right", "-ext", Certificates.HERE);
        String closed;
        try (ServerSocket free = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            closed = "127.0.0.1:" + free.getLocalPort();
        }
        try (EmbeddedKafka tls = EmbeddedKafka.builder()
                        .tls(right, Certificates.PASSWORD)
                        .start();
                Scene scene = Scene.create(plain, postgres)) {
            scene.inTransaction(
                    tx -> scene.outbox().within(tx).publish(ASSET_UPDATED, AssetUpdated.amount("alice", 1)));

            KafkaCluster topicMissing =
                    KafkaCluster.at(plain.bootstrapServers()).topicPrefix("missing.");
            timeToTell(scene, topicMissing, ErrorCode.TOPIC_MISSING); // loads classes
            assertTold(scene, topicMissing, ErrorCode.TOPIC_MISSING);
            for (KafkaCluster kafka : List.of(KafkaCluster.at(closed), trusted(right, closed))) {
                assertTold(scene, kafka, ErrorCode.NOBODY_LISTENS);
                assertRefused(kafka, ErrorCode.NOBODY_LISTENS);
            }
            KafkaCluster plaintextAtTls = KafkaCluster.at(tls.bootstrapServers());
            assertTold(scene, plaintextAtTls, ErrorCode.SPEAKS_TLS);
            assertRefused(plaintextAtTls, ErrorCode.SPEAKS_TLS);
            KafkaCluster tlsAtPlaintext = trusted(right, plain.bootstrapServers());
            assertTold(scene, tlsAtPlaintext, ErrorCode.SPEAKS_PLAINTEXT);
            assertRefused(tlsAtPlaintext, ErrorCode.SPEAKS_PLAINTEXT);
            assertThat(scene.count("SELECT count(*) FROM eventbus_outbox")).isEqualTo(1);
        }
    }

    private static void assertTold(Scene scene, KafkaCluster kafka, ErrorCode code) {
        assertThat(timeToTell(scene, kafka, code)).as("%s", code).isLessThan(WITHIN);
    }

    /** Until relay and runner say it in their health, with the client's own time-outs of up to two minutes. */
    private static Duration timeToTell(Scene scene, KafkaCluster kafka, ErrorCode code) {
        try (OutboxRelay relay = OutboxRelay.builder(scene.outbox(), scene.database(), kafka)
                        .build();
                ConsumerRunner runner = ConsumerRunner.builder(kafka, "calculator")
                        .on(ASSET_UPDATED, (event, delivery) -> {})
                        .afterRetries(AfterRetries.deadLetter("dlq.events"))
                        .build()) {
            long begun = System.nanoTime();
            relay.start();
            runner.start();
            Eventually.holds(
                    SECONDS,
                    () -> tells(relay.health().problems(), code)
                            && tells(runner.health().problems(), code),
                    () -> relay.health() + " " + runner.health());
            return Duration.ofNanos(System.nanoTime() - begun);
        }
    }

    private static boolean tells(List<String> problems, ErrorCode code) {
        return problems.stream().anyMatch(problem -> problem.contains(code.id()));
    }

    private static void assertRefused(KafkaCluster kafka, ErrorCode code) {
        Topics topics = Topics.of(kafka, TOPICS).timeout(Duration.ofSeconds(3));
        assertThatThrownBy(topics::provision)
                .isInstanceOfSatisfying(
                        KafkaAccessException.class, e -> assertThat(e.code()).isEqualTo(code));
        // without a cause: before a client was asked, which would have timed out; a busy broker may answer the first
        // question late
        Eventually.holds(() -> refusal(topics).getCause() == null, () -> refusal(topics));
    }

    private static Throwable refusal(Topics topics) {
        return catchThrowable(topics::provision);
    }

    private static TopicSpec topic(String name) {
        return TopicSpec.of(name, 1).replicationFactor(1).minInsyncReplicas(1);
    }
}
