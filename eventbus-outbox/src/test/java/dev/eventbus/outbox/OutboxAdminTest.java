package dev.eventbus.outbox;

import static dev.eventbus.outbox.TestEvents.HOUSING_UPDATED;
import static dev.eventbus.outbox.TestEvents.event;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.eventbus.EncodedEvent;
import dev.eventbus.outbox.sql.Shards;
import dev.eventbus.outbox.sql.StatsStore;
import java.sql.Connection;
import java.sql.SQLException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.stream.IntStream;
import org.apache.kafka.common.errors.RecordTooLargeException;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

class OutboxAdminTest {

    private final TestDatabase database = new TestDatabase();
    private final FakeKafka kafka = new FakeKafka();
    private final List<String> heard = new CopyOnWriteArrayList<>();
    private final OutboxAdmin admin = OutboxAdmin.of(database.outbox, database.dataSource)
            .listener(new RelayListener() {
                @Override
                public void keyUnblocked(String eventId, String topic) {
                    heard.add("unblocked %s %s".formatted(eventId, topic));
                }

                @Override
                public void eventDiscarded(String eventId, String topic, String reason) {
                    heard.add("discarded %s %s: %s".formatted(eventId, topic, reason));
                }
            });
    private final OutboxRelay relay =
            OutboxRelay.builder(database.outbox, database.dataSource, kafka).build();

    @AfterEach
    void close() {
        relay.close(Duration.ofSeconds(2));
    }

    /** Bob's key waits for {@code poison}, behind which are {@code evt-2} and {@code evt-3}. */
    private void blockBob() {
        kafka.refusal = id -> id.startsWith("poison") ? new RecordTooLargeException("too large") : null;
        database.publish(
                event("poison", "bob").withHeader("tenant", "eu"),
                event("evt-2", "bob"),
                event("evt-3", "bob"),
                event("evt-4", "alice"),
                event(HOUSING_UPDATED, "evt-5", "bob"));
        relay.runOnce();
        assertThat(kafka.ids()).containsExactlyInAnyOrder("evt-4", "evt-5");
    }

    @Test
    void a_blocked_key_is_listed_with_its_event_and_the_reason() throws SQLException {
        assertThat(admin.blocked()).isEmpty();
        blockBob();
        assertThat(admin.blocked()).singleElement().satisfies(blocked -> {
            assertThat(blocked.topic()).isEqualTo("asset.events");
            assertThat(blocked.key()).isEqualTo("bob");
            assertThat(blocked.eventId()).isEqualTo("poison");
            assertThat(blocked.reason()).isEqualTo("REFUSED");
            assertThat(blocked.error()).isEqualTo(RecordTooLargeException.class.getName());
            assertThat(blocked.sentLater()).isEmpty();
            assertThat(blocked.since()).isNotNull();
            assertThat(blocked).asString().contains("poison").doesNotContain("bob");
        });
        assertThat(relay.health().problems()).singleElement().asString().contains("OutboxAdmin.blocked()");
    }

    @Test
    void what_was_sent_later_is_listed_even_if_somebody_spoilt_the_column() throws SQLException {
        blockBob();
        database.update("UPDATE \"eventbus_blocked_key\" SET sent_later = '[\"evt-8\",null,\"evt-9\"]'");
        assertThat(admin.blocked().get(0).sentLater()).containsExactly("evt-8", "evt-9");
        database.update("UPDATE \"eventbus_blocked_key\" SET sent_later = '{1', error = NULL");
        assertThat(admin.blocked().get(0).sentLater()).isEmpty();
        assertThat(admin.blocked().get(0).error()).isEmpty();
    }

    @Test
    void an_unblocked_key_goes_on_in_order_and_nothing_else_moves() throws SQLException {
        blockBob();
        kafka.refusal = id -> null;
        assertThat(relay.runOnce()).isZero();
        assertThat(admin.unblock("asset.events", "bob")).isTrue();
        assertThat(relay.runOnce()).isEqualTo(3);
        assertThat(kafka.ids().subList(2, 5)).containsExactly("poison", "evt-2", "evt-3");
        assertThat(database.ids()).isEmpty();
        assertThat(heard).containsExactly("unblocked poison asset.events");
    }

    @Test
    void a_key_whose_event_is_refused_again_is_blocked_again() throws SQLException {
        blockBob();
        assertThat(admin.unblock("asset.events", "bob")).isTrue();
        assertThat(admin.blocked()).isEmpty();
        relay.runOnce();
        assertThat(admin.blocked()).singleElement().satisfies(blocked -> {
            assertThat(blocked.eventId()).isEqualTo("poison");
            assertThat(blocked.reason()).isEqualTo("REFUSED");
        });
        assertThat(kafka.idsOf("bob")).containsExactly("evt-5");
    }

    @Test
    void a_key_that_is_not_blocked_cannot_be_unblocked() throws SQLException {
        blockBob();
        assertThat(admin.unblock("asset.events", "alice")).isFalse();
        assertThat(admin.unblock("housing.events", "bob")).isFalse();
        assertThat(heard).isEmpty();
        assertThat(admin.blocked()).hasSize(1);
    }

    @Test
    void a_block_whose_event_is_gone_and_that_hides_nothing_is_taken_away() throws SQLException {
        blockBob();
        database.update("DELETE FROM \"eventbus_outbox\"");
        assertThat(admin.unblock("asset.events", "bob")).isTrue();
        assertThat(database.strings("SELECT reason FROM \"eventbus_blocked_key\""))
                .isEmpty();
    }

    @Test
    void a_discarded_event_is_handed_back_and_its_successors_flow() throws SQLException {
        blockBob();
        EncodedEvent discarded = admin.discard("poison", "the customer was told by phone");
        assertThat(discarded.id()).isEqualTo("poison");
        assertThat(discarded.topic()).isEqualTo("asset.events");
        assertThat(discarded.key()).isEqualTo("bob");
        assertThat(discarded.headers()).containsExactly(Map.entry("tenant", "eu"));
        assertThat(new String(discarded.value(), UTF_8)).contains("\"eventId\":\"poison\"");
        assertThat(database.strings("SELECT reason FROM \"eventbus_blocked_key\""))
                .isEmpty();
        assertThat(relay.runOnce()).isEqualTo(2);
        assertThat(kafka.idsOf("bob")).containsExactly("evt-5", "evt-2", "evt-3");
        assertThat(heard).containsExactly("discarded poison asset.events: the customer was told by phone");
    }

    @Test
    void an_event_that_cannot_be_kept_is_not_discarded() throws SQLException {
        blockBob();
        assertThatThrownBy(() -> admin.discard("poison", "because", event -> {
                    throw new IllegalStateException("disk full");
                }))
                .isInstanceOf(IllegalStateException.class)
                .hasMessage("disk full");
        assertThat(database.ids()).contains("poison");
        assertThat(heard).isEmpty();

        List<String> kept = new ArrayList<>();
        admin.discard("poison", "because", event -> kept.add(event.id()));
        assertThat(kept).containsExactly("poison");
        assertThat(database.ids()).doesNotContain("poison");
    }

    @Test
    void an_event_that_no_key_waits_for_is_not_discarded() {
        blockBob();
        for (String id : List.of("evt-2", "evt-4", "never")) {
            assertThatThrownBy(() -> admin.discard(id, "because"))
                    .isInstanceOf(IllegalStateException.class)
                    .hasMessageContaining("event %s was not discarded: no key waits for it".formatted(id));
        }
        assertThat(database.ids()).containsExactly("poison", "evt-2", "evt-3");
        assertThat(heard).isEmpty();
    }

    @Test
    void a_discard_without_a_reason_is_refused() throws SQLException {
        blockBob();
        assertThatThrownBy(() -> admin.discard("poison", " ")).isInstanceOf(IllegalArgumentException.class);
        assertThat(admin.blocked()).hasSize(1);
    }

    @Test
    void of_two_events_with_one_id_a_person_chooses() throws SQLException {
        kafka.refusal = id -> new RecordTooLargeException("too large");
        database.publish(event("twin", "bob"), event(HOUSING_UPDATED, "twin", "bob"));
        relay.runOnce();
        assertThatThrownBy(() -> admin.discard("twin", "because")).hasMessageContaining("several keys");
        OutboxAdmin.BlockedKey housing = admin.blocked().stream()
                .filter(blocked -> blocked.topic().equals("housing.events"))
                .findFirst()
                .orElseThrow();
        assertThat(admin.discard(housing, "because").topic()).isEqualTo("housing.events");
        assertThat(database.strings("SELECT aggregatetype FROM \"eventbus_outbox\""))
                .containsExactly("asset.events");
        assertThatThrownBy(() -> admin.discard(housing, "again")).hasMessageContaining("not wait for it any more");
    }

    @Test
    void a_block_whose_event_is_gone_cannot_be_discarded() {
        blockBob();
        database.update("DELETE FROM \"eventbus_outbox\" WHERE id = 'poison'");
        assertThatThrownBy(() -> admin.discard("poison", "because")).hasMessageContaining("or it is gone");
        assertThat(database.ids()).containsExactly("evt-2", "evt-3");
    }

    @Test
    void whoever_holds_the_shards_lease_row_holds_up_a_person_too() throws SQLException {
        blockBob();
        try (Connection owner = database.begin()) {
            owner.prepareStatement("SELECT 1 FROM \"eventbus_relay_lease\" FOR UPDATE")
                    .execute();
            assertThatThrownBy(() -> admin.unblock("asset.events", "bob")).isInstanceOf(SQLException.class);
            assertThatThrownBy(() -> admin.discard("poison", "because")).isInstanceOf(SQLException.class);
        }
        assertThat(admin.blocked()).hasSize(1);
        assertThat(database.ids()).contains("poison");
    }

    @Test
    void a_started_relay_notices_at_once_what_was_unblocked() throws SQLException {
        kafka.refusal = id -> id.startsWith("poison") ? new RecordTooLargeException("too large") : null;
        relay.start();
        database.publish(event("poison", "bob"), event("evt-2", "bob"));
        Eventually.isTrue(() -> relay.health().blockedKeys() == 1);
        database.publish(event("evt-3", "alice"));
        Eventually.isTrue(() -> kafka.ids().contains("evt-3"));
        kafka.refusal = id -> null;
        admin.unblock("asset.events", "bob");
        Eventually.isTrue(() -> database.ids().isEmpty());
        assertThat(kafka.idsOf("bob")).containsExactly("poison", "evt-2");
    }

    @Test
    void stats_say_what_waits_where_and_who_sends_it() throws SQLException {
        assertThat(admin.stats().pending()).isZero();
        assertThat(admin.stats().oldestAge()).isEmpty();
        assertThat(admin.stats().shardsWithoutOwner()).isEqualTo(16);
        blockBob();
        database.publish(event("evt-6", "carol"), event(HOUSING_UPDATED, "evt-7", "carol"));
        database.update(
                "UPDATE \"eventbus_outbox\" SET created_at = DATEADD('MINUTE', -5, CURRENT_TIMESTAMP) WHERE id = 'evt-7'");
        database.update(
                "UPDATE \"eventbus_outbox\" SET created_at = DATEADD('HOUR', -5, CURRENT_TIMESTAMP) WHERE id = 'poison'");
        OutboxStats stats = admin.stats();
        assertThat(stats.pendingByTopic())
                .containsExactly(Map.entry("asset.events", 4L), Map.entry("housing.events", 1L));
        assertThat(stats.pending()).isEqualTo(5);
        assertThat(stats.exact()).isTrue();
        assertThat(stats.oldestAge().orElseThrow())
                .as("a blocked key does not hide that others wait")
                .isBetween(Duration.ofMinutes(5), Duration.ofMinutes(10));
        assertThat(stats.blockedKeys()).isEqualTo(1);
        assertThat(stats.shards()).hasSize(16).allSatisfy(shard -> {
            assertThat(shard.owner()).isPresent();
            assertThat(shard.leaseUntil()).isPresent();
        });
        assertThat(stats.shardsWithoutOwner()).isZero();
        assertThat(stats.relays())
                .isEqualTo(Set.of(stats.shards().get(0).owner().orElseThrow()));
    }

    @Test
    void a_lease_that_has_run_out_owns_nothing() throws SQLException {
        relay.runOnce();
        database.update("UPDATE \"eventbus_relay_lease\" SET lease_until = DATEADD('SECOND', -1, CURRENT_TIMESTAMP)");
        database.update("UPDATE \"eventbus_relay_member\" SET lease_until = DATEADD('SECOND', -1, CURRENT_TIMESTAMP)");
        assertThat(admin.stats().shardsWithoutOwner()).isEqualTo(16);
        assertThat(admin.stats().relays()).isEmpty();
    }

    @Test
    void counting_ends_at_a_limit_and_says_so() throws SQLException {
        int shard = Shards.of("bob");
        int rows = StatsStore.MOST_COUNTED + 5;
        database.update(
                "INSERT INTO \"eventbus_outbox\" (shard, id, aggregatetype, aggregateid, type, content_type, created_at) SELECT %d, 'evt-' || n, 'asset.events', 'bob', 'T', 'c', CURRENT_TIMESTAMP FROM SYSTEM_RANGE(1, %d) AS r (n)"
                        .formatted(shard, rows));
        assertThat(admin.stats().exact()).isFalse();
        assertThat(admin.stats().pending()).isBetween((long) StatsStore.MOST_COUNTED, (long) rows - 1);
        database.update("DELETE FROM \"eventbus_outbox\" WHERE id <> 'evt-1'");
        assertThat(admin.stats().exact()).isTrue();
    }

    @Test
    void many_keys_are_unblocked_by_their_reason() throws SQLException {
        kafka.refusal = id -> new RecordTooLargeException("too large");
        IntStream.range(0, 20).forEach(i -> database.publish(event("evt-" + i, "user-" + i)));
        for (int pass = 0; pass < 20 && relay.health().blockedKeys() < 20; pass++) {
            relay.runOnce();
        }
        assertThat(admin.unblockAll("STALE")).isZero();
        kafka.refusal = id -> null;
        assertThat(admin.unblockAll("REFUSED")).isEqualTo(20);
        assertThat(admin.blocked()).isEmpty();
        relay.runOnce();
        assertThat(database.ids()).isEmpty();
    }

    @Test
    void what_was_blocked_before_the_clock_went_back_is_unblocked_too() throws SQLException {
        blockBob();
        database.update("UPDATE \"eventbus_blocked_key\" SET since = DATEADD('DAY', 30, CURRENT_TIMESTAMP)");
        assertThat(admin.unblockAll("REFUSED")).isEqualTo(1);
    }

    @Test
    void a_connection_goes_back_as_it_came() throws SQLException {
        try (Connection shared = database.dataSource.getConnection()) {
            shared.setTransactionIsolation(Connection.TRANSACTION_SERIALIZABLE);
            OutboxAdmin pooled = OutboxAdmin.of(database.outbox, OneConnection.of(shared));
            blockBob();
            pooled.stats();
            pooled.unblock("asset.events", "bob");
            assertThatThrownBy(() -> pooled.discard("never", "because")).isInstanceOf(IllegalStateException.class);
            assertThat(shared.getAutoCommit()).isTrue();
            assertThat(shared.getTransactionIsolation()).isEqualTo(Connection.TRANSACTION_SERIALIZABLE);
        }
    }

    @Test
    void a_rollback_that_fails_does_not_hide_why_it_was_needed() {
        OutboxAdmin failing = OutboxAdmin.of(
                database.outbox,
                new FailingDatabase(database.dataSource).withoutRollback().dataSource());
        database.update("DROP TABLE \"eventbus_blocked_key\"");
        assertThatThrownBy(failing::blocked)
                .isInstanceOfSatisfying(
                        SQLException.class,
                        failure -> assertThat(failure.getSQLState()).isEqualTo("42S02"))
                .satisfies(failure -> assertThat(failure.getSuppressed())
                        .singleElement()
                        .asString()
                        .contains("no rollback"));
    }
}
