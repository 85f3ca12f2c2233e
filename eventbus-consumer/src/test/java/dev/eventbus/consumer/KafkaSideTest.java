package dev.eventbus.consumer;

import static dev.eventbus.consumer.MockKafka.LETTERS;
import static dev.eventbus.consumer.MockKafka.P0;
import static dev.eventbus.consumer.MockKafka.P1;
import static dev.eventbus.consumer.MockKafka.TOPIC;
import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.consumer.RunnerHealth.Status;
import dev.eventbus.consumer.internal.DeniedTopics;
import dev.eventbus.consumer.internal.FlowControl;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.kafka.clients.consumer.LogTruncationException;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.OffsetOutOfRangeException;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.RebalanceInProgressException;
import org.apache.kafka.common.errors.SaslAuthenticationException;
import org.apache.kafka.common.errors.TopicAuthorizationException;
import org.apache.kafka.common.errors.UnsupportedVersionException;
import org.junit.jupiter.api.Test;

/** What a runner does about Kafka: where it begins, gaps, back-pressure, commits, refusals. */
class KafkaSideTest extends SteppedRunner {

    @Test
    void a_group_without_a_coordinator_is_said_after_a_minute() {
        kafka.consumer.seesNoCoordinator = true;
        ConsumerRunner runner = runner(kafka).build();
        runner.runOnce();
        kafka.advance(Duration.ofSeconds(60));
        runner.runOnce();
        assertThat(runner.health().status()).isEqualTo(Status.UP);
        kafka.advance(Duration.ofSeconds(1));
        runner.runOnce();
        assertThat(runner.health().status()).isEqualTo(Status.DEGRADED);
        assertThat(runner.health().problems())
                .singleElement()
                .asString()
                .contains("group g", "coordinator", "__consumer_offsets", "offsets.topic.replication.factor");
        kafka.consumer.seesNoCoordinator = false;
        runner.runOnce();
        assertThat(runner.health().status()).isEqualTo(Status.UP);
    }

    @Test
    void a_group_without_an_offset_begins_at_the_earliest_event() {
        kafka.consumer.updateBeginningOffsets(Map.of(P0, 7L));
        ConsumerRunner runner = runner(kafka).build();
        kafka.assign(P0);
        settle(runner);
        kafka.record(P0, 7, "alice", MockKafka.json("alice", "a7"));
        settle(runner);
        assertThat(handled).containsExactly("a7");
        assertThat(kafka.committed(P0)).isEqualTo(8);
    }

    @Test
    void offsets_that_are_gone_are_a_loud_gap_and_reading_goes_on() {
        List<RunnerListener.OffsetGap> gaps = new ArrayList<>();
        ConsumerRunner runner = runner(kafka)
                .listener(new RunnerListener() {
                    @Override
                    public void offsetGap(OffsetGap gap) {
                        gaps.add(gap);
                    }
                })
                .build();
        kafka.assign(P0);
        runner.runOnce();
        kafka.event(P0, "alice", "a0");
        settle(runner);
        kafka.consumer.updateBeginningOffsets(Map.of(P0, 100L));
        kafka.consumer.setPollException(new OffsetOutOfRangeException(Map.of(P0, 1L)));
        settle(runner);
        assertThat(kafka.committed(P0))
                .as("so that the next owner does not tell it again")
                .isEqualTo(100);
        kafka.record(P0, 100, "alice", MockKafka.json("alice", "a100"));
        settle(runner);
        assertThat(gaps).containsExactly(new RunnerListener.OffsetGap(TOPIC, 0, 1, 100));
        assertThat(handled).containsExactly("a0", "a100");
        assertThat(kafka.committed(P0)).isEqualTo(101);
    }

    @Test
    void K_10_offsets_that_are_gone_stop_the_partition_where_the_policy_says_so_and_nothing_behind_them_is_committed() {
        List<Object> told = new ArrayList<>();
        ConsumerRunner runner = runner(kafka)
                .afterRetries(AfterRetries.stopPartition(LETTERS))
                .listener(new RunnerListener() {
                    @Override
                    public void offsetGap(OffsetGap gap) {
                        told.add(gap);
                    }

                    @Override
                    public void partitionStopped(String topic, int partition, String why) {
                        told.add(topic + "/" + partition);
                    }
                })
                .build();
        kafka.assign(P0, P1);
        runner.runOnce();
        kafka.event(P0, "alice", "a0");
        settle(runner);
        kafka.consumer.updateBeginningOffsets(Map.of(P0, 100L));
        kafka.record(P0, 100, "alice", MockKafka.json("alice", "a100"));
        kafka.event(P1, "bob", "b0");
        settle(runner);
        assertThat(told).containsExactly(new RunnerListener.OffsetGap(TOPIC, 0, 1, 100), TOPIC + "/0");
        assertThat(handled).containsExactlyInAnyOrder("a0", "b0");
        assertThat(kafka.committed(P0)).isEqualTo(1);
        assertThat(kafka.committed(P1)).isEqualTo(1);
        assertThat(runner.health().status()).isEqualTo(Status.DOWN);
        assertThat(runner.health().problems())
                .anySatisfy(problem -> assertThat(problem).contains("offset 1 of", "begins at 100"));

        kafka.assign(P1);
        settle(runner);
        kafka.assign(P0, P1);
        kafka.consumer.setPollException(new OffsetOutOfRangeException(Map.of(P0, 1L)));
        settle(runner);
        assertThat(kafka.consumer.position(P0)).as("asked for no more").isEqualTo(100);
        assertThat(told).as("once").hasSize(2);
    }

    @Test
    void K_10_what_was_read_before_offsets_that_are_gone_is_handled_though_the_partition_stops() {
        ConsumerRunner runner =
                runner(kafka).afterRetries(AfterRetries.stopPartition(LETTERS)).build();
        kafka.assign(P0);
        runner.runOnce();
        failing.add("a0");
        kafka.event(P0, "alice", "a0");
        kafka.event(P0, "alice", "a1");
        kafka.event(P0, "bob", "b0");
        settle(runner);
        assertThat(handled).containsExactly("b0");
        kafka.consumer.updateBeginningOffsets(Map.of(P0, 100L));
        kafka.record(P0, 100, "alice", MockKafka.json("alice", "a100"));
        settle(runner);
        assertThat(runner.health().status()).isEqualTo(Status.DOWN);
        failing.clear();
        jump(runner);
        assertThat(handled).as("they are in no log any more").containsExactly("b0", "a0", "a1");
        assertThat(kafka.committed(P0)).isEqualTo(3);
    }

    @Test
    void reading_pauses_when_the_budget_is_spent_and_resumes_a_little_below_it() {
        ConsumerRunner runner = pausedByAHundred(100, P0);
        assertThat(runner.health().partitions().get(0).pausedBecause()).contains("100 records");
        for (int i = 0; i < 5; i++) {
            failing.remove("k" + i);
        }
        jump(runner);
        runner.runOnce();
        assertThat(kafka.consumer.paused()).as("95 of 100: not yet below 95 %%").containsExactly(P0);
        failing.remove("k5");
        jump(runner);
        runner.runOnce();
        assertThat(kafka.consumer.paused()).isEmpty();
    }

    @Test
    void a_partition_that_a_hot_key_fills_is_read_again_with_each_few_events_that_end() {
        ConsumerRunner runner = pausedByAHundred(200, P0, P1);
        for (int i = 0; i < 6; i++) {
            failing.remove("k" + i);
        }
        jump(runner);
        kafka.event(P0, "innocent", "i1");
        settle(runner);
        assertThat(handled).contains("i1");
    }

    /** Of P0 there are a hundred events, each of a key that fails, and no more are read. */
    private ConsumerRunner pausedByAHundred(int maxInFlight, TopicPartition... assigned) {
        ConsumerRunner runner = runner(kafka).maxInFlight(maxInFlight, 1 << 20).build();
        kafka.assign(assigned);
        runner.runOnce();
        for (int i = 0; i < 100; i++) {
            failing.add("k" + i);
            kafka.event(P0, "k" + i, "e" + i);
        }
        settle(runner);
        runner.runOnce();
        assertThat(kafka.consumer.paused()).containsExactly(P0);
        return runner;
    }

    @Test
    void a_truncated_log_is_read_from_where_it_diverges() {
        List<RunnerListener.OffsetGap> gaps = new ArrayList<>();
        ConsumerRunner runner = runner(kafka)
                .listener(new RunnerListener() {
                    @Override
                    public void offsetGap(OffsetGap gap) {
                        gaps.add(gap);
                    }
                })
                .build();
        kafka.assign(P0);
        runner.runOnce();
        for (int i = 0; i < 5; i++) {
            kafka.event(P0, "alice", "a" + i);
        }
        settle(runner);
        handled.clear();
        kafka.consumer.setPollException(
                new LogTruncationException(Map.of(P0, 5L), Map.of(P0, new OffsetAndMetadata(3))));
        runner.runOnce();
        kafka.record(P0, 3, "alice", MockKafka.json("alice", "a3b"));
        settle(runner);
        assertThat(gaps).containsExactly(new RunnerListener.OffsetGap(TOPIC, 0, 5, 3));
        assertThat(handled).containsExactly("a3b");
    }

    @Test
    void a_truncated_log_is_read_from_what_has_not_ended_before_it_diverges_which_is_still_there() {
        ConsumerRunner runner = runner(kafka).build();
        kafka.assign(P0);
        runner.runOnce();
        failing.add("a0");
        kafka.event(P0, "alice", "a0");
        kafka.event(P0, "bob", "b1");
        settle(runner);
        assertThat(kafka.committed(P0)).isZero();
        kafka.consumer.setPollException(
                new LogTruncationException(Map.of(P0, 2L), Map.of(P0, new OffsetAndMetadata(1))));
        runner.runOnce();
        assertThat(kafka.consumer.position(P0)).as("a0 waits for its next try").isZero();
        settle(runner);
        assertThat(kafka.committed(P0)).isZero();
    }

    @Test
    void a_consumer_that_ends_for_good_is_opened_again_and_health_says_so_until_it_has_partitions() {
        ConsumerRunner runner = runner(kafka).build();
        kafka.assign(P0);
        runner.runOnce();
        kafka.event(P0, "alice", "a1");
        settle(runner);
        MockKafka.ScriptedConsumer first = kafka.consumer;
        first.setPollException(new UnsupportedVersionException("the group speaks another protocol"));
        runner.runOnce();
        assertThat(first.closed()).isTrue();
        assertThat(runner.health().partitions()).isEmpty();
        for (int i = 0; i < 3; i++) {
            runner.runOnce();
            assertThat(runner.health().status()).isEqualTo(Status.DEGRADED);
        }
        assertThat(kafka.consumer).isNotSameAs(first);
        kafka.assign(P0);
        settle(runner);
        kafka.event(P0, "alice", "a2");
        settle(runner);
        assertThat(handled).containsExactly("a1", "a2");
        assertThat(runner.health().status()).isEqualTo(Status.UP);
    }

    @Test
    void a_topic_that_is_denied_rests_is_told_and_is_asked_for_again() {
        ConsumerRunner runner = runner(kafka).build();
        kafka.assign(P0);
        runner.runOnce();
        kafka.consumer.setPollException(new TopicAuthorizationException(Set.of(TOPIC)));
        runner.runOnce();
        runner.runOnce();
        assertThat(kafka.consumer.paused()).containsExactly(P0);
        assertThat(runner.health().status()).isEqualTo(Status.DEGRADED);
        assertThat(runner.health().problems()).singleElement().asString().contains("use topic '" + TOPIC + "'");
        assertThat(runner.health().partitions().get(0).pausedBecause()).contains("may not read the topic");

        kafka.advance(DeniedTopics.REST);
        kafka.event(P0, "alice", "a1");
        settle(runner);
        assertThat(handled).containsExactly("a1");
        assertThat(runner.health().problems()).as("until it is sure").hasSize(1);
        kafka.advance(DeniedTopics.REST);
        runner.runOnce();
        assertThat(runner.health().status()).isEqualTo(Status.UP);
    }

    @Test
    void a_consumer_that_is_denied_a_topic_which_it_does_not_ask_for_is_opened_anew() {
        ConsumerRunner runner = runner(kafka).build();
        kafka.assign(P0, P1);
        runner.runOnce();
        MockKafka.ScriptedConsumer first = kafka.consumer;
        first.setPollException(new TopicAuthorizationException(Set.of(TOPIC)));
        runner.runOnce();
        first.setPollException(new TopicAuthorizationException(Set.of(TOPIC))); // what was asked before
        runner.runOnce();
        assertThat(first.closed()).isFalse();
        kafka.advance(Duration.ofSeconds(2));
        first.setPollException(new TopicAuthorizationException(Set.of(TOPIC)));
        runner.runOnce();
        assertThat(first.closed()).isTrue();
    }

    /** It was not paused yet when it was asked for; leaving the group for that would hand it to the next member, which leaves too. */
    @Test
    void a_partition_that_comes_of_a_topic_which_was_denied_makes_no_consumer_leave_its_group() {
        ConsumerRunner runner = runner(kafka).build();
        kafka.assign(P0);
        runner.runOnce();
        MockKafka.ScriptedConsumer first = kafka.consumer;
        first.setPollException(new TopicAuthorizationException(Set.of(TOPIC)));
        runner.runOnce();
        kafka.advance(Duration.ofSeconds(2));
        kafka.assign(P0, P1);
        first.setPollException(new TopicAuthorizationException(Set.of(TOPIC)));
        runner.runOnce();
        assertThat(first.closed()).isFalse();
        runner.runOnce();
        assertThat(first.paused()).containsExactlyInAnyOrder(P0, P1);

        kafka.advance(Duration.ofSeconds(2)); // and now nothing of it is asked for
        first.setPollException(new TopicAuthorizationException(Set.of(TOPIC)));
        runner.runOnce();
        assertThat(first.closed()).isTrue();
    }

    @Test
    void one_key_that_waits_pauses_its_own_partition_only_and_says_so() {
        failing.add("slow");
        ConsumerRunner runner = runner(kafka).maxInFlight(20, 1 << 20).build();
        kafka.assign(P0, P1);
        runner.runOnce();
        for (int i = 0; i < 20; i++) {
            kafka.consumer.setMaxPollRecords(5);
            kafka.event(P0, "slow", "s" + i);
        }
        settle(runner);
        kafka.event(P1, "quick", "q1");
        settle(runner);
        assertThat(kafka.consumer.paused()).containsExactly(P0);
        assertThat(handled).containsExactly("q1");
        assertThat(runner.health().problems())
                .anySatisfy(problem -> assertThat(problem).contains("asset.events-0", "half"));
        assertThat(runner.health().status()).isEqualTo(Status.DEGRADED);
    }

    @Test
    void keys_that_wait_in_two_partitions_do_not_stop_the_reading_of_a_third() {
        failing.add("slow");
        ConsumerRunner runner = runner(kafka).maxInFlight(20, 1 << 20).build();
        TopicPartition third = new TopicPartition(P0.topic(), 2);
        kafka.consumer.updateBeginningOffsets(Map.of(third, 0L));
        kafka.assign(P0, P1, third);
        runner.runOnce();
        kafka.consumer.setMaxPollRecords(3);
        for (TopicPartition stuck : List.of(P0, P1)) {
            for (int i = 0; i < 20; i++) {
                kafka.event(stuck, "slow", "s-%d-%d".formatted(stuck.partition(), i));
            }
            settle(runner);
        }
        for (int i = 0; i < 5; i++) {
            kafka.event(third, "quick", "q" + i);
            settle(runner);
        }
        assertThat(kafka.consumer.paused()).containsExactlyInAnyOrder(P0, P1);
        assertThat(handled).containsExactly("q0", "q1", "q2", "q3", "q4");
        assertThat(runner.health().problems())
                .anySatisfy(problem -> assertThat(problem).contains("asset.events-1", "partitions that hold less"));
    }

    @Test
    void a_budget_that_waiting_keys_have_spent_is_a_problem_and_headers_count() {
        ConsumerRunner runner = runner(kafka).maxInFlight(1_000, 500).build();
        kafka.assign(P0);
        runner.runOnce();
        failing.add("slow");
        kafka.event(P0, "slow", "s1").headers().add("padding", new byte[500]);
        settle(runner);
        runner.runOnce();
        assertThat(kafka.consumer.paused()).containsExactly(P0);
        assertThat(runner.health().problems())
                .anySatisfy(problem -> assertThat(problem).contains("500 bytes in flight is spent"));
    }

    @Test
    void a_partition_pauses_when_one_key_holds_up_too_many_records_and_says_so() {
        failing.add("slow");
        ConsumerRunner runner = runner(kafka).maxInFlight(1_000_000, 1L << 40).build();
        kafka.assign(P0, P1);
        runner.runOnce();
        kafka.event(P0, "slow", "s0");
        kafka.consumer.setMaxPollRecords(FlowControl.MAX_SPAN + 1L);
        for (int i = 0; i < FlowControl.MAX_SPAN; i++) {
            kafka.event(P0, "quick" + i % 10, "q" + i);
        }
        settle(runner);
        runner.runOnce();
        assertThat(kafka.consumer.paused()).containsExactly(P0);
        assertThat(runner.health().problems())
                .anySatisfy(problem -> assertThat(problem).contains("asset.events-0", "offset 0 holds it up"));
        failing.clear();
        jump(runner);
        runner.runOnce();
        assertThat(kafka.consumer.paused()).isEmpty();
        assertThat(kafka.committed(P0)).isEqualTo(FlowControl.MAX_SPAN + 1L);
    }

    @Test
    void a_commit_that_fails_is_part_of_the_next_one() {
        ConsumerRunner runner = runner(kafka).build();
        kafka.assign(P0);
        runner.runOnce();
        kafka.event(P0, "alice", "a1");
        kafka.consumer.failCommitsWith = new RebalanceInProgressException();
        settle(runner);
        assertThat(kafka.committed(P0)).isEqualTo(-1);
        kafka.consumer.failCommitsWith = null;
        kafka.advance(Duration.ofMillis(100));
        runner.runOnce();
        assertThat(kafka.committed(P0)).isEqualTo(1);
        assertThat(handled).containsExactly("a1");
    }

    @Test
    void a_commit_problem_ends_when_nothing_is_left_to_commit() {
        ConsumerRunner runner = runner(kafka).build();
        kafka.assign(P0);
        runner.runOnce();
        kafka.event(P0, "alice", "a1");
        kafka.consumer.failCommitsWith = new KafkaException("no");
        settle(runner);
        assertThat(runner.health().problems())
                .anySatisfy(problem -> assertThat(problem).contains("cannot be committed"));
        kafka.lose(P0);
        settle(runner);
        kafka.advance(Duration.ofMillis(100));
        runner.runOnce();
        assertThat(runner.health().problems()).isEmpty();
    }

    @Test
    void a_clock_that_is_set_back_holds_up_neither_retries_nor_commits() {
        failing.add("bob");
        ConsumerRunner runner = runner(kafka).build();
        kafka.assign(P0);
        runner.runOnce();
        kafka.event(P0, "bob", "b1");
        settle(runner);
        kafka.advance(Duration.ofHours(-1));
        failing.clear();
        settle(runner);
        assertThat(handled).containsExactly("b1");
        assertThat(kafka.committed(P0)).isEqualTo(1);
    }

    @Test
    void a_refused_password_is_said_in_health_and_reading_comes_back_by_itself() {
        ConsumerRunner runner = runner(kafka).build();
        kafka.consumer.setPollException(new SaslAuthenticationException("no"));
        runner.runOnce();
        assertThat(runner.health().status()).isEqualTo(Status.DEGRADED);
        assertThat(runner.health().problems())
                .anySatisfy(problem -> assertThat(problem).contains("refuses the credentials", "mock:9092"));
        kafka.assign(P0);
        runner.runOnce();
        kafka.event(P0, "alice", "a1");
        settle(runner);
        assertThat(handled).containsExactly("a1");
        assertThat(runner.health().problems()).isEmpty();
    }
}
