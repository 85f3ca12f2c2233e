package dev.eventbus.consumer;

import static dev.eventbus.consumer.MockKafka.ASSET;
import static dev.eventbus.consumer.MockKafka.LETTERS;
import static dev.eventbus.consumer.MockKafka.P0;
import static dev.eventbus.consumer.MockKafka.P1;
import static dev.eventbus.consumer.MockKafka.TOPIC;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.consumer.RunnerHealth.BlockedOffset;
import dev.eventbus.consumer.RunnerHealth.BlockedOffset.State;
import dev.eventbus.internal.RunLoop;
import io.github.resilience4j.retry.RetryConfig;
import java.security.MessageDigest;
import java.sql.SQLException;
import java.time.Duration;
import java.time.Instant;
import java.util.HexFormat;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.function.BooleanSupplier;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** What a runner says when it is asked why a committed offset stands still. */
class BlockedOffsetTest extends SteppedRunner {

    private final CountDownLatch gate = new CountDownLatch(1);
    private final CountDownLatch running = new CountDownLatch(1);

    @AfterEach
    void open() {
        gate.countDown();
    }

    @Test
    void names_the_record_that_waits_its_exception_its_attempt_and_its_next_try() throws Exception {
        failing.add("bob");
        ConsumerRunner runner = runner(kafka).build();
        kafka.assign(P0, P1);
        runner.runOnce();
        kafka.event(P0, "alice", "a1");
        kafka.event(P0, "bob", "b1");
        kafka.event(P0, "alice", "a2");
        Instant failed = kafka.clock().instant();
        settle(runner);
        assertThat(runner.explain(TOPIC, 0))
                .contains(new BlockedOffset(
                        TOPIC,
                        0,
                        1,
                        "b1",
                        hash("bob"),
                        State.WAITING,
                        2,
                        failed.plusMillis(200),
                        IllegalStateException.class.getName(),
                        failed));
        jump(runner);
        BlockedOffset later = runner.explain(TOPIC, 0).orElseThrow();
        assertThat(later.attempt()).isEqualTo(3);
        assertThat(later.nextTry()).isEqualTo(failed.plusMillis(600));
        assertThat(later.since()).as("since it was the first time").isEqualTo(failed);

        failing.clear();
        jump(runner);
        assertThat(runner.explain(TOPIC, 0)).isEmpty();
        assertThat(runner.explain(TOPIC, 1)).isEmpty();
        assertThat(runner.explain("housing.events", 0)).isEmpty();
    }

    @Test
    void says_which_sqlstate_an_event_waits_for() {
        ConsumerRunner runner = ConsumerRunner.builder(kafka, "g")
                .on(ASSET, (event, delivery) -> {
                    throw new SQLException("gone", "08006");
                })
                .afterRetries(AfterRetries.deadLetter(LETTERS))
                .build();
        kafka.assign(P0);
        runner.runOnce();
        kafka.event(P0, "alice", "a1");
        settle(runner);
        BlockedOffset blocked = runner.explain(TOPIC, 0).orElseThrow();
        assertThat(blocked.failure()).isEqualTo("java.sql.SQLException 08006");
        assertThat(blocked.attempt()).as("an outage uses none").isEqualTo(1);
    }

    @Test
    void says_that_a_dead_letter_is_on_its_way() {
        MockKafka slow = new MockKafka(false);
        failing.add("bob");
        ConsumerRunner runner =
                runner(slow).retry(RetryConfig.custom().maxAttempts(1).build()).build();
        slow.assign(P0);
        runner.runOnce();
        slow.event(P0, "bob", "b1");
        settle(runner);
        BlockedOffset sending = runner.explain(TOPIC, 0).orElseThrow();
        assertThat(sending.state()).isEqualTo(State.SENDING);
        assertThat(sending.nextTry()).isNull();
        assertThat(sending.attempt()).isEqualTo(1);
        slow.letters.completeNext();
        settle(runner);
        assertThat(runner.explain(TOPIC, 0)).isEmpty();
    }

    @Test
    void says_that_a_policy_has_stopped_the_partition() {
        failing.add("bob");
        ConsumerRunner runner = runner(kafka)
                .retry(RetryConfig.custom().maxAttempts(1).build())
                .afterRetries(AfterRetries.stopPartition(LETTERS))
                .build();
        kafka.assign(P0);
        runner.runOnce();
        kafka.event(P0, "alice", "a1");
        kafka.event(P0, "bob", "b1");
        settle(runner);
        BlockedOffset stopped = runner.explain(TOPIC, 0).orElseThrow();
        assertThat(stopped.state()).isEqualTo(State.STOPPED);
        assertThat(stopped.offset()).isEqualTo(1);
    }

    @Test
    void a_record_that_is_no_event_has_no_id_and_one_without_a_key_has_no_hash() {
        MockKafka slow = new MockKafka(false);
        ConsumerRunner runner = runner(slow).build();
        slow.assign(P0);
        runner.runOnce();
        slow.record(P0, null, "no event");
        settle(runner);
        BlockedOffset blocked = runner.explain(TOPIC, 0).orElseThrow();
        assertThat(blocked.eventId()).isNull();
        assertThat(blocked.keyHash()).isNull();
        assertThat(blocked.failure()).isEqualTo("dev.eventbus.DecodeException");
    }

    @Test
    void says_that_a_handler_runs_and_that_the_next_key_is_queued() {
        ConsumerRunner runner = gated().concurrency(1).build();
        kafka.ticking().assign(P0, P1);
        try (runner) {
            runner.start();
            kafka.event(P0, "alice", "a1");
            await(() -> running.getCount() == 0);
            kafka.event(P1, "bob", "b1");
            await(() -> state(runner, 0) == State.RUNNING && state(runner, 1) == State.QUEUED);
            gate.countDown();
            await(() -> kafka.committed(P1) == 1);
            await(() -> runner.explain(TOPIC, 0).isEmpty());
        }
    }

    @Test
    void says_that_a_key_is_held_by_its_own_handler_of_before() {
        kafka.settings.put("max.poll.interval.ms", "100"); // hands over after 50 ms
        ConsumerRunner runner = gated().build();
        kafka.ticking().assign(P0, P1);
        try (runner) {
            runner.start();
            kafka.event(P0, "alice", "a1");
            await(() -> running.getCount() == 0);
            kafka.assign(P1);
            await(() -> runner.health().partitions().size() == 1);
            kafka.assign(P0, P1);
            kafka.event(P0, "alice", "a2");
            await(() -> state(runner, 0) == State.HELD);
            gate.countDown();
            await(() -> runner.explain(TOPIC, 0).isEmpty());
        }
    }

    @Test
    void the_lag_counts_from_the_lowest_unfinished_record_to_the_end_of_the_log() {
        failing.add("bob");
        ConsumerRunner runner = runner(kafka).build();
        kafka.assign(P0);
        runner.runOnce();
        kafka.event(P0, "alice", "a1");
        kafka.event(P0, "bob", "b1");
        kafka.event(P0, "alice", "a2");
        settle(runner);
        kafka.consumer.updateEndOffsets(Map.of(P0, 10L));
        settle(runner);
        assertThat(runner.health().partitions().get(0).lag()).as("1 to 9").isEqualTo(9);
    }

    private ConsumerRunnerBuilder gated() {
        return ConsumerRunner.builder(kafka, "g")
                .on(ASSET, (event, delivery) -> {
                    running.countDown();
                    gate.await();
                })
                .afterRetries(AfterRetries.deadLetter(LETTERS));
    }

    private static @Nullable State state(ConsumerRunner runner, int partition) {
        return runner.explain(TOPIC, partition).map(BlockedOffset::state).orElse(null);
    }

    private static void await(BooleanSupplier condition) {
        assertThat(RunLoop.await(Duration.ofSeconds(20), condition)).isTrue();
    }

    private static String hash(String key) throws Exception {
        return HexFormat.of()
                .formatHex(MessageDigest.getInstance("SHA-256").digest(key.getBytes(UTF_8)))
                .substring(0, 16);
    }
}
