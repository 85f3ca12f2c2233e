package dev.eventbus.examples.springboot;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.eventbus.EventPublisher;
import dev.eventbus.consumer.ConsumerRunner;
import dev.eventbus.consumer.RunnerHealth.Status;
import dev.eventbus.embedded.KafkaServer;
import dev.eventbus.embedded.PostgresServer;
import dev.eventbus.embedded.ServersExtension;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.springframework.context.ConfigurableApplicationContext;
import org.springframework.jdbc.core.JdbcTemplate;

@ExtendWith(ServersExtension.class)
class ApplicationIT {

    @Test
    void what_a_transactional_method_commits_is_handled_once_in_a_transaction_of_springs(
            KafkaServer kafka, PostgresServer postgres) throws Exception {
        List<String> screen = new ArrayList<>();
        String url = postgres.createDatabase(postgres.uniqueName("spring_boot"));
        ConsumerRunner runner;
        try (ConfigurableApplicationContext spring = Application.start(postgres, url, kafka.bootstrapServers())) {
            runner = spring.getBean(ConsumerRunner.class);
            Application.use(spring, screen::add);

            JdbcTemplate jdbc = spring.getBean(JdbcTemplate.class);
            assertThat(jdbc.queryForList("SELECT outcome FROM eventbus_inbox", String.class))
                    .containsExactly("DONE", "DONE", "DONE");
            EventPublisher events = spring.getBean(EventPublisher.class);
            assertThatThrownBy(() -> events.publish(AssetService.ASSET_ADDED, new AssetService.AssetAdded("alice", 1)))
                    .hasMessageContaining("transaction");
        }
        assertThat(screen)
                .contains("rolled back: alice +5000, since alice would own more than 1000")
                .contains("net worth of alice: 120", "net worth of bob: 7");
        assertThat(runner.health().status()).as("closed by Spring").isEqualTo(Status.STOPPED);
    }
}
