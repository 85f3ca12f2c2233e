package dev.eventbus.it;

import static dev.eventbus.it.Events.ASSET_UPDATED;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

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
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CopyOnWriteArrayList;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.api.parallel.Execution;
import org.junit.jupiter.api.parallel.ExecutionMode;

/** A Kafka that speaks TLS: who it is is checked, and nothing falls back to plain text. */
@ExtendWith(ServersExtension.class)
@Execution(ExecutionMode.CONCURRENT)
class TlsIT {

    private static final String PASSWORD = Certificates.PASSWORD;
    private static final String HERE = Certificates.HERE;
    private static final TopicSpec[] TOPICS = {topic("asset.events"), topic("dlq.events")};

    @TempDir
    private Path folder;

    private Path selfSigned(String name, String... more) throws Exception {
        return new Certificates(folder).selfSigned(name, more);
    }

    private Path signed(Path authority, String name, String... more) throws Exception {
        return new Certificates(folder).signed(authority, name, more);
    }

    private static KafkaCluster trusting(Path trusted, String bootstrapServers) {
        return cluster(bootstrapServers, Certificates.trust(trusted));
    }

    private static KafkaCluster cluster(String bootstrapServers, Map<String, Object> more) {
        Map<String, Object> settings = new HashMap<>(more);
        settings.put("bootstrap.servers", bootstrapServers);
        settings.put("default.api.timeout.ms", 30_000);
        settings.put("request.timeout.ms", 20_000);
        return KafkaCluster.of(settings).named("kafka-events");
    }

    @Test
    void S_01_an_event_comes_through_if_the_certificate_is_trusted_and_only_then(
            KafkaServer plain, PostgresServer postgres) throws Exception {
        Path right = selfSigned("right", "-ext", HERE);
        Path wrong = selfSigned("wrong", "-ext", HERE);
        try (EmbeddedKafka broker = EmbeddedKafka.builder().tls(right, PASSWORD).start();
                Scene scene = Scene.create(plain, postgres)) {
            KafkaCluster distrusting = trusting(wrong, broker.bootstrapServers());
            assertHandshakeFails(distrusting);
            scene.inTransaction(
                    tx -> scene.outbox().within(tx).publish(ASSET_UPDATED, AssetUpdated.amount("alice", 1)));
            try (OutboxRelay relay = OutboxRelay.builder(scene.outbox(), scene.database(), distrusting)
                    .build()) {
                relay.start();
                Eventually.holds(
                        () -> relay.health().problems().stream().anyMatch(text -> text.contains("TLS handshake")),
                        relay::health);
            }
            assertThat(scene.count("SELECT count(*) FROM eventbus_outbox")).isEqualTo(1);

            KafkaCluster trusting = trusting(right, broker.bootstrapServers());
            Topics.of(trusting, TOPICS).provision();
            List<String> handled = new CopyOnWriteArrayList<>();
            try (OutboxRelay relay = OutboxRelay.builder(scene.outbox(), scene.database(), trusting)
                            .build();
                    ConsumerRunner runner = ConsumerRunner.builder(trusting, "calculator")
                            .on(ASSET_UPDATED, (event, delivery) -> handled.add(event.key()))
                            .afterRetries(AfterRetries.deadLetter("dlq.events"))
                            .build()) {
                relay.start();
                runner.start();
                Eventually.holds(() -> handled.equals(List.of("alice")), runner::health);
            }
        }
    }

    /** The alert with which TLS answers plain text is, to Kafka's client, the length of 336 MB that are to come. */
    @Test
    void S_02_with_a_heap_of_128_megabytes_it_is_told_too_and_nobody_ends(KafkaServer plain, PostgresServer postgres)
            throws Exception {
        Path right = selfSigned("right", "-ext", HERE);
        try (EmbeddedKafka tls = EmbeddedKafka.builder().tls(right, PASSWORD).start();
                Scene scene = Scene.create(plain, postgres)) {
            Topics.of(trusting(right, tls.bootstrapServers()), TOPICS)
                    .provision(); // it is warm then, and answers at once
            scene.inTransaction(
                    tx -> scene.outbox().within(tx).publish(ASSET_UPDATED, AssetUpdated.amount("alice", 1)));
            try (SmallHeap both = SmallHeap.start(scene, tls.bootstrapServers())) {
                Eventually.holds(
                        () -> both.health().split(ErrorCode.SPEAKS_TLS.id()).length == 3,
                        () -> both.health() + "\n" + both.log());
                assertThat(both.log())
                        .contains(ErrorCode.SPEAKS_TLS.id())
                        .doesNotContain("OutOfMemoryError")
                        .doesNotContain("BUG");
            }
        }
    }

    @Test
    void S_01_a_certificate_that_has_expired_or_names_another_host_is_refused() throws Exception {
        Path authority = selfSigned("authority", "-ext", "bc:c");
        Path good = signed(authority, "good", "-ext", HERE);
        Path expired = signed(authority, "expired", "-ext", HERE, "-startdate", "-10d", "-validity", "5");
        Path elsewhere = signed(authority, "elsewhere", "-ext", "SAN=dns:broker.example");
        try (EmbeddedKafka broker = EmbeddedKafka.builder().tls(good, PASSWORD).start()) {
            Topics.of(trusting(authority, broker.bootstrapServers()), TOPICS).provision();
        }
        for (Path certificate : List.of(expired, elsewhere)) {
            try (EmbeddedKafka broker =
                    EmbeddedKafka.builder().tls(certificate, PASSWORD).start()) {
                assertHandshakeFails(trusting(authority, broker.bootstrapServers()));
            }
        }
    }

    private static void assertHandshakeFails(KafkaCluster kafka) {
        assertThatThrownBy(() -> Topics.of(kafka, TOPICS).provision())
                .isInstanceOf(KafkaAccessException.class)
                .hasMessageContaining("TLS handshake failed")
                .hasMessageContaining("authority, expiry, host name");
    }

    private static TopicSpec topic(String name) {
        return TopicSpec.of(name, 1).replicationFactor(1).minInsyncReplicas(1);
    }
}
