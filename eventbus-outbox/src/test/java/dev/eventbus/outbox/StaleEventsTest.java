package dev.eventbus.outbox;

import static dev.eventbus.outbox.TestEvents.event;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.sql.SQLException;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.stream.IntStream;
import org.apache.kafka.common.errors.RecordTooLargeException;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** A relay that was stopped for so long that inboxes may have forgotten what it sent before. */
class StaleEventsTest {

    private final TestDatabase database = new TestDatabase();
    private final FakeKafka kafka = new FakeKafka();
    private final OutboxAdmin admin = OutboxAdmin.of(database.outbox, database.dataSource);
    private final List<String> blocked = new CopyOnWriteArrayList<>();
    private OutboxRelay relay = start(OutboxRelay.DEFAULT_MAX_RELAY_STOP);

    private OutboxRelay start(Duration maxRelayStop) {
        return OutboxRelay.builder(database.outbox, database.dataSource, kafka)
                .maxRelayStop(maxRelayStop)
                .listener(new RelayListener() {
                    @Override
                    public void keyBlocked(String eventId, String topic, String reason) {
                        blocked.add(eventId + " " + reason);
                    }
                })
                .build();
    }

    @AfterEach
    void close() {
        relay.close(Duration.ofSeconds(2));
    }

    /** Lets time pass for what is in the outbox; the database's clock cannot be moved. */
    private void pass(Duration time) {
        database.update("UPDATE \"eventbus_outbox\" SET created_at = DATEADD('SECOND', -%d, created_at)"
                .formatted(time.toSeconds()));
    }

    private void relay() {
        for (int i = 0; i < 4; i++) {
            relay.runOnce();
        }
    }

    @Test
    void a_relay_that_was_stopped_for_too_long_sends_nothing_old_unasked() {
        database.publish(event("old-1", "bob"), event("old-2", "bob"), event("old-3", "alice"));
        pass(Duration.ofDays(7).plusMinutes(1));
        database.publish(event("new-1", "bob"), event("new-2", "carol"));
        relay();
        assertThat(kafka.ids()).containsExactly("new-2");
        assertThat(database.ids()).containsExactly("old-1", "old-2", "old-3", "new-1");
        assertThat(blocked).containsExactlyInAnyOrder("old-1 STALE", "old-3 STALE");
        assertThat(relay.health().blockedKeys()).isEqualTo(2);
        assertThat(relay.health().problems())
                .singleElement()
                .asString()
                .contains("2 keys are blocked", "maxRelayStop", "PT168H", "unblockAll(\"STALE\")");
        assertThat(relay.health().up()).isTrue();
    }

    @Test
    void a_relay_that_was_stopped_for_less_sends_everything() {
        database.publish(event("old-1", "bob"), event("old-2", "alice"));
        pass(Duration.ofDays(7).minusMinutes(1));
        relay();
        assertThat(kafka.ids()).containsExactlyInAnyOrder("old-1", "old-2");
        assertThat(blocked).isEmpty();
    }

    @Test
    void an_unblocked_key_sends_all_that_waited_with_it_however_old() throws SQLException {
        database.publish(event("old-1", "bob"), event("old-2", "bob"), event("old-3", "alice"));
        pass(Duration.ofDays(8));
        database.publish(event("new-1", "bob"));
        relay();
        assertThat(kafka.ids()).isEmpty();
        assertThat(admin.blocked()).hasSize(2).allMatch(key -> key.error().contains("longer ago than maxRelayStop"));

        assertThat(admin.unblock("asset.events", "bob")).isTrue();
        relay();
        assertThat(kafka.ids()).containsExactly("old-1", "old-2", "new-1");
        assertThat(database.ids()).containsExactly("old-3");
        assertThat(admin.blocked())
                .singleElement()
                .extracting(OutboxAdmin.BlockedKey::eventId)
                .isEqualTo("old-3");
    }

    @Test
    void a_mark_lets_through_only_what_was_there_when_somebody_looked() throws SQLException {
        database.publish(event("old-1", "bob"));
        pass(Duration.ofDays(8));
        relay();
        kafka.partitions.remove("asset.events");
        admin.unblock("asset.events", "bob");
        relay();
        database.publish(event("later", "bob"));
        pass(Duration.ofDays(8));
        kafka.partitions.put("asset.events", 3);
        kafka.advance(Duration.ofMinutes(5));
        relay();
        assertThat(kafka.ids()).containsExactly("old-1");
        assertThat(admin.blocked())
                .singleElement()
                .extracting(OutboxAdmin.BlockedKey::eventId)
                .isEqualTo("later");
    }

    @Test
    void a_mark_goes_when_its_event_is_sent() throws SQLException {
        database.publish(event("old-1", "bob"));
        pass(Duration.ofDays(8));
        relay();
        admin.unblock("asset.events", "bob");
        assertThat(database.strings("SELECT reason FROM \"eventbus_blocked_key\""))
                .containsExactly("UNBLOCKED");
        assertThat(admin.blocked()).isEmpty();
        assertThat(admin.stats().blockedKeys()).isZero();
        relay();
        relay.close();
        relay = start(OutboxRelay.DEFAULT_MAX_RELAY_STOP);
        relay.runOnce();
        assertThat(database.strings("SELECT reason FROM \"eventbus_blocked_key\""))
                .isEmpty();
    }

    @Test
    void a_key_that_was_refused_long_ago_is_tried_again_when_it_is_unblocked() throws SQLException {
        kafka.refusal = id -> new RecordTooLargeException("too large");
        database.publish(event("poison", "bob"), event("evt-2", "bob"));
        relay();
        pass(Duration.ofDays(30));
        kafka.refusal = id -> null;
        admin.unblock("asset.events", "bob");
        relay();
        assertThat(kafka.ids()).containsExactly("poison", "evt-2");
        assertThat(blocked).containsExactly("poison REFUSED");
    }

    @Test
    void discarding_goes_from_one_old_event_to_the_next() throws SQLException {
        database.publish(event("old-1", "bob"), event("old-2", "bob"));
        pass(Duration.ofDays(8));
        database.publish(event("new-1", "bob"));
        relay();
        admin.discard("old-1", "known to be handled");
        relay();
        assertThat(kafka.ids()).isEmpty();
        admin.discard("old-2", "known to be handled");
        relay();
        assertThat(kafka.ids()).containsExactly("new-1");
        assertThat(blocked).containsExactly("old-1 STALE", "old-2 STALE");
    }

    @Test
    void thousands_of_old_keys_are_blocked_in_few_passes_and_unblocked_together() throws SQLException {
        database.publish(IntStream.range(0, 1_500)
                .mapToObj(i -> event("old-" + i, "user-" + i))
                .toArray(dev.eventbus.Event<?>[]::new));
        pass(Duration.ofDays(8));
        relay();
        assertThat(relay.health().blockedKeys()).isEqualTo(1_500);
        assertThat(kafka.ids()).isEmpty();
        assertThat(admin.unblockAll("STALE")).isEqualTo(1_500);
        Eventually.isTrue(() -> relay.runOnce() == 0);
        assertThat(kafka.ids()).hasSize(1_500);
    }

    @Test
    void a_round_asks_about_a_hundred_old_events_and_no_more_so_that_the_leases_are_kept() {
        database.publish(IntStream.range(0, 300)
                .mapToObj(i -> event("old-" + i, "user-" + i))
                .toArray(dev.eventbus.Event<?>[]::new));
        pass(Duration.ofDays(8));
        database.publish(event("new-1", "carol"));
        RelayPass pass = new RelayPass(
                database.outbox,
                database.dataSource,
                kafka,
                new OutboxRelay.Settings(
                        "one",
                        Duration.ofSeconds(5),
                        SendMode.PIPELINED,
                        OutboxRelay.DEFAULT_MAX_RELAY_STOP,
                        new RelayListener() {}),
                OutboxRelay.Signals.NONE);
        long most = 0;
        for (int round = 0; round < 10; round++) {
            long before = pass.health().blockedKeys();
            pass.look();
            most = Math.max(most, pass.health().blockedKeys() - before);
        }
        assertThat(most).isEqualTo(100);
        assertThat(pass.health().blockedKeys()).isEqualTo(300);
        assertThat(kafka.ids()).containsExactly("new-1");
        pass.end(Duration.ofSeconds(1));
    }

    @Test
    void a_limit_of_less_than_a_minute_is_refused() {
        OutboxRelay.Builder builder = OutboxRelay.builder(database.outbox, database.dataSource, kafka);
        assertThatThrownBy(() -> builder.maxRelayStop(Duration.ofSeconds(59)))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("maxRelayStop must be at least 1 min, was PT59S");
    }
}
