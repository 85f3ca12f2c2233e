package dev.eventbus.it.outbox;

import static org.assertj.core.api.Assertions.assertThat;

import com.zaxxer.hikari.HikariConfig;
import dev.eventbus.embedded.KafkaServer;
import dev.eventbus.embedded.ServersExtension;
import dev.eventbus.it.Eventually;
import dev.eventbus.it.Scene;
import dev.eventbus.outbox.JdbcOutbox;
import dev.eventbus.outbox.OutboxRelay;
import java.sql.Connection;
import java.sql.SQLException;
import java.time.Duration;
import java.util.UUID;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

/** Order and no loss from H2 to Kafka. */
@ExtendWith(ServersExtension.class)
class H2RelayIT {

    private static final String PENDING = "SELECT count(*) FROM \"eventbus_outbox\"";

    /** In memory. A writer waits for the user's row as long as it takes, as on a server. */
    private static Scene scene(KafkaServer kafka) throws SQLException {
        HikariConfig pool = new HikariConfig();
        pool.setJdbcUrl("jdbc:h2:mem:%s;DB_CLOSE_DELAY=-1;LOCK_TIMEOUT=60000".formatted(UUID.randomUUID()));
        return Scene.create(kafka, pool, JdbcOutbox.h2(), "asset.events:3");
    }

    @Test
    void writers_that_serialise_on_a_contended_key_are_never_reordered(KafkaServer kafka) throws Exception {
        try (Scene scene = scene(kafka)) {
            SerialisedWriters writers = SerialisedWriters.on(scene.database(), scene.outbox());
            OutboxRelay relay = scene.startRelay();
            FetchIT.assertEachOnceInOrder(scene, relay, PENDING, writers.write());
        }
    }

    @Test
    void a_writer_that_commits_after_all_others_is_found_without_the_full_read(KafkaServer kafka) throws Exception {
        try (Scene scene = scene(kafka);
                Connection late = scene.database().getConnection()) {
            SerialisedWriters writers = SerialisedWriters.on(scene.database(), scene.outbox());
            OutboxRelay relay = scene.startRelay();
            late.setAutoCommit(false);
            scene.outbox().within(late).publish(SerialisedWriters.event("late", 1));
            long committed = writers.write(Duration.ofSeconds(2));
            Eventually.holds(() -> scene.count(PENDING) == 0, relay::health);
            late.commit();
            long begun = System.nanoTime();
            Eventually.holds(() -> scene.count(PENDING) == 0, relay::health);
            assertThat(Duration.ofNanos(System.nanoTime() - begun)).isLessThan(Duration.ofSeconds(15));
            FetchIT.assertEachOnceInOrder(scene, relay, PENDING, committed + 1);
        }
    }
}
