package dev.eventbus.it.consumer;

import static dev.eventbus.it.Events.ASSET_UPDATED;
import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.FailureReason;
import dev.eventbus.consumer.AfterRetries;
import dev.eventbus.consumer.ConsumerRunner;
import dev.eventbus.consumer.deadletter.DeadLetter;
import dev.eventbus.consumer.deadletter.Origin;
import dev.eventbus.embedded.KafkaServer;
import dev.eventbus.embedded.PostgresServer;
import dev.eventbus.embedded.ServersExtension;
import dev.eventbus.it.Eventually;
import dev.eventbus.it.Scene;
import io.github.resilience4j.retry.RetryConfig;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import java.util.List;
import java.util.Objects;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.parallel.Execution;
import org.junit.jupiter.api.parallel.ExecutionMode;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * A consumer's process stands still around a dead letter, is succeeded, and wakes up when what the event failed of is mended: the
 * event ends once, and its successors stay behind it.
 */
@ExtendWith(ServersExtension.class)
@Execution(ExecutionMode.CONCURRENT)
class FrozenConsumersIT {

    private static final String FAILS = "fails-1";

    private final Scene scene;
    private final String group;
    private final Queue<String> started = new ConcurrentLinkedQueue<>();

    FrozenConsumersIT(KafkaServer kafka, PostgresServer postgres) throws SQLException {
        scene = Scene.create(kafka, postgres, "asset.events:2", "dlq.events:1");
        group = scene.group("ledger");
    }

    @BeforeEach
    void createEffects() throws SQLException {
        scene.execute("CREATE TABLE effect (event varchar(128), ord bigint GENERATED ALWAYS AS IDENTITY)");
    }

    @AfterEach
    void close() throws Exception {
        scene.close();
    }

    /** The letter is decided; the broker has it; the inbox has noted that, and by the first commit the event had not ended. */
    @ParameterizedTest
    @ValueSource(
            strings = {
                "eventbus.crash=BEFORE_SEND:1:FREEZE",
                "eventbus.crash=AFTER_ACK:1:FREEZE",
                "eventbus.halt=BEFORE_OFFSETS:2:FREEZE"
            })
    void K_11_an_event_that_an_owner_has_dead_lettered_is_dead_for_its_healed_successor_and_when_that_owner_wakes(
            String where) throws Exception {
        send(FAILS);
        try (ConsumerProcess freezes = ConsumerProcess.start(
                scene,
                group,
                ConsumerProcess.MISSED_SOON,
                "-D" + where,
                "-D%s=1000".formatted(ConsumerMain.BACK_OFF))) {
            Eventually.holds(freezes::isFrozen, () -> freezes);
            send("b2"); // now, so that it is in no transaction of a process that stands still
            ConsumerRunner successor = scene.start(runner(true));
            Eventually.holds(() -> scene.committed(group, "asset.events") == 2, successor::health);
            assertThat(started).doesNotContain(FAILS);

            wakesAndGoesOn(freezes, successor);
            assertThat(freezes.started())
                    .filteredOn(FAILS::equals)
                    .as("its attempts")
                    .hasSize(2);
        }
        assertThat(scene.strings("SELECT event FROM effect ORDER BY ord")).containsExactly("b2", "b3");
        assertIsDead(2);
    }

    @Test
    void K_11_an_owner_that_wakes_healed_before_its_mark_does_not_run_what_its_successor_has_dead_lettered()
            throws Exception {
        send(FAILS);
        try (ConsumerProcess freezes = ConsumerProcess.start(
                scene,
                group,
                ConsumerProcess.MISSED_SOON,
                "-Deventbus.halt=DECODED:1:FREEZE",
                "-D%s=true".formatted(ConsumerMain.HEALED))) {
            Eventually.holds(freezes::isFrozen, () -> freezes);
            send("b2"); // now, so that it is in no transaction of a process that stands still
            ConsumerRunner successor = scene.start(runner(false));
            Eventually.holds(() -> scene.committed(group, "asset.events") == 2, successor::health);

            wakesAndGoesOn(freezes, successor);
            assertThat(freezes.started()).as("its handler").doesNotContain(FAILS);
        }
        assertThat(scene.strings("SELECT event FROM effect ORDER BY ord")).containsExactly("b2", "b3");
        assertIsDead(1);
    }

    /** It has a share again, and alone all of it. */
    private void wakesAndGoesOn(ConsumerProcess freezes, ConsumerRunner successor) {
        int before = freezes.assigned();
        freezes.thaw();
        Eventually.holds(() -> freezes.assigned() > before, () -> freezes);
        successor.close();
        send("b3");
        Eventually.holds(() -> scene.committed(group, "asset.events") == 3, () -> freezes);
    }

    private void assertIsDead(int mostLetters) throws SQLException {
        List<Origin> letters = scene.records("dlq.events").stream()
                .map(letter -> Objects.requireNonNull(DeadLetter.of(letter).origin()))
                .toList();
        assertThat(letters).hasSizeBetween(1, mostLetters).allSatisfy(letter -> {
            assertThat(letter.eventId()).isEqualTo(FAILS);
            assertThat(letter.reason()).isEqualTo(FailureReason.ATTEMPTS_EXHAUSTED);
        });
        assertThat(scene.strings("SELECT event_id || ' ' || outcome FROM eventbus_inbox ORDER BY event_id"))
                .containsExactly("b2 DONE", "b3 DONE", FAILS + " DEAD");
        assertThat(scene.count("SELECT count(*) FROM eventbus_attempt")).isZero();
    }

    private ConsumerRunner runner(boolean healed) {
        return ConsumerRunner.builder(scene.kafka(), group)
                .inTransaction(scene.inbox(), ASSET_UPDATED, (event, tx) -> {
                    started.add(event.id());
                    if (event.id().equals(FAILS) && !healed) {
                        throw new IllegalStateException();
                    }
                    try (PreparedStatement insert =
                            tx.connection().prepareStatement("INSERT INTO effect (event) VALUES (?)")) {
                        insert.setString(1, event.id());
                        insert.executeUpdate();
                    }
                })
                .retry(RetryConfig.custom()
                        .maxAttempts(2)
                        .intervalFunction(attempt -> 10L)
                        .build())
                .afterRetries(AfterRetries.deadLetter("dlq.events"))
                .build();
    }

    private void send(String id) {
        scene.sendRaw(
                "asset.events",
                "bob",
                "{\"eventId\":\"%s\",\"eventType\":\"ASSET_UPDATED\",\"timestamp\":\"2030-01-01T00:00:00Z\",\"userId\":\"bob\"}"
                        .formatted(id));
        scene.flush();
    }
}
