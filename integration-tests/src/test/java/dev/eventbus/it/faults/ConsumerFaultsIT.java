package dev.eventbus.it.faults;

import static dev.eventbus.it.Events.ASSET_UPDATED;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.ObjectMapper;
import dev.eventbus.consumer.AfterRetries;
import dev.eventbus.consumer.ConsumerRunner;
import dev.eventbus.consumer.ConsumerRunnerBuilder;
import dev.eventbus.consumer.Delivery;
import dev.eventbus.consumer.RunnerHealth.PartitionHealth;
import dev.eventbus.consumer.RunnerListener;
import dev.eventbus.consumer.inbox.Outcome;
import dev.eventbus.embedded.PostgresServer;
import dev.eventbus.embedded.ServersExtension;
import dev.eventbus.it.Eventually;
import dev.eventbus.it.Scene;
import java.io.IOException;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.protocol.ApiKeys;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

/** Runners on a bad network, and on a topic of which compaction has taken records away. */
@ExtendWith({ServersExtension.class, FaultyKafkaExtension.class})
class ConsumerFaultsIT {

    private static final ObjectMapper JSON = new ObjectMapper();

    /** An offset that compaction takes away. */
    private static final long IN_A_HOLE = 150;

    private final Queue<Exception> commitFailures = new ConcurrentLinkedQueue<>();
    private final Queue<Outcome> repeats = new ConcurrentLinkedQueue<>();
    private final Queue<String> handled = new ConcurrentLinkedQueue<>();
    private final Queue<RunnerListener.OffsetGap> gaps = new ConcurrentLinkedQueue<>();

    @Test
    void K_23_a_commit_whose_answer_is_lost_is_made_again_and_neither_stops_the_runner_nor_doubles_an_effect(
            FaultyKafka kafka, PostgresServer postgres) throws Exception {
        try (Scene scene = kafka.scene(postgres, "asset.events:2", "dlq.events:1")) {
            scene.execute("CREATE TABLE effect (event varchar(128))");
            String group = scene.group("ledger");
            ConsumerRunner first = scene.start(ledger(kafka, scene, group));
            int sent = 0;
            while (sent < 7) { // both partitions have been begun
                send(scene, "user-" + sent % 7, "evt-" + sent++);
            }
            Eventually.holds(() -> scene.committed(group, "asset.events") == 7, first::health);
            int lostBefore = kafka.wire().repliesLost();
            kafka.wire().loseReplies(ApiKeys.OFFSET_COMMIT, 3);
            while (kafka.wire().repliesLost() < lostBefore + 3) {
                send(scene, "user-" + sent % 7, "evt-" + sent++);
                int all = sent;
                Eventually.holds(() -> effects(scene) == all, first::health);
            }
            int events = sent;
            Eventually.holds(() -> scene.committed(group, "asset.events") == events, first::health);
            assertThat(commitFailures).isNotEmpty();
            Eventually.holds(() -> saysNothingOfOffsets(first), first::health);
            assertThat(repeats).isEmpty();

            send(scene, "user-1", "evt-last");
            Eventually.holds(() -> scene.committed(group, "asset.events") == events + 1, first::health);
            lostBefore = kafka.wire().repliesLost(); // from here on only close commits: its note
            kafka.wire().loseReplies(ApiKeys.OFFSET_COMMIT, 1);
            first.close();
            assertThat(kafka.wire().repliesLost()).as("that of close").isEqualTo(lostBefore + 1);
            ConsumerRunner second = scene.start(ledger(kafka, scene, group));
            send(scene, "user-1", "evt-after");
            Eventually.holds(() -> scene.committed(group, "asset.events") == events + 2, second::health);
            assertThat(scene.strings("SELECT event FROM effect"))
                    .hasSize(events + 2)
                    .doesNotHaveDuplicates();
            assertThat(repeats).isEmpty();
            assertThat(scene.endOffsets("dlq.events")).isZero();
        }
    }

    private ConsumerRunner ledger(FaultyKafka kafka, Scene scene, String group) {
        return builder(kafka, scene, group)
                .inTransaction(scene.inbox(), ASSET_UPDATED, (event, tx) -> {
                    try (PreparedStatement insert = tx.connection().prepareStatement("INSERT INTO effect VALUES (?)")) {
                        insert.setString(1, event.id());
                        insert.executeUpdate();
                    }
                })
                .build();
    }

    private static boolean saysNothingOfOffsets(ConsumerRunner runner) {
        return runner.health().problems().stream().noneMatch(problem -> problem.contains("offsets"));
    }

    private static long effects(Scene scene) throws SQLException {
        return scene.count("SELECT count(*) FROM effect");
    }

    @Test
    void K_25_holes_that_compaction_has_left_are_passed_and_leave_no_lag_wherever_a_group_stands(
            FaultyKafka kafka, PostgresServer postgres) throws Exception {
        try (Scene scene = kafka.scene(postgres, "asset.events:1", "dlq.events:1")) {
            kafka.set(scene, "segment.ms", "50", "asset.events");
            kafka.set(scene, "min.cleanable.dirty.ratio", "0.001", "asset.events");
            kafka.set(scene, "cleanup.policy", "compact", "asset.events");
            for (int n = 0; n < 300; n++) {
                send(scene, "user-" + n % 3, "evt-" + n);
            }
            int[] ticks = {0};
            Eventually.holds(
                    () -> {
                        send(
                                scene,
                                "tick",
                                "tick-" + ticks[0]++); // only what is followed by a new segment is compacted
                        List<ConsumerRecord<byte[], byte[]>> left = scene.records("asset.events");
                        return left.size() < 100 && left.stream().noneMatch(record -> record.offset() == IN_A_HOLE);
                    },
                    () -> scene.records("asset.events").size());
            long end = scene.endOffsets("asset.events");
            String fromTheStart = scene.group("from-the-start");
            ConsumerRunner runner = scene.start(collector(kafka, scene, fromTheStart));
            Eventually.holds(() -> scene.committed(fromTheStart, "asset.events") == end, runner::health);
            Eventually.holds(() -> lag(runner) == 0, runner::health);
            assertThat(handled).hasSizeLessThan(100).containsAll(survivors(scene));
            runner.close();

            handled.clear();
            String inAHole = scene.group("in-a-hole");
            setTo(scene, inAHole, IN_A_HOLE);
            ConsumerRunner other = scene.start(collector(kafka, scene, inAHole));
            Eventually.holds(() -> scene.committed(inAHole, "asset.events") == end, other::health);
            Eventually.holds(() -> lag(other) == 0, other::health);
            assertThat(handled).isNotEmpty().containsAll(survivors(scene));
            assertThat(gaps).as("what compaction takes is superseded, not lost").isEmpty();
        }
    }

    private ConsumerRunner collector(FaultyKafka kafka, Scene scene, String group) {
        return builder(kafka, scene, group)
                .on(ASSET_UPDATED, (event, delivery) -> handled.add(event.id()))
                .build();
    }

    private static List<String> survivors(Scene scene) throws IOException {
        List<String> ids = new ArrayList<>();
        for (ConsumerRecord<byte[], byte[]> record : scene.records("asset.events")) {
            ids.add(JSON.readTree(record.value()).get("eventId").textValue());
        }
        return ids;
    }

    private static long lag(ConsumerRunner runner) {
        return runner.health().partitions().stream()
                .mapToLong(PartitionHealth::lag)
                .findAny()
                .orElse(-1);
    }

    private static void setTo(Scene scene, String group, long offset) throws Exception {
        TopicPartition partition = new TopicPartition(scene.kafka().physicalTopic("asset.events"), 0);
        try (Admin admin = scene.kafka().admin()) {
            admin.alterConsumerGroupOffsets(group, Map.of(partition, new OffsetAndMetadata(offset)))
                    .all()
                    .get();
        }
    }

    // ------------------------------------------------------------------------------------------

    private ConsumerRunnerBuilder builder(FaultyKafka kafka, Scene scene, String group) {
        return ConsumerRunner.builder(kafka.asRunner(scene), group)
                .afterRetries(AfterRetries.deadLetter("dlq.events"))
                .listener(new RunnerListener() {
                    @Override
                    public void commitFailed(Exception cause) {
                        commitFailures.add(cause);
                    }

                    @Override
                    public void repeated(String eventType, Delivery delivery, Outcome known) {
                        repeats.add(known);
                    }

                    @Override
                    public void offsetGap(OffsetGap gap) {
                        gaps.add(gap);
                    }
                });
    }

    private static void send(Scene scene, String user, String id) {
        scene.sendRaw("asset.events", user, """
                {"eventId":"%s","eventType":"ASSET_UPDATED","timestamp":"2030-01-01T00:00:00Z","userId":"%s"}""".formatted(id, user).getBytes(UTF_8));
        scene.flush();
    }
}
