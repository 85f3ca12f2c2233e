package dev.eventbus.it.faults;

import static dev.eventbus.it.Events.ASSET_UPDATED;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.eventbus.Event;
import dev.eventbus.consumer.AfterRetries;
import dev.eventbus.consumer.ConsumerRunner;
import dev.eventbus.embedded.KafkaServer;
import dev.eventbus.embedded.PostgresServer;
import dev.eventbus.embedded.ServersExtension;
import dev.eventbus.faults.wire.LoopbackProxy;
import dev.eventbus.faults.wire.PostgresWire;
import dev.eventbus.it.Events.AssetUpdated;
import dev.eventbus.it.Eventually;
import dev.eventbus.it.Scene;
import java.net.URI;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import java.time.Instant;
import java.util.List;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

/** The publisher's connection ends while it commits, so that it cannot know whether it did. */
@ExtendWith(ServersExtension.class)
class UnknownCommitIT {

    private static final Event<AssetUpdated> EVENT =
            Event.of(ASSET_UPDATED, "evt-1", Instant.EPOCH, AssetUpdated.amount("alice", 7));

    private final PostgresWire wire = new PostgresWire();

    @Test
    void an_event_whose_commit_was_done_and_not_answered_is_delivered_once(KafkaServer kafka, PostgresServer postgres)
            throws Exception {
        try (Scene scene = Scene.create(kafka, postgres, "asset.events:3");
                LoopbackProxy network = inFrontOf(scene)) {
            scene.startRelay();
            wire.loseAnswerOfCommit(1);
            assertThatThrownBy(() -> publish(scene, network, postgres)).isInstanceOf(SQLException.class);
            Eventually.holds(() -> !scene.records("asset.events").isEmpty(), () -> "no record");
            awaitDrained(scene);
            assertThat(scene.records("asset.events"))
                    .extracting(UnknownCommitIT::id)
                    .containsExactly("evt-1");
        }
    }

    @Test
    void an_event_whose_commit_never_arrived_is_not_delivered_until_it_is_published_again(
            KafkaServer kafka, PostgresServer postgres) throws Exception {
        try (Scene scene = Scene.create(kafka, postgres, "asset.events:3");
                LoopbackProxy network = inFrontOf(scene)) {
            scene.startRelay();
            wire.loseCommit(1);
            assertThatThrownBy(() -> publish(scene, network, postgres)).isInstanceOf(SQLException.class);
            scene.inTransaction(tx -> scene.outbox()
                    .within(tx)
                    .publish(Event.of(ASSET_UPDATED, "evt-2", Instant.EPOCH, AssetUpdated.amount("alice", 8))));
            awaitDrained(scene);
            assertThat(scene.records("asset.events"))
                    .extracting(UnknownCommitIT::id)
                    .containsExactly("evt-2");

            publish(scene, network, postgres);
            awaitDrained(scene);
            assertThat(scene.records("asset.events"))
                    .extracting(UnknownCommitIT::id)
                    .containsExactly("evt-2", "evt-1");
        }
    }

    @Test
    void a_retry_under_the_same_id_after_an_unknown_outcome_has_its_effect_once(
            KafkaServer kafka, PostgresServer postgres) throws Exception {
        for (boolean arrived : List.of(true, false)) {
            try (Scene scene = Scene.create(kafka, postgres, "asset.events:3", "dlq.events:1");
                    LoopbackProxy network = inFrontOf(scene)) {
                scene.execute("CREATE TABLE effect (event_id varchar(128) NOT NULL)");
                String group = scene.group("ledger");
                scene.start(ConsumerRunner.builder(scene.kafka(), group)
                        .inTransaction(scene.inbox(), ASSET_UPDATED, (event, tx) -> {
                            try (PreparedStatement effect =
                                    tx.connection().prepareStatement("INSERT INTO effect VALUES (?)")) {
                                effect.setString(1, event.id());
                                effect.executeUpdate();
                            }
                        })
                        .afterRetries(AfterRetries.deadLetter("dlq.events"))
                        .build());
                scene.startRelay();
                if (arrived) {
                    wire.loseAnswerOfCommit(1);
                } else {
                    wire.loseCommit(1);
                }
                assertThatThrownBy(() -> publish(scene, network, postgres)).isInstanceOf(SQLException.class);
                publish(scene, network, postgres);
                int copies = arrived ? 2 : 1;
                Eventually.holds(
                        () -> scene.committed(group, "asset.events") == copies, () -> scene.records("asset.events"));
                assertThat(scene.records("asset.events"))
                        .hasSize(copies)
                        .extracting(UnknownCommitIT::id)
                        .containsOnly("evt-1");
                assertThat(scene.strings("SELECT event_id FROM effect")).containsExactly("evt-1");
                assertThat(scene.records("dlq.events")).isEmpty();
            }
        }
    }

    private LoopbackProxy inFrontOf(Scene scene) {
        return LoopbackProxy.open(wire).forwardTo("127.0.0.1:" + port(scene));
    }

    private static int port(Scene scene) {
        return URI.create(scene.database().getJdbcUrl().substring("jdbc:".length()))
                .getPort();
    }

    /** Publishes the event over the bad network. */
    private static void publish(Scene scene, LoopbackProxy network, PostgresServer postgres) throws SQLException {
        String url = scene.database().getJdbcUrl().replace(":" + port(scene) + "/", ":" + network.port() + "/");
        try (Connection tx = DriverManager.getConnection(url, postgres.user(), postgres.password())) {
            tx.setAutoCommit(false);
            scene.outbox().within(tx).publish(EVENT);
            tx.commit();
        }
    }

    private static void awaitDrained(Scene scene) {
        Eventually.holds(() -> scene.count("SELECT count(*) FROM eventbus_outbox") == 0, () -> "rows left");
    }

    private static String id(ConsumerRecord<byte[], byte[]> record) {
        return new String(record.headers().lastHeader("id").value(), UTF_8);
    }
}
