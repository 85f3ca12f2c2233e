package dev.eventbus.examples.springboot;

import dev.eventbus.consumer.Delivery;
import dev.eventbus.consumer.RunnerListener;
import dev.eventbus.embedded.EmbeddedKafka;
import dev.eventbus.embedded.EmbeddedPostgres;
import dev.eventbus.embedded.PostgresServer;
import dev.eventbus.topics.KafkaCluster;
import dev.eventbus.topics.TopicSpec;
import dev.eventbus.topics.Topics;
import java.time.Duration;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.context.ConfigurableApplicationContext;

/** Starts on embedded servers, uses its services and waits until the runner has handled what they published. */
@SpringBootApplication
public class Application implements RunnerListener {

    private final Semaphore handled = new Semaphore(0);

    public static void main(String[] args) throws Exception {
        try (EmbeddedPostgres postgres = EmbeddedPostgres.start();
                EmbeddedKafka kafka = EmbeddedKafka.start();
                ConfigurableApplicationContext spring = start(postgres, postgres.jdbcUrl(), kafka.bootstrapServers())) {
            use(spring, System.out::println);
        }
    }

    static ConfigurableApplicationContext start(PostgresServer postgres, String url, String bootstrapServers) {
        Topics.of( // a service leaves them to its operators
                        KafkaCluster.at(bootstrapServers),
                        TopicSpec.of(AssetService.ASSET_ADDED.topic(), 3).replicationFactor(1), // one broker
                        TopicSpec.of(EventbusConfiguration.DEAD_LETTERS, 1).replicationFactor(1))
                .provision();
        return SpringApplication.run(
                Application.class,
                "--spring.datasource.url=" + url,
                "--spring.datasource.username=" + postgres.user(),
                "--spring.datasource.password=" + postgres.password(),
                "--kafka.bootstrap-servers=" + bootstrapServers);
    }

    static void use(ConfigurableApplicationContext spring, Consumer<String> screen) throws Exception {
        AssetService assets = spring.getBean(AssetService.class);
        assets.add("alice", 100);
        assets.add("bob", 7);
        screen.accept("committed:   alice +100, bob +7");
        try {
            assets.add("alice", 5_000);
        } catch (IllegalArgumentException e) {
            screen.accept("rolled back: alice +5000, since " + e.getMessage());
        }
        assets.add("alice", 20);
        screen.accept("committed:   alice +20");
        if (!spring.getBean(Application.class).handled.tryAcquire(3, 1, TimeUnit.MINUTES)) {
            throw new IllegalStateException("waited in vain for 3 events");
        }
        spring.getBean(NetWorthRepository.class)
                .findAll()
                .forEach(one -> screen.accept("net worth of %s: %d".formatted(one.userId, one.total)));
    }

    @Override
    public void handled(String eventType, Delivery delivery, Duration took) {
        handled.release();
    }
}
