package dev.eventbus.it.consumer;

import static dev.eventbus.it.Events.ASSET_UPDATED;
import static java.nio.charset.StandardCharsets.UTF_8;
import static java.util.stream.Collectors.toMap;
import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.consumer.AfterRetries;
import dev.eventbus.consumer.ConsumerRunner;
import dev.eventbus.consumer.Delivery;
import dev.eventbus.consumer.RunnerListener;
import dev.eventbus.consumer.inbox.Outcome;
import dev.eventbus.embedded.KafkaServer;
import dev.eventbus.embedded.PostgresServer;
import dev.eventbus.embedded.ServersExtension;
import dev.eventbus.faults.crash.HaltPoint;
import dev.eventbus.it.Eventually;
import dev.eventbus.it.Scene;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Queue;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.FutureTask;
import org.apache.kafka.clients.consumer.Consumer;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.parallel.Execution;
import org.junit.jupiter.api.parallel.ExecutionMode;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** A consumer's process halts or freezes at any place of its work, and a successor takes over. */
@ExtendWith(ServersExtension.class)
@Execution(ExecutionMode.CONCURRENT)
class HaltedConsumersIT {

    private static final int USERS = 6;
    private static final int EVENTS_A_USER = 6;
    private static final int SLOW = 100;
    private static final int EVENTS = USERS * EVENTS_A_USER;

    private final Scene scene;
    private final String group;
    private final Queue<Outcome> repeats = new ConcurrentLinkedQueue<>();
    private final Map<String, Integer> attempts = new ConcurrentHashMap<>();

    HaltedConsumersIT(KafkaServer kafka, PostgresServer postgres) throws SQLException {
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

    @ParameterizedTest
    @CsvSource({
        "POLLED:1, DECODED:7",
        "MARKED:7, BEFORE_COMMIT:7",
        "AFTER_COMMIT:7, BEFORE_OFFSETS:1",
        "AFTER_OFFSETS:1, IN_REVOKE:1"
    })
    void K_01_wherever_a_process_halts_nothing_is_lost_and_no_effect_is_doubled_or_out_of_order(
            String one, String other, KafkaServer kafka, PostgresServer postgres) throws Exception {
        HaltedConsumersIT beside = new HaltedConsumersIT(kafka, postgres); // most of the time a halt is waited for
        try {
            beside.createEffects();
            FutureTask<Void> others = new FutureTask<>(() -> {
                beside.haltAndSucceed(other);
                return null;
            });
            new Thread(others, other).start();
            try {
                haltAndSucceed(one);
            } finally {
                others.get();
            }
        } finally {
            beside.close();
        }
    }

    private void haltAndSucceed(String place) throws Exception {
        boolean inRevoke = place.startsWith("IN_REVOKE");
        send(USERS);
        if (inRevoke) {
            sendSlow();
        }
        long events = scene.endOffsets("asset.events");
        try (ConsumerProcess halts = ConsumerProcess.start(
                scene,
                group,
                inRevoke ? ConsumerProcess.MISSED_LATE : ConsumerProcess.MISSED_SOON,
                "-D%s=%s".formatted(HaltPoint.PROPERTY, place))) {
            ConsumerRunner early = null;
            if (inRevoke) { // whichever partition is revoked, it is one of which an event runs
                Eventually.holds(() -> halts.started().containsAll(List.of("slow-0-0", "slow-1-0")), () -> halts);
                early = scene.start(successor());
            }
            Eventually.holds(() -> !halts.isAlive(), () -> halts);
            assertThat(halts.exitCode()).as("%s", halts).isEqualTo(HaltPoint.AS_BY_SIGKILL);
            if (early == null) {
                assertCommittedHaveTheirEffects();
            }
            ConsumerRunner successor = early == null ? scene.start(successor()) : early;
            Eventually.holds(() -> scene.committed(group, "asset.events") == events, successor::health);
            long before = scene.count("SELECT count(*) FROM effect") - attempts.size();
            assertEffectsOnceAndInOrder(USERS);
            assertThat(scene.strings("SELECT event FROM effect"))
                    .hasSize((int) events)
                    .doesNotHaveDuplicates();
            assertThat(repeats)
                    .as("no more than it had handled")
                    .allMatch(Outcome.DONE::equals)
                    .hasSizeLessThanOrEqualTo((int) before);
            if (place.startsWith("AFTER_COMMIT")) {
                assertThat(repeats).as("what it did not know of").isNotEmpty();
            }
            assertThat(attempts.values()).as("a halt uses no attempt").containsOnly(1);
        }
    }

    @Test
    void K_01_a_failure_that_was_noted_before_the_halt_counts_and_the_event_is_still_handled_first_of_its_key()
            throws Exception {
        send("user-0", "fails-1");
        send(USERS);
        try (ConsumerProcess halts = ConsumerProcess.start(
                scene, group, ConsumerProcess.MISSED_SOON, "-D%s=ATTEMPT_NOTED:1".formatted(HaltPoint.PROPERTY))) {
            Eventually.holds(() -> !halts.isAlive(), () -> halts);
            assertThat(halts.exitCode()).as("%s", halts).isEqualTo(HaltPoint.AS_BY_SIGKILL);
        }
        assertThat(scene.strings("SELECT event_id || ' ' || failures FROM eventbus_attempt WHERE failures > 0"))
                .containsExactly("fails-1 1");
        ConsumerRunner successor = scene.start(successor());
        Eventually.holds(() -> scene.committed(group, "asset.events") == EVENTS + 1, successor::health);
        assertThat(attempts).containsEntry("fails-1", 2);
        assertThat(scene.strings(
                        "SELECT event FROM effect WHERE event = 'fails-1' OR event LIKE 'user-0:%' ORDER BY ord"))
                .startsWith("fails-1", "user-0:0");
        assertEffectsOnceAndInOrder(USERS);
        assertThat(scene.count("SELECT count(*) FROM eventbus_attempt")).isZero();
    }

    @Test
    void K_04_a_process_that_freezes_after_its_commit_is_succeeded_and_its_events_are_repeats_also_when_it_wakes()
            throws Exception {
        send(1); // so that nothing else is in a transaction when it freezes
        try (ConsumerProcess freezes = ConsumerProcess.start(
                scene,
                group,
                ConsumerProcess.MISSED_SOON,
                "-D%s=AFTER_COMMIT:3:FREEZE".formatted(HaltPoint.PROPERTY))) {
            Eventually.holds(freezes::isFrozen, () -> freezes);
            assertCommittedHaveTheirEffects();
            ConsumerRunner successor = scene.start(successor());
            Eventually.holds(() -> scene.committed(group, "asset.events") == EVENTS_A_USER, successor::health);
            assertEffectsOnceAndInOrder(1);
            assertThat(repeats).contains(Outcome.DONE).allMatch(Outcome.DONE::equals);

            int before = freezes.assigned();
            freezes.thaw();
            Eventually.holds(() -> freezes.assigned() > before, () -> freezes);
            successor.close();
            send("user-1", "after it woke");
            Eventually.holds(() -> scene.committed(group, "asset.events") == EVENTS_A_USER + 1, () -> freezes);
            assertEffectsOnceAndInOrder(1);
            assertThat(scene.count("SELECT count(*) FROM effect WHERE event = 'after it woke'"))
                    .isEqualTo(1);
        }
    }

    private ConsumerRunner successor() {
        return ConsumerRunner.builder(scene.kafka(), group)
                .inTransaction(scene.inbox(), ASSET_UPDATED, (event, tx) -> {
                    attempts.put(event.id(), tx.attempt());
                    try (PreparedStatement insert =
                            tx.connection().prepareStatement("INSERT INTO effect (event) VALUES (?)")) {
                        insert.setString(1, event.id());
                        insert.executeUpdate();
                    }
                })
                .afterRetries(AfterRetries.deadLetter("dlq.events"))
                .listener(new RunnerListener() {
                    @Override
                    public void repeated(String eventType, Delivery delivery, Outcome known) {
                        repeats.add(known);
                    }
                })
                .build();
    }

    /** I7: the group's offset is never past an event that has not ended. */
    private void assertCommittedHaveTheirEffects() throws SQLException {
        List<String> effects = scene.strings("SELECT event FROM effect");
        List<ConsumerRecord<byte[], byte[]>> records = scene.records("asset.events");
        try (Consumer<byte[], byte[]> consumer = scene.kafka().consumer(Map.of("group.id", group))) {
            for (ConsumerRecord<byte[], byte[]> record : records) {
                TopicPartition partition = new TopicPartition(record.topic(), record.partition());
                OffsetAndMetadata committed =
                        consumer.committed(Set.of(partition)).get(partition);
                if (committed != null && record.offset() < committed.offset()) {
                    assertThat(effects).contains(id(record));
                }
            }
        }
    }

    private void assertEffectsOnceAndInOrder(int users) throws SQLException {
        assertThat(scene.strings("SELECT event FROM effect WHERE event LIKE 'user-%'"))
                .hasSize(users * EVENTS_A_USER);
        for (int u = 0; u < users; u++) {
            List<String> inOrder = new ArrayList<>();
            for (int n = 0; n < EVENTS_A_USER; n++) {
                inOrder.add("user-%d:%d".formatted(u, n));
            }
            assertThat(scene.strings(
                            "SELECT event FROM effect WHERE event LIKE 'user-%d:%%' ORDER BY ord".formatted(u)))
                    .isEqualTo(inOrder);
        }
        assertThat(scene.endOffsets("dlq.events")).isZero();
    }

    private void send(int users) {
        for (int n = 0; n < EVENTS_A_USER; n++) {
            for (int u = 0; u < users; u++) {
                send("user-" + u, "user-%d:%d".formatted(u, n));
            }
        }
        scene.flush();
    }

    /** One after the other in either partition: more than a process handles while anything is waited for. */
    private void sendSlow() {
        Map<Integer, String> users = scene.records("asset.events").stream()
                .collect(toMap(ConsumerRecord::partition, record -> new String(record.key(), UTF_8), (u, v) -> u));
        users.forEach((partition, user) -> {
            for (int n = 0; n < SLOW; n++) {
                send(user, "slow-%d-%d".formatted(partition, n));
            }
        });
    }

    private void send(String user, String id) {
        scene.sendRaw("asset.events", user, """
                {"eventId":"%s","eventType":"ASSET_UPDATED","timestamp":"2030-01-01T00:00:00Z","userId":"%s"}""".formatted(id, user));
        scene.flush();
    }

    private static String id(ConsumerRecord<byte[], byte[]> record) {
        String json = new String(record.value(), UTF_8);
        int from = json.indexOf("eventId\":\"") + "eventId\":\"".length();
        return json.substring(from, json.indexOf('"', from));
    }
}
