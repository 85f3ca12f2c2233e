package dev.eventbus.examples.homestarter;

import static dev.eventbus.examples.homestarter.HomeStarterTopics.TOPICS;

import dev.eventbus.embedded.EmbeddedKafka;
import dev.eventbus.embedded.EmbeddedPostgres;
import dev.eventbus.topics.KafkaCluster;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Supplier;

/** The servers and the four programs, started as each would be in a process of its own; closed in the opposite order. */
final class Stage implements AutoCloseable {

    private final Deque<AutoCloseable> open = new ArrayDeque<>();
    private final Set<String> broken = ConcurrentHashMap.newKeySet();
    private final EmbeddedKafka brokers;
    private final EmbeddedPostgres postgres;
    private final LocalRedis redis;
    private final KafkaCluster kafka;
    private final AssetService assets;
    private final HousingService housing;
    private final DlqMonitor monitor;
    private final int calculatorPort;

    /** Of the thread that acts. */
    private final List<CalculatorService> calculators = new ArrayList<>();

    /** @param port of the first program, the others follow; 0 for any that are free */
    Stage(int port) throws IOException {
        try {
            CompletableFuture<EmbeddedKafka> starting =
                    keepStarting(() -> EmbeddedKafka.builder().nodes(3).start());
            postgres = keep(EmbeddedPostgres.start());
            redis = keep(LocalRedis.start());
            brokers = starting.join();
            kafka = new Settings(Map.of("KAFKA", brokers.bootstrapServers())).kafka();
            TOPICS.on(kafka).apply();
            assets = keep(AssetService.start(settings("asset", port)));
            housing = keep(HousingService.start(settings("housing", port == 0 ? 0 : port + 1)));
            calculatorPort = port == 0 ? 0 : port + 2;
            keep(this::stopCalculators);
            monitor = keep(DlqMonitor.start(settings(port == 0 ? 0 : port + 3)));
        } catch (IOException
                | RuntimeException e) { // a port that is taken, say: what was started must not keep the process
            closeAfter(e);
            throw e;
        }
    }

    private void closeAfter(Exception failure) {
        try {
            close();
        } catch (Exception e) {
            failure.addSuppressed(e);
        }
    }

    /** What a program with a database finds in its environment. */
    private Settings settings(String database, int port) {
        Map<String, String> values = new HashMap<>(settings(port).values());
        values.put("DATABASE", postgres.createDatabase(database));
        values.put("DATABASE_USER", postgres.user());
        values.put("DATABASE_PASSWORD", postgres.password());
        return new Settings(values);
    }

    private Settings settings(int port) {
        return new Settings(
                Map.of("KAFKA", brokers.bootstrapServers(), "REDIS", redis.url(), "PORT", Integer.toString(port)));
    }

    void startCalculators(int instances) {
        try {
            while (calculators.size() < instances) {
                int port = calculators.isEmpty() ? calculatorPort : 0;
                calculators.add(CalculatorService.start(settings(port), this::breakable));
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    void stopCalculators() {
        calculators.forEach(CalculatorService::close);
        calculators.clear();
    }

    /** Whether the instances have so many partitions of assets, and all of housing: until then events wait in Kafka. */
    boolean haveAssetPartitions(int wanted) {
        return calculators.stream().mapToInt(CalculatorService::assetPartitions).sum() == wanted
                && calculators.stream()
                                .mapToInt(CalculatorService::homePartitions)
                                .sum()
                        == 3;
    }

    private CalculatorService.Results breakable(CalculatorService.Results results) {
        return (group, eventId, of) -> {
            if (broken.contains(of)) {
                throw new IllegalStateException("the price service has no answer");
            }
            results.drop(group, eventId, of);
        };
    }

    /** The calculator fails for a user, or works again. Returns whether it fails now. */
    boolean breakOrMend(String user) {
        String of = "user:" + user;
        return broken.remove(of) ? false : broken.add(of);
    }

    EmbeddedKafka brokers() {
        return brokers;
    }

    KafkaCluster kafka() {
        return kafka;
    }

    String redisUrl() {
        return redis.url();
    }

    AssetService assets() {
        return assets;
    }

    HousingService housing() {
        return housing;
    }

    DlqMonitor monitor() {
        return monitor;
    }

    String describe() {
        return """
                 asset-service       %s
                 housing-service     %s
                 calculator-service  %s
                 dlq-monitor         %s
                 another calculator  KAFKA=%s REDIS=%s java -cp examples/home-starter/target/home-starter.jar %s""".formatted(
                        assets.url(),
                        housing.url(),
                        calculators.isEmpty() ? "" : calculators.get(0).url(),
                        monitor.url(),
                        brokers.bootstrapServers(),
                        redis.url(),
                        CalculatorService.class.getName());
    }

    /** Starts the brokers beside all else; if that fails meanwhile, they are closed as soon as they are up. */
    private CompletableFuture<EmbeddedKafka> keepStarting(Supplier<EmbeddedKafka> start) {
        CompletableFuture<EmbeddedKafka> starting = CompletableFuture.supplyAsync(start);
        keep(() -> starting.handle((started, failure) -> started)
                .thenAccept(started -> Optional.ofNullable(started).ifPresent(EmbeddedKafka::close))
                .join());
        return starting;
    }

    private <T extends AutoCloseable> T keep(T closeable) {
        open.push(closeable);
        return closeable;
    }

    /** Closes all, whatever one of them throws. */
    @Override
    public void close() throws Exception {
        Exception failure = null;
        while (!open.isEmpty()) {
            try {
                open.pop().close();
            } catch (Exception e) {
                if (failure == null) {
                    failure = e;
                } else {
                    failure.addSuppressed(e);
                }
            }
        }
        if (failure != null) {
            throw failure;
        }
    }
}
