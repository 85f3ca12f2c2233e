package dev.eventbus.it.consumer;

import dev.eventbus.embedded.KafkaServer;
import dev.eventbus.embedded.PostgresServer;
import dev.eventbus.embedded.ServersExtension;
import dev.eventbus.it.Scene;
import java.sql.SQLException;
import org.junit.jupiter.api.extension.ExtendWith;

@ExtendWith(ServersExtension.class)
class CliOnPostgresIT extends CliContract {

    CliOnPostgresIT(KafkaServer kafka, PostgresServer postgres) throws SQLException {
        super(Scene.create(kafka, postgres, "asset.events:3", "dlq.events:1"), Scene::inbox);
    }
}
