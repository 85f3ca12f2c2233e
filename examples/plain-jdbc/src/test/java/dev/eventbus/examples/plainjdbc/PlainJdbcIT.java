package dev.eventbus.examples.plainjdbc;

import static org.assertj.core.api.Assertions.assertThat;

import com.zaxxer.hikari.HikariDataSource;
import dev.eventbus.embedded.KafkaServer;
import dev.eventbus.embedded.PostgresServer;
import dev.eventbus.embedded.ServersExtension;
import dev.eventbus.topics.KafkaCluster;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CopyOnWriteArrayList;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

@ExtendWith(ServersExtension.class)
class PlainJdbcIT {

    @Test
    void what_commits_counts_once_and_what_is_rolled_back_not_at_all(KafkaServer kafka, PostgresServer postgres)
            throws Exception {
        List<String> screen = new CopyOnWriteArrayList<>();
        String url = postgres.createDatabase(postgres.uniqueName("plain_jdbc"));
        try (HikariDataSource database = PlainJdbc.pool(postgres, url)) {
            PlainJdbc.run(database, KafkaCluster.at(kafka.bootstrapServers()), screen::add);

            assertThat(NetWorth.of(database)).isEqualTo(Map.of("alice", 120L, "bob", 7L, "carol", 42L));
        }
        assertThat(screen).filteredOn(line -> line.startsWith("  handled")).hasSize(4);
        assertThat(screen).filteredOn(line -> line.startsWith("  repeat")).isNotEmpty();
    }
}
