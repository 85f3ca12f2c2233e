package dev.eventbus.it.inbox;

import static dev.eventbus.it.Events.ASSET_UPDATED;
import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.consumer.AfterRetries;
import dev.eventbus.consumer.ConsumerRunner;
import dev.eventbus.consumer.Delivery;
import dev.eventbus.consumer.RunnerListener;
import dev.eventbus.consumer.inbox.JdbcInbox;
import dev.eventbus.consumer.inbox.Outcome;
import dev.eventbus.embedded.KafkaServer;
import dev.eventbus.embedded.PostgresServer;
import dev.eventbus.embedded.ServersExtension;
import dev.eventbus.faults.wire.LoopbackProxy;
import dev.eventbus.faults.wire.PostgresWire;
import dev.eventbus.it.Eventually;
import dev.eventbus.it.Scene;
import java.net.URI;
import java.sql.PreparedStatement;
import java.util.List;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.atomic.AtomicBoolean;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.postgresql.ds.PGSimpleDataSource;

/** The connection of a handler's transaction ends while it commits. */
@ExtendWith(ServersExtension.class)
class InboxUnknownCommitIT {

    @ParameterizedTest
    @ValueSource(booleans = {true, false})
    void K_20_an_effect_whose_commit_got_no_answer_happens_once_and_uses_no_attempt(
            boolean arrives, KafkaServer kafka, PostgresServer postgres) throws Exception {
        PostgresWire wire = new PostgresWire();
        AtomicBoolean lost = new AtomicBoolean();
        Queue<Integer> attempts = new ConcurrentLinkedQueue<>();
        Queue<Outcome> repeats = new ConcurrentLinkedQueue<>();
        try (Scene scene = Scene.create(kafka, postgres, "asset.events:1", "dlq.events:1");
                LoopbackProxy network = LoopbackProxy.open(wire).forwardTo("127.0.0.1:" + port(scene))) {
            scene.execute("CREATE TABLE effect (event_id varchar(128) NOT NULL)");
            PGSimpleDataSource database = new PGSimpleDataSource();
            database.setUrl(scene.database().getJdbcUrl().replace(":" + port(scene) + "/", ":" + network.port() + "/"));
            database.setUser(postgres.user());
            database.setPassword(postgres.password());
            String group = scene.group("ledger");
            scene.sendRaw(
                    "asset.events",
                    "alice",
                    "{\"eventId\":\"evt-1\",\"eventType\":\"ASSET_UPDATED\",\"timestamp\":\"2025-12-29T10:00:00Z\",\"userId\":\"alice\"}");
            scene.flush();
            scene.start(ConsumerRunner.builder(scene.kafka(), group)
                    .inTransaction(JdbcInbox.postgres(database), ASSET_UPDATED, (event, tx) -> {
                        attempts.add(tx.attempt());
                        try (PreparedStatement effect =
                                tx.connection().prepareStatement("INSERT INTO effect VALUES (?)")) {
                            effect.setString(1, event.id());
                            effect.executeUpdate();
                        }
                        if (lost.compareAndSet(false, true)) {
                            if (arrives) {
                                wire.loseAnswerOfCommit(1);
                            } else {
                                wire.loseCommit(1);
                            }
                        }
                    })
                    .afterRetries(AfterRetries.deadLetter("dlq.events"))
                    .listener(new RunnerListener() {
                        @Override
                        public void repeated(String type, Delivery delivery, Outcome known) {
                            repeats.add(known);
                        }
                    })
                    .build());
            Eventually.holds(() -> scene.committed(group, "asset.events") == 1, () -> attempts);
            assertThat(wire.lost()).isEqualTo(1);
            assertThat(scene.strings("SELECT event_id FROM effect")).containsExactly("evt-1");
            assertThat(attempts).containsExactlyElementsOf(arrives ? List.of(1) : List.of(1, 1));
            assertThat(repeats).containsExactlyElementsOf(arrives ? List.of(Outcome.DONE) : List.of());
            assertThat(scene.records("dlq.events")).isEmpty();
        }
    }

    private static int port(Scene scene) {
        return URI.create(scene.database().getJdbcUrl().substring("jdbc:".length()))
                .getPort();
    }
}
