package dev.eventbus.it.outbox;

import static dev.eventbus.it.Events.ASSET_UPDATED;
import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.Event;
import dev.eventbus.embedded.KafkaServer;
import dev.eventbus.embedded.PostgresServer;
import dev.eventbus.embedded.ServersExtension;
import dev.eventbus.it.Events.AssetUpdated;
import dev.eventbus.it.Eventually;
import dev.eventbus.it.Scene;
import dev.eventbus.outbox.OutboxRelay;
import java.time.Duration;
import java.time.Instant;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

/**
 * A backlog that is larger than the relay's memory. {@code -Deventbus.it.large-events=2000} makes it eight times as large as the
 * heap; by default it is a little larger than the heap.
 */
@ExtendWith(ServersExtension.class)
class LargeEventsIT {

    private static final int EVENTS = Integer.getInteger("eventbus.it.large-events", 400);
    private static final int KEYS = 8;

    @Test
    void events_of_a_megabyte_are_relayed_in_a_heap_of_256_megabytes(KafkaServer kafka, PostgresServer postgres)
            throws Exception {
        try (Scene scene = Scene.create(kafka, postgres, "asset.events:3")) {
            publishMegabytes(scene);
            try (RelayProcess relay = RelayProcess.start(scene, OutboxRelay.DEFAULT_LEASE, "-Xmx256m")) {
                Eventually.holds(
                        Duration.ofMinutes(5), () -> relay.relayed() == EVENTS || !relay.isAlive(), () -> relay);
                assertThat(relay.isAlive()).as("%s", relay).isTrue();
            }
            assertThat(scene.count("SELECT count(*) FROM eventbus_outbox")).isZero();
            assertThat(scene.endOffsets("asset.events")).isEqualTo(EVENTS);
        }
    }

    /** One of each key as the publisher writes it; the others are copies that the database makes. */
    private static void publishMegabytes(Scene scene) throws Exception {
        scene.inTransaction(tx -> {
            for (int key = 0; key < KEYS; key++) {
                String part = "x".repeat(240_000); // no reader takes a longer one
                AssetUpdated megabyte = new AssetUpdated("user-" + key, part, part, part, part, null, null, null);
                scene.outbox().within(tx).publish(Event.of(ASSET_UPDATED, "evt-" + key, Instant.EPOCH, megabyte));
            }
        });
        scene.execute("""
                INSERT INTO eventbus_outbox (shard, id, aggregatetype, aggregateid, type, payload, headers, content_type, created_at)
                SELECT shard, id || '-' || n, aggregatetype, aggregateid, type, payload, headers, content_type, created_at
                FROM eventbus_outbox, generate_series(2, %d) AS n""".formatted(EVENTS / KEYS));
    }
}
