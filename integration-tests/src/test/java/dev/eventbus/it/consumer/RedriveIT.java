package dev.eventbus.it.consumer;

import static dev.eventbus.it.Events.ASSET_UPDATED;
import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.consumer.AfterRetries;
import dev.eventbus.consumer.ConsumerRunner;
import dev.eventbus.consumer.Delivery;
import dev.eventbus.consumer.RunnerListener;
import dev.eventbus.consumer.inbox.JdbcInbox;
import dev.eventbus.consumer.redrive.Redrive;
import dev.eventbus.consumer.redrive.RedrivePlan;
import dev.eventbus.consumer.redrive.RedriveResult;
import dev.eventbus.consumer.redrive.Standing;
import dev.eventbus.embedded.KafkaServer;
import dev.eventbus.embedded.PostgresServer;
import dev.eventbus.embedded.ServersExtension;
import dev.eventbus.it.Eventually;
import dev.eventbus.it.Scene;
import dev.eventbus.topics.TopicSpec;
import dev.eventbus.topics.Topics;
import io.github.resilience4j.retry.RetryConfig;
import java.sql.PreparedStatement;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.stream.IntStream;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.common.TopicPartition;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.parallel.Execution;
import org.junit.jupiter.api.parallel.ExecutionMode;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Redrives on a real Kafka and a real PostgreSQL, while runners run. */
@ExtendWith(ServersExtension.class)
@Execution(ExecutionMode.CONCURRENT)
class RedriveIT {

    private final Set<String> poison = ConcurrentHashMap.newKeySet();
    private final ConcurrentLinkedQueue<String> handled = new ConcurrentLinkedQueue<>();
    private final ConcurrentLinkedQueue<String> elsewhere = new ConcurrentLinkedQueue<>();
    private final ConcurrentLinkedQueue<Long> skipped = new ConcurrentLinkedQueue<>();

    @Test
    void V02_V03_two_who_redrive_at_once_give_one_effect_and_the_topic_has_no_record_more(
            KafkaServer kafka, PostgresServer postgres) throws Exception {
        try (Scene scene = Scene.create(kafka, postgres, "asset.events:3", "dlq.events:1")) {
            scene.execute(
                    "CREATE TABLE ledger (ord bigint GENERATED ALWAYS AS IDENTITY, owner varchar(255), n bigint)");
            String group = scene.group("ledger");
            IntStream.range(0, 20).forEach(u -> poison.add("user-" + u + "-0"));
            ConsumerRunner runner = scene.start(once(scene, group));
            publish(scene, 20, 0, 2);
            Eventually.holds(
                    () -> booked(scene) == 20 && scene.records("dlq.events").size() == 20, runner::health);
            long topic = scene.endOffsets("asset.events");

            Redrive redrive = Redrive.of(scene.kafka(), group, "dlq.events", scene.inbox())
                    .perSecond(10_000)
                    .waits(Duration.ofMinutes(1));
            Eventually.holds( // a plan counts as handled what the group's offset is past
                    () -> redrive.plan().size() == 20 && scene.committed(group, "asset.events") == 40,
                    () -> redrive.plan().standings());
            RedrivePlan plan = redrive.plan();
            assertThat(plan.keys())
                    .hasSize(20)
                    .allSatisfy(key -> assertThat(key.laterHandled()).isEqualTo(1));
            poison.clear();
            ExecutorService two = Executors.newFixedThreadPool(2);
            Future<RedriveResult> one = two.submit(() -> redrive.plan().run("one"));
            Future<RedriveResult> other = two.submit(() -> redrive.plan().run("the other"));
            RedriveResult first = one.get();
            RedriveResult second = other.get();
            two.shutdown();
            Eventually.holds(() -> booked(scene) == 40, runner::health);
            assertThat(first.handedOver() + second.handedOver()).isGreaterThanOrEqualTo(20);
            assertThat(scene.strings("SELECT owner || '-' || n FROM ledger"))
                    .as("each effect once")
                    .doesNotHaveDuplicates()
                    .hasSize(40);
            assertThat(scene.endOffsets("asset.events")).isEqualTo(topic);
            assertThat(redrive.plan().standings()).isEqualTo(Map.of(Standing.ALREADY_APPLIED, 20L));
            assertThat(plan.run("once more").leftAlone(Standing.ALREADY_APPLIED))
                    .isEqualTo(20);
            assertThat(scene.strings("SELECT state FROM eventbus_redrive"))
                    .containsOnly("DONE")
                    .hasSize(3);
            Eventually.holds(() -> scene.count("SELECT count(*) FROM eventbus_parked_key") == 0, runner::health);
        }
    }

    @ParameterizedTest
    @CsvSource({"BEFORE_COMMIT, 2", "AFTER_COMMIT, 4", "BEFORE_COMMIT, 7"})
    void V01_where_a_process_that_redrives_halts_another_goes_on_and_each_effect_is_there_once(
            HaltingRedriver.Point point, int times, KafkaServer kafka, PostgresServer postgres) throws Exception {
        try (Scene scene = Scene.create(kafka, postgres, "asset.events:3", "dlq.events:1")) {
            scene.execute(
                    "CREATE TABLE ledger (ord bigint GENERATED ALWAYS AS IDENTITY, owner varchar(255), n bigint)");
            String group = scene.group("ledger");
            IntStream.range(0, 5).forEach(u -> poison.add("user-" + u + "-0"));
            ConsumerRunner runner = scene.start(once(scene, group));
            publish(scene, 5, 0, 2);
            Redrive redrive = Redrive.of(scene.kafka(), group, "dlq.events", scene.inbox())
                    .waits(Duration.ofMinutes(1));
            Eventually.holds(
                    () -> booked(scene) == 5 && redrive.plan().size() == 5,
                    () -> redrive.plan().standings());
            poison.clear();
            assertThat(HaltingRedriver.run(scene, group, point, times, true)).isEqualTo(HaltingRedriver.HALTED);
            redrive.plan().run("the rest");
            Eventually.holds(() -> booked(scene) == 10, runner::health);
            assertThat(scene.strings("SELECT owner || '-' || n FROM ledger"))
                    .as("each effect once")
                    .doesNotHaveDuplicates()
                    .hasSize(10);
            assertThat(scene.endOffsets("asset.events")).isEqualTo(10);
            assertThat(redrive.plan().standings()).isEqualTo(Map.of(Standing.ALREADY_APPLIED, 5L));
            assertThat(scene.strings("SELECT state FROM eventbus_redrive ORDER BY at"))
                    .containsExactly("RUNNING", "DONE");
            Eventually.holds(() -> scene.count("SELECT count(*) FROM eventbus_parked_key") == 0, runner::health);
        }
    }

    @ParameterizedTest
    @CsvSource({"BEFORE_SEND, 2", "AFTER_SEND, 2"})
    void V01_without_an_inbox_what_a_halted_redrive_has_put_back_is_not_put_back_again(
            HaltingRedriver.Point point, int times, KafkaServer kafka, PostgresServer postgres) throws Exception {
        try (Scene scene = Scene.create(kafka, postgres, "asset.events:3", "dlq.events:1")) {
            String group = scene.group("cache");
            IntStream.range(0, 3).forEach(u -> poison.add("user-" + u + "-0"));
            ConsumerRunner runner = scene.start(plain(scene, group, handled, true, null));
            publish(scene, 3, 0, 1);
            Redrive redrive = Redrive.of(scene.kafka(), group, "dlq.events");
            Eventually.holds(
                    () -> redrive.plan().size() == 3, () -> redrive.plan().standings());
            poison.clear();
            assertThat(HaltingRedriver.run(scene, group, point, times, false)).isEqualTo(HaltingRedriver.HALTED);
            long put = scene.endOffsets("asset.events") - 3;
            assertThat(put).isEqualTo(point == HaltingRedriver.Point.BEFORE_SEND ? 1 : 2);
            assertThat(redrive.plan().run("the rest").handedOver()).isEqualTo(3 - put);
            Eventually.holds(() -> handled.size() == 3, runner::health);
            assertThat(handled).containsExactlyInAnyOrder("user-0-0", "user-1-0", "user-2-0");
            assertThat(scene.endOffsets("asset.events")).isEqualTo(6);
            assertThat(redrive.plan().standings()).isEqualTo(Map.of(Standing.ALREADY_APPLIED, 3L));
        }
    }

    @Test
    void V06_a_planned_letter_that_retention_has_taken_is_reported_as_gone(KafkaServer kafka, PostgresServer postgres)
            throws Exception {
        try (Scene scene = Scene.create(kafka, postgres, "asset.events:1", "dlq.events:1")) {
            scene.execute(
                    "CREATE TABLE ledger (ord bigint GENERATED ALWAYS AS IDENTITY, owner varchar(255), n bigint)");
            String group = scene.group("ledger");
            poison.addAll(List.of("user-0-0", "user-1-0"));
            ConsumerRunner runner = scene.start(once(scene, group));
            publish(scene, 2, 0, 1);
            Eventually.holds(() -> scene.records("dlq.events").size() == 2, runner::health);
            Redrive redrive = Redrive.of(scene.kafka(), group, "dlq.events", scene.inbox());
            Eventually.holds(
                    () -> redrive.plan().size() == 2, () -> redrive.plan().standings());
            RedrivePlan plan = redrive.plan();
            try (Admin admin = scene.kafka().admin()) {
                admin.deleteRecords(Map.of(
                                new TopicPartition(scene.kafka().physicalTopic("dlq.events"), 0),
                                RecordsToDelete.beforeOffset(1)))
                        .all()
                        .get();
            }
            poison.clear();
            RedriveResult result = plan.run("mended");
            assertThat(result.leftAlone(Standing.GONE)).isEqualTo(1);
            assertThat(result.handedOver()).isEqualTo(1);
        }
    }

    @Test
    void a_run_that_is_interrupted_says_so_and_another_finishes_it(KafkaServer kafka, PostgresServer postgres)
            throws Exception {
        try (Scene scene = Scene.create(kafka, postgres, "asset.events:1", "dlq.events:1")) {
            scene.execute(
                    "CREATE TABLE ledger (ord bigint GENERATED ALWAYS AS IDENTITY, owner varchar(255), n bigint)");
            String group = scene.group("ledger");
            int letters = 30; // half a minute at one a second
            IntStream.range(0, letters).forEach(u -> poison.add("user-" + u + "-0"));
            ConsumerRunner runner = scene.start(once(scene, group));
            publish(scene, letters, 0, 1);
            Redrive redrive = Redrive.of(scene.kafka(), group, "dlq.events", scene.inbox());
            Eventually.holds(
                    () -> redrive.plan().size() == letters, () -> redrive.plan().standings());
            poison.clear();
            ExecutorService thread = Executors.newSingleThreadExecutor();
            Future<RedriveResult> slow =
                    thread.submit(() -> redrive.perSecond(1).plan().run("slowly"));
            Eventually.holds(() -> booked(scene) >= 1, runner::health);
            thread.shutdownNow();
            RedriveResult stopped = slow.get();
            assertThat(stopped.stopped()).contains("interrupted");
            assertThat(stopped.handedOver()).isBetween(1L, letters - 1L);
            RedriveResult rest = redrive.perSecond(10_000)
                    .waits(Duration.ofMinutes(1))
                    .plan()
                    .run("the rest");
            assertThat(rest.handedOver()).isEqualTo(letters - stopped.handedOver());
            Eventually.holds(() -> booked(scene) == letters, runner::health);
            assertThat(scene.strings("SELECT state FROM eventbus_redrive ORDER BY at"))
                    .containsExactly("STOPPED", "DONE");
        }
    }

    @Test
    void without_an_inbox_the_other_group_skips_it_and_a_compacted_topic_is_refused(
            KafkaServer kafka, PostgresServer postgres) throws Exception {
        try (Scene scene = Scene.create(kafka, postgres, "asset.events:3", "dlq.events:1")) {
            poison.add("user-0-0");
            String group = scene.group("cache");
            scene.start(plain(scene, group, handled, true, null));
            ConsumerRunner other =
                    scene.start(plain(scene, scene.group("audit"), elsewhere, false, new RunnerListener() {
                        @Override
                        public void skipped(@Nullable String eventType, Delivery delivery) {
                            skipped.add(delivery.offset());
                        }
                    }));
            publish(scene, 1, 0, 2);
            Redrive redrive = Redrive.of(scene.kafka(), group, "dlq.events");
            Eventually.holds(
                    () -> redrive.plan().size() == 1 && elsewhere.size() == 2,
                    () -> redrive.plan().standings());
            poison.clear();
            assertThat(redrive.plan().run("mended").handedOver()).isEqualTo(1);
            Eventually.holds(() -> handled.size() == 2 && skipped.size() == 1, other::health);
            assertThat(handled).containsExactly("user-0-1", "user-0-0");
            assertThat(elsewhere).containsExactly("user-0-0", "user-0-1");
            assertThat(redrive.plan().standings()).isEqualTo(Map.of(Standing.ALREADY_APPLIED, 1L));
        }
        try (Scene scene = Scene.create(kafka, postgres, "dlq.events:1")) {
            Topics.of(
                            scene.kafka(),
                            TopicSpec.of("asset.events", 1)
                                    .replicationFactor(1)
                                    .minInsyncReplicas(1)
                                    .compactedAfter(Duration.ofDays(30)))
                    .provision();
            poison.add("user-0-0");
            String group = scene.group("cache");
            scene.start(plain(scene, group, handled, true, null));
            publish(scene, 1, 0, 1);
            Redrive redrive = Redrive.of(scene.kafka(), group, "dlq.events");
            Eventually.holds(
                    () -> redrive.plan().standings().equals(Map.of(Standing.COMPACTED, 1L)),
                    () -> redrive.plan().standings());
            long before = scene.endOffsets("asset.events");
            assertThat(redrive.plan().run("x").handedOver()).isZero();
            assertThat(scene.endOffsets("asset.events")).isEqualTo(before);
        }
    }

    private ConsumerRunner plain(
            Scene scene,
            String group,
            ConcurrentLinkedQueue<String> into,
            boolean fails,
            @Nullable RunnerListener listener) {
        return ConsumerRunner.builder(scene.kafka(), group)
                .on(ASSET_UPDATED, (event, delivery) -> {
                    String id = event.key() + "-" + event.payload().newAmount();
                    if (fails && poison.contains(id)) {
                        throw new IllegalStateException("no luck");
                    }
                    into.add(id);
                })
                .listener(listener == null ? RunnerListener.NONE : listener)
                .retry(RetryConfig.custom().maxAttempts(1).build())
                .afterRetries(AfterRetries.deadLetter("dlq.events"))
                .build();
    }

    private ConsumerRunner once(Scene scene, String group) {
        JdbcInbox inbox = scene.inbox();
        return ConsumerRunner.builder(scene.kafka(), group)
                .inTransaction(inbox, ASSET_UPDATED, (event, tx) -> {
                    long n = Objects.requireNonNull(event.payload().newAmount());
                    try (PreparedStatement insert =
                            tx.connection().prepareStatement("INSERT INTO ledger (owner, n) VALUES (?, ?)")) {
                        insert.setString(1, event.key());
                        insert.setLong(2, n);
                        insert.executeUpdate();
                    }
                    if (poison.contains(event.key() + "-" + n)) {
                        throw new IllegalStateException("no luck");
                    }
                })
                .retry(RetryConfig.custom().maxAttempts(1).build())
                .afterRetries(AfterRetries.deadLetter("dlq.events"))
                .build();
    }

    private static void publish(Scene scene, int users, int from, int to) {
        for (int n = from; n < to; n++) {
            for (int u = 0; u < users; u++) {
                scene.sendRaw("asset.events", "user-" + u, """
                        {"eventId":"user-%d-%d","eventType":"ASSET_UPDATED","timestamp":"2030-01-01T00:00:00Z","userId":"user-%d","newAmount":%d}
                        """.formatted(u, n, u, n));
            }
        }
        scene.flush();
    }

    private static long booked(Scene scene) throws Exception {
        return scene.count("SELECT count(*) FROM ledger");
    }
}
