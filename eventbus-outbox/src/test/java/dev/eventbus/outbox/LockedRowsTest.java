package dev.eventbus.outbox;

import static dev.eventbus.outbox.TestEvents.event;
import static org.assertj.core.api.Assertions.assertThat;

import java.sql.Connection;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** Somebody keeps rows of the outbox locked that Kafka has by now. */
class LockedRowsTest {

    private static final Duration LEASE = Duration.ofSeconds(4);

    private final TestDatabase database = new TestDatabase(JdbcOutbox.h2(), ";LOCK_TIMEOUT=50");
    private final FakeKafka kafka = new FakeKafka();
    private final RelayPass pass = new RelayPass(
            database.outbox,
            database.dataSource,
            kafka,
            new OutboxRelay.Settings(
                    "one", LEASE, SendMode.PIPELINED, OutboxRelay.DEFAULT_MAX_RELAY_STOP, new RelayListener() {}),
            OutboxRelay.Signals.NONE);

    @AfterEach
    void close() {
        pass.end(Duration.ofMillis(20));
    }

    private void runUntilLeft(String... ids) {
        Eventually.isTrue(() -> {
            pass.look();
            kafka.advance(Duration.ofSeconds(1)); // over the back-off after a failure
            return database.ids().equals(List.of(ids));
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
                database.publish(event("evt-" + n, "bob"), event("evt-" + n + "-too", "alice"));
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
