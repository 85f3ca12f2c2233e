package dev.eventbus.examples.homestarter;

import static dev.eventbus.examples.homestarter.HomeStarterTopics.CALCULATOR_ASSET;
import static dev.eventbus.examples.homestarter.HomeStarterTopics.CALCULATOR_HOUSING;
import static dev.eventbus.examples.homestarter.HomeStarterTopics.DEAD_LETTERS;
import static dev.eventbus.examples.homestarter.HomeStarterTopics.MONITORING;

import dev.eventbus.consumer.ConsumerRunner;
import dev.eventbus.consumer.deadletter.DeadLetter;
import dev.eventbus.consumer.deadletter.Origin;
import dev.eventbus.consumer.metrics.ConsumerMetrics;
import dev.eventbus.consumer.metrics.RedriveMetrics;
import dev.eventbus.consumer.redrive.PlannedLetter;
import dev.eventbus.consumer.redrive.Redrive;
import dev.eventbus.consumer.redrive.RedrivePlan;
import dev.eventbus.consumer.redrive.RedriveResult;
import dev.eventbus.topics.KafkaCluster;
import io.micrometer.prometheusmetrics.PrometheusConfig;
import io.micrometer.prometheusmetrics.PrometheusMeterRegistry;
import java.io.IOException;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/** dlq-monitor: counts the dead letters for Prometheus, lists them, and has them handled again. Nothing of an event's content leaves it. */
public final class DlqMonitor implements AutoCloseable {

    private static final List<String> GROUPS = List.of(CALCULATOR_ASSET, CALCULATOR_HOUSING);

    private final PrometheusMeterRegistry registry = new PrometheusMeterRegistry(PrometheusConfig.DEFAULT);
    private final Map<String, RedriveMetrics> redrives =
            GROUPS.stream().collect(Collectors.toMap(group -> group, group -> RedriveMetrics.of(registry, group)));
    private final KafkaCluster kafka;
    private final ConsumerRunner runner;
    private final Http http;

    private DlqMonitor(Settings settings) throws IOException {
        kafka = settings.kafka();
        // region: watch
        runner = ConsumerRunner.builder(kafka, MONITORING)
                .onDeadLetters(DEAD_LETTERS, (letter, delivery) -> count(letter))
                .listener(ConsumerMetrics.of(registry, MONITORING))
                .build();
        // end: watch
        http = Http.on(settings.port())
                .route("GET", "/metrics", request -> registry.scrape())
                .route("GET", "/letters/{group}", request -> letters(request.part("group")))
                .route("POST", "/letters/{group}/redrive", request -> redrive(request.part("group"), request.body()));
    }

    /** @param args none; see {@link Settings} */
    public static void main(String[] args) throws IOException {
        DlqMonitor monitor = start(Settings.ofEnvironment());
        Runtime.getRuntime().addShutdownHook(new Thread(monitor::close));
        System.out.println("dlq-monitor at " + monitor.url());
    }

    static DlqMonitor start(Settings settings) throws IOException {
        DlqMonitor monitor = new DlqMonitor(settings);
        monitor.runner.start();
        monitor.http.start();
        return monitor;
    }

    /** Anybody may have written a letter: a group that is none of ours gets no tag of its own. */
    private void count(DeadLetter letter) {
        Origin origin = letter.origin();
        String group = origin != null && GROUPS.contains(origin.group()) ? origin.group() : "other";
        String reason = origin == null ? "UNKNOWN" : origin.reason().name();
        registry.counter("home.starter.dead.letters", "group", group, "reason", reason)
                .increment();
    }

    // region: redrive
    private RedrivePlan plan(String group) {
        if (!GROUPS.contains(group)) {
            throw new IllegalArgumentException("the group must be one of " + GROUPS);
        }
        return Redrive.of(kafka, group, DEAD_LETTERS).requestedBy("dlq-monitor").plan();
    }

    private Map<String, Object> redrive(String group, String note) {
        RedriveResult result = plan(group).run(note.isBlank() ? "asked for by HTTP" : note);
        Objects.requireNonNull(redrives.get(group)).ended(result);
        return Map.of("handedOver", result.handedOver(), "refused", result.failedAgain(), "unknown", result.unknown());
    }
    // end: redrive

    private List<Map<String, Object>> letters(String group) {
        Stream<PlannedLetter> letters = plan(group).letters().stream();
        return letters.map(DlqMonitor::shown).toList();
    }

    private static Map<String, Object> shown(PlannedLetter letter) {
        Map<String, Object> shown = new LinkedHashMap<>();
        shown.put("eventId", letter.eventId());
        shown.put(
                "from",
                letter.origin().topic() + "/" + letter.origin().partition() + "@"
                        + letter.origin().offset());
        shown.put("keyHash", letter.keyHash());
        shown.put("reason", letter.origin().reason());
        shown.put("message", letter.origin().message());
        shown.put("attempts", letter.origin().attempts());
        shown.put("failedAt", letter.origin().failedAt().toString());
        shown.put("standing", letter.standing());
        return shown;
    }

    String url() {
        return http.url();
    }

    @Override
    public void close() {
        http.close();
        runner.close();
        registry.close();
    }
}
