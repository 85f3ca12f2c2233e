package dev.eventbus.it;

import static dev.eventbus.it.Events.ASSET_UPDATED;
import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.ObjectMapper;
import dev.eventbus.consumer.AfterRetries;
import dev.eventbus.consumer.ConsumerRunner;
import dev.eventbus.consumer.RunnerListener;
import dev.eventbus.consumer.metrics.ConsumerMetrics;
import dev.eventbus.embedded.KafkaServer;
import dev.eventbus.embedded.PostgresServer;
import dev.eventbus.embedded.ServersExtension;
import dev.eventbus.it.Events.AssetUpdated;
import dev.eventbus.outbox.OutboxAdmin;
import dev.eventbus.outbox.OutboxRelay;
import dev.eventbus.outbox.metrics.OutboxMetrics;
import io.github.resilience4j.retry.RetryConfig;
import io.micrometer.prometheusmetrics.PrometheusConfig;
import io.micrometer.prometheusmetrics.PrometheusMeterRegistry;
import java.io.IOException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.regex.MatchResult;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

/** What alerts and dashboard ask for is there: asked of a running service, as Prometheus would read it. */
@ExtendWith(ServersExtension.class)
class TopicPlanMetersIT {

    /** Of Kafka's own, not of the library; docs/topics.md says so. */
    private static final String UNDER_REPLICATED = "kafka_server_replicamanager_underreplicatedpartitions";

    private static final Pattern METER = Pattern.compile("\\b(eventbus|kafka)_[a-z_]+");
    private static final Pattern BY = Pattern.compile("\\bby \\(([a-z, _]+)\\)");
    private static final Pattern MATCHER = Pattern.compile("\\b([a-z_]+)=~?\"");
    private static final Pattern SERIES = Pattern.compile("(?m)^([a-z_]+)(?:\\{(.*)})? \\S+$");

    private final PrometheusMeterRegistry registry = new PrometheusMeterRegistry(PrometheusConfig.DEFAULT);

    /** Labels by name. */
    private Map<String, Set<String>> scraped() {
        Map<String, Set<String>> series = new HashMap<>();
        SERIES.matcher(registry.scrape()).results().forEach(line -> {
            Set<String> labels = series.computeIfAbsent(line.group(1), name -> new HashSet<>());
            String given = line.group(2) == null ? "" : line.group(2);
            MATCHER.matcher(given).results().forEach(label -> labels.add(label.group(1)));
        });
        return series;
    }

    private static List<String> queries() throws IOException {
        List<String> queries = new ArrayList<>();
        new ObjectMapper()
                .readTree(HomeStarterTopics.TOPICS.dashboard())
                .get("panels")
                .forEach(panel -> queries.add(panel.at("/targets/0/expr").asText()));
        HomeStarterTopics.TOPICS
                .alertRules()
                .lines()
                .filter(line -> line.strip().startsWith("expr: "))
                .forEach(queries::add);
        assertThat(queries).hasSize(6 + 1 + 2 * 4 + 3 * 6);
        return queries;
    }

    private static Stream<String> found(Pattern pattern, String query, int group) {
        return pattern.matcher(query).results().map((MatchResult found) -> found.group(group));
    }

    @Test
    void every_meter_and_label_of_alerts_and_dashboard_is_emitted(KafkaServer kafka, PostgresServer postgres)
            throws Exception {
        try (Scene scene = Scene.create(kafka, postgres, "asset.events:3", "dlq.events:1")) {
            OutboxMetrics outbox =
                    OutboxMetrics.of(registry, "asset", OutboxAdmin.of(scene.outbox(), scene.database()));
            OutboxRelay relay = OutboxRelay.builder(scene.outbox(), scene.database(), scene.kafka())
                    .listener(outbox)
                    .build();
            String group = scene.group("calculator");
            ConsumerMetrics consumer = ConsumerMetrics.of(registry, group);
            consumer.offsetGap(new RunnerListener.OffsetGap("asset.events", 0, 1, 2)); // there is none otherwise
            scene.start(ConsumerRunner.builder(scene.kafka(), group)
                    .on(ASSET_UPDATED, (event, delivery) -> {
                        if (event.key().equals("bob")) {
                            throw new IllegalStateException("no luck");
                        }
                    })
                    .retry(RetryConfig.custom().maxAttempts(1).build())
                    .afterRetries(AfterRetries.deadLetter("dlq.events"))
                    .listener(consumer)
                    .build());
            try (outbox;
                    relay) {
                relay.start();
                for (String user : new String[] {"alice", "bob"}) {
                    scene.inTransaction(
                            tx -> scene.outbox().within(tx).publish(ASSET_UPDATED, AssetUpdated.amount(user, 1)));
                }
                Set<String> wanted = new HashSet<>();
                for (String query : queries()) {
                    found(METER, query, 0).forEach(wanted::add);
                }
                assertThat(wanted.remove(UNDER_REPLICATED)).isTrue();
                Eventually.holds(
                        () -> scene.committed(group, "asset.events") == 2
                                && scraped().keySet().containsAll(wanted),
                        () -> wanted + " of " + scraped());

                Map<String, Set<String>> series = scraped();
                for (String query : queries()) {
                    for (String meter : found(METER, query, 0).toList()) {
                        if (!meter.equals(UNDER_REPLICATED)) {
                            assertThat(series.get(meter))
                                    .as("labels of %s, for %s", meter, query)
                                    .containsAll(found(MATCHER, query, 1).toList())
                                    .containsAll(found(BY, query, 1)
                                            .flatMap(labels -> Stream.of(labels.split(", ")))
                                            .toList());
                        }
                    }
                }
            }
        }
    }
}
