package dev.eventbus.consumer;

import static dev.eventbus.consumer.MockKafka.ASSET;
import static dev.eventbus.consumer.MockKafka.LETTERS;
import static dev.eventbus.consumer.MockKafka.P0;
import static dev.eventbus.consumer.MockKafka.P1;
import static dev.eventbus.consumer.MockKafka.TOPIC;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.eventbus.consumer.inbox.JdbcInbox;
import dev.eventbus.consumer.metrics.ConsumerMetrics;
import io.github.resilience4j.retry.RetryConfig;
import io.micrometer.core.instrument.Meter;
import io.micrometer.core.instrument.Tag;
import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import java.sql.SQLException;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import org.apache.kafka.common.errors.RebalanceInProgressException;
import org.h2.jdbcx.JdbcDataSource;
import org.junit.jupiter.api.Test;

class ConsumerMetricsTest extends SteppedRunner {

    private final SimpleMeterRegistry registry = new SimpleMeterRegistry();
    private final ConsumerMetrics metrics = ConsumerMetrics.of(registry, "g");

    private static String described(Meter meter) {
        return meter.getId().getName()
                + " " + meter.getId().getType()
                + " " + meter.getId().getBaseUnit()
                + meter.getId().getTags().stream().map(Tag::getKey).collect(Collectors.joining(",", " {", "}"));
    }

    private double count(String name, String... tags) {
        return registry.get(name).tag("group", "g").tags(tags).counter().count();
    }

    private double gauge(String name) {
        return registry.get(name).tag("group", "g").gauge().value();
    }

    private List<String> laggingPartitions() {
        return registry.find("eventbus.consumer.lag").gauges().stream()
                .map(gauge -> gauge.getId().getTag("partition"))
                .sorted()
                .toList();
    }

    @Test
    void meters_their_types_units_and_tags_are_these() throws SQLException {
        JdbcDataSource database = new JdbcDataSource();
        database.setUrl("jdbc:h2:mem:metrics;DB_CLOSE_DELAY=-1");
        JdbcInbox inbox = JdbcInbox.h2(database);
        inbox.createTables();
        ConsumerRunner runner = ConsumerRunner.builder(kafka, "g")
                .inTransaction(inbox, ASSET, (event, tx) -> {
                    if (event.key().equals("bob")) {
                        throw new IllegalStateException("no luck");
                    }
                    if (event.key().equals("eve")) {
                        throw new SQLException("gone", "08006");
                    }
                })
                .ignoring("FOREIGN")
                .afterRetries(AfterRetries.deadLetter(LETTERS))
                .listener(metrics)
                .build();
        kafka.assign(P0);
        runner.runOnce();
        kafka.event(P0, "alice", "a1");
        kafka.event(P0, "alice", "a1");
        kafka.event(P0, "bob", "b1");
        kafka.event(P0, "eve", "e1");
        kafka.record(P0, "carl", "no event");
        kafka.record(P0, "dora", "{\"eventId\":\"x\",\"eventType\":\"FOREIGN\"}");
        settle(runner);
        metrics.offsetGap(new RunnerListener.OffsetGap(TOPIC, 0, 1, 2));
        metrics.commitFailed(new RebalanceInProgressException());

        assertThat(registry.getMeters().stream()
                        .map(ConsumerMetricsTest::described)
                        .distinct()
                        .sorted()
                        .toList())
                .containsExactly(
                        "eventbus.consumer.commit.failures COUNTER commits {group}",
                        "eventbus.consumer.duplicates COUNTER events {group,topic}",
                        "eventbus.consumer.in.flight GAUGE records {group}",
                        "eventbus.consumer.lag GAUGE records {group,partition,topic}",
                        "eventbus.consumer.offset.gaps COUNTER gaps {group,topic}",
                        "eventbus.consumer.parked.events GAUGE events {group}",
                        "eventbus.consumer.parked.keys GAUGE keys {group}",
                        "eventbus.consumer.paused.partitions GAUGE partitions {group}",
                        "eventbus.consumer.process TIMER seconds {event.type,group,topic}",
                        "eventbus.consumer.rebalances COUNTER rebalances {group,kind}",
                        "eventbus.consumer.received COUNTER messages {group,topic}",
                        "eventbus.consumer.retries COUNTER attempts {group,topic}",
                        "eventbus.consumer.skipped COUNTER events {group,topic}",
                        "eventbus.consumer.waiting.keys GAUGE keys {group}",
                        "eventbus.consumer.waits COUNTER waits {group,topic}",
                        "eventbus.dlq.published COUNTER messages {group,reason,topic}");
        assertThat(count("eventbus.consumer.duplicates", "topic", TOPIC)).isEqualTo(1);
        assertThat(count("eventbus.dlq.published", "reason", "MALFORMED_JSON")).isEqualTo(1);
        assertThat(count("eventbus.consumer.received", "topic", TOPIC))
                .as("whatever became of them")
                .isEqualTo(6);
        assertThat(count("eventbus.consumer.skipped", "topic", TOPIC)).isEqualTo(1);
        assertThat(count("eventbus.consumer.rebalances", "kind", "assigned")).isEqualTo(1);
    }

    @Test
    void what_is_read_again_is_received_again() {
        ConsumerRunner runner = runner(kafka).listener(metrics).build();
        kafka.assign(P0);
        runner.runOnce();
        kafka.event(P0, "alice", "a1");
        kafka.event(P0, "bob", "b1");
        settle(runner);
        assertThat(count("eventbus.consumer.received", "topic", TOPIC)).isEqualTo(2);
        kafka.consumer.seek(P0, 0);
        kafka.event(P0, "alice", "a1");
        settle(runner);
        assertThat(count("eventbus.consumer.received", "topic", TOPIC)).isGreaterThanOrEqualTo(3);
    }

    @Test
    void S_11_a_flood_of_unknown_types_makes_no_meters() {
        ConsumerRunner runner = runner(kafka).listener(metrics).build();
        kafka.assign(P0);
        runner.runOnce();
        unknownType(0);
        settle(runner);
        int meters = registry.getMeters().size();
        for (int type = 1; type <= 10_000; type++) {
            unknownType(type);
        }
        settle(runner);
        assertThat(registry.getMeters()).hasSize(meters);
        assertThat(count("eventbus.dlq.published", "reason", "UNKNOWN_TYPE")).isEqualTo(10_001);
    }

    private void unknownType(int type) {
        kafka.record(P0, "key-" + type, "{\"eventId\":\"u-%1$d\",\"eventType\":\"TYPE_%1$d\"}".formatted(type));
    }

    @Test
    void what_is_parked_is_counted_by_reason() throws SQLException {
        JdbcDataSource database = new JdbcDataSource();
        database.setURL("jdbc:h2:mem:parked;DB_CLOSE_DELAY=-1");
        JdbcInbox inbox = JdbcInbox.h2(database);
        inbox.createTables();
        ConsumerRunner runner = ConsumerRunner.builder(kafka, "g")
                .inTransaction(inbox, ASSET, (event, tx) -> {
                    throw new IllegalStateException("no luck");
                })
                .retry(RetryConfig.custom().maxAttempts(1).build())
                .afterRetries(AfterRetries.parkKey(inbox, LETTERS))
                .listener(metrics)
                .build();
        kafka.assign(P0);
        runner.runOnce();
        kafka.event(P0, "bob", "b1");
        kafka.event(P0, "bob", "b2");
        kafka.event(P0, "bob", "b3");
        settle(runner);
        assertThat(count("eventbus.consumer.parkings", "reason", "ATTEMPTS_EXHAUSTED"))
                .isEqualTo(1);
        assertThat(count("eventbus.consumer.parkings", "reason", "WAITS")).isEqualTo(2);
        assertThat(registry.getMeters())
                .extracting(ConsumerMetricsTest::described)
                .contains("eventbus.consumer.parkings COUNTER events {group,reason,topic}");
        assertThat(gauge("eventbus.consumer.parked.events")).isEqualTo(3);
    }

    @Test
    void what_is_handled_is_timed_by_type_and_failures_are_counted() {
        failing.add("bob");
        ConsumerRunner runner = runner(kafka).listener(metrics).build();
        kafka.assign(P0);
        runner.runOnce();
        kafka.event(P0, "alice", "a1");
        kafka.event(P0, "alice", "a2");
        kafka.event(P0, "bob", "b1");
        settle(runner);
        assertThat(registry.get("eventbus.consumer.process")
                        .tag("event.type", "ASSET_UPDATED")
                        .tag("topic", TOPIC)
                        .timer()
                        .count())
                .isEqualTo(2);
        assertThat(registry.get("eventbus.consumer.process").timer().totalTime(TimeUnit.NANOSECONDS))
                .isPositive();
        assertThat(count("eventbus.consumer.retries", "topic", TOPIC)).isEqualTo(1);
        assertThat(gauge("eventbus.consumer.waiting.keys")).isEqualTo(1);
        assertThat(gauge("eventbus.consumer.in.flight")).isEqualTo(1);
        jump(runner);
        jump(runner);
        jump(runner);
        assertThat(count("eventbus.dlq.published", "topic", TOPIC, "reason", "ATTEMPTS_EXHAUSTED"))
                .isEqualTo(1);
        assertThat(gauge("eventbus.consumer.waiting.keys")).isZero();
        assertThat(gauge("eventbus.consumer.in.flight")).isZero();
    }

    @Test
    void a_record_whose_json_has_a_key_twice_is_handled_and_counted_by_type() {
        ConsumerRunner runner = runner(kafka).listener(metrics).build();
        kafka.assign(P0);
        runner.runOnce();
        kafka.event(P0, "alice", "a1");
        kafka.record(P0, "alice", MockKafka.json("alice", "a2").replaceFirst("\\{", "{\"userId\":\"alice\","));
        kafka.record(P0, "alice", MockKafka.json("alice", "a3").replaceFirst("\\{", "{\"userId\":\"alice\","));
        settle(runner);
        assertThat(handled).containsExactly("a1", "a2", "a3");
        assertThat(count("eventbus.consumer.doubled.keys", "event.type", "ASSET_UPDATED"))
                .isEqualTo(2);
        assertThat(registry.getMeters())
                .extracting(ConsumerMetricsTest::described)
                .contains("eventbus.consumer.doubled.keys COUNTER records {event.type,group}");
    }

    @Test
    void as_the_docs_have_it() {
        EventHandler<Object, Delivery> handler = (event, delivery) -> handled.add(event.id());
        // region: consumer-metrics
        ConsumerMetrics calculator = ConsumerMetrics.of(registry, "calculator.asset.events");
        ConsumerRunner runner = ConsumerRunner.builder(kafka, "calculator.asset.events")
                .on(ASSET, handler)
                .afterRetries(AfterRetries.deadLetter("dlq.events"))
                .listener(calculator)
                .build();
        // end: consumer-metrics
        kafka.assign(P0);
        runner.runOnce();
        kafka.event(P0, "alice", "a1");
        settle(runner);
        assertThat(registry.get("eventbus.consumer.process")
                        .tag("group", "calculator.asset.events")
                        .timer()
                        .count())
                .isEqualTo(1);
    }

    @Test
    void partitions_have_a_lag_as_long_as_they_are_owned() {
        ConsumerRunner runner = runner(kafka).listener(metrics).build();
        kafka.assign(P0, P1);
        runner.runOnce();
        kafka.consumer.updateEndOffsets(Map.of(P0, 7L, P1, 0L));
        runner.runOnce();
        assertThat(laggingPartitions()).containsExactly("0", "1");
        assertThat(registry.get("eventbus.consumer.lag")
                        .tag("partition", "0")
                        .gauge()
                        .value())
                .isEqualTo(7);
        kafka.assign(P1);
        settle(runner);
        assertThat(laggingPartitions()).containsExactly("1");
        kafka.assign(P0, P1);
        settle(runner);
        assertThat(laggingPartitions()).containsExactly("0", "1");
        runner.close(Duration.ofSeconds(5));
        assertThat(laggingPartitions()).as("nothing is owned any more").isEmpty();
    }

    @Test
    void runners_of_one_group_are_counted_together_and_a_partition_may_move_between_them() {
        MockKafka beside = MockKafka.create();
        failing.add("bob");
        ConsumerRunner a = runner(kafka).listener(metrics).build();
        ConsumerRunner b = runner(beside).listener(metrics).build();
        kafka.assign(P0);
        beside.assign(P1);
        a.runOnce();
        b.runOnce();
        kafka.event(P0, "bob", "b1");
        beside.event(P1, "bob", "b2");
        settle(a);
        settle(b);
        assertThat(gauge("eventbus.consumer.in.flight")).isEqualTo(2);
        assertThat(gauge("eventbus.consumer.waiting.keys")).isEqualTo(2);
        assertThat(laggingPartitions()).containsExactly("0", "1");

        beside.assign(P0, P1);
        settle(b);
        kafka.assign();
        settle(a);
        beside.consumer.updateEndOffsets(Map.of(P0, 7L));
        settle(b);
        assertThat(laggingPartitions()).containsExactly("0", "1");
        assertThat(registry.get("eventbus.consumer.lag")
                        .tag("partition", "0")
                        .gauge()
                        .value())
                .isEqualTo(7);
        a.close(Duration.ofSeconds(5));
        assertThat(laggingPartitions()).containsExactly("0", "1");
        assertThat(gauge("eventbus.consumer.in.flight")).isEqualTo(1);
    }

    @Test
    void runners_of_one_builder_are_counted_together_too() {
        ConsumerRunner one = runner(kafka).build();
        kafka.assign(P0);
        one.runOnce();
        ConsumerRunnerBuilder builder = runner(kafka).listener(metrics);
        RunnerListener a = builder.settings().listener();
        RunnerListener b = builder.settings().listener();
        a.observed(one.health());
        b.observed(RunnerHealth.of(RunnerHealth.Status.STOPPED));
        assertThat(laggingPartitions()).as("what the first one has").containsExactly("0");
    }

    @Test
    void meters_of_a_group_are_made_once_in_a_registry() {
        assertThatThrownBy(() -> ConsumerMetrics.of(registry, "g"))
                .isInstanceOf(IllegalStateException.class)
                .hasMessageContaining("give the first one to each runner of the group");
        metrics.close();
        ConsumerMetrics.of(registry, "g").close();
    }

    @Test
    void a_partition_that_a_policy_has_stopped_is_paused() {
        failing.add("bob");
        ConsumerRunner runner = runner(kafka)
                .afterRetries(AfterRetries.stopPartition(LETTERS))
                .retry(RetryConfig.custom().maxAttempts(1).build())
                .listener(metrics)
                .build();
        kafka.assign(P0, P1);
        runner.runOnce();
        assertThat(gauge("eventbus.consumer.paused.partitions")).isZero();
        kafka.event(P0, "bob", "b1");
        settle(runner);
        assertThat(gauge("eventbus.consumer.paused.partitions")).isEqualTo(1);
    }

    @Test
    void closed_metrics_leave_the_registry_and_count_no_more() {
        ConsumerRunner runner = runner(kafka).listener(metrics).build();
        kafka.assign(P0);
        runner.runOnce();
        metrics.close();
        kafka.event(P0, "alice", "a1");
        kafka.assign(P0, P1);
        settle(runner);
        assertThat(handled).containsExactly("a1");
        assertThat(registry.getMeters()).isEmpty();
    }

    @Test
    void closed_metrics_leave_alone_those_that_come_after_them() {
        ConsumerRunner before = runner(kafka).listener(metrics).build();
        kafka.assign(P0);
        before.runOnce();
        metrics.close();
        MockKafka beside = MockKafka.create();
        beside.assign(P0);
        ConsumerRunner after =
                runner(beside).listener(ConsumerMetrics.of(registry, "g")).build();
        after.runOnce();
        before.close(Duration.ofSeconds(5));
        assertThat(laggingPartitions()).containsExactly("0");
    }
}
