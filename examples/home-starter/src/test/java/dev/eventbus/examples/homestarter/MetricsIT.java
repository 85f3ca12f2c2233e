package dev.eventbus.examples.homestarter;

import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.embedded.EmbeddedKafka;
import dev.eventbus.embedded.EmbeddedPostgres;
import dev.eventbus.topics.TopicSpec;
import dev.eventbus.topics.Topics;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.locks.LockSupport;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/** What the plan's alerts ask for is told by the services themselves: none of them fires because nobody reports. */
class MetricsIT {

    private static final Duration LIMIT = Duration.ofSeconds(60);

    private final HttpClient client = HttpClient.newHttpClient();

    @Test
    void every_outbox_and_every_group_of_the_plan_is_reported_by_a_service() throws Exception {
        try (EmbeddedKafka brokers = EmbeddedKafka.start();
                EmbeddedPostgres postgres = EmbeddedPostgres.start();
                LocalRedis redis = LocalRedis.start()) {
            Settings settings = new Settings(Map.of("KAFKA", brokers.bootstrapServers(), "REDIS", redis.url()));
            Topics.of(
                            settings.kafka(),
                            oneReplica("asset.events"),
                            oneReplica("housing.events"),
                            oneReplica("dlq.events"))
                    .provision();
            try (AssetService assets = AssetService.start(with(settings, postgres, "asset"));
                    HousingService housing = HousingService.start(with(settings, postgres, "housing"));
                    CalculatorService calculator = CalculatorService.start(settings, results -> results);
                    DlqMonitor monitor = DlqMonitor.start(settings)) {
                List<String> urls = List.of(assets.url(), housing.url(), calculator.url(), monitor.url());
                List<String> wanted = Stream.concat(
                                Stream.of("asset", "housing")
                                        .map("eventbus_outbox_oldest_age_seconds{outbox=\"%s\"} 0"::formatted),
                                Stream.of(
                                                HomeStarterTopics.CALCULATOR_ASSET,
                                                HomeStarterTopics.CALCULATOR_HOUSING,
                                                HomeStarterTopics.MONITORING)
                                        .map("eventbus_consumer_lag_records{group=\"%s\",partition=\"0\""::formatted))
                        .toList();
                String told = "";
                for (long end = System.nanoTime() + LIMIT.toNanos(); System.nanoTime() - end < 0; ) {
                    told = scraped(urls);
                    if (wanted.stream().allMatch(told::contains)) {
                        break;
                    }
                    LockSupport.parkNanos(Duration.ofMillis(50).toNanos());
                }
                assertThat(told).contains(wanted);
            }
        }
    }

    private static TopicSpec oneReplica(String name) {
        return TopicSpec.of(name, 1).replicationFactor(1);
    }

    private static Settings with(Settings settings, EmbeddedPostgres postgres, String database) {
        Map<String, String> values = new HashMap<>(settings.values());
        values.put("DATABASE", postgres.createDatabase(database));
        values.put("DATABASE_USER", postgres.user());
        values.put("DATABASE_PASSWORD", postgres.password());
        return new Settings(values);
    }

    private String scraped(List<String> urls) throws IOException, InterruptedException {
        StringBuilder told = new StringBuilder();
        for (String url : urls) {
            HttpRequest request =
                    HttpRequest.newBuilder(URI.create(url + "/metrics")).build();
            told.append(
                    client.send(request, HttpResponse.BodyHandlers.ofString()).body());
        }
        return told.toString();
    }
}
