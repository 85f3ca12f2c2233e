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
import org.junit.jupiter.api.parallel.Isolated;

/** What a relay reads of a backlog that it cannot send. */
@ExtendWith(ServersExtension.class)
@Isolated("while a transaction is open in any database, a relay reads all that came after it at each look")
class BacklogCostIT {

    private static final String LOOK_UPS = "SELECT idx_scan FROM pg_stat_user_tables WHERE relname = 'eventbus_outbox'";
    private static final String ROWS_READ =
            "SELECT idx_tup_read FROM pg_stat_user_indexes WHERE relname = 'eventbus_outbox'";
    private static final String PENDING = "SELECT count(*) FROM eventbus_outbox";

    private static Event<AssetUpdated> asset(String id, String user) {
        return Event.of(ASSET_UPDATED, id, Instant.EPOCH, AssetUpdated.amount(user, 1));
    }

    @Test
    void a_backlog_of_a_missing_topic_is_not_searched_for_others_at_each_look(
            KafkaServer kafka, PostgresServer postgres) throws Exception {
        try (Scene scene = Scene.create(kafka, postgres, "housing.events:1")) {
            scene.inTransaction(tx -> {
                for (int i = 0; i < 2_000; i++) {
                    scene.outbox().within(tx).publish(asset("evt-" + i, "user-" + i));
                }
            });
            OutboxRelay relay = scene.startRelay();
            Eventually.holds(
                    Duration.ofSeconds(15), () -> !relay.health().problems().isEmpty(), relay::health);
            Eventually.holds( // once no transaction of any database is older than the last look
                    () -> {
                        long rows = scene.count(ROWS_READ);
                        long looked = scene.count(LOOK_UPS);
                        Eventually.holds(() -> scene.count(LOOK_UPS) > looked + 16, relay::health);
                        return scene.count(ROWS_READ) - rows < 500;
                    },
                    relay::health);
            long from = scene.count(LOOK_UPS);
            long read = scene.count(ROWS_READ);
            Eventually.holds(() -> scene.count(LOOK_UPS) > from + 16 * 20, relay::health);
            assertThat(scene.count(ROWS_READ) - read)
                    .as("rows read by twenty looks at %s", relay.health())
                    .isLessThan(4_000);
            assertThat(scene.count(PENDING)).isEqualTo(2_000);
        }
    }
}
