package dev.eventbus.examples.jdbi;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.zaxxer.hikari.HikariDataSource;
import dev.eventbus.consumer.inbox.JdbcInbox;
import dev.eventbus.consumer.inbox.Mark;
import dev.eventbus.embedded.KafkaServer;
import dev.eventbus.embedded.PostgresServer;
import dev.eventbus.embedded.ServersExtension;
import dev.eventbus.topics.KafkaCluster;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import org.jdbi.v3.core.Jdbi;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

@ExtendWith(ServersExtension.class)
class JdbiExampleIT {

    @Test
    void orders_that_commit_are_shipped_once_and_in_order(KafkaServer kafka, PostgresServer postgres) throws Exception {
        List<String> screen = new ArrayList<>();
        String url = postgres.createDatabase(postgres.uniqueName("jdbi"));
        try (HikariDataSource database = JdbiExample.pool(postgres, url)) {
            JdbiExample.run(database, KafkaCluster.at(kafka.bootstrapServers()), screen::add);
        }
        assertThat(screen)
                .containsExactly(
                        "3 lines of 2 customers are placed",
                        "2 lines are rolled back, since the second is refused: no event of either",
                        "1 line more is placed",
                        "shipped to alice: [1 lamp, 2 bulb, 1 shade]",
                        "shipped to bob: [4 chair]");
    }

    @Test
    void what_a_handler_does_through_jdbi_rolls_back_with_the_mark(PostgresServer postgres) throws Exception {
        String url = postgres.createDatabase(postgres.uniqueName("jdbi"));
        try (HikariDataSource database = JdbiExample.pool(postgres, url)) {
            Jdbi jdbi = Jdbi.create(database);
            JdbcInbox.createTables(database);
            jdbi.useHandle(handle -> handle.execute("CREATE TABLE effect (id integer)"));
            IOException thrown = new IOException();
            assertThatThrownBy(() -> new Shipping(jdbi).inbox().run(mark(), tx -> {
                        jdbi.useHandle(joined -> joined.execute("INSERT INTO effect VALUES (1)"));
                        throw thrown;
                    }))
                    .isSameAs(thrown);
            assertThat(jdbi.<Integer, RuntimeException>withHandle(handle -> handle.select(
                                    "SELECT (SELECT count(*) FROM effect) + count(*) FROM eventbus_inbox")
                            .mapTo(Integer.class)
                            .one()))
                    .isZero();
        }
    }

    private static Mark mark() {
        return new Mark("shipping", "evt-1", new byte[] {1}, "order.events", 0, 7);
    }
}
