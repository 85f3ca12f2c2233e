package dev.eventbus.outbox;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.eventbus.EventLimits;
import dev.eventbus.PublishFailedException;
import dev.eventbus.PublishRefusedException;
import dev.eventbus.StartRefusedException;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class LockKeysTest {

    /** As H2 calls it. */
    private static final int SNAPSHOT = 6;

    private final TestDatabase database = new TestDatabase();
    private final JdbcOutbox outbox = database.outbox;

    @Test
    void keys_are_locked_in_a_transaction_only() throws SQLException {
        try (Connection connection = database.dataSource.getConnection()) {
            assertThatThrownBy(() -> outbox.within(connection).lockKeys("bob", "alice"))
                    .isInstanceOf(PublishRefusedException.class)
                    .hasMessageContaining("2 keys of events were not locked")
                    .hasMessageContaining("auto-commit")
                    .hasMessageNotContainingAny("bob", "alice");
            connection.close();
            assertThatThrownBy(() -> outbox.within(connection).lockKeys("bob"))
                    .isInstanceOf(PublishRefusedException.class)
                    .hasMessageContaining("closed");
        }
        assertThatThrownBy(() -> outbox.joining(work -> {}).lockKeys("bob"))
                .isInstanceOf(PublishRefusedException.class)
                .hasMessageContaining("no transaction is active");
    }

    @ParameterizedTest
    @ValueSource(strings = {"", " ", "bad\0key"})
    void a_key_that_no_event_can_have_is_not_locked(String key) throws SQLException {
        assertNotLocked(key);
    }

    @Test
    void a_key_that_is_longer_than_an_events_is_not_locked() throws SQLException {
        assertNotLocked("k".repeat(EventLimits.MAX_KEY_BYTES + 1));
    }

    private void assertNotLocked(String key) throws SQLException {
        try (Connection tx = database.begin()) {
            assertThatThrownBy(() -> outbox.within(tx).lockKeys("bob", key))
                    .isInstanceOf(PublishRefusedException.class)
                    .hasMessageContaining("2 keys of events were not locked: one of them")
                    .hasMessageContaining("1 to 255 bytes")
                    .hasMessageNotContainingAny("bob", "kkk");
        }
    }

    @Test
    void locking_no_key_asks_nobody() {
        outbox.joining(work -> {
                    throw new IllegalStateException("asked");
                })
                .lockKeys();
    }

    @Test
    void a_key_that_another_transaction_holds_is_waited_for_as_long_as_the_database_says() throws SQLException {
        try (Connection first = database.begin();
                Connection second = database.begin();
                Statement settings = second.createStatement()) {
            outbox.within(first).lockKeys("bob", "alice");
            settings.execute("SET LOCK_TIMEOUT 20");
            outbox.within(second).lockKeys("carol");
            second.rollback();
            assertThatThrownBy(() -> outbox.within(second).lockKeys("carol", "alice"))
                    .isInstanceOfSatisfying(
                            PublishFailedException.class,
                            failure -> assertThat(failure.eventType()).isEmpty())
                    .hasMessageContaining("2 keys of events were not locked")
                    .hasMessageContaining("SQLSTATE HYT00")
                    .hasMessageNotContainingAny("carol", "alice");
            second.rollback();
            first.commit();
            outbox.within(second).lockKeys("carol", "alice");
            outbox.within(second).lockKeys("alice");
            second.commit();
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {Connection.TRANSACTION_READ_COMMITTED, Connection.TRANSACTION_REPEATABLE_READ})
    void behind_a_lock_a_transaction_reads_what_the_one_it_waited_for_committed(int isolation) throws Exception {
        assertThat(bookingsSeenBehindTheLock(isolation)).isEqualTo(1);
    }

    @ParameterizedTest
    @ValueSource(ints = {SNAPSHOT, Connection.TRANSACTION_SERIALIZABLE})
    void a_transaction_that_would_read_what_was_true_before_its_wait_gets_no_lock(int isolation) {
        assertThatThrownBy(() -> bookingsSeenBehindTheLock(isolation))
                .cause()
                .isInstanceOf(PublishRefusedException.class)
                .hasMessageContaining("1 keys of events were not locked: at its isolation level")
                .hasMessageContaining("READ COMMITTED");
    }

    /** In a transaction of that level, which asks for the lock while another one that books once has it. */
    private int bookingsSeenBehindTheLock(int isolation) throws Exception {
        database.update("CREATE TABLE booking (amount bigint)");
        ExecutorService other = Executors.newSingleThreadExecutor();
        try (Connection first = database.begin();
                Connection second = database.begin();
                Statement booking = first.createStatement()) {
            second.setTransactionIsolation(isolation);
            outbox.within(first).lockKeys("alice");
            Future<Integer> reading = other.submit(() -> {
                outbox.within(second).lockKeys("alice");
                return bookings(second);
            });
            while (!reading.isDone() && !isWaiting()) {
                Thread.onSpinWait();
            }
            booking.execute("INSERT INTO booking VALUES (1)");
            first.commit();
            return reading.get();
        } finally {
            other.shutdownNow();
        }
    }

    private boolean isWaiting() throws SQLException {
        try (Connection look = database.dataSource.getConnection();
                Statement query = look.createStatement();
                ResultSet waiting = query.executeQuery(
                        "SELECT count(*) FROM INFORMATION_SCHEMA.SESSIONS WHERE BLOCKER_ID IS NOT NULL")) {
            waiting.next();
            return waiting.getInt(1) > 0;
        }
    }

    private static int bookings(Connection connection) throws SQLException {
        try (Statement query = connection.createStatement();
                ResultSet seen = query.executeQuery("SELECT count(*) FROM booking")) {
            seen.next();
            return seen.getInt(1);
        }
    }

    @Test
    void locking_a_key_fails_loudly_where_the_locks_are_missing_and_verify_says_so() throws SQLException {
        database.update("DELETE FROM \"eventbus_key_lock\" WHERE slot > 4000");
        try (Connection tx = database.begin()) {
            assertThatThrownBy(() -> outbox.within(tx)
                            .lockKeys(IntStream.range(0, 1_000)
                                    .mapToObj(i -> "user-" + i)
                                    .toArray(String[]::new)))
                    .isInstanceOf(PublishRefusedException.class)
                    .hasMessageContaining("eventbus_key_lock");
            assertThatThrownBy(() -> outbox.verify(tx))
                    .isInstanceOf(StartRefusedException.class)
                    .hasMessageContaining("eventbus_key_lock in schema 'PUBLIC' has 4001 rows, not 4096");
        }
        outbox.createTables(database.dataSource);
        try (Connection tx = database.begin()) {
            outbox.verify(tx);
        }
    }
}
