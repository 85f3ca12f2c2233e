package dev.eventbus.it;

import static dev.eventbus.it.Events.ASSET_UPDATED;
import static dev.eventbus.it.Events.HOUSING_UPDATED;
import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.consumer.AfterRetries;
import dev.eventbus.consumer.ConsumerRunner;
import dev.eventbus.embedded.KafkaServer;
import dev.eventbus.embedded.PostgresServer;
import dev.eventbus.embedded.ServersExtension;
import dev.eventbus.it.Events.AssetUpdated;
import dev.eventbus.it.Events.HousingUpdated;
import java.sql.PreparedStatement;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

/** A handler that publishes the next event. */
@ExtendWith(ServersExtension.class)
class ChainIT {

    @Test
    void read_effect_and_next_event_commit_together_or_not_at_all(KafkaServer kafka, PostgresServer postgres)
            throws Exception {
        try (Scene scene = Scene.create(kafka, postgres, "asset.events:3", "housing.events:3", "dlq.events:1")) {
            scene.execute("CREATE TABLE effect (user_id varchar(40) NOT NULL)");
            AtomicInteger runs = new AtomicInteger();
            String group = scene.group("calculator");
            scene.start(ConsumerRunner.builder(scene.kafka(), group)
                    .inTransaction(scene.inbox(), ASSET_UPDATED, (event, tx) -> {
                        try (PreparedStatement effect =
                                tx.connection().prepareStatement("INSERT INTO effect VALUES (?)")) {
                            effect.setString(1, event.key());
                            effect.executeUpdate();
                        }
                        scene.outbox()
                                .within(tx.connection())
                                .publish(HOUSING_UPDATED, new HousingUpdated(event.key(), "h-1", "PRICE_CHANGED"));
                        if (runs.incrementAndGet() < 3) {
                            throw new IllegalStateException("after publishing, before the commit");
                        }
                    })
                    .afterRetries(AfterRetries.deadLetter("dlq.events"))
                    .build());
            scene.startRelay();
            scene.inTransaction(
                    tx -> scene.outbox().within(tx).publish(ASSET_UPDATED, AssetUpdated.amount("alice", 1)));

            Eventually.holds(
                    () -> scene.committed(group, "asset.events") == 1
                            && scene.count("SELECT count(*) FROM eventbus_outbox") == 0,
                    () -> runs);
            assertThat(runs).hasValue(3);
            assertThat(scene.count("SELECT count(*) FROM effect")).isEqualTo(1);
            assertThat(scene.strings("SELECT outcome FROM eventbus_inbox")).containsExactly("DONE");
            assertThat(scene.records("housing.events")).hasSize(1);
            assertThat(scene.records("dlq.events")).isEmpty();
        }
    }
}
