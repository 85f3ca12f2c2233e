package dev.eventbus.benchmarks;

import dev.eventbus.topics.KafkaCluster;
import dev.eventbus.topics.TopicSpec;
import dev.eventbus.topics.Topics;
import java.sql.SQLException;
import java.time.Duration;
import java.util.List;
import java.util.OptionalDouble;
import java.util.concurrent.CompletableFuture;
import java.util.stream.DoubleStream;

/**
 * System A of the design: Asset and Housing publish, a group each handles, on three brokers with three replicas of which two
 * acknowledge. How long from commit to handler, and what does a broker's death cost?
 */
final class SystemAQuestion implements AutoCloseable {

    static final String DEAD_LETTERS = "dlq.events";

    private static final int PARTITIONS = 3;
    private static final int REPETITIONS = 3;
    private static final int WARM_UP_SECONDS = 5;

    /** Until the compilers of four JVMs have done most of their work, so that what is measured is not theirs. */
    private static final int WARM_UP_SECONDS_OF_LOAD = 45;

    private static final int SECONDS_OF_A_KILL = 12;
    private static final int SECONDS_BEFORE_IT = 2;
    private static final Duration LIMIT = Duration.ofMinutes(1);

    /** Events a second, of assets and of housing, and what was measured then. */
    private record Rate(int asset, int housing, Figures figures) {
        int sum() {
            return asset + housing;
        }
    }

    private final Rate low = new Rate(60, 40, new Figures());
    private final Rate high = new Rate(500, 300, new Figures());
    private final Servers servers;
    private final Options options;
    private final int seconds;
    private final SystemAFlow asset;
    private final SystemAFlow housing;

    private final Figures kills = new Figures();

    SystemAQuestion(Servers servers, Options options) throws SQLException {
        this.servers = servers;
        this.options = options;
        this.seconds = options.quick() ? 10 : 60;
        Topics.of(
                        KafkaCluster.at(servers.bootstrapServers()),
                        TopicSpec.of("asset.events", PARTITIONS),
                        TopicSpec.of("housing.events", PARTITIONS),
                        TopicSpec.of(DEAD_LETTERS, 1))
                .provision();
        int allSeconds = WARM_UP_SECONDS
                + WARM_UP_SECONDS_OF_LOAD
                + 2 * REPETITIONS * seconds
                + servers.kafka().nodes() * SECONDS_OF_A_KILL;
        this.asset = SystemAFlow.start(servers, "asset", PARTITIONS, high.asset() * allSeconds);
        this.housing = SystemAFlow.start(servers, "housing", PARTITIONS, high.housing() * allSeconds);
    }

    void ask() {
        run(low, WARM_UP_SECONDS);
        run(high, WARM_UP_SECONDS_OF_LOAD);
        if (options.asks("latency")) {
            for (int repetition = 0; repetition < REPETITIONS; repetition++) {
                measure(low);
                measure(high);
            }
        }
        if (options.asks("kill")) {
            for (int node = 1; node <= servers.kafka().nodes(); node++) {
                kill(node);
            }
        }
    }

    private void measure(Rate rate) {
        System.err.printf("%d events a second for %d s%n", rate.sum(), seconds);
        long assetFrom = asset.published();
        long housingFrom = housing.published();
        run(rate, seconds);
        double[] millis = DoubleStream.concat(
                        DoubleStream.of(asset.millisSince(assetFrom)),
                        DoubleStream.of(housing.millisSince(housingFrom)))
                .toArray();
        Figures of = rate.figures();
        of.add("mean", DoubleStream.of(millis).average().orElseThrow());
        of.add("p50", Figures.percentileOf(millis, 50));
        of.add("p99", Figures.percentileOf(millis, 99));
        of.add("max", Figures.percentileOf(millis, 100));
    }

    private void run(Rate rate, int runSeconds) {
        CompletableFuture.allOf(asset.publish(rate.asset(), runSeconds), housing.publish(rate.housing(), runSeconds))
                .join();
        awaitHandled();
    }

    /** A killed broker stays away until the load has ended. */
    private void kill(int node) {
        System.err.printf("SIGKILL of broker %d%n", node);
        CompletableFuture<Void> load = CompletableFuture.allOf(
                asset.publish(low.asset(), SECONDS_OF_A_KILL), housing.publish(low.housing(), SECONDS_OF_A_KILL));
        long before = asset.published() - (long) low.asset() * (SECONDS_OF_A_KILL - SECONDS_BEFORE_IT);
        DrainRun.await(asset, LIMIT, () -> asset.handled() >= before);
        asset.silenceBeginsNow();
        housing.silenceBeginsNow();
        servers.kafka().kill(node);
        load.join();
        awaitHandled();
        kills.add("pause", Math.max(asset.longestSilence(), housing.longestSilence()));
        servers.kafka().start(node);
        DrainRun.await(asset, LIMIT, servers::isInSync);
    }

    /** Until all are handled, or for so long that what is missing then is lost. */
    private void awaitHandled() {
        for (SystemAFlow flow : List.of(asset, housing)) {
            long missing = flow.missing(LIMIT);
            if (missing > 0) {
                System.out.printf("!! %d events of %s were not handled within %s%n", missing, flow.name(), LIMIT);
            }
        }
    }

    void print(Verdict verdict) {
        Table table = new Table(
                "System A, three brokers: commit to handler, ms (%d × %d s; medians, the greatest max)"
                        .formatted(REPETITIONS, seconds),
                "events a second",
                "mean",
                "p50",
                "p99",
                "max");
        for (Rate rate : List.of(low, high)) {
            Figures of = rate.figures();
            OptionalDouble mean = of.median("mean");
            table.row(
                    "%d (%d asset, %d housing)".formatted(rate.sum(), rate.asset(), rate.housing()),
                    Table.cell(mean, "%.1f"),
                    Table.cell(of.median("p50"), "%.1f"),
                    Table.cell(of.median("p99"), "%.1f"),
                    Table.cell(of.greatest("max"), "%.1f"));
            String name = "system_a.%d.".formatted(rate.sum());
            verdict.put(name + "mean_ms", mean, "%.1f");
            verdict.put(name + "p50_ms", of.median("p50"), "%.1f");
            verdict.put(name + "p99_ms", of.median("p99"), "%.1f");
            verdict.put(name + "max_ms", of.greatest("max"), "%.1f");
        }
        table.print(System.out);
        System.out.printf(
                "%nSIGKILL of each broker in turn at %d events a second: longest time in which nothing of a partition was handled, s: %s%n",
                low.sum(), kills.range("pause", "%.1f"));
        verdict.put("system_a.broker_kill.pause_s", kills.greatest("pause"), "%.1f");
        verdict.put("system_a.order_violations", Long.toString(asset.violations() + housing.violations()));
        verdict.put("system_a.repeats", Long.toString(asset.repeats() + housing.repeats()));
        verdict.put("system_a.lost", Long.toString(asset.missing(Duration.ZERO) + housing.missing(Duration.ZERO)));
    }

    @Override
    public void close() throws SQLException {
        asset.close();
        housing.close();
    }
}
