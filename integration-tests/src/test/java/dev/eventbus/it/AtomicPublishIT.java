package dev.eventbus.it;

import static dev.eventbus.it.Events.ASSET_UPDATED;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.eventbus.Event;
import dev.eventbus.embedded.KafkaServer;
import dev.eventbus.embedded.PostgresServer;
import dev.eventbus.embedded.ServersExtension;
import dev.eventbus.it.Events.AssetUpdated;
import java.sql.Connection;
import java.sql.SQLException;
import java.time.Duration;
import java.time.Instant;
import java.util.Arrays;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.header.Header;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

/** An event exists if and only if the transaction that published it committed. */
@ExtendWith(ServersExtension.class)
class AtomicPublishIT {

    private static final String PENDING = "SELECT count(*) FROM eventbus_outbox";

    @Test
    void a_transaction_that_is_rolled_back_leaves_no_row_and_no_record(KafkaServer kafka, PostgresServer postgres)
            throws Exception {
        try (Scene scene = Scene.create(kafka, postgres, "asset.events:3")) {
            scene.startRelay();
            try (Connection tx = scene.database().getConnection()) {
                tx.setAutoCommit(false);
                scene.outbox().within(tx).publish(ASSET_UPDATED, AssetUpdated.amount("alice", 1));
                tx.rollback();
            }
            publishAndAwaitRelayed(scene, "bob");
            assertThat(scene.records("asset.events"))
                    .extracting(AtomicPublishIT::keyOf)
                    .containsExactly("bob");
        }
    }

    @Test
    void a_process_that_dies_before_its_commit_leaves_no_row_and_no_record(KafkaServer kafka, PostgresServer postgres)
            throws Exception {
        try (Scene scene = Scene.create(kafka, postgres, "asset.events:3")) {
            scene.startRelay();
            try (Connection tx = scene.database().getConnection()) {
                tx.setAutoCommit(false);
                scene.outbox().within(tx).publish(ASSET_UPDATED, AssetUpdated.amount("alice", 1));
                scene.count(
                        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction'");
                assertThatThrownBy(tx::commit).isInstanceOf(SQLException.class);
            }
            publishAndAwaitRelayed(scene, "bob");
            assertThat(scene.records("asset.events"))
                    .extracting(AtomicPublishIT::keyOf)
                    .containsExactly("bob");
        }
    }

    @Test
    void a_committed_event_becomes_exactly_its_record(KafkaServer kafka, PostgresServer postgres) throws Exception {
        try (Scene scene = Scene.create(kafka, postgres, "asset.events:3")) {
            Instant before = Instant.now();
            Event<AssetUpdated> event = Event.of(
                            ASSET_UPDATED,
                            "evt-1",
                            Instant.parse("2025-01-15T10:35:00Z"),
                            AssetUpdated.amount("alice", 15))
                    .withHeader("tenant", "eu")
                    .withHeader("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
            scene.startRelay();
            scene.inTransaction(tx -> scene.outbox().within(tx).publish(event));
            Eventually.holds(() -> scene.count(PENDING) == 0, () -> "rows left");

            assertThat(scene.records("asset.events")).singleElement().satisfies(record -> {
                assertThat(record.key()).isEqualTo("alice".getBytes(UTF_8));
                assertThat(new String(record.value(), UTF_8)).isEqualTo("""
                                {"eventId":"evt-1","eventType":"ASSET_UPDATED","timestamp":"2025-01-15T10:35:00Z","userId":"alice",\
                                "changeType":"ITEM_MODIFIED","ownerType":"SELF","itemType":"ASSET","itemId":null,"previousAmount":null,\
                                "newAmount":15,"summary":null}""");
                assertThat(Arrays.stream(record.headers().toArray()).map(AtomicPublishIT::text))
                        .containsExactly(
                                "id=evt-1",
                                "eventType=ASSET_UPDATED",
                                "contentType=application/json",
                                "traceparent=00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
                                "tenant=eu");
                assertThat(Instant.ofEpochMilli(record.timestamp()))
                        .as("the time of sending")
                        .isBetween(before.minusMillis(1), Instant.now());
            });
        }
    }

    @Test
    void an_event_older_than_the_retention_or_two_hours_ahead_is_delivered(KafkaServer kafka, PostgresServer postgres)
            throws Exception {
        try (Scene scene = Scene.create(kafka, postgres, "asset.events:1")) {
            scene.startRelay();
            Instant now = Instant.now();
            scene.inTransaction(tx -> {
                scene.outbox()
                        .within(tx)
                        .publish(Event.of(
                                ASSET_UPDATED,
                                "old",
                                now.minus(Duration.ofDays(400)),
                                AssetUpdated.amount("alice", 1)));
                scene.outbox()
                        .within(tx)
                        .publish(Event.of(
                                ASSET_UPDATED,
                                "early",
                                now.plus(Duration.ofHours(2)),
                                AssetUpdated.amount("alice", 2)));
            });
            Eventually.holds(() -> scene.count(PENDING) == 0, () -> "rows left");
            assertThat(scene.records("asset.events"))
                    .extracting(record -> text(record.headers().lastHeader("id")))
                    .containsExactly("id=old", "id=early");
            assertThat(scene.records("asset.events"))
                    .allSatisfy(record -> assertThat(Instant.ofEpochMilli(record.timestamp()))
                            .isBetween(now.minusSeconds(1), Instant.now()));
        }
    }

    private static void publishAndAwaitRelayed(Scene scene, String user) throws SQLException {
        scene.inTransaction(tx -> scene.outbox().within(tx).publish(ASSET_UPDATED, AssetUpdated.amount(user, 1)));
        Eventually.holds(() -> scene.count(PENDING) == 0, () -> "rows left");
    }

    private static String keyOf(ConsumerRecord<byte[], byte[]> record) {
        return new String(record.key(), UTF_8);
    }

    private static String text(Header header) {
        return header.key() + "=" + new String(header.value(), UTF_8);
    }
}
