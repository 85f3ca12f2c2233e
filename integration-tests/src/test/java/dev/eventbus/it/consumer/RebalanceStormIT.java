package dev.eventbus.it.consumer;

import static dev.eventbus.it.Events.ASSET_UPDATED;
import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.consumer.AfterRetries;
import dev.eventbus.consumer.ConsumerRunner;
import dev.eventbus.embedded.KafkaServer;
import dev.eventbus.embedded.PostgresServer;
import dev.eventbus.embedded.ServersExtension;
import dev.eventbus.it.Eventually;
import dev.eventbus.it.Scene;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.Random;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** A group of two to four, in which somebody comes, goes or is killed every two seconds while handlers take their time. */
@ExtendWith(ServersExtension.class)
class RebalanceStormIT {

    private static final int USERS = 40;

    /** From the last of them on. */
    private static final Duration CALM = Duration.ofSeconds(15);

    private final List<String> sent = new ArrayList<>();
    private final Random random = new Random(6);
    private final Deque<ConsumerRunner> here = new ArrayDeque<>();
    private final Deque<ConsumerProcess> elsewhere = new ArrayDeque<>();

    /** Sessions as short as a service may have them that wants to be succeeded soon; with the new protocol the brokers set that. */
    @ParameterizedTest(name = "{0}")
    @CsvSource({
        "eager, partition.assignment.strategy=org.apache.kafka.clients.consumer.RangeAssignor;session.timeout.ms=3000;heartbeat.interval.ms=500",
        "cooperative-sticky, partition.assignment.strategy=org.apache.kafka.clients.consumer.CooperativeStickyAssignor;session.timeout.ms=3000;heartbeat.interval.ms=500",
        "consumer-protocol, group.protocol=consumer"
    })
    void K_06_members_that_come_go_and_are_killed_double_lose_and_reorder_no_effect_and_15_s_of_calm_end_all_lag(
            String protocol, String settings, KafkaServer kafka, PostgresServer postgres) throws Exception {
        try (Scene scene = Scene.create(kafka, postgres, "asset.events:6", "dlq.events:1")) {
            scene.execute("CREATE TABLE effect (event varchar(128), ord bigint GENERATED ALWAYS AS IDENTITY)");
            try {
                storm(scene, settings);
                Eventually.holds(
                        CALM,
                        () -> scene.committed(scene.group("ledger"), "asset.events") == sent.size(),
                        () -> "%d of %d committed, %d effects; %s"
                                .formatted(
                                        scene.committed(scene.group("ledger"), "asset.events"),
                                        sent.size(),
                                        effects(scene).size(),
                                        here.stream()
                                                .map(ConsumerRunner::health)
                                                .toList()));
            } finally {
                for (ConsumerProcess process : elsewhere) {
                    process.kill();
                }
                here.forEach(runner -> runner.close(Duration.ofSeconds(10)));
            }
            List<String> effects = effects(scene);
            assertThat(effects).containsExactlyInAnyOrderElementsOf(sent);
            for (int u = 0; u < USERS; u++) {
                String user = "-user%d-".formatted(u);
                assertThat(effects.stream().filter(id -> id.contains(user)))
                        .containsExactlyElementsOf(
                                sent.stream().filter(id -> id.contains(user)).toList());
            }
            assertThat(scene.endOffsets("dlq.events")).isZero();
        }
    }

    private void storm(Scene scene, String settings) throws InterruptedException, ExecutionException {
        List<Runnable> moves = List.of(
                () -> elsewhere.add(ConsumerProcess.start(scene, scene.group("ledger"), settings)),
                () -> here.add(runner(scene, settings).start()),
                () -> kill(scene),
                () -> here.remove().close(Duration.ofSeconds(10)),
                () -> elsewhere.add(ConsumerProcess.start(scene, scene.group("ledger"), settings)),
                () -> here.add(runner(scene, settings).start()),
                () -> here.remove().close(Duration.ofSeconds(10)),
                () -> kill(scene));
        here.add(runner(scene, settings).start());
        here.add(runner(scene, settings).start());
        ScheduledExecutorService storm = Executors.newSingleThreadScheduledExecutor();
        try {
            List<Future<?>> rounds = IntStream.range(0, moves.size())
                    .<Future<?>>mapToObj(round -> storm.schedule(
                            () -> {
                                publish(scene);
                                moves.get(round).run();
                            },
                            2L * round,
                            TimeUnit.SECONDS))
                    .toList();
            for (Future<?> round : rounds) {
                round.get();
            }
        } finally {
            storm.shutdownNow();
        }
    }

    /** The one elsewhere, while it runs handlers. */
    private void kill(Scene scene) {
        ConsumerProcess process = elsewhere.element();
        Eventually.holds(() -> process.assigned() > 0, () -> process);
        int before = process.started().size();
        publish(scene);
        Eventually.holds(() -> process.started().size() > before, () -> process);
        try {
            process.kill();
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
        elsewhere.remove();
    }

    private void publish(Scene scene) {
        int round = sent.size() / USERS;
        for (int u = 0; u < USERS; u++) {
            String id = "takes-%d-user%d-%d".formatted(100 + random.nextInt(400), u, round);
            sent.add(id);
            scene.sendRaw("asset.events", "user" + u, """
                    {"eventId":"%s","eventType":"ASSET_UPDATED","timestamp":"2030-01-01T00:00:00Z","userId":"user%d"}""".formatted(id, u));
        }
        scene.flush();
    }

    private static List<String> effects(Scene scene) {
        try {
            return scene.strings("SELECT event FROM effect ORDER BY ord");
        } catch (SQLException e) {
            throw new IllegalStateException(e);
        }
    }

    private static ConsumerRunner runner(Scene scene, String settings) {
        return ConsumerRunner.builder(
                        ConsumerProcess.cluster(
                                scene.kafka().bootstrapServers(), scene.kafka().physicalTopic(""), settings),
                        scene.group("ledger"))
                .inTransaction(scene.inbox(), ASSET_UPDATED, (event, tx) -> {
                    try (PreparedStatement insert =
                            tx.connection().prepareStatement("INSERT INTO effect SELECT ? FROM pg_sleep(?)")) {
                        insert.setString(1, event.id());
                        insert.setDouble(2, Integer.parseInt(event.id().split("-")[1]) / 1_000.0);
                        insert.executeUpdate();
                    }
                })
                .concurrency(8)
                .afterRetries(AfterRetries.deadLetter("dlq.events"))
                .build();
    }
}
