package dev.eventbus.outbox;

import static dev.eventbus.outbox.TestEvents.event;
import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.Event;
import java.sql.Connection;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.BooleanSupplier;
import org.apache.kafka.common.KafkaFuture;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** Somebody keeps rows of the outbox locked that Kafka has by now. */
class LockedRowsTest {

    private static final Duration LEASE = Duration.ofSeconds(4);

    private final TestDatabase database = new TestDatabase(JdbcOutbox.h2(), ";LOCK_TIMEOUT=50");
    private final FakeKafka kafka = new FakeKafka();
    private final AtomicInteger deletedByOthers = new AtomicInteger();
    private final RelayPass pass = relay("one", kafka);

    private RelayPass relay(String owner, FakeKafka cluster) {
        return new RelayPass(
                database.outbox,
                database.dataSource,
                cluster,
                new OutboxRelay.Settings(
                        owner, LEASE, SendMode.PIPELINED, OutboxRelay.DEFAULT_MAX_RELAY_STOP, new RelayListener() {
                            @Override
                            public void deletedByOthers(int rows) {
                                deletedByOthers.addAndGet(rows);
                            }
                        }),
                OutboxRelay.Signals.NONE);
    }

    @AfterEach
    void close() {
        pass.end(Duration.ofMillis(20));
    }

    private void runUntilLeft(String... ids) {
        runUntil(() -> database.ids().equals(List.of(ids)));
    }

    private void runUntil(BooleanSupplier condition) {
        Eventually.isTrue(() -> {
            pass.look();
            kafka.advance(Duration.ofSeconds(1)); // over the back-off after a failure
            return condition.getAsBoolean();
        });
    }

    private static void execute(Connection connection, String sql) throws SQLException {
        try (Statement statement = connection.createStatement()) {
            statement.execute(sql);
        }
    }

    private String lockFirst() {
        return "SELECT * FROM %s WHERE id = 'evt-1' FOR UPDATE"
                .formatted(database.outbox.names().qualifiedEvents());
    }

    @Test
    void a_locked_row_costs_neither_leases_nor_repeats_and_all_others_go_on() throws Exception {
        database.publish(event("evt-1", "bob"), event("evt-2", "alice"));
        try (Connection other = database.begin()) {
            execute(other, lockFirst());
            runUntilLeft("evt-1");
            long end = System.nanoTime() + LEASE.plusSeconds(1).toNanos();
            for (int n = 3; System.nanoTime() - end < 0; n++) {
                database.publish(event("evt-" + n, "carol"), event("evt-" + n + "-too", "alice"));
                runUntilLeft("evt-1");
            }
            assertThat(kafka.ids()).doesNotHaveDuplicates();
            assertThat(pass.health().problems()).singleElement().asString().startsWith("1 events that Kafka has");
            other.rollback();
        }
        runUntilLeft();
        pass.look();
        assertThat(kafka.ids()).doesNotHaveDuplicates();
        assertThat(pass.health().problems()).isEmpty();
        assertThat(pass.health().inFlight()).isZero();
    }

    @Test
    void what_comes_behind_a_locked_row_of_its_key_stays_with_it_so_that_what_is_sent_again_ends_with_the_last()
            throws Exception {
        FakeKafka next = new FakeKafka();
        RelayPass successor = relay("two", next);
        database.publish(event("evt-1", "bob"), event("evt-2", "bob"), event("alice-1", "alice"));
        try (Connection other = database.begin()) {
            execute(other, lockFirst());
            runUntilLeft("evt-1", "evt-2");
            database.publish(event("evt-3", "bob"), event("alice-2", "alice"));
            runUntilLeft("evt-1", "evt-2", "evt-3");
            assertThat(kafka.ids()).containsExactlyInAnyOrder("evt-1", "evt-2", "alice-1", "evt-3", "alice-2");
            assertThat(pass.health().inFlight()).isEqualTo(3);
            pass.end(Duration.ofSeconds(5));
            Eventually.isTrue(() -> {
                successor.look();
                return next.ids().size() == 3;
            });
            other.rollback();
        }
        assertThat(next.ids()).containsExactly("evt-1", "evt-2", "evt-3");
        Eventually.isTrue(() -> {
            successor.look();
            next.advance(Duration.ofSeconds(1));
            return database.ids().isEmpty();
        });
        successor.end(Duration.ofMillis(20));
    }

    @Test
    void a_lock_that_is_met_at_the_end_first_keeps_no_lease_and_no_other_row() throws Exception {
        pass.look();
        database.publish(event("evt-1", "bob"), event("alice-1", "alice"));
        try (Connection other = database.begin()) {
            execute(other, lockFirst());
            pass.look();
            assertThat(kafka.ids()).as("sent, and not deleted yet").hasSize(2);
            pass.end(Duration.ofSeconds(5));
            assertThat(database.ids()).containsExactly("evt-1");
            RelayPass successor = relay("two", new FakeKafka());
            successor.look();
            assertThat(successor.health().ownedShards()).hasSize(16);
            successor.end(Duration.ofMillis(20));
            other.rollback();
        }
    }

    @Test
    void what_was_locked_of_a_shard_that_another_relay_has_now_is_left_to_that_one() throws Exception {
        FakeKafka next = new FakeKafka();
        RelayPass successor = relay("two", next);
        List<Event<?>> all = new ArrayList<>();
        for (int n = 1; n <= 40; n++) {
            all.add(event("evt-" + n, "user-" + n));
        }
        database.publish(all.toArray(Event<?>[]::new));
        try (Connection other = database.begin()) {
            execute(
                    other,
                    "SELECT * FROM %s FOR UPDATE"
                            .formatted(database.outbox.names().qualifiedEvents()));
            runUntil(() -> pass.health().problems().toString().startsWith("[40 events that Kafka has"));
            runUntil(() -> {
                successor.look();
                return successor.health().ownedShards().size() == 8
                        && pass.health().ownedShards().size() == 8;
            });
            assertThat(pass.health().inFlight()).isLessThan(40);
            other.rollback();
        }
        runUntil(() -> {
            successor.look();
            next.advance(Duration.ofSeconds(1));
            return database.ids().isEmpty();
        });
        assertThat(next.ids()).isNotEmpty().doesNotHaveDuplicates();
        assertThat(deletedByOthers).hasValue(0);
        successor.end(Duration.ofMillis(20));
    }

    @Test
    void without_any_other_event_no_round_fails_and_under_load_the_row_goes_soon_after_its_lock() throws Exception {
        database.publish(event("evt-1", "bob"), event("evt-2", "alice"));
        try (Connection other = database.begin()) {
            execute(other, lockFirst());
            runUntilLeft("evt-1");
            database.publish(event("evt-3", "alice"));
            runUntilLeft("evt-1");
            long end = System.nanoTime() + Duration.ofSeconds(2).toNanos();
            Eventually.isTrue(() -> {
                pass.look();
                assertThat(pass.health().up()).isTrue();
                return System.nanoTime() - end > 0;
            });
            other.rollback();
        }
        AtomicInteger more = new AtomicInteger(3);
        Eventually.isTrue(() -> {
            database.publish(event("evt-" + more.incrementAndGet(), "alice"));
            pass.look();
            return !database.ids().contains("evt-1");
        });
        assertThat(kafka.ids()).doesNotHaveDuplicates();
    }

    @Test
    void that_they_are_deleted_at_last_is_no_sign_of_life_of_kafka() throws Exception {
        kafka.admin = () -> FakeAdmin.of(() -> KafkaFuture.completedFuture(null));
        database.publish(event("evt-1", "bob"));
        try (Connection other = database.begin()) {
            execute(other, lockFirst());
            runUntil(() -> !pass.health().problems().isEmpty());
            runUntil(() -> !pass.health().up());
            other.rollback();
        }
        Eventually.isTrue(() -> {
            pass.look();
            assertThat(pass.health().up()).isFalse();
            return database.ids().isEmpty();
        });
        assertThat(pass.health().up()).isFalse();
    }

    @Test
    void one_that_was_locked_to_be_deleted_by_a_person_ends_the_wait_too() throws Exception {
        database.publish(event("evt-1", "bob"), event("evt-2", "alice"));
        try (Connection other = database.begin()) {
            execute(other, lockFirst().replace("SELECT *", "DELETE").replace(" FOR UPDATE", ""));
            Eventually.isTrue(() -> {
                pass.look();
                kafka.advance(Duration.ofSeconds(1));
                return !pass.health().problems().isEmpty()
                        && pass.health().problems().get(0).startsWith("1 events");
            });
            other.commit();
        }
        Eventually.isTrue(() -> {
            pass.look();
            return pass.health().problems().isEmpty() && pass.health().inFlight() == 0;
        });
        assertThat(kafka.ids()).containsExactlyInAnyOrder("evt-1", "evt-2");
        assertThat(database.ids()).isEmpty();
    }
}
