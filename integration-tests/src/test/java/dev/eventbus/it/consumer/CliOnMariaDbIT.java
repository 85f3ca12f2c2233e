package dev.eventbus.it.consumer;

import com.zaxxer.hikari.HikariConfig;
import dev.eventbus.consumer.inbox.JdbcInbox;
import dev.eventbus.embedded.EmbeddedMariaDb;
import dev.eventbus.embedded.KafkaServer;
import dev.eventbus.embedded.ServersExtension;
import dev.eventbus.it.MariaDbExtension;
import dev.eventbus.it.Scene;
import dev.eventbus.outbox.JdbcOutbox;
import java.sql.SQLException;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.extension.ExtendWith;

@Tag("mariadb")
@ExtendWith({ServersExtension.class, MariaDbExtension.class})
class CliOnMariaDbIT extends CliContract {

    CliOnMariaDbIT(KafkaServer kafka, EmbeddedMariaDb mariaDb) throws SQLException {
        super(scene(kafka, mariaDb), scene -> JdbcInbox.mariaDb(scene.database()));
    }

    private static Scene scene(KafkaServer kafka, EmbeddedMariaDb mariaDb) throws SQLException {
        HikariConfig pool = new HikariConfig();
        pool.setJdbcUrl(mariaDb.createDatabase(mariaDb.uniqueName("it")));
        pool.setUsername(mariaDb.user());
        pool.setPassword(mariaDb.password());
        Scene scene = Scene.create(kafka, pool, JdbcOutbox.mariaDb(), "asset.events:3", "dlq.events:1");
        JdbcInbox.createTables(scene.database());
        return scene;
    }
}
