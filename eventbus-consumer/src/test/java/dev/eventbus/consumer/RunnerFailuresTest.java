package dev.eventbus.consumer;

import static dev.eventbus.consumer.MockKafka.ASSET;
import static dev.eventbus.consumer.MockKafka.LETTERS;
import static dev.eventbus.consumer.MockKafka.P0;
import static dev.eventbus.consumer.MockKafka.P1;
import static dev.eventbus.consumer.MockKafka.TOPIC;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.FailureReason;
import dev.eventbus.consumer.RunnerHealth.BlockedOffset.State;
import dev.eventbus.consumer.RunnerHealth.Status;
import io.github.resilience4j.retry.RetryConfig;
import java.io.EOFException;
import java.sql.SQLException;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.TimeoutException;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.parallel.Execution;
import org.junit.jupiter.api.parallel.ExecutionMode;

/** What becomes of failures, stepped round by round in virtual time. */
@Execution(ExecutionMode.CONCURRENT)
class RunnerFailuresTest extends SteppedRunner {

    @Test
    void I1_a_key_that_fails_is_tried_four_times_with_growing_delays_while_others_flow_and_holds_the_offset() {
        failing.add("bob");
        ConsumerRunner runner = runner(kafka).build();
        kafka.assign(P0);
        runner.runOnce();
        kafka.event(P0, "alice", "a1");
        kafka.event(P0, "bob", "b1");
        kafka.event(P0, "bob", "b2");
        kafka.event(P0, "alice", "a2");
        settle(runner);
        assertThat(handled).containsExactly("a1", "a2");
        assertThat(kafka.committed(P0)).as("b1 is at offset 1").isEqualTo(1);
        assertThat(runner.health().waitingKeys()).isEqualTo(1);

        kafka.event(P0, "alice", "a3");
        settle(runner);
        assertThat(handled).as("nobody waits for bob").endsWith("a3");

        List<Instant> b1 = triedAt;
        jump(runner);
        jump(runner);
        assertThat(kafka.letters.history()).isEmpty();
        failing.remove("bob"); // b1 fails for the last time only if it is tried again: let b2 succeed
        failing.add("b1");
        jump(runner);
        assertThat(handled).as("b2 follows its predecessor's letter").endsWith("b2");
        assertThat(b1).hasSize(4);
        assertThat(Duration.between(b1.get(0), b1.get(1))).isEqualTo(Duration.ofMillis(200));
        assertThat(Duration.between(b1.get(1), b1.get(2))).isEqualTo(Duration.ofMillis(400));
        assertThat(Duration.between(b1.get(2), b1.get(3))).isEqualTo(Duration.ofMillis(800));
        assertThat(letterReasons()).containsExactly("ATTEMPTS_EXHAUSTED");
        assertThat(kafka.committed(P0)).isEqualTo(5);
    }

    @Test
    void I8_a_letter_that_cannot_be_sent_is_sent_again_and_the_handler_never_runs_again() {
        MockKafka slow = new MockKafka(false);
        failing.add("bob");
        List<FailureReason> dead = new ArrayList<>();
        ConsumerRunner runner = runner(slow)
                .retry(RetryConfig.custom().maxAttempts(1).build())
                .listener(new RunnerListener() {
                    @Override
                    public void deadLettered(@Nullable String type, Delivery delivery, FailureReason reason) {
                        dead.add(reason);
                    }
                })
                .build();
        slow.assign(P0);
        runner.runOnce();
        slow.event(P0, "bob", "b1");
        slow.event(P0, "bob", "b2");
        settle(runner);
        for (int failures = 1; failures <= 3; failures++) {
            assertThat(slow.letters.errorNext(new TimeoutException("no ack"))).isTrue();
            settle(runner);
            assertThat(runner.health().status()).isEqualTo(Status.DEGRADED);
            assertThat(runner.health().problems())
                    .anySatisfy(problem -> assertThat(problem).contains("dlq.events", "cannot be written"));
            Instant due = runner.health().nextRetry();
            assertThat(due).isNotNull();
            slow.setTo(due);
            settle(runner);
            assertThat(slow.committed(P0)).as("not before the ack").isZero();
            assertThat(dead).isEmpty();
        }
        assertThat(slow.letters.completeNext()).isTrue();
        settle(runner);
        assertThat(triedAt).as("b1 once, b2 once").hasSize(2);
        assertThat(dead).containsExactly(FailureReason.ATTEMPTS_EXHAUSTED);
        assertThat(slow.committed(P0)).isEqualTo(1);
        assertThat(slow.letters.history()).hasSize(5);
    }

    @Test
    void stop_partition_commits_nothing_past_the_event_and_starts_nothing_more_of_it() {
        failing.add("bob");
        ConsumerRunner runner = runner(kafka)
                .retry(RetryConfig.custom().maxAttempts(1).build())
                .afterRetries(AfterRetries.stopPartition(LETTERS))
                .build();
        kafka.assign(P0, P1);
        runner.runOnce();
        kafka.event(P0, "alice", "a1");
        kafka.event(P0, "bob", "b1");
        kafka.event(P0, "dave", "d1"); // read together with what stops the partition
        settle(runner);
        kafka.event(P0, "alice", "a2");
        kafka.event(P1, "carol", "c1");
        settle(runner);
        assertThat(handled).containsExactly("a1", "c1");
        assertThat(kafka.committed(P0)).isEqualTo(1);
        assertThat(kafka.committed(P1)).isEqualTo(1);
        assertThat(kafka.consumer.paused()).containsExactly(P0);
        assertThat(runner.health().status()).isEqualTo(Status.DOWN);
        assertThat(runner.health().problems())
                .anySatisfy(problem -> assertThat(problem).contains("ATTEMPTS_EXHAUSTED", TOPIC));
        assertThat(kafka.letters.history()).isEmpty();

        kafka.assign(P1);
        settle(runner);
        kafka.consumer.updateEndOffsets(Map.of(P0, 4L, P1, 1L));
        kafka.record(P0, 1, "bob", MockKafka.json("bob", "b1"));
        kafka.assignReading(P0, P1);
        settle(runner);
        runner.runOnce();
        assertThat(runner.explain(TOPIC, 0)).hasValueSatisfying(blocked -> {
            assertThat(blocked.state()).isEqualTo(State.STOPPED);
            assertThat(blocked.offset()).isEqualTo(1);
        });
        assertThat(runner.health().partitions())
                .filteredOn(partition -> partition.partition() == 0)
                .singleElement()
                .satisfies(stopped -> assertThat(stopped.lag()).as("b1, d1, a2").isEqualTo(3));
        kafka.event(P0, "alice", "a3");
        settle(runner);
        assertThat(handled).as("stopped for the runner's life").containsExactly("a1", "c1");
        assertThat(runner.health().status()).isEqualTo(Status.DOWN);
    }

    @Test
    void records_that_are_no_event_are_dead_lettered_at_once_even_if_the_policy_stops() {
        ConsumerRunner runner =
                runner(kafka).afterRetries(AfterRetries.stopPartition(LETTERS)).build();
        kafka.assign(P0);
        runner.runOnce();
        kafka.record(P0, "bob", "no json");
        kafka.record(P0, "bob", "{\"eventId\":\"x\",\"eventType\":\"FOREIGN\"}");
        kafka.event(P0, "bob", "b1");
        settle(runner);
        assertThat(handled).containsExactly("b1");
        assertThat(letterReasons()).containsExactly("MALFORMED_JSON", "UNKNOWN_TYPE");
        assertThat(kafka.letters.history().get(0).value()).isEqualTo("no json".getBytes(UTF_8));
        assertThat(kafka.committed(P0)).isEqualTo(3);
    }

    @Test
    void types_to_be_ignored_are_skipped_and_counted() {
        List<String> skipped = new ArrayList<>();
        ConsumerRunner runner = runner(kafka)
                .ignoring("FOREIGN")
                .listener(new RunnerListener() {
                    @Override
                    public void skipped(@Nullable String type, Delivery delivery) {
                        skipped.add(String.valueOf(type));
                    }
                })
                .build();
        kafka.assign(P0);
        runner.runOnce();
        kafka.record(P0, "bob", "{\"eventId\":\"x\",\"eventType\":\"FOREIGN\"}");
        kafka.record(P0, "bob", "{\"eventId\":\"x\",\"eventType\":\"OTHER\"}");
        settle(runner);
        assertThat(skipped).containsExactly("FOREIGN");
        assertThat(letterReasons()).containsExactly("UNKNOWN_TYPE");
        assertThat(kafka.committed(P0)).isEqualTo(2);
    }

    @Test
    void all_other_types_may_be_ignored_but_not_what_is_broken() {
        ConsumerRunner runner = runner(kafka).ignoringOtherTypes().build();
        kafka.assign(P0);
        runner.runOnce();
        kafka.record(P0, "bob", "{\"eventId\":\"x\",\"eventType\":\"OTHER\"}");
        kafka.record(P0, "bob", "{");
        settle(runner);
        assertThat(letterReasons()).containsExactly("MALFORMED_JSON");
        assertThat(kafka.committed(P0)).isEqualTo(2);
    }

    @Test
    void dead_letters_are_handed_over_and_a_failing_handler_is_tried_again_for_ever() {
        TopicPartition letters = new TopicPartition(LETTERS, 0);
        List<String> seen = new ArrayList<>();
        failing.add("bob");
        ConsumerRunner runner = ConsumerRunner.builder(kafka, "monitoring.dlq.events")
                .onDeadLetters(LETTERS, (letter, delivery) -> {
                    if (failing.contains(letter.keyText())) {
                        throw new IllegalStateException();
                    }
                    seen.add(letter.keyText() + " " + letter.origin());
                })
                .build();
        kafka.assign(letters);
        runner.runOnce();
        kafka.record(letters, "bob", "whatever");
        kafka.record(letters, "alice", "whatever");
        settle(runner);
        for (int i = 0; i < 20; i++) {
            jump(runner);
        }
        assertThat(seen).as("by hand, so of no known origin").containsExactly("alice null");
        assertThat(kafka.committed(letters)).isZero();
        failing.clear();
        jump(runner);
        assertThat(seen).hasSize(2);
        assertThat(kafka.committed(letters)).isEqualTo(2);
        assertThat(kafka.letters.history()).isEmpty();
    }

    @Test
    void an_outage_uses_no_attempts_and_ends_by_itself() {
        boolean[] down = {true};
        ConsumerRunner runner = ConsumerRunner.builder(kafka, "g")
                .on(ASSET, (event, delivery) -> {
                    assertThat(delivery.attempt()).isEqualTo(1);
                    if (down[0]) {
                        throw new SQLException("gone", "57P01", new EOFException());
                    }
                    handled.add(event.id());
                })
                .afterRetries(AfterRetries.deadLetter(LETTERS))
                .build();
        kafka.assign(P0);
        runner.runOnce();
        kafka.event(P0, "alice", "a1");
        kafka.event(P0, "bob", "b1");
        settle(runner);
        for (int i = 0; i < 200; i++) {
            jump(runner);
        }
        assertThat(runner.health().status()).isEqualTo(Status.DEGRADED);
        assertThat(runner.health().problems())
                .anySatisfy(problem -> assertThat(problem).contains("ASSET_UPDATED", "57P01", "2 keys wait"));
        down[0] = false;
        jump(runner);
        jump(runner);
        assertThat(handled).containsExactlyInAnyOrder("a1", "b1");
        assertThat(kafka.letters.history()).isEmpty();
        assertThat(runner.health().status()).isEqualTo(Status.UP);
    }

    @Test
    void T05_while_a_dependency_is_out_of_order_500_keys_wait_without_a_thread_and_without_using_attempts() {
        int[] runs = {0};
        boolean[] down = {true};
        ConsumerRunner runner = ConsumerRunner.builder(kafka, "g")
                .on(ASSET, (event, delivery) -> {
                    runs[0]++;
                    assertThat(delivery.attempt()).isEqualTo(1);
                    if (down[0]) {
                        throw new IllegalStateException("redis does not answer");
                    }
                    handled.add(event.id());
                })
                .classify(e -> e instanceof IllegalStateException ? FailureKind.OUTAGE : FailureKind.RETRY)
                .retry(RetryConfig.custom().maxAttempts(1).build())
                .afterRetries(AfterRetries.deadLetter(LETTERS))
                .build();
        kafka.assign(P0);
        runner.runOnce();
        for (int i = 0; i < 500; i++) {
            kafka.event(P0, "user-" + i, "e" + i);
            kafka.event(P0, "user-" + i, "f" + i);
        }
        settle(runner);
        for (int second = 0; second < 300; second++) {
            kafka.advance(Duration.ofSeconds(1));
            settle(runner);
        }
        assertThat(runner.health().waitingKeys()).isEqualTo(500);
        assertThat(runner.health().running()).isZero();
        assertThat(runs[0])
                .as("tries in five minutes, a back-off of up to 10 s between them")
                .isBetween(500 * 25, 500 * 50);
        assertThat(kafka.letters.history()).isEmpty();
        assertThat(kafka.committed(P0)).isLessThanOrEqualTo(0);
        down[0] = false;
        kafka.advance(Duration.ofSeconds(10));
        settle(runner);
        assertThat(handled).hasSize(1_000);
        assertThat(kafka.letters.history()).isEmpty();
    }

    @Test
    void errors_are_failures_too_but_a_broken_JVM_stops_the_runner_uncommitted() {
        List<Throwable> errors = new ArrayList<>(List.of(
                new AssertionError(), new NoClassDefFoundError(), new StackOverflowError(), new OutOfMemoryError()));
        ConsumerRunner runner = ConsumerRunner.builder(kafka, "g")
                .on(ASSET, (event, delivery) -> {
                    if (!event.id().equals("fine")) {
                        throw (Error) errors.remove(0);
                    }
                })
                .retry(RetryConfig.custom().maxAttempts(1).build())
                .afterRetries(AfterRetries.deadLetter(LETTERS))
                .build();
        kafka.assign(P0);
        runner.runOnce();
        for (int i = 0; i < 3; i++) {
            kafka.event(P0, "k" + i, "e" + i);
        }
        settle(runner);
        assertThat(kafka.letters.history()).hasSize(3);
        assertThat(kafka.committed(P0)).isEqualTo(3);
        kafka.event(P0, "other", "fine");
        kafka.event(P0, "k", "e4");
        runner.runOnce();
        runner.runOnce();
        assertThat(runner.health().status()).isEqualTo(Status.DOWN);
        assertThat(runner.health().problems())
                .anySatisfy(problem -> assertThat(problem).contains("OutOfMemoryError"));
        runner.close();
        assertThat(kafka.committed(P0)).isEqualTo(3);
        assertThat(runner.health().status()).isEqualTo(Status.DOWN);
    }

    @Test
    void memory_that_runs_out_while_records_are_fetched_is_said_at_once() {
        List<Status> observed = new ArrayList<>();
        ConsumerRunner runner = ConsumerRunner.builder(kafka, "g")
                .on(ASSET, (event, delivery) -> {})
                .afterRetries(AfterRetries.deadLetter(LETTERS))
                .listener(new RunnerListener() {
                    @Override
                    public void observed(RunnerHealth health) {
                        observed.add(health.status());
                    }
                })
                .build();
        kafka.consumer.schedulePollTask(() -> {
            throw new OutOfMemoryError("a fetch too large");
        });
        runner.runOnce();
        assertThat(observed).containsExactly(Status.DOWN);
        assertThat(runner.health().status()).isEqualTo(Status.DOWN);
        assertThat(runner.health().problems())
                .anySatisfy(problem -> assertThat(problem).contains("OutOfMemoryError"));
        runner.close();
        assertThat(runner.health().status()).isEqualTo(Status.DOWN);
    }
}
