package dev.eventbus.examples.homestarter;

import static dev.eventbus.examples.homestarter.HomeStarterTopics.CALCULATOR_ASSET;

import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.time.Duration;
import java.util.concurrent.Callable;
import java.util.concurrent.locks.LockSupport;

/** What is shown, act by act. An act waits for what it has set going, never for a length of time. */
final class Story {

    private static final int CALCULATORS = 3;
    private static final Duration LIMIT = Duration.ofMinutes(1);

    private final Stage stage;
    private final Ledger ledger;
    private final Screen screen;
    private final HttpClient http = HttpClient.newHttpClient();

    Story(Stage stage, Ledger ledger, Screen screen) {
        this.stage = stage;
        this.ledger = ledger;
        this.screen = screen;
    }

    /** From the first change to the last. */
    Tally play() throws Exception {
        stage.startCalculators(CALCULATORS);
        await("the calculators to have their partitions", () -> stage.haveAssetPartitions(3));
        load();
        killBroker();
        failForMallory();
        reprocess();
        grow();
        return ledger.tally();
    }

    private void load() throws Exception {
        screen.say("\n1  Load: %d changes a second over HTTP".formatted(Load.PER_SECOND));
        loadFor(12); // so that the programs are warm
        long from = System.currentTimeMillis();
        loadFor(6);
        screen.happened("change to effect", ledger.latencySince(from).toString());
    }

    private void loadFor(int seconds) throws Exception {
        try (Load load = startLoad()) {
            await("changes", () -> load.committed() >= (long) seconds * Load.PER_SECOND);
            load.stop();
        }
        awaitHandled();
    }

    private void killBroker() throws Exception {
        screen.say("\n2  A broker is killed under load and started again: commits go on, delivery resumes without it");
        long from = System.currentTimeMillis();
        try (Load load = startLoad()) {
            await("changes", () -> load.committed() >= Load.PER_SECOND);
            stage.brokers().kill(2);
            screen.happened("broker 2", "is killed");
            long killed = load.committed();
            await("commits without the broker", () -> load.committed() >= killed + 4 * Load.PER_SECOND);
            screen.happened("services", "%d changes committed since".formatted(load.committed() - killed));
            stage.brokers().start(2);
            screen.happened("broker 2", "is up again");
            long back = load.committed();
            await("commits with it", () -> load.committed() >= back + Load.PER_SECOND);
            load.stop();
            awaitHandled();
        }
        screen.happened("change to effect", ledger.latencySince(from).toString());
    }

    private void failForMallory() throws Exception {
        screen.say("\n3  The calculator fails for one user: 4 attempts, then the dead-letter topic; all others flow");
        stage.breakOrMend("mallory");
        change("mallory", 1);
        change("alice", 1);
        String letters = stage.monitor().url() + "/letters/" + CALCULATOR_ASSET;
        await("the dead letter", () -> get(letters).contains("ATTEMPTS_EXHAUSTED"));
        screen.happened("GET", "/letters/" + CALCULATOR_ASSET);
        screen.say("  " + get(letters).strip());
        await(
                "the monitor to count it",
                () -> get(stage.monitor().url() + "/metrics")
                        .contains("home_starter_dead_letters_total{group=\"%s\"".formatted(CALCULATOR_ASSET)));
        get(stage.monitor().url() + "/metrics")
                .lines()
                .filter(line -> line.startsWith("home_starter_dead_letters_total"))
                .forEach(line -> screen.happened("GET", "/metrics  " + line));
        stage.breakOrMend("mallory");
        screen.happened("you", "the calculator is mended");
        screen.happened("POST", "redrive  " + post(letters + "/redrive", "the price service answers again"));
        awaitHandled();
        screen.happened("calculator", "mallory's result is dropped");
    }

    private void reprocess() throws Exception {
        screen.say("\n4  A group is set back to the earliest events, to handle all of them once more on purpose");
        stage.stopCalculators();
        long wanted = ledger.published(CALCULATOR_ASSET);
        ledger.setBack(CALCULATOR_ASSET);
        ledger.results().forget(CALCULATOR_ASSET);
        Operations.resetToEarliest(stage.kafka(), CALCULATOR_ASSET, Events.ASSET_UPDATED.topic());
        screen.happened(
                "operator",
                "%s is stopped, its marks are forgotten, its offsets are the earliest".formatted(CALCULATOR_ASSET));
        stage.startCalculators(CALCULATORS);
        awaitHandled();
        screen.happened("calculator", "%d events are handled once more".formatted(wanted));
    }

    private void grow() throws Exception {
        screen.say("\n5  asset.events gets 6 partitions instead of 3 under load, and no user's events change places");
        try (Load load = startLoad()) {
            await("changes", () -> load.committed() >= Load.PER_SECOND);
            long began = System.nanoTime();
            int used = Operations.grow(
                    stage.kafka(), stage.assets().outboxAdmin(), Events.ASSET_UPDATED.topic(), CALCULATOR_ASSET);
            screen.happened(
                    "operator",
                    "%d partitions are used, %.1f s after they were asked for: all that was sent before is handled"
                            .formatted(used, (System.nanoTime() - began) / 1e9));
            long grown = load.committed();
            await("changes", () -> load.committed() >= grown + 2 * Load.PER_SECOND);
            load.stop();
        }
        await("the calculators to have the new partitions", () -> stage.haveAssetPartitions(6));
        awaitHandled();
        long there = Topic.readAll(stage.kafka(), Events.ASSET_UPDATED.topic()).stream()
                .filter(record -> record.partition() > 2)
                .count();
        screen.happened("Kafka", "%d events are in the new partitions".formatted(there));
    }

    private Load startLoad() {
        return Load.start(stage.assets().url(), stage.housing().url());
    }

    private void awaitHandled() throws Exception {
        await("every change to have its effect", ledger::isHandled);
    }

    private void change(String user, long amount) throws IOException, InterruptedException {
        answer(Load.asset(stage.assets().url(), user, amount));
    }

    private String get(String url) throws IOException, InterruptedException {
        return answer(HttpRequest.newBuilder(URI.create(url)).build());
    }

    private String post(String url, String text) throws IOException, InterruptedException {
        return answer(HttpRequest.newBuilder(URI.create(url))
                        .header(Http.REQUESTED_BY, "story")
                        .POST(BodyPublishers.ofString(text))
                        .build())
                .strip();
    }

    private String answer(HttpRequest request) throws IOException, InterruptedException {
        HttpResponse<String> response = http.send(request, BodyHandlers.ofString());
        if (response.statusCode() != 200) {
            throw new IllegalStateException("%s: %s".formatted(request.uri(), response.body()));
        }
        return response.body();
    }

    private static void await(String what, Callable<Boolean> condition) throws Exception {
        long deadline = System.nanoTime() + LIMIT.toNanos();
        while (!condition.call()) {
            if (System.nanoTime() - deadline > 0) {
                throw new IllegalStateException("waited in vain for " + what);
            }
            LockSupport.parkNanos(Duration.ofMillis(50).toNanos());
        }
    }
}
