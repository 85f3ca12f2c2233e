package dev.eventbus.examples.homestarter;

import static dev.eventbus.examples.homestarter.Events.ASSET_UPDATED;
import static dev.eventbus.examples.homestarter.Events.HOUSING_UPDATED;
import static io.github.resilience4j.core.IntervalFunction.ofExponentialRandomBackoff;
import static java.time.Duration.ofMillis;
import static java.time.Duration.ofSeconds;

import dev.eventbus.consumer.AfterRetries;
import dev.eventbus.consumer.ConsumerRunner;
import dev.eventbus.consumer.ConsumerRunnerBuilder;
import dev.eventbus.consumer.FailureKind;
import dev.eventbus.consumer.metrics.ConsumerMetrics;
import dev.eventbus.examples.homestarter.Events.HousingUpdated;
import dev.eventbus.topics.KafkaCluster;
import io.github.resilience4j.retry.RetryConfig;
import io.micrometer.core.instrument.MeterRegistry;
import io.micrometer.prometheusmetrics.PrometheusConfig;
import io.micrometer.prometheusmetrics.PrometheusMeterRegistry;
import java.io.IOException;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import java.util.function.UnaryOperator;
import redis.clients.jedis.RedisClient;
import redis.clients.jedis.exceptions.JedisConnectionException;
import redis.clients.jedis.exceptions.JedisException;

/**
 * calculator-service: what a user can afford, kept in Redis until something changes that it was computed from. Start as many instances
 * as there are partitions; those of a group share the work.
 */
public final class CalculatorService implements AutoCloseable {

    /** What becomes of cached results when an event arrives. */
    interface Results {

        /**
         * Drops a result, once for each event of a group.
         *
         * @param of whose result: {@code user:} or {@code housing:} and an id
         */
        void drop(String group, String eventId, String of) throws Exception;
    }

    private final PrometheusMeterRegistry registry = new PrometheusMeterRegistry(PrometheusConfig.DEFAULT);
    private final RedisClient redis;
    private final ConsumerRunner assets;
    private final ConsumerRunner homes;
    private final Http http;

    private CalculatorService(Settings settings, UnaryOperator<Results> around) throws IOException {
        KafkaCluster kafka = settings.kafka();
        redis = settings.redis();
        RedisResults cached = new RedisResults(redis);
        Results results = around.apply(cached);
        assets = assets(kafka, results, registry);
        homes = homes(kafka, results, registry);
        http = Http.on(settings.port())
                .route("GET", "/metrics", request -> registry.scrape())
                .route("GET", "/results/{kind}/{id}", request -> {
                    String of = request.part("kind") + ":" + request.part("id");
                    return Map.of(
                            "of",
                            of,
                            "computedAt",
                            cached.get(of, () -> Instant.now().toString()));
                });
    }

    /** @param args none; see {@link Settings} */
    public static void main(String[] args) throws IOException {
        CalculatorService service = start(Settings.ofEnvironment(), results -> results);
        Runtime.getRuntime().addShutdownHook(new Thread(service::close));
        System.out.println("calculator-service at " + service.url());
    }

    /** @param around lets something stand before the results */
    static CalculatorService start(Settings settings, UnaryOperator<Results> around) throws IOException {
        CalculatorService service = new CalculatorService(settings, around);
        service.assets.start();
        service.homes.start();
        service.http.start();
        return service;
    }

    // region: consume
    static ConsumerRunner assets(KafkaCluster kafka, Results results, MeterRegistry registry) {
        return runner(kafka, HomeStarterTopics.CALCULATOR_ASSET, registry)
                .on(
                        ASSET_UPDATED,
                        (event, delivery) -> results.drop(delivery.group(), event.id(), "user:" + event.key()))
                .build();
    }

    static ConsumerRunner homes(KafkaCluster kafka, Results results, MeterRegistry registry) {
        return runner(kafka, HomeStarterTopics.CALCULATOR_HOUSING, registry)
                .on(
                        HOUSING_UPDATED,
                        (event, delivery) -> results.drop(delivery.group(), event.id(), resultOf(event.payload())))
                .build();
    }

    private static ConsumerRunnerBuilder runner(KafkaCluster kafka, String group, MeterRegistry registry) {
        return ConsumerRunner.builder(kafka, group)
                .retry(RetryConfig.custom()
                        .maxAttempts(4)
                        .intervalFunction(ofExponentialRandomBackoff(ofMillis(200), 2.0, 0.5, ofSeconds(10)))
                        .build())
                .classify(CalculatorService::kindOf)
                .afterRetries(AfterRetries.deadLetter(HomeStarterTopics.DEAD_LETTERS))
                .listener(ConsumerMetrics.of(registry, group));
    }
    // end: consume

    /** What Redis answers while it starts, fails over, or takes no writes: none of it is an event's fault, so it uses no attempt. */
    private static final List<String> OUTAGES =
            List.of("LOADING", "MASTERDOWN", "READONLY", "CLUSTERDOWN", "TRYAGAIN", "OOM", "MISCONF", "BUSY");

    static FailureKind kindOf(Throwable failure) {
        boolean outage = failure instanceof JedisConnectionException
                || failure instanceof JedisException
                        && OUTAGES.stream().anyMatch(String.valueOf(failure.getMessage())::startsWith);
        return outage ? FailureKind.OUTAGE : FailureKind.RETRY;
    }

    /** An operator may send an event by hand that names no home: then all that is known is whose it is. */
    private static String resultOf(HousingUpdated update) {
        return update.housingId() == null ? "user:" + update.userId() : "housing:" + update.housingId();
    }

    /** Whether it and the others of its groups have this many partitions of assets. */
    int assetPartitions() {
        return assets.health().partitions().size();
    }

    int homePartitions() {
        return homes.health().partitions().size();
    }

    String url() {
        return http.url();
    }

    @Override
    public void close() {
        http.close();
        assets.close();
        homes.close();
        registry.close();
        redis.close();
    }
}
