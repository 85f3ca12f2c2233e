package dev.eventbus.it.consumer;

import static dev.eventbus.it.Events.ASSET_UPDATED;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.consumer.AfterRetries;
import dev.eventbus.consumer.ConsumerRunner;
import dev.eventbus.consumer.Delivery;
import dev.eventbus.consumer.RunnerListener;
import dev.eventbus.consumer.inbox.JdbcInbox;
import dev.eventbus.consumer.inbox.Outcome;
import dev.eventbus.embedded.KafkaServer;
import dev.eventbus.embedded.PostgresServer;
import dev.eventbus.embedded.ServersExtension;
import dev.eventbus.it.Eventually;
import dev.eventbus.it.Scene;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import java.time.Duration;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Queue;
import java.util.Set;
import java.util.concurrent.ConcurrentLinkedQueue;
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
import org.junit.jupiter.params.provider.ValueSource;
import org.postgresql.ds.PGSimpleDataSource;

/** Runners that are stopped in order, whatever they do; and one whose memory is spent. */
@ExtendWith(ServersExtension.class)
@Execution(ExecutionMode.CONCURRENT)
class StoppingIT {

    private static final String HANDED_OVER = "eventbus:handed-over";

    private final Scene scene;
    private final PGSimpleDataSource database = new PGSimpleDataSource();
    private final Queue<String> handled = new ConcurrentLinkedQueue<>();
    private final Queue<Outcome> repeats = new ConcurrentLinkedQueue<>();

    StoppingIT(KafkaServer kafka, PostgresServer postgres) throws SQLException {
        scene = Scene.create(kafka, postgres, "asset.events:2", "dlq.events:1");
        database.setUrl(scene.database().getJdbcUrl());
        database.setUser(postgres.user());
        database.setPassword(postgres.password());
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
    @ValueSource(strings = {"starting", "idle", "handling", "waiting"})
    void K_26_SIGTERM_drains_commits_and_notes_an_orderly_end_in_every_phase(String phase) throws Exception {
        String group = scene.group("ledger");
        send("user", "evt-1");
        if (phase.equals("handling")) {
            send("user-2", "slow-1");
            send("user-2", "evt-2");
        }
        if (phase.equals("waiting")) {
            send("user-2", "fails-1");
        }
        try (ConsumerProcess process = ConsumerProcess.start(
                scene, group, ConsumerProcess.MISSED_LATE, "-D%s=30000".formatted(ConsumerMain.BACK_OFF))) {
            String awaited = phase.equals("handling") ? "slow-1" : phase.equals("waiting") ? "fails-1" : "evt-1";
            if (phase.equals("starting")) {
                Eventually.holds(() -> !process.status().isEmpty(), () -> process);
            } else {
                Eventually.holds(() -> process.started().contains(awaited), () -> process);
            }
            process.terminate();
            assertThat(process.endsWithin(Duration.ofSeconds(30)))
                    .as("%s", process)
                    .isTrue();
            assertThat(process.exitCode()).isEqualTo(128 + 15);
            assertHandedOver(group, process.started());
        }
        List<String> effects = scene.strings("SELECT event FROM effect");
        assertThat(effects).doesNotHaveDuplicates();
        if (phase.equals("handling")) {
            assertThat(effects).as("what ran was waited for").contains("slow-1");
        }
        assertThat(scene.committed(group, "asset.events"))
                .as("all that has ended is committed")
                .isEqualTo(effects.size());
        ConsumerRunner successor = scene.start(successor(group));
        long events = scene.endOffsets("asset.events");
        Eventually.holds(() -> scene.committed(group, "asset.events") == events, successor::health);
        assertThat(handled).as("only what was left").noneMatch(effects::contains);
        assertThat(repeats).isEmpty();
        assertThat(scene.count("SELECT count(*) FROM effect")).isEqualTo(events);
    }

    /** Whoever reads a partition takes its note off before he starts an event of it, and puts it there again when he goes. */
    private void assertHandedOver(String group, List<String> started) {
        Set<TopicPartition> used = new HashSet<>();
        for (ConsumerRecord<byte[], byte[]> record : scene.records("asset.events")) {
            String event = new String(record.value(), UTF_8);
            if (started.stream().anyMatch(id -> event.contains("\"%s\"".formatted(id)))) {
                used.add(new TopicPartition(record.topic(), record.partition()));
            }
        }
        String topic = scene.kafka().physicalTopic("asset.events");
        try (Consumer<byte[], byte[]> consumer = scene.kafka().consumer(Map.of("group.id", group))) {
            Map<TopicPartition, OffsetAndMetadata> committed =
                    consumer.committed(Set.of(new TopicPartition(topic, 0), new TopicPartition(topic, 1)));
            committed.values().removeIf(Objects::isNull);
            assertThat(committed.keySet()).containsAll(used);
            assertThat(committed.values())
                    .extracting(OffsetAndMetadata::metadata)
                    .allMatch(HANDED_OVER::equals);
        }
    }

    @Test
    void K_15_a_runner_whose_memory_is_spent_is_down_and_commits_nothing_more_and_its_successor_goes_on()
            throws Exception {
        String group = scene.group("ledger");
        send("user", "evt-1");
        send("user", "huge-1");
        send("user", "evt-2");
        try (ConsumerProcess process = ConsumerProcess.start(scene, group, ConsumerProcess.MISSED_LATE)) {
            Eventually.holds(() -> process.status().equals("DOWN") || !process.isAlive(), () -> process);
            assertThat(process.started()).containsExactly("evt-1", "huge-1");
            ConsumerRunner successor = scene.start(successor(group));
            Eventually.holds(() -> scene.committed(group, "asset.events") == 3, successor::health);
            assertThat(process.started()).as("%s", process).containsExactly("evt-1", "huge-1");
        }
        assertThat(scene.strings("SELECT event FROM effect ORDER BY ord")).containsExactly("evt-1", "huge-1", "evt-2");
        assertThat(handled).contains("huge-1", "evt-2");
        assertThat(scene.endOffsets("dlq.events")).isZero();
    }

    private ConsumerRunner successor(String group) {
        return ConsumerRunner.builder(scene.kafka(), group)
                .inTransaction(JdbcInbox.postgres(database), ASSET_UPDATED, (event, tx) -> {
                    handled.add(event.id());
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

    private void send(String user, String id) {
        scene.sendRaw("asset.events", user, """
                {"eventId":"%s","eventType":"ASSET_UPDATED","timestamp":"2030-01-01T00:00:00Z","userId":"%s"}""".formatted(id, user));
        scene.flush();
    }
}
