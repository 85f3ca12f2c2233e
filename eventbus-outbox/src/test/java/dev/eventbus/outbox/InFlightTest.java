package dev.eventbus.outbox;

import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.EncodedEvent;
import dev.eventbus.outbox.internal.Room;
import dev.eventbus.outbox.sql.OutboxRow;
import dev.eventbus.outbox.sql.RowKey;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.Test;

/** What is in flight while somebody keeps rows of it locked: nothing is forgotten, and no topic waits for another's. */
class InFlightTest {

    private static final String ASSETS = "asset.events";
    private static final String HOUSES = "housing.events";

    private final AtomicLong nanos = new AtomicLong();
    private final InFlight inFlight = new InFlight(SendMode.PIPELINED, nanos::get);
    private int published;

    private OutboxRow row(String topic, String key, int shard) {
        return row(topic, key, shard, Instant.EPOCH);
    }

    private OutboxRow row(String topic, String key, int shard, Instant createdAt) {
        published++;
        EncodedEvent event = new EncodedEvent(
                "evt-" + published, "ANY", topic, key, new byte[100], "application/json", null, null, Map.of());
        return new OutboxRow(new RowKey(shard, published, event.id()), event, createdAt, 100, "", "");
    }

    /** As far as Kafka has them. */
    private List<OutboxRow> acked(String topic, String key, int shard, int count) {
        List<OutboxRow> rows = new ArrayList<>();
        for (int n = 0; n < count; n++) {
            OutboxRow row = row(topic, key, shard);
            rows.add(row);
            inFlight.add(row, topic, 0);
        }
        inFlight.lanes().forEach(lane -> {
            while (lane.hasNext()) {
                inFlight.acked(inFlight.handOver(lane));
            }
        });
        return rows;
    }

    @Test
    void what_is_not_handed_over_has_not_been_with_the_producer_since_the_machine_started() {
        nanos.set(Duration.ofDays(40).toNanos());
        OutboxRow row = row(ASSETS, "bob", 0);
        inFlight.add(row, ASSETS, 0);
        assertThat(inFlight.nanosSinceHandOver(row)).isZero();
        inFlight.lanes().forEach(inFlight::handOver);
        nanos.addAndGet(7);
        assertThat(inFlight.nanosSinceHandOver(row)).isEqualTo(7);
    }

    @Test
    void the_oldest_is_the_one_that_was_published_first_whichever_was_read_first() {
        assertThat(inFlight.oldest()).isEmpty();
        for (int second : List.of(3, 1, 2)) {
            inFlight.add(row(ASSETS, "bob", second, Instant.ofEpochSecond(second)), ASSETS, 0);
        }
        assertThat(inFlight.oldest()).contains(Instant.ofEpochSecond(1));
    }

    @Test
    void locked_rows_take_no_room_until_they_are_very_many_and_then_only_their_own_topic_waits() {
        deleted(acked(HOUSES, "one", 1, 1));
        deleted(acked(ASSETS, "bob", 0, Room.MAX_ROWS_PER_TOPIC - 1));
        assertThat(inFlight.room().rowsBeside(Set.of())).isEqualTo(Room.MAX_ROWS_PER_TOPIC);
        assertThat(inFlight.stuck()).isEmpty();
        acked(ASSETS, "bob", 0, 1);
        assertThat(inFlight.awaitingDelete())
                .as("it stands behind a locked one")
                .isEmpty();
        assertThat(inFlight.stuck()).containsExactly(ASSETS);
        assertThat(inFlight.room().rowsBeside(inFlight.stuck())).isEqualTo(Room.MAX_ROWS_PER_TOPIC);
        deleted(acked(HOUSES, "one", 1, Room.MAX_ROWS - Room.MAX_ROWS_PER_TOPIC));
        assertThat(inFlight.stuck()).as("in all they are bounded, too").containsExactlyInAnyOrder(ASSETS, HOUSES);
        assertThat(inFlight.locked().heldUp()).containsExactlyInAnyOrder(ASSETS, HOUSES);
        assertThat(inFlight.holds(ASSETS))
                .as("Kafka has them, so no adoption waits")
                .isFalse();
    }

    @Test
    void once_the_lock_is_gone_all_of_them_are_deleted_and_the_room_is_as_it_was() {
        deleted(acked(ASSETS, "bob", 0, 10));
        List<OutboxRow> behind = acked(ASSETS, "bob", 0, 5);
        List<OutboxRow> others = acked(ASSETS, "alice", 0, 5);
        assertThat(inFlight.awaitingDelete()).containsExactlyElementsOf(others);
        assertThat(inFlight.ackedBehind(behind.get(0))).hasSize(4);
        nanos.addAndGet(Duration.ofSeconds(1).toNanos());
        inFlight.retryLocked(false);
        assertThat(inFlight.awaitingDelete()).hasSize(20);
        assertThat(inFlight.room().rowsBeside(Set.of())).isEqualTo(Room.MAX_ROWS_PER_TOPIC - 20);
        deleted(List.of());
        assertThat(inFlight.size()).isZero();
        assertThat(inFlight.locked().size()).isZero();
        assertThat(inFlight.room().rowsBeside(Set.of())).isEqualTo(Room.MAX_ROWS_PER_TOPIC);
        acked(ASSETS, "bob", 0, 1);
        assertThat(inFlight.awaitingDelete()).hasSize(1);
    }

    /** Its topic may have been deleted and made again meanwhile, and a record that fails does not make the producer known. */
    @Test
    void a_partition_stays_cold_after_a_second_without_work_until_it_acknowledges_again() {
        deleted(acked(ASSETS, "bob", 0, 1));
        InFlight.Lane lane = inFlight.lanes().iterator().next();
        assertThat(lane.isCold(nanos.get())).isFalse();
        nanos.addAndGet(Duration.ofMillis(1_001).toNanos());
        assertThat(lane.isCold(nanos.get())).isTrue();
        inFlight.add(row(ASSETS, "bob", 0), ASSETS, 0);
        inFlight.takeBack(inFlight.handOver(lane));
        assertThat(lane.isCold(nanos.get())).as("it was only tried").isTrue();
        acked(ASSETS, "bob", 0, 1);
        assertThat(lane.isCold(nanos.get())).isFalse();
    }

    @Test
    void a_partition_that_takes_long_to_acknowledge_is_not_cold() {
        deleted(acked(ASSETS, "bob", 0, 1));
        InFlight.Lane lane = inFlight.lanes().iterator().next();
        inFlight.add(row(ASSETS, "bob", 0), ASSETS, 0);
        inFlight.handOver(lane);
        nanos.addAndGet(Duration.ofSeconds(5).toNanos());
        assertThat(lane.isCold(nanos.get())).isFalse();
    }

    @Test
    void of_a_shard_that_is_anothers_now_nothing_is_kept() {
        deleted(acked(ASSETS, "bob", 0, 3));
        deleted(acked(ASSETS, "alice", 1, 2));
        assertThat(inFlight.shards()).as("locked rows hold up no hand-over").isEmpty();
        inFlight.forgetLocked(0);
        assertThat(inFlight.locked().size()).isEqualTo(2);
        assertThat(inFlight.keys()).allMatch(row -> row.shard() == 1).hasSize(2);
        acked(ASSETS, "bob", 0, 1);
        assertThat(inFlight.awaitingDelete())
                .as("whoever has it again sends all of it")
                .hasSize(1);
    }

    private void deleted(List<OutboxRow> butLocked) {
        inFlight.beginDelete();
        inFlight.deleted(butLocked);
    }
}
