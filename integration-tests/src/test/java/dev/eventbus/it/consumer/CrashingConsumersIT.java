package dev.eventbus.it.consumer;

import static dev.eventbus.it.Events.ASSET_UPDATED;
import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.FailureReason;
import dev.eventbus.consumer.AfterRetries;
import dev.eventbus.consumer.ConsumerRunner;
import dev.eventbus.consumer.RunnerHealth.Status;
import dev.eventbus.consumer.deadletter.DeadLetter;
import dev.eventbus.consumer.deadletter.Origin;
import dev.eventbus.embedded.EmbeddedPostgres;
import dev.eventbus.embedded.KafkaServer;
import dev.eventbus.embedded.PostgresServer;
import dev.eventbus.embedded.ServersExtension;
import dev.eventbus.faults.crash.CrashPoint;
import dev.eventbus.it.Eventually;
import dev.eventbus.it.Scene;
import io.github.resilience4j.retry.RetryConfig;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.Random;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.parallel.Execution;
import org.junit.jupiter.api.parallel.ExecutionMode;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Processes that end while they handle events, and a database that does. */
@ExtendWith(ServersExtension.class)
@Execution(ExecutionMode.CONCURRENT)
class CrashingConsumersIT {

    private static final int KILLS = 20;
    private static final int INNOCENTS = 31;
    private static final Duration LIMIT = Duration.ofMinutes(2);

    private final List<String> innocents = new ArrayList<>();

    @Test
    void K16_an_event_that_ends_the_process_is_dead_lettered_and_no_innocent_beside_it_is_convicted_for_it_or_for_kills(
            KafkaServer server, PostgresServer postgres) throws Exception {
        Random random = new Random(16);
        try (Scene scene = Scene.create(server, postgres, "asset.events:2", "dlq.events:1")) {
            scene.execute("CREATE TABLE effect (event varchar(128))");
            sendInnocents(scene, INNOCENTS / 2);
            send(scene, "mallory", "poison-1");
            sendInnocents(scene, INNOCENTS - INNOCENTS / 2);
            int kills = 0;
            int crashes = 0;
            while (kills < KILLS || !isDone(scene)) {
                try (ConsumerProcess process =
                        ConsumerProcess.start(scene, scene.group("ledger"), ConsumerProcess.MISSED_SOON)) {
                    boolean last = kills >= KILLS;
                    Eventually.holds(
                            LIMIT,
                            () -> !process.isAlive()
                                    || (last
                                            ? isDone(scene)
                                            : !process.started().isEmpty()),
                            () -> process);
                    if (process.isAlive() && !last && !process.endsWithin(Duration.ofMillis(random.nextInt(2_000)))) {
                        process.kill();
                        kills++;
                        sendInnocents(scene, 2); // so that the next one has something to do
                    } else if (!process.isAlive()) {
                        crashes++;
                    }
                }
                assertThat(crashes).as("ends of the process by the poison").isLessThanOrEqualTo(7);
            }
            assertThat(letters(scene))
                    .as("%d kills, %d crashes", kills, crashes)
                    .hasSizeBetween(1, 2) // twice if a kill fell between the letter and the note of it
                    .allSatisfy(letter -> {
                        assertThat(letter.eventId()).isEqualTo("poison-1");
                        assertThat(letter.reason()).isEqualTo(FailureReason.CRASHED_HANDLER);
                    });
            assertThat(scene.strings("SELECT event FROM effect")).containsExactlyInAnyOrderElementsOf(innocents);
            assertThat(scene.strings("SELECT outcome FROM eventbus_inbox WHERE event_id = 'poison-1'"))
                    .containsExactly("DEAD");
            assertThat(scene.count("SELECT count(*) FROM eventbus_attempt")).isZero();
        }
    }

    /** D1 before the letter is sent, D2 sent and not acknowledged, D3 acknowledged and nobody knows. */
    @ParameterizedTest
    @ValueSource(strings = {"BEFORE_SEND:1", "AFTER_SEND:1", "AFTER_ACK:1"})
    void X01_wherever_the_process_ends_around_a_letter_the_letter_arrives_and_the_handler_never_runs_again(
            String crash, KafkaServer server, PostgresServer postgres) throws Exception {
        try (Scene scene = Scene.create(server, postgres, "asset.events:1", "dlq.events:1")) {
            scene.execute("CREATE TABLE effect (event varchar(128))");
            send(scene, "bob", "fails-1");
            send(scene, "bob", "b2");
            String group = scene.group("ledger");
            try (ConsumerProcess dies = ConsumerProcess.start(
                    scene, group, ConsumerProcess.MISSED_SOON, "-D%s=%s".formatted(CrashPoint.PROPERTY, crash))) {
                Eventually.holds(LIMIT, () -> !dies.isAlive(), () -> dies);
                Eventually.holds(LIMIT, () -> dies.started().size() >= 2, () -> dies); // told by another thread
                assertThat(dies.started()).startsWith("fails-1", "fails-1");
            }
            assertThat(scene.committed(group, "asset.events")).isZero();
            try (ConsumerProcess heals = ConsumerProcess.start(
                    scene, group, ConsumerProcess.MISSED_SOON, "-D%s=true".formatted(ConsumerMain.HEALED))) {
                Eventually.holds(LIMIT, () -> scene.committed(group, "asset.events") == 2, () -> heals);
                assertThat(heals.started()).doesNotContain("fails-1");
            }
            assertThat(scene.strings("SELECT event FROM effect")).containsExactly("b2");
            assertThat(letters(scene))
                    .hasSizeBetween(1, 2)
                    .extracting(Origin::eventId)
                    .containsOnly("fails-1");
            assertThat(scene.strings("SELECT outcome FROM eventbus_inbox WHERE event_id = 'fails-1'"))
                    .containsExactly("DEAD");
        }
    }

    @Test
    void K19_a_database_that_is_away_uses_no_attempts_and_nothing_is_dead_lettered(KafkaServer server)
            throws Exception {
        try (EmbeddedPostgres own = EmbeddedPostgres.start();
                Scene scene = Scene.create(server, own, "asset.events:1", "dlq.events:1")) {
            CountDownLatch killed = new CountDownLatch(1);
            AtomicInteger begun = new AtomicInteger();
            scene.execute("CREATE TABLE effect (event varchar(128))");
            for (int i = 0; i < 200; i++) {
                scene.sendRaw("asset.events", "user-" + i, json("user-" + i, "evt-" + i));
            }
            scene.flush();
            ConsumerRunner runner = scene.start(ConsumerRunner.builder(scene.kafka(), scene.group("ledger"))
                    .inTransaction(scene.inbox(), ASSET_UPDATED, (event, tx) -> {
                        if (begun.incrementAndGet() > 20) {
                            killed.await();
                        }
                        try (PreparedStatement insert =
                                tx.connection().prepareStatement("INSERT INTO effect SELECT ? FROM pg_sleep(0.05)")) {
                            insert.setString(1, event.id());
                            insert.executeUpdate();
                        }
                    })
                    .retry(RetryConfig.custom().maxAttempts(1).build())
                    .afterRetries(AfterRetries.deadLetter("dlq.events"))
                    .concurrency(4)
                    .build());
            Eventually.holds(() -> scene.count("SELECT count(*) FROM effect") > 10, runner::health);
            scene.database().getHikariConfigMXBean().setConnectionTimeout(1_000);
            own.kill();
            killed.countDown();
            Eventually.holds(
                    () -> runner.health().status() == Status.DEGRADED
                            && runner.health().problems().stream()
                                    .anyMatch(
                                            problem -> problem.contains("the inbox cannot note that a handler starts")),
                    runner::health);
            own.restart();
            scene.database().getHikariConfigMXBean().setConnectionTimeout(30_000);
            Eventually.holds(() -> scene.committed(scene.group("ledger"), "asset.events") == 200, runner::health);
            assertThat(scene.count("SELECT count(DISTINCT event) FROM effect")).isEqualTo(200);
            assertThat(scene.count("SELECT count(*) FROM effect")).isEqualTo(200);
            assertThat(scene.endOffsets("dlq.events")).isZero();
            assertThat(scene.count("SELECT count(*) FROM eventbus_attempt")).isZero();
        }
    }

    private void sendInnocents(Scene scene, int howMany) {
        for (int i = 0; i < howMany; i++) {
            String id = "slow-" + innocents.size();
            innocents.add(id);
            send(scene, "user-" + id, id);
        }
    }

    private static void send(Scene scene, String user, String id) {
        scene.sendRaw("asset.events", user, json(user, id));
        scene.flush();
    }

    private static String json(String user, String id) {
        return "{\"eventId\":\"%s\",\"eventType\":\"ASSET_UPDATED\",\"timestamp\":\"2025-01-15T10:35:00Z\",\"userId\":\"%s\"}"
                .formatted(id, user);
    }

    private boolean isDone(Scene scene) throws SQLException {
        return scene.committed(scene.group("ledger"), "asset.events") == innocents.size() + 1;
    }

    private static List<Origin> letters(Scene scene) {
        return scene.records("dlq.events").stream()
                .map(letter -> Objects.requireNonNull(DeadLetter.of(letter).origin()))
                .toList();
    }
}
