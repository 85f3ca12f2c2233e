package dev.eventbus.it.outbox;

import static dev.eventbus.it.Events.ASSET_UPDATED;
import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.EncodedEvent;
import dev.eventbus.Event;
import dev.eventbus.embedded.KafkaServer;
import dev.eventbus.embedded.PostgresServer;
import dev.eventbus.embedded.ServersExtension;
import dev.eventbus.it.Events.AssetUpdated;
import dev.eventbus.it.Eventually;
import dev.eventbus.it.Scene;
import dev.eventbus.outbox.JdbcOutbox;
import dev.eventbus.outbox.Outbox;
import dev.eventbus.outbox.OutboxAdmin;
import dev.eventbus.outbox.OutboxRelay;
import dev.eventbus.outbox.OutboxStats;
import dev.eventbus.outbox.metrics.OutboxMetrics;
import dev.eventbus.topics.KafkaCluster;
import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import java.time.Instant;
import javax.sql.DataSource;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** What the pages about operating show, as it runs. */
@ExtendWith(ServersExtension.class)
class OperatingIT {

    private static final Logger log = LoggerFactory.getLogger(OperatingIT.class);

    @Test
    void meters_follow_an_event_from_publishing_to_kafka(KafkaServer server, PostgresServer postgres) throws Exception {
        try (Scene scene = Scene.create(server, postgres, "asset.events:3")) {
            JdbcOutbox outbox = scene.outbox();
            DataSource dataSource = scene.database();
            KafkaCluster kafka = scene.kafka();
            SimpleMeterRegistry registry = new SimpleMeterRegistry();
            // region: metrics
            OutboxMetrics metrics = OutboxMetrics.of(registry, "orders", OutboxAdmin.of(outbox, dataSource));
            OutboxRelay relay = OutboxRelay.builder(outbox, dataSource, kafka)
                    .listener(metrics)
                    .build();
            Outbox publishing = metrics.timed(outbox); // give this to the code that publishes
            metrics.start(); // asks the database every 10 s
            // end: metrics
            try (metrics;
                    relay) {
                relay.start();
                scene.inTransaction(tx -> publishing.within(tx).publish(ASSET_UPDATED, AssetUpdated.amount("bob", 1)));
                Eventually.holds(
                        () -> registry.find("eventbus.relay.sent").counter() != null
                                && registry.find("eventbus.relay.sent")
                                                .counter()
                                                .count()
                                        == 1
                                && !Double.isNaN(registry.get("eventbus.outbox.oldest.age")
                                        .gauge()
                                        .value()),
                        relay::health);
                assertThat(registry.get("eventbus.publish")
                                .tags("event.type", "ASSET_UPDATED", "outcome", "success")
                                .timer()
                                .count())
                        .isEqualTo(1);
                assertThat(registry.get("eventbus.relay.sent")
                                .tags("topic", "asset.events", "outcome", "success")
                                .counter()
                                .count())
                        .isEqualTo(1);
                assertThat(registry.get("eventbus.relay.owned.shards").gauge().value())
                        .isEqualTo(16);
            }
        }
    }

    @Test
    void a_person_looks_and_acts(KafkaServer server, PostgresServer postgres) throws Exception {
        try (Scene scene = Scene.create(server, postgres, "asset.events:1")) {
            JdbcOutbox outbox = scene.outbox();
            DataSource dataSource = scene.database();
            scene.inTransaction(tx -> {
                for (String user : new String[] {"bob", "eve"}) {
                    outbox.within(tx)
                            .publish(
                                    Event.of(ASSET_UPDATED, "of-" + user, Instant.EPOCH, AssetUpdated.amount(user, 1)));
                }
            });
            scene.execute("UPDATE eventbus_outbox SET created_at = created_at - interval '8 days'");
            OutboxRelay relay = scene.startRelay();
            Eventually.holds(() -> relay.health().blockedKeys() == 2, relay::health);
            // region: stats
            OutboxAdmin admin = OutboxAdmin.of(outbox, dataSource);
            OutboxStats stats = admin.stats();
            log.info("{} events wait, the oldest for {}", stats.pending(), stats.oldestAge());
            log.info("{} keys are blocked, {} shards have no relay", stats.blockedKeys(), stats.shardsWithoutOwner());
            // end: stats
            assertThat(stats.pending()).isEqualTo(2);
            assertThat(stats.blockedKeys()).isEqualTo(2);
            // region: blocked
            for (OutboxAdmin.BlockedKey blocked : admin.blocked()) {
                log.warn("{}", blocked); // event id, topic, reason, since when; never the key
            }
            // end: blocked
            OutboxAdmin.BlockedKey blocked = admin.blocked().get(0);
            // region: unblock
            admin.unblock(blocked.topic(), blocked.key());
            // end: unblock
            blocked = admin.blocked().get(0);
            // region: discard
            EncodedEvent given = admin.discard(blocked.eventId(), "told the customer by phone, ticket 4711");
            // end: discard
            assertThat(given.id()).isEqualTo(blocked.eventId());
            Eventually.holds(
                    () -> admin.stats().pending() == 0
                            && relay.health().problems().isEmpty(),
                    relay::health);
            assertThat(scene.records("asset.events")).hasSize(1);
        }
    }
}
