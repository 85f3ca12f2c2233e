package dev.eventbus.consumer;

import static dev.eventbus.consumer.MockKafka.ASSET;
import static dev.eventbus.consumer.MockKafka.LETTERS;
import static dev.eventbus.consumer.MockKafka.P0;
import static dev.eventbus.consumer.MockKafka.P1;
import static dev.eventbus.consumer.MockKafka.TOPIC;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.eventbus.EventType;
import dev.eventbus.StartRefusedException;
import dev.eventbus.consumer.MockKafka.Asset;
import dev.eventbus.consumer.RunnerHealth.Status;
import io.github.resilience4j.core.IntervalFunction;
import io.github.resilience4j.retry.RetryConfig;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.apache.kafka.common.header.Headers;
import org.junit.jupiter.api.Test;
import org.slf4j.MDC;

/** A runner stepped round by round, in virtual time: order, building, closing. */
class ConsumerRunnerTest extends SteppedRunner {

    @Test
    void handles_each_key_in_order_and_commits_what_has_ended() {
        ConsumerRunner runner = runner(kafka).build();
        kafka.assign(P0, P1);
        runner.runOnce();
        kafka.event(P0, "alice", "a1");
        kafka.event(P0, "bob", "b1");
        kafka.event(P0, "alice", "a2");
        kafka.event(P1, "carol", "c1");
        settle(runner);
        assertThat(handled).containsExactlyInAnyOrder("a1", "a2", "b1", "c1").containsSubsequence("a1", "a2");
        assertThat(kafka.committed(P0)).isEqualTo(3);
        assertThat(kafka.committed(P1)).isEqualTo(1);
        assertThat(runner.health().status()).isEqualTo(Status.UP);
        assertThat(runner.health().partitions())
                .allSatisfy(p -> assertThat(p.inFlight()).isZero());
    }

    @Test
    void records_without_a_key_do_not_wait_for_each_other() {
        ConsumerRunner runner = ConsumerRunner.builder(kafka, "g")
                .on(ASSET, (event, delivery) -> {
                    if (event.id().equals("n1")) {
                        throw new IllegalStateException();
                    }
                    handled.add(event.id());
                })
                .afterRetries(AfterRetries.deadLetter(LETTERS))
                .build();
        kafka.assign(P0);
        runner.runOnce();
        kafka.record(P0, null, MockKafka.json("x", "n1"));
        kafka.record(P0, null, MockKafka.json("x", "n2"));
        settle(runner);
        assertThat(handled).containsExactly("n2");
    }

    @Test
    void the_MDC_names_the_event_while_its_handler_runs_and_is_clean_after_it() {
        List<Map<String, String>> seen = new ArrayList<>();
        ConsumerRunner runner = ConsumerRunner.builder(kafka, "g")
                .on(ASSET, (event, delivery) -> seen.add(MDC.getCopyOfContextMap()))
                .afterRetries(AfterRetries.deadLetter(LETTERS))
                .build();
        kafka.assign(P0);
        runner.runOnce();
        kafka.event(P0, "alice", "a1");
        settle(runner);
        assertThat(seen)
                .containsExactly(Map.of(
                        "eventbus.eventId", "a1",
                        "eventbus.eventType", "ASSET_UPDATED",
                        "eventbus.topic", TOPIC,
                        "eventbus.partition", "0",
                        "eventbus.offset", "0",
                        "eventbus.group", "g",
                        "eventbus.attempt", "1"));
        assertThat(MDC.getCopyOfContextMap()).isNullOrEmpty();
    }

    @Test
    void the_MDC_has_the_trace_of_the_record_unchanged_or_not_at_all() {
        List<Map<String, String>> seen = new ArrayList<>();
        ConsumerRunner runner = ConsumerRunner.builder(kafka, "g")
                .on(ASSET, (event, delivery) -> seen.add(MDC.getCopyOfContextMap()))
                .afterRetries(AfterRetries.deadLetter(LETTERS))
                .build();
        kafka.assign(P0);
        runner.runOnce();
        String traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        String tracestate = "rojo=00f067aa0ba902b7," + "x".repeat(480);
        Headers traced = kafka.event(P0, "alice", "a1").headers();
        traced.add("traceparent", traceparent.getBytes(UTF_8)).add("tracestate", tracestate.getBytes(UTF_8));
        Headers forged = kafka.event(P0, "alice", "a2").headers();
        forged.add("traceparent", "00-1\n12:00 ERROR paid".getBytes(UTF_8)).add("tracestate", null);
        kafka.event(P0, "alice", "a3")
                .headers()
                .add("tracestate", "x".repeat(513).getBytes(UTF_8));
        settle(runner);
        assertThat(seen).hasSize(3);
        assertThat(seen.get(0)).containsEntry("traceparent", traceparent).containsEntry("tracestate", tracestate);
        assertThat(seen.get(1)).doesNotContainKeys("traceparent", "tracestate");
        assertThat(seen.get(2)).doesNotContainKeys("traceparent", "tracestate");
    }

    @Test
    void the_MDC_is_as_before_whatever_the_handler_did_to_it() {
        List<String> requests = new ArrayList<>();
        ConsumerRunner runner = ConsumerRunner.builder(kafka, "g")
                .on(ASSET, (event, delivery) -> {
                    requests.add(MDC.get("request"));
                    if (event.id().equals("a1")) {
                        MDC.put("user", "alice");
                        MDC.put("request", "mine");
                    } else {
                        MDC.clear();
                    }
                    throw new IllegalArgumentException();
                })
                .retry(RetryConfig.custom().maxAttempts(1).build())
                .afterRetries(AfterRetries.deadLetter(LETTERS))
                .build();
        kafka.assign(P0);
        runner.runOnce();
        kafka.event(P0, "alice", "a1");
        kafka.event(P0, "alice", "a2");
        MDC.put("request", "r-1");
        try {
            settle(runner);
            assertThat(requests).containsExactly("r-1", "r-1");
            assertThat(MDC.getCopyOfContextMap()).isEqualTo(Map.of("request", "r-1"));
        } finally {
            MDC.clear();
        }
    }

    @Test
    void a_listener_that_fails_changes_nothing() {
        ConsumerRunner runner = runner(kafka)
                .listener(new RunnerListener() {
                    @Override
                    public void handled(String type, Delivery delivery, Duration took) {
                        throw new IllegalStateException();
                    }
                })
                .build();
        kafka.assign(P0);
        runner.runOnce();
        kafka.event(P0, "alice", "a1");
        settle(runner);
        assertThat(handled).containsExactly("a1");
        assertThat(kafka.committed(P0)).isEqualTo(1);
    }

    @Test
    void all_contradictions_come_in_one_refusal() {
        EventType<Asset> again =
                EventType.of("ASSET_UPDATED", Asset.class).topic("other.events").key(Asset::userId);
        ConsumerRunnerBuilder builder = runner(kafka)
                .on(again, (event, delivery) -> {})
                .ignoring(ASSET)
                .retry(RetryConfig.custom()
                        .maxAttempts(10)
                        .intervalFunction(IntervalFunction.ofExponentialBackoff(Duration.ofSeconds(1), 2))
                        .build())
                .afterRetries(AfterRetries.deadLetter(TOPIC));
        assertThatThrownBy(builder::build)
                .isInstanceOf(StartRefusedException.class)
                .hasMessageContainingAll(
                        "ASSET_UPDATED has two handlers",
                        "ASSET_UPDATED is handled and ignored",
                        "dead letters would go to asset.events",
                        "may wait PT4M16S");
        assertThatThrownBy(() -> ConsumerRunner.builder(kafka, "g").build()).hasMessageContaining("handles nothing");
        assertThatThrownBy(() -> ConsumerRunner.builder(kafka, "g")
                        .on(ASSET, (event, delivery) -> {})
                        .build())
                .hasMessageContaining("afterRetries");
        assertThatThrownBy(() -> ConsumerRunner.builder(kafka, " ")).isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() -> ConsumerRunner.builder(kafka, "ä".repeat(128)))
                .isInstanceOf(IllegalArgumentException.class);
        assertThat(runner(kafka).build()).hasToString("runner g");
    }

    @Test
    void a_runner_that_was_stepped_cannot_be_started_and_a_closed_one_does_nothing_more() {
        ConsumerRunner runner = runner(kafka).build();
        assertThat(runner.health().status()).isEqualTo(Status.NEW);
        runner.runOnce();
        assertThatThrownBy(runner::start).isInstanceOf(IllegalStateException.class);
        runner.close();
        runner.close();
        assertThat(kafka.consumer.closed()).isTrue();
        assertThat(runner.health().status()).isEqualTo(Status.STOPPED);
        assertThatThrownBy(runner::runOnce).isInstanceOf(IllegalStateException.class);
    }
}
