package dev.eventbus.examples.springboot;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.eventbus.EventPublisher;
import dev.eventbus.consumer.ConsumerRunner;
import dev.eventbus.consumer.inbox.JdbcInbox;
import dev.eventbus.consumer.inbox.Mark;
import dev.eventbus.embedded.KafkaServer;
import dev.eventbus.embedded.PostgresServer;
import dev.eventbus.embedded.ServersExtension;
import dev.eventbus.examples.springboot.AssetService.AssetAdded;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.springframework.context.ConfigurableApplicationContext;
import org.springframework.jdbc.core.JdbcTemplate;

@ExtendWith(ServersExtension.class)
class ApplicationIT {

    @Test
    void publishes_and_handles_in_springs_transactions(KafkaServer kafka, PostgresServer postgres) throws Exception {
        String url = postgres.createDatabase(postgres.uniqueName("spring_boot"));
        List<String> screen = new ArrayList<>();
        ConsumerRunner runner;
        try (ConfigurableApplicationContext spring = Application.start(postgres, url, kafka.bootstrapServers())) {
            runner = spring.getBean(ConsumerRunner.class);
            Application.use(spring, screen::add);
            AssetAdded one = new AssetAdded("alice", 1L);
            EventPublisher events = spring.getBean(EventPublisher.class);
            assertThatThrownBy(() -> events.publish(AssetService.ASSET_ADDED, one))
                    .hasMessageContaining("transaction");
            Mark mark = new Mark("networth", "evt-1", new byte[] {1}, "asset.events", 0, 7);
            assertThatThrownBy(() -> spring.getBean(JdbcInbox.class).run(mark, tx -> {
                        spring.getBean(NetWorthService.class).add(one);
                        throw new Exception("of the handler");
                    }))
                    .hasMessage("of the handler");
            String sumsAndMarks = "SELECT total FROM net_worth UNION ALL SELECT count(*) FROM eventbus_inbox";
            assertThat(spring.getBean(JdbcTemplate.class).queryForList(sumsAndMarks, Long.class))
                    .containsExactlyInAnyOrder(120L, 7L, 3L);
        }
        assertThat(screen).contains("rolled back: alice +5000, since alice would own more than 1000");
        assertThat(runner.health().status()).as("closed by Spring").hasToString("STOPPED");
    }
}
