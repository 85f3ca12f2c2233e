package dev.eventbus.outbox;

import static dev.eventbus.outbox.TestEvents.HOUSING_UPDATED;
import static dev.eventbus.outbox.TestEvents.event;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.eventbus.Event;
import dev.eventbus.EventRecords;
import dev.eventbus.StartRefusedException;
import java.lang.reflect.Proxy;
import java.sql.Connection;
import java.sql.SQLException;
import java.sql.SQLTransientConnectionException;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicReference;
import java.util.stream.IntStream;
import javax.sql.DataSource;
import org.apache.kafka.common.errors.RecordTooLargeException;
import org.apache.kafka.common.errors.TopicAuthorizationException;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

class OutboxRelayTest {

    private final TestDatabase database = new TestDatabase();
    private final FakeKafka kafka = new FakeKafka();
    private final Heard heard = new Heard();
    private final OutboxRelay relay = relay(database.dataSource);

    /** Writes down what a relay tells. */
    private static final class Heard implements RelayListener {
        final List<String> said = new CopyOnWriteArrayList<>();

        @Override
        public void keyBlocked(String eventId, String topic, String reason) {
            said.add("blocked %s %s".formatted(eventId, reason));
        }

        @Override
        public void topicWaits(String topic, String problem, Instant retryAt) {
            said.add("waits %s".formatted(topic));
        }

        @Override
        public void topicResumed(String topic) {
            said.add("resumed %s".formatted(topic));
        }

        @Override
        public void sendFailed(String eventId, String topic, Exception error) {
            said.add("failed %s".formatted(eventId));
        }

        @Override
        public void deletedByOthers(int rows) {
            said.add("deleted by others %d".formatted(rows));
        }
    }

    private OutboxRelay relay(DataSource dataSource) {
        return OutboxRelay.builder(database.outbox, dataSource, kafka)
                .listener(heard)
                .build();
    }

    @AfterEach
    void close() {
        relay.close(Duration.ofSeconds(2));
    }

    @Test
    void a_pass_sends_as_soon_as_the_producer_knows_the_topic_whatever_its_back_off() {
        kafka.coldAnswers = 1;
        database.publish(event("evt-1", "bob"));
        assertThat(relay.runOnce()).isEqualTo(1);
    }

    @Test
    void events_reach_kafka_in_publish_order_and_their_rows_are_deleted() {
        Event<?>[] events = IntStream.range(0, 3_000)
                .mapToObj(i -> event("evt-" + i, "user-" + i % 50))
                .toArray(Event<?>[]::new);
        database.publish(events);

        int relayed = 0;
        for (int pass = relay.runOnce(); pass > 0; pass = relay.runOnce()) {
            relayed += pass;
        }

        assertThat(relayed).isEqualTo(3_000);
        assertThat(database.ids()).isEmpty();
        for (int user = 0; user < 50; user++) {
            int first = user;
            assertThat(kafka.idsOf("user-" + user))
                    .isEqualTo(IntStream.range(0, 60)
                            .mapToObj(i -> "evt-" + (first + i * 50))
                            .toList());
        }
    }

    @Test
    void a_record_carries_key_headers_and_partition_but_no_time_stamp() {
        database.publish(event("evt-1", "bob").withHeader("tenant", "eu").withHeader("tracestate", "a=b"));
        relay.runOnce();
        assertThat(kafka.log).singleElement().satisfies(message -> {
            assertThat(message.topic()).isEqualTo("asset.events");
            assertThat(message.partition()).isEqualTo(EventRecords.partition("bob", 3));
            assertThat(message.timestamp()).isNull();
            assertThat(new String(message.headers().lastHeader("tenant").value(), UTF_8))
                    .isEqualTo("eu");
            assertThat(new String(message.headers().lastHeader("tracestate").value(), UTF_8))
                    .isEqualTo("a=b");
            assertThat(new String(message.value(), UTF_8)).contains("\"eventId\":\"evt-1\"");
        });
    }

    @Test
    void an_event_that_commits_late_is_not_overtaken_by_its_successor() throws SQLException {
        try (Connection first = database.begin();
                Connection other = database.begin()) {
            database.outbox.within(first).publish(event("first", "bob"));
            database.outbox.within(other).publish(event("unrelated", "alice"));
            other.commit();
            relay.runOnce();
            first.commit();
            database.publish(event("second", "bob"));
        }
        relay.runOnce();
        assertThat(kafka.ids()).containsExactly("unrelated", "first", "second");
    }

    @Test
    void a_partition_recorded_at_first_use_stays_when_the_topic_grows() {
        database.publish(event("evt-1", "bob"));
        relay.runOnce();
        kafka.partitions.put("asset.events", 12);
        database.publish(event("evt-2", "bob"));
        relay.runOnce();
        assertThat(kafka.log).extracting(message -> message.partition()).containsOnly(EventRecords.partition("bob", 3));
        assertThat(database.strings(
                        "SELECT \"value\" FROM \"eventbus_meta\" WHERE name = 'partitions.kafka-events.asset.events'"))
                .containsExactly("3");
        assertThat(relay.health().up()).isTrue();
        assertThat(relay.health().problems()).singleElement().asString().contains("grown to 12 partitions");
    }

    @Test
    void a_topic_that_is_missing_waits_while_others_flow_and_is_found_when_it_is_there() {
        kafka.partitions.remove("asset.events");
        database.publish(
                event("evt-1", "bob"),
                event(HOUSING_UPDATED, "evt-2", "bob"),
                event(HOUSING_UPDATED, "evt-3", "alice"));
        assertThat(relay.runOnce()).isEqualTo(2);
        assertThat(kafka.ids()).containsExactlyInAnyOrder("evt-2", "evt-3");
        assertThat(database.ids()).containsExactly("evt-1");
        assertThat(relay.health().up()).isFalse();
        assertThat(relay.health().problems())
                .singleElement()
                .asString()
                .contains("kafka-events", "broker-1:9092", "does not have the topic", "wait in the outbox");
        assertThat(relay.health().waitingTopics()).containsOnlyKeys("asset.events");

        kafka.partitions.put("asset.events", 3);
        kafka.now = relay.health().nextRetry().orElseThrow();
        assertThat(relay.runOnce()).isEqualTo(1);
        assertThat(relay.health().up()).isTrue();
        assertThat(heard.said).containsExactly("waits asset.events", "resumed asset.events");
    }

    @Test
    void a_topic_that_refuses_us_is_tried_with_one_event_at_a_time() {
        kafka.refusal = id -> id.startsWith("evt") ? new TopicAuthorizationException("asset.events") : null;
        database.publish(
                event("evt-1", "bob"),
                event("evt-2", "bob"),
                event("evt-3", "alice"),
                event(HOUSING_UPDATED, "other", "bob"));
        relay.runOnce();
        int tried = heard.said.size();
        for (int i = 0; i < 5; i++) {
            kafka.advance(Duration.ofMinutes(1));
            assertThat(relay.runOnce()).isZero();
        }
        assertThat(heard.said.size() - tried).isEqualTo(5);
        assertThat(kafka.ids()).containsExactly("other");

        kafka.refusal = id -> null;
        kafka.advance(Duration.ofMinutes(1));
        relay.runOnce();
        assertThat(database.ids()).isEmpty();
        assertThat(kafka.idsOf("bob")).containsExactly("other", "evt-1", "evt-2");
    }

    @Test
    void an_event_refused_for_good_blocks_its_key_and_no_other() {
        kafka.refusal = id -> id.equals("poison") ? new RecordTooLargeException("too large") : null;
        database.publish(
                event("evt-1", "bob"),
                event("poison", "bob"),
                event("evt-3", "bob"),
                event("evt-4", "alice"),
                event(HOUSING_UPDATED, "evt-5", "bob"));
        assertThat(relay.runOnce()).as("one call settles it").isEqualTo(3);
        assertThat(kafka.ids()).containsExactlyInAnyOrder("evt-1", "evt-4", "evt-5");
        assertThat(database.ids()).containsExactly("poison", "evt-3");
        assertThat(heard.said).containsExactly("failed poison", "failed poison", "blocked poison REFUSED");
        assertThat(
                        database.strings(
                                "SELECT aggregateid || ' ' || event_id || ' ' || reason || ' ' || error FROM \"eventbus_blocked_key\""))
                .containsExactly("bob poison REFUSED org.apache.kafka.common.errors.RecordTooLargeException");
        assertThat(relay.health().blockedKeys()).isEqualTo(1);
        assertThat(relay.health().problems()).singleElement().asString().contains("1 keys are blocked");

        kafka.refusal = id -> null;
        database.update("DELETE FROM \"eventbus_blocked_key\"");
        relay.runOnce();
        assertThat(kafka.idsOf("bob")).containsSubsequence("evt-1", "poison", "evt-3");
    }

    @Test
    void a_row_that_somebody_else_wrote_wrongly_blocks_its_key() {
        database.publish(event("evt-1", "bob"), event("evt-2", "bob"), event("evt-3", "alice"));
        database.update("UPDATE \"eventbus_outbox\" SET headers = '[1' WHERE id = 'evt-1'");
        relay.runOnce();
        relay.runOnce();
        assertThat(kafka.ids()).containsExactly("evt-3");
        assertThat(heard.said).containsExactly("blocked evt-1 UNREADABLE");
    }

    @Test
    void a_standby_takes_over_at_once_when_the_owner_is_closed() {
        database.publish(event("evt-1", "bob"));
        relay.runOnce();
        try (OutboxRelay standby = relay(database.dataSource)) {
            database.publish(event("evt-2", "bob"));
            assertThat(standby.runOnce()).isZero();
            assertThat(standby.health().ownedShards()).isEmpty();
            relay.close();
            database.update("UPDATE \"eventbus_relay_lease\" SET lease_until = lease_until"); // nothing but a look
            standby.close();
        }
        try (OutboxRelay next = relay(database.dataSource)) {
            assertThat(next.runOnce()).isEqualTo(1);
            assertThat(next.health().ownedShards()).hasSize(16);
        }
    }

    @Test
    void a_dead_owners_shards_are_taken_over_when_its_lease_has_run_out() {
        database.update(
                "UPDATE \"eventbus_relay_lease\" SET owner = 'dead', epoch = 7, lease_until = DATEADD('HOUR', 1, CURRENT_TIMESTAMP)");
        database.publish(event("evt-1", "bob"));
        assertThat(relay.runOnce()).isZero();
        database.update("UPDATE \"eventbus_relay_lease\" SET lease_until = DATEADD('SECOND', -1, CURRENT_TIMESTAMP)");
        assertThat(relay.runOnce()).isEqualTo(1);
        assertThat(database.strings("SELECT DISTINCT epoch FROM \"eventbus_relay_lease\""))
                .containsExactly("8");
    }

    @Test
    void a_lost_database_is_survived_and_said() {
        AtomicReference<String> fault = new AtomicReference<>("08001");
        try (OutboxRelay survivor = relay(failing(database.dataSource, fault))) {
            database.publish(event("evt-1", "bob"));
            assertThat(survivor.runOnce()).isZero();
            assertThat(survivor.health().up()).isFalse();
            assertThat(survivor.health().problems())
                    .singleElement()
                    .asString()
                    .contains("SQLSTATE 08001", "wait in the outbox", "host and port");
            fault.set("");
            assertThat(survivor.runOnce()).isZero();
            kafka.now = survivor.health().nextRetry().orElseThrow();
            assertThat(survivor.runOnce()).isEqualTo(1);
            assertThat(survivor.health().up()).isTrue();
        }
    }

    @Test
    void an_unreachable_cluster_is_said_after_a_while() {
        kafka.unreachable = new org.apache.kafka.common.errors.TimeoutException(
                "Topic asset.events not present in metadata after 0 ms.");
        database.publish(event("evt-1", "bob"));
        relay.runOnce();
        for (int i = 0; i < 12; i++) {
            kafka.advance(Duration.ofMillis(500));
            relay.runOnce();
        }
        assertThat(relay.health().up()).isFalse();
        assertThat(relay.health().problems())
                .singleElement()
                .asString()
                .contains("broker-1:9092", "does not answer", "wait in the outbox");
        kafka.unreachable = null;
        kafka.advance(Duration.ofSeconds(30));
        assertThat(relay.runOnce()).isEqualTo(1);
    }

    @Test
    void missing_tables_refuse_the_run_with_the_fix() {
        database.update("DROP TABLE \"eventbus_relay_lease\"");
        assertThatThrownBy(relay::runOnce)
                .isInstanceOf(StartRefusedException.class)
                .hasMessageContaining("eventbus_relay_lease");
        assertThat(relay.health().problems()).singleElement().asString().contains("eventbus_relay_lease");
    }

    @Test
    void a_row_deleted_by_somebody_else_is_noticed() {
        kafka.refusal = id -> {
            database.update("DELETE FROM \"eventbus_outbox\" WHERE id = 'evt-1'");
            return null;
        };
        database.publish(event("evt-1", "bob"), event("evt-2", "bob"));
        relay.runOnce();
        assertThat(heard.said).containsExactly("deleted by others 1");
    }

    @Test
    void a_closed_relay_does_nothing_any_more() {
        relay.close();
        relay.close();
        assertThatThrownBy(relay::runOnce).isInstanceOf(IllegalStateException.class);
        assertThatThrownBy(relay::start).isInstanceOf(IllegalStateException.class);
    }

    @Test
    void a_pass_that_outlasts_a_close_ends_what_it_has_opened() {
        List<OutboxRelay> outlasting = new CopyOnWriteArrayList<>();
        RelayListener closing = new RelayListener() {
            @Override
            public void relayed(int events) {
                outlasting.forEach(one -> one.close(Duration.ofMillis(20)));
            }
        };
        outlasting.add(OutboxRelay.builder(database.outbox, database.dataSource, kafka)
                .listener(closing)
                .build());
        database.publish(event("evt-1", "bob"));
        assertThat(outlasting.get(0).runOnce()).isEqualTo(1);
        assertThat(kafka.producer().closedWith).isNotNull();
        assertThat(database.strings("SELECT COUNT(owner) FROM \"eventbus_relay_lease\""))
                .containsExactly("0");
        assertThat(database.strings("SELECT owner FROM \"eventbus_relay_member\""))
                .isEmpty();
        assertThat(outlasting.get(0).health().closed()).isTrue();
    }

    @Test
    void headers_of_json_null_are_none_and_a_header_of_null_is_unreadable() {
        database.publish(event("evt-1", "bob"), event("evt-2", "alice"));
        database.update("UPDATE \"eventbus_outbox\" SET headers = 'null' WHERE id = 'evt-1'");
        database.update("UPDATE \"eventbus_outbox\" SET headers = '{\"a\":null}' WHERE id = 'evt-2'");
        relay.runOnce();
        relay.runOnce();
        assertThat(kafka.ids()).containsExactly("evt-1");
        assertThat(heard.said).containsExactly("blocked evt-2 UNREADABLE");
    }

    @Test
    void a_started_relay_finds_a_commit_without_being_told() {
        relay.start();
        for (int i = 0; i < 20; i++) {
            database.publish(event("evt-" + i, "bob"));
        }
        Eventually.isTrue(() -> kafka.log.size() == 20 && database.ids().isEmpty());
        assertThat(kafka.ids())
                .isEqualTo(IntStream.range(0, 20).mapToObj(i -> "evt-" + i).toList());
        assertThatThrownBy(relay::runOnce).isInstanceOf(IllegalStateException.class);
    }

    @Test
    void a_thread_that_was_interrupted_before_closes_in_order_all_the_same() {
        relay.start();
        database.publish(event("evt-1", "bob"));
        Eventually.isTrue(() -> kafka.log.size() == 1);
        Thread.currentThread().interrupt();
        relay.close();
        assertThat(Thread.interrupted()).isTrue();
        assertThat(database.strings("SELECT COUNT(owner) FROM \"eventbus_relay_lease\""))
                .as("given back by the time that it returns")
                .containsExactly("0");
        assertThat(database.ids()).isEmpty();
    }

    @Test
    void close_keeps_its_limit_when_kafka_does_not_answer() {
        kafka.answer = FakeKafka.Answer.HOLD;
        relay.start();
        database.publish(event("evt-1", "bob"));
        Eventually.isTrue(
                () -> !kafka.producers.isEmpty() && !kafka.producer().held.isEmpty());
        long before = System.nanoTime();
        relay.close(Duration.ofMillis(200));
        assertThat(Duration.ofNanos(System.nanoTime() - before)).isLessThan(Duration.ofSeconds(5));
        Eventually.isTrue(() -> Duration.ZERO.equals(kafka.producer().closedWith));
        assertThat(database.ids()).containsExactly("evt-1");
        Eventually.isTrue(() -> database.strings("SELECT COUNT(owner) FROM \"eventbus_relay_lease\"")
                .equals(List.of("0")));
    }

    @Test
    void a_lease_out_of_bounds_is_refused() {
        OutboxRelay.Builder builder = OutboxRelay.builder(database.outbox, database.dataSource, kafka);
        assertThatThrownBy(() -> builder.lease(Duration.ofMillis(999)))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("lease must be 1 s to 5 min, was PT0.999S");
    }

    /** A data source that fails with an SQLSTATE unless it is empty. */
    private static DataSource failing(DataSource real, AtomicReference<String> state) {
        return (DataSource) Proxy.newProxyInstance(
                DataSource.class.getClassLoader(), new Class<?>[] {DataSource.class}, (proxy, method, arguments) -> {
                    if (!"".equals(state.get())) {
                        throw new SQLTransientConnectionException(
                                "pool exhausted", new SQLException("Connection to db:5432 refused", state.get()));
                    }
                    return method.invoke(real, arguments);
                });
    }
}
