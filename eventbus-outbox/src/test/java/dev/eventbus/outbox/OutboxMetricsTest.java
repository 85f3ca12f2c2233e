package dev.eventbus.outbox;

import static dev.eventbus.outbox.TestEvents.ASSET_UPDATED;
import static dev.eventbus.outbox.TestEvents.HOUSING_UPDATED;
import static dev.eventbus.outbox.TestEvents.event;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.eventbus.PublishRefusedException;
import dev.eventbus.outbox.metrics.OutboxMetrics;
import io.micrometer.core.instrument.Meter;
import io.micrometer.core.instrument.Tag;
import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import java.sql.Connection;
import java.sql.SQLException;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import org.apache.kafka.common.errors.RecordTooLargeException;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.parallel.Isolated;

@Isolated("looks at all threads there are")
class OutboxMetricsTest {

    private final FakeKafka kafka = new FakeKafka();
    private final TestDatabase database = new TestDatabase(JdbcOutbox.h2().clock(kafka.clock()), "");
    private final SimpleMeterRegistry registry = new SimpleMeterRegistry();
    private final OutboxMetrics metrics =
            OutboxMetrics.of(registry, "orders", OutboxAdmin.of(database.outbox, database.dataSource));
    private final OutboxRelay relay = OutboxRelay.builder(database.outbox, database.dataSource, kafka)
            .listener(metrics)
            .build();

    @AfterEach
    void close() {
        relay.close(Duration.ofSeconds(2));
        metrics.close();
    }

    private double gauge(String name) {
        return gauge(name, "orders");
    }

    private double gauge(String name, String outbox) {
        return registry.get(name).tag("outbox", outbox).gauge().value();
    }

    private static String described(Meter meter) {
        return meter.getId().getName()
                + " " + meter.getId().getType()
                + " " + meter.getId().getBaseUnit()
                + meter.getId().getTags().stream().map(Tag::getKey).collect(Collectors.joining(",", " {", "}"));
    }

    @Test
    void meters_their_types_units_and_tags_are_these() throws SQLException {
        try (Connection tx = database.begin()) {
            metrics.timed(database.outbox).within(tx).publish(event("poison", "bob"));
            metrics.timed(database.outbox).within(tx).publish(event("evt-1", "alice"));
            tx.commit();
        }
        kafka.refusal = id -> id.equals("poison") ? new RecordTooLargeException("too large") : null;
        relay.runOnce();
        metrics.refresh();
        assertThat(registry.getMeters().stream()
                        .map(OutboxMetricsTest::described)
                        .distinct()
                        .sorted()
                        .toList())
                .containsExactly(
                        "eventbus.outbox.blocked.keys GAUGE keys {outbox}",
                        "eventbus.outbox.oldest.age GAUGE seconds {outbox}",
                        "eventbus.outbox.pending GAUGE rows {outbox,topic}",
                        "eventbus.publish TIMER seconds {event.type,outcome}",
                        "eventbus.relay.latency TIMER seconds {topic}",
                        "eventbus.relay.owned.shards GAUGE shards {outbox}",
                        "eventbus.relay.send TIMER seconds {error.type,outcome,topic}",
                        "eventbus.relay.sent COUNTER messages {outcome,topic}",
                        "eventbus.relay.waiting.topics GAUGE topics {outbox}");
    }

    @Test
    void no_key_and_no_id_is_ever_a_tag() {
        database.publish(event("evt-77", "bob-the-key"));
        kafka.refusal = id -> new RecordTooLargeException("too large");
        relay.runOnce();
        metrics.refresh();
        assertThat(registry.getMeters())
                .flatExtracting(meter -> meter.getId().getTags())
                .extracting(Tag::getValue)
                .noneMatch(value -> value.contains("evt-77") || value.contains("bob"));
    }

    @Test
    void what_was_sent_and_what_was_not_is_counted_by_topic() {
        kafka.refusal = id -> id.equals("poison") ? new RecordTooLargeException("too large") : null;
        database.publish(
                event("evt-1", "bob"),
                event("evt-2", "bob"),
                event(HOUSING_UPDATED, "evt-3", "bob"),
                event("poison", "eve"));
        relay.runOnce();
        assertThat(registry.get("eventbus.relay.sent")
                        .tags("topic", "asset.events", "outcome", "success")
                        .counter()
                        .count())
                .isEqualTo(2);
        assertThat(registry.get("eventbus.relay.sent")
                        .tags("topic", "housing.events", "outcome", "success")
                        .counter()
                        .count())
                .isEqualTo(1);
        assertThat(registry.get("eventbus.relay.sent")
                        .tags("topic", "asset.events", "outcome", "failure")
                        .counter()
                        .count())
                .isEqualTo(2);
        assertThat(registry.get("eventbus.relay.send")
                        .tags("error.type", "RecordTooLargeException")
                        .timer()
                        .count())
                .isEqualTo(2);
        assertThat(registry.get("eventbus.relay.send")
                        .tags("outcome", "success", "topic", "asset.events")
                        .timer()
                        .count())
                .as("one a round, its slowest")
                .isBetween(1L, 2L);
    }

    @Test
    void latency_runs_from_publishing_to_the_answer() {
        database.publish(event("evt-1", "bob"));
        kafka.now = Instant.parse(database.strings(
                                "SELECT FORMATDATETIME(created_at, 'yyyy-MM-dd''T''HH:mm:ss.SSSSSSXXX') FROM \"eventbus_outbox\"")
                        .get(0))
                .plusSeconds(42);
        relay.runOnce();
        assertThat(registry.get("eventbus.relay.latency")
                        .tag("topic", "asset.events")
                        .timer()
                        .max(TimeUnit.SECONDS))
                .isBetween(41.9, 42.1);
    }

    @Test
    void gauges_are_unknown_before_the_first_answer_and_when_the_last_is_a_minute_old() {
        assertThat(gauge("eventbus.outbox.oldest.age")).isNaN();
        metrics.refresh();
        assertThat(gauge("eventbus.outbox.oldest.age")).isZero();
        database.update("ALTER TABLE \"eventbus_blocked_key\" RENAME TO gone");
        kafka.advance(Duration.ofSeconds(59));
        metrics.refresh();
        assertThat(gauge("eventbus.outbox.blocked.keys"))
                .as("one question that fails is no news")
                .isZero();
        kafka.advance(Duration.ofSeconds(1));
        assertThat(gauge("eventbus.outbox.oldest.age")).isNaN();
        assertThat(gauge("eventbus.outbox.blocked.keys")).isNaN();
        database.update("ALTER TABLE gone RENAME TO \"eventbus_blocked_key\"");
        metrics.refresh();
        assertThat(gauge("eventbus.outbox.blocked.keys")).isZero();
    }

    @Test
    void an_answer_from_before_the_clock_was_set_back_does_not_hold_for_longer_than_any_other() {
        metrics.refresh();
        kafka.advance(Duration.ofSeconds(-10));
        assertThat(gauge("eventbus.outbox.oldest.age")).isZero();
        kafka.advance(Duration.ofHours(-1));
        assertThat(gauge("eventbus.outbox.oldest.age")).isNaN();
        metrics.refresh();
        assertThat(gauge("eventbus.outbox.oldest.age")).isZero();
    }

    @Test
    void gauges_say_what_waits_and_fall_to_zero_when_it_is_sent() {
        database.publish(event("evt-1", "bob"), event("evt-2", "alice"), event(HOUSING_UPDATED, "evt-3", "bob"));
        database.update("UPDATE \"eventbus_outbox\" SET created_at = DATEADD('MINUTE', -5, CURRENT_TIMESTAMP)");
        metrics.refresh();
        assertThat(registry.get("eventbus.outbox.pending")
                        .tag("topic", "asset.events")
                        .gauge()
                        .value())
                .isEqualTo(2);
        assertThat(gauge("eventbus.outbox.oldest.age")).isBetween(300.0, 400.0);
        relay.runOnce();
        metrics.refresh();
        assertThat(registry.get("eventbus.outbox.pending")
                        .tag("topic", "asset.events")
                        .gauge()
                        .value())
                .isZero();
        assertThat(gauge("eventbus.outbox.oldest.age")).isZero();
    }

    @Test
    void topics_beyond_a_limit_are_counted_together() {
        for (int i = 0; i < OutboxMetrics.MOST_TOPICS + 20; i++) {
            metrics.sent(new RelayListener.Sent("topic-" + i, "", 1, Duration.ZERO, Duration.ZERO));
        }
        assertThat(registry.find("eventbus.relay.sent").counters()).hasSize(OutboxMetrics.MOST_TOPICS + 1);
        assertThat(registry.get("eventbus.relay.sent")
                        .tag("topic", "other")
                        .counter()
                        .count())
                .isEqualTo(20);
    }

    @Test
    void shards_and_topics_that_wait_are_gauged_until_the_relay_ends() {
        kafka.partitions.remove("asset.events");
        database.publish(event("evt-1", "bob"));
        relay.runOnce();
        assertThat(gauge("eventbus.relay.owned.shards")).isEqualTo(16);
        assertThat(gauge("eventbus.relay.waiting.topics")).isEqualTo(1);
        relay.close();
        assertThat(gauge("eventbus.relay.owned.shards")).isZero();
        assertThat(gauge("eventbus.relay.waiting.topics")).isZero();
    }

    @Test
    void a_relay_whose_thread_is_held_for_longer_than_its_lease_has_no_shards_any_more() {
        CountDownLatch goesOn = new CountDownLatch(1);
        try (OutboxRelay held = OutboxRelay.builder(database.outbox, database.dataSource, kafka)
                .lease(Duration.ofSeconds(1))
                .listener(metrics)
                .build()) {
            held.start();
            Eventually.isTrue(() -> gauge("eventbus.relay.owned.shards") == 16);
            kafka.refusal = id -> {
                try {
                    goesOn.await();
                } catch (InterruptedException e) {
                    Thread.currentThread().interrupt();
                }
                return null;
            };
            database.publish(event("evt-1", "bob"));
            Eventually.isTrue(() -> gauge("eventbus.relay.owned.shards") == 0);
            goesOn.countDown();
            Eventually.isTrue(() -> gauge("eventbus.relay.owned.shards") == 16);
        } finally {
            goesOn.countDown();
        }
    }

    @Test
    void an_outage_of_the_database_that_outlasts_the_lease_takes_shards_and_topics_from_the_gauges() {
        OutboxMetrics alone = OutboxMetrics.of(registry, "alone", OutboxAdmin.of(database.outbox, database.dataSource));
        RelayPass pass = new RelayPass(
                database.outbox,
                database.dataSource,
                kafka,
                new OutboxRelay.Settings(
                        "one", Duration.ofSeconds(1), SendMode.PIPELINED, OutboxRelay.DEFAULT_MAX_RELAY_STOP, alone),
                OutboxRelay.Signals.NONE);
        kafka.partitions.remove("asset.events");
        database.publish(event("evt-1", "bob"));
        pass.look();
        assertThat(gauge("eventbus.relay.owned.shards", "alone")).isEqualTo(16);
        assertThat(gauge("eventbus.relay.waiting.topics", "alone")).isEqualTo(1);

        database.update("ALTER TABLE \"eventbus_relay_lease\" RENAME TO gone");
        Eventually.isTrue(() -> {
            pass.look();
            return gauge("eventbus.relay.owned.shards", "alone") == 0;
        });
        assertThat(gauge("eventbus.relay.waiting.topics", "alone")).isZero();

        database.update("ALTER TABLE gone RENAME TO \"eventbus_relay_lease\"");
        kafka.advance(Duration.ofSeconds(1));
        Eventually.isTrue(() -> {
            pass.look();
            return gauge("eventbus.relay.owned.shards", "alone") == 16;
        });
        pass.end(Duration.ofMillis(20));
        alone.close();
    }

    @Test
    void a_topic_that_works_again_waits_no_more() {
        kafka.partitions.remove("asset.events");
        database.publish(event("evt-1", "bob"));
        relay.runOnce();
        kafka.partitions.put("asset.events", 3);
        kafka.advance(Duration.ofMinutes(1));
        relay.runOnce();
        assertThat(gauge("eventbus.relay.waiting.topics")).isZero();
    }

    @Test
    void publishing_is_timed_by_type_and_outcome() throws SQLException {
        Outbox timed = metrics.timed(database.outbox);
        try (Connection tx = database.begin()) {
            timed.within(tx).publish(ASSET_UPDATED, new TestEvents.AssetUpdated("bob", 1));
            timed.joining(work -> work.accept(tx))
                    .publishAll(List.of(event("evt-1", "bob"), event(HOUSING_UPDATED, "evt-2", "bob")));
            timed.within(tx).publishAll(List.of());
            tx.commit();
            tx.setAutoCommit(true);
            assertThatThrownBy(() -> timed.within(tx).publish(event("evt-3", "bob")))
                    .isInstanceOf(PublishRefusedException.class);
        }
        timed.committed();
        assertThat(registry.find("eventbus.publish").timers())
                .extracting(timer -> timer.getId().getTag("event.type") + " "
                        + timer.getId().getTag("outcome") + " " + timer.count())
                .containsExactlyInAnyOrder("ASSET_UPDATED success 1", "mixed success 1", "ASSET_UPDATED refused 1");
        assertThat(database.ids()).hasSize(3);
    }

    @Test
    void a_started_one_asks_by_itself_and_a_closed_one_leaves_nothing_behind() {
        database.publish(event("evt-1", "bob"));
        metrics.start();
        Eventually.isTrue(
                () -> registry.find("eventbus.outbox.pending").gauges().size() == 1);
        assertThatThrownBy(metrics::start).isInstanceOf(IllegalStateException.class);
        metrics.close();
        assertThat(registry.getMeters()).isEmpty();
        Eventually.isTrue(() -> Thread.getAllStackTraces().keySet().stream()
                .noneMatch(thread -> thread.getName().equals("eventbus-outbox-metrics")));
    }

    @Test
    void a_closed_one_registers_nothing_any_more() throws SQLException {
        Outbox timed = metrics.timed(database.outbox);
        metrics.close();
        try (Connection tx = database.begin()) {
            timed.within(tx).publish(event("evt-1", "bob"));
            tx.commit();
        }
        metrics.sent(new RelayListener.Sent("asset.events", "", 1, Duration.ZERO, Duration.ZERO));
        metrics.refresh();
        assertThat(registry.getMeters()).isEmpty();
        assertThat(database.ids()).containsExactly("evt-1");
    }
}
