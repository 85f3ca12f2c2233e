package dev.eventbus.it;

import static dev.eventbus.it.Events.ASSET_UPDATED;
import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.Event;
import dev.eventbus.consumer.AfterRetries;
import dev.eventbus.consumer.ConsumerRunner;
import dev.eventbus.embedded.KafkaServer;
import dev.eventbus.embedded.PostgresServer;
import dev.eventbus.embedded.ServersExtension;
import dev.eventbus.it.Events.AssetUpdated;
import dev.eventbus.outbox.OutboxRelay;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

/** Stopping and starting again loses, doubles and reorders nothing. */
@ExtendWith(ServersExtension.class)
class RestartsIT {

    private static final int EVENTS = 10_000;
    private static final int USERS = 100;
    private static final int RESTARTS = 5;

    @Test
    void ten_thousand_events_of_a_hundred_users_survive_five_restarts_of_relay_and_runner(
            KafkaServer kafka, PostgresServer postgres) throws Exception {
        try (Scene scene = Scene.create(kafka, postgres, "asset.events:3", "dlq.events:1")) {
            scene.execute(
                    "CREATE TABLE effect (ord bigint GENERATED ALWAYS AS IDENTITY, user_id varchar(40), n bigint, event_id varchar(128))");
            OutboxRelay relay = scene.startRelay();
            ConsumerRunner runner = scene.start(runner(scene));
            SplittableRandom random = new SplittableRandom(20261121);
            long[] next = new long[USERS];
            for (int published = 0, restarts = 0; published < EVENTS; published += 100) {
                publish(scene, random, next, 100);
                if (published >= (restarts + 1) * EVENTS / (RESTARTS + 1)) {
                    restarts++;
                    relay.close();
                    relay = scene.startRelay();
                    runner.close();
                    runner = scene.start(runner(scene));
                }
            }
            Eventually.holds(
                    Duration.ofMinutes(2),
                    () -> scene.count("SELECT count(DISTINCT event_id) FROM effect") == EVENTS,
                    () -> "effects are missing");
            Eventually.holds(() -> scene.count("SELECT count(*) FROM eventbus_outbox") == 0, () -> "rows left");

            assertThat(scene.count("SELECT count(*) FROM effect"))
                    .as("each effect once")
                    .isEqualTo(EVENTS);
            assertThat(scene.count("""
                            SELECT count(*) FROM (
                              SELECT n, row_number() OVER (PARTITION BY user_id ORDER BY ord) - 1 AS place FROM effect) AS o
                            WHERE n <> place""")).as("effects out of the user's order").isZero();
            assertThat(scene.records("dlq.events")).isEmpty();
        }
    }

    private static void publish(Scene scene, SplittableRandom random, long[] next, int events) throws SQLException {
        scene.inTransaction(tx -> {
            List<Event<?>> batch = new ArrayList<>();
            for (int i = 0; i < events; i++) {
                int user = random.nextInt(USERS);
                long n = next[user]++;
                batch.add(Event.of(
                        ASSET_UPDATED,
                        "user-" + user + "-" + n,
                        Instant.EPOCH,
                        AssetUpdated.amount("user-" + user, n)));
            }
            scene.outbox().within(tx).publishAll(batch);
        });
    }

    private static ConsumerRunner runner(Scene scene) {
        return ConsumerRunner.builder(scene.kafka(), scene.group("calculator"))
                .inTransaction(scene.inbox(), ASSET_UPDATED, (event, tx) -> {
                    try (PreparedStatement effect = tx.connection()
                            .prepareStatement("INSERT INTO effect (user_id, n, event_id) VALUES (?, ?, ?)")) {
                        effect.setString(1, event.key());
                        effect.setObject(2, event.payload().newAmount());
                        effect.setString(3, event.id());
                        effect.executeUpdate();
                    }
                })
                .afterRetries(AfterRetries.deadLetter("dlq.events"))
                .build();
    }
}
