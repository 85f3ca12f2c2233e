package dev.eventbus.it.consumer;

import static dev.eventbus.it.Events.ASSET_UPDATED;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.consumer.AfterRetries;
import dev.eventbus.consumer.ConsumerRunner;
import dev.eventbus.consumer.inbox.JdbcInbox;
import dev.eventbus.embedded.KafkaServer;
import dev.eventbus.embedded.PostgresServer;
import dev.eventbus.embedded.ServersExtension;
import dev.eventbus.faults.crash.CrashPoint;
import dev.eventbus.faults.crash.HaltPoint;
import dev.eventbus.it.Eventually;
import dev.eventbus.it.Scene;
import io.github.resilience4j.retry.RetryConfig;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.parallel.Execution;
import org.junit.jupiter.api.parallel.ExecutionMode;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * A consumer's process ends without a word while it parks keys, follows them, handles them again or lifts them, and another one takes
 * over: nothing is lost, nothing doubled, each key in its order, and no parked event without its key.
 */
@ExtendWith(ServersExtension.class)
@Execution(ExecutionMode.CONCURRENT)
class ParkingCrashesIT {

    private static final int USERS = 4;

    /** Of a user; the second one fails for half of them. */
    private static final int EVENTS = 5;

    private static final int PARKED = USERS / 2 * (EVENTS - 1);

    private final Scene scene;
    private final String group;
    private final JdbcInbox inbox;
    private volatile boolean healed;

    ParkingCrashesIT(KafkaServer kafka, PostgresServer postgres) throws SQLException {
        scene = Scene.create(kafka, postgres, "asset.events:2", "dlq.events:1");
        group = scene.group("ledger");
        inbox = scene.inbox();
    }

    @BeforeEach
    void createEffects() throws SQLException {
        scene.execute("CREATE TABLE effect (event varchar(128), ord bigint GENERATED ALWAYS AS IDENTITY)");
    }

    @AfterEach
    void close() throws Exception {
        scene.close();
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                HaltPoint.PROPERTY + "=BEFORE_PARKED:1",
                HaltPoint.PROPERTY + "=AFTER_PARKED:1",
                HaltPoint.PROPERTY + "=AFTER_PARKED:4",
                CrashPoint.PROPERTY + "=AFTER_ACK:1"
            })
    void wherever_a_process_halts_while_it_parks_the_next_one_goes_on(String where) throws Exception {
        publish();
        halts(where, false);
        ConsumerRunner successor = scene.start(runner());
        Eventually.holds(
                () -> scene.count("SELECT count(*) FROM eventbus_parked_event") == PARKED
                        && scene.committed(group, "asset.events") == USERS * EVENTS,
                successor::health);
        assertThat(scene.strings("SELECT event FROM effect"))
                .as("all others, and the first of each")
                .hasSize(USERS * EVENTS - PARKED)
                .doesNotHaveDuplicates();
        Eventually.holds(
                () -> inbox.parking().load(group).stream()
                        .noneMatch(key -> key.isDue(scene.kafka().clock().instant())),
                successor::health);
        List<String> copies = scene.records("dlq.events").stream()
                .map(letter -> new String(
                        letter.headers().lastHeader("eventbus-dlq-event-id").value(), UTF_8))
                .toList();
        assertThat(copies).as("a copy of each, at most once more for the halt").hasSizeBetween(2, 4);
        assertThat(Set.copyOf(copies)).containsExactlyInAnyOrder("fails-0:1", "fails-1:1");
        healed = true;
        redrive();
        assertAllInOrder(successor);
    }

    @ParameterizedTest
    @ValueSource(
            strings = {"BEFORE_DRAINED:1", "AFTER_DRAINED:3", "BEFORE_DRAINED:6", "BEFORE_LIFTED:1", "AFTER_LIFTED:1"})
    void wherever_a_process_halts_while_it_handles_parked_keys_again_the_next_one_goes_on(String place)
            throws Exception {
        publish();
        try (ConsumerRunner first = scene.start(runner())) {
            Eventually.holds(
                    () -> scene.count("SELECT count(*) FROM eventbus_parked_event") == PARKED
                            && scene.count("SELECT count(*) FROM eventbus_parked_key WHERE state = 'PARKED'") == 2
                            && scene.committed(group, "asset.events") == USERS * EVENTS,
                    first::health);
        }
        redrive();
        halts(HaltPoint.PROPERTY + "=" + place, true);
        healed = true;
        assertAllInOrder(scene.start(runner()));
    }

    @Test
    void a_process_that_is_killed_while_the_handler_of_a_parked_event_runs_leaves_it_to_the_next() throws Exception {
        send("user-0", "user-0:0");
        send("user-0", "fails-0");
        send("user-0", "slow-0");
        send("user-0", "user-0:1");
        scene.flush();
        try (ConsumerRunner first = scene.start(runner())) {
            Eventually.holds(
                    () -> scene.count("SELECT count(*) FROM eventbus_parked_event") == 3
                            && scene.count("SELECT count(*) FROM eventbus_parked_key WHERE state = 'PARKED'") == 1,
                    first::health);
        }
        assertThat(inbox.parking()
                        .redrive(group, scene.kafka().physicalTopic("asset.events"), "user-0".getBytes(UTF_8)))
                .isTrue();
        try (ConsumerProcess killed =
                start("-D%s=true".formatted(ConsumerMain.HEALED), "-D%s=true".formatted(ConsumerMain.PARKS))) {
            Eventually.holds(() -> killed.started().contains("slow-0"), () -> killed);
            killed.kill();
        }
        healed = true;
        ConsumerRunner successor = scene.start(runner());
        Eventually.holds(() -> inbox.parking().load(group).isEmpty(), successor::health);
        assertThat(scene.strings("SELECT event FROM effect ORDER BY ord"))
                .containsExactly("user-0:0", "fails-0", "slow-0", "user-0:1");
    }

    private ConsumerProcess start(String... jvmArguments) {
        return ConsumerProcess.start(scene, group, ConsumerProcess.MISSED_SOON, jvmArguments);
    }

    private void halts(String where, boolean heals) throws Exception {
        try (ConsumerProcess halts = start(
                "-D" + where,
                "-D%s=%s".formatted(ConsumerMain.HEALED, heals),
                "-D%s=true".formatted(ConsumerMain.PARKS))) {
            Eventually.holds(() -> !halts.isAlive(), () -> halts);
            assertThat(halts.exitCode()).as("%s", halts).isEqualTo(HaltPoint.AS_BY_SIGKILL);
        }
    }

    private void redrive() throws SQLException {
        String topic = scene.kafka().physicalTopic("asset.events");
        for (int user = 0; user < USERS / 2; user++) {
            assertThat(inbox.parking().redrive(group, topic, ("user-" + user).getBytes(UTF_8)))
                    .isTrue();
        }
    }

    private void assertAllInOrder(ConsumerRunner successor) throws Exception {
        send("user-0", "user-0:last");
        scene.flush();
        Eventually.holds(
                () -> scene.count("SELECT count(*) FROM effect") >= USERS * EVENTS + 1
                        && inbox.parking().load(group).isEmpty(),
                successor::health);
        assertThat(scene.strings("SELECT event FROM effect"))
                .doesNotHaveDuplicates()
                .hasSize(USERS * EVENTS + 1);
        for (int user = 0; user < USERS; user++) {
            List<String> wanted = new ArrayList<>();
            for (int n = 0; n < EVENTS; n++) {
                wanted.add(id(user, n));
            }
            if (user == 0) {
                wanted.add("user-0:last");
            }
            assertThat(scene.strings(
                            "SELECT event FROM effect WHERE event LIKE 'user-%1$d:%%' OR event LIKE 'fails-%1$d:%%' ORDER BY ord"
                                    .formatted(user)))
                    .isEqualTo(wanted);
        }
        assertThat(scene.count("SELECT count(*) FROM eventbus_parked_event")).isZero();
        assertThat(scene.strings("SELECT DISTINCT outcome FROM eventbus_inbox")).containsExactly("DONE");
    }

    private static String id(int user, int n) {
        return (n == 1 && user < USERS / 2 ? "fails-" : "user-") + user + ":" + n;
    }

    private void publish() {
        for (int n = 0; n < EVENTS; n++) {
            for (int user = 0; user < USERS; user++) {
                send("user-" + user, id(user, n));
            }
        }
        scene.flush();
    }

    private void send(String user, String id) {
        scene.sendRaw("asset.events", user, """
                {"eventId":"%s","eventType":"ASSET_UPDATED","timestamp":"2030-01-01T00:00:00Z","userId":"%s","newAmount":1}
                """.formatted(id, user));
    }

    /** As {@link ConsumerMain}, in this process. */
    private ConsumerRunner runner() {
        return ConsumerRunner.builder(scene.kafka(), group)
                .inTransaction(inbox, ASSET_UPDATED, (event, tx) -> {
                    if (event.id().startsWith("fails") && !healed) {
                        throw new IllegalStateException("no luck");
                    }
                    try (PreparedStatement insert = tx.connection().prepareStatement("INSERT INTO effect VALUES (?)")) {
                        insert.setString(1, event.id());
                        insert.executeUpdate();
                    }
                })
                .retry(RetryConfig.custom()
                        .maxAttempts(2)
                        .intervalFunction(attempt -> 10L)
                        .build())
                .afterRetries(AfterRetries.parkKey(inbox, "dlq.events"))
                .build();
    }
}
