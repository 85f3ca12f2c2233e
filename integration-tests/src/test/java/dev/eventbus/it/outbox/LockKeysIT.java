package dev.eventbus.it.outbox;

import static dev.eventbus.it.Events.ASSET_UPDATED;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.eventbus.Event;
import dev.eventbus.EventPublisher;
import dev.eventbus.PublishFailedException;
import dev.eventbus.PublishRefusedException;
import dev.eventbus.embedded.KafkaServer;
import dev.eventbus.embedded.PostgresServer;
import dev.eventbus.embedded.ServersExtension;
import dev.eventbus.it.Events.AssetUpdated;
import dev.eventbus.it.Eventually;
import dev.eventbus.it.Scene;
import dev.eventbus.outbox.JdbcOutbox;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Savepoint;
import java.sql.Statement;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicIntegerArray;
import java.util.concurrent.locks.LockSupport;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.parallel.Execution;
import org.junit.jupiter.api.parallel.ExecutionMode;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Callers without a row lock of their own, on PostgreSQL. */
@ExtendWith(ServersExtension.class)
@Execution(ExecutionMode.CONCURRENT)
class LockKeysIT {

    private static final String PENDING = "SELECT count(*) FROM eventbus_outbox";
    private static final Duration LOAD = SerialisedWriters.LOAD;

    /** Transactions that wait for a key. */
    private static final String WAITING = """
            SELECT count(*) FROM pg_locks
            WHERE locktype = 'advisory' AND classid = 'eventbus_outbox'::regclass AND NOT granted""";

    private static Event<AssetUpdated> asset(String id, String user) {
        return Event.of(ASSET_UPDATED, id, Instant.EPOCH, AssetUpdated.amount(user, 1));
    }

    @Test
    void transactions_of_one_key_follow_each_other_in_commit_order_by_lockKeys(
            KafkaServer kafka, PostgresServer postgres) throws Exception {
        ExecutorService other = Executors.newSingleThreadExecutor();
        try (Scene scene = Scene.create(kafka, postgres, "asset.events:3");
                Connection first = scene.database().getConnection()) {
            scene.startRelay();
            first.setAutoCommit(false);
            EventPublisher events = scene.outbox().within(first);
            events.lockKeys("alice");
            Future<?> second = other.submit(() -> {
                scene.inTransaction(tx -> {
                    scene.outbox().within(tx).lockKeys("bob", "alice");
                    scene.outbox().within(tx).publish(asset("second", "alice"));
                });
                return null;
            });
            Eventually.holds(() -> scene.count(WAITING) == 1, () -> "nobody waits");
            events.publish(asset("first", "alice"));
            first.commit();
            second.get();

            Eventually.holds(() -> scene.count(PENDING) == 0, () -> "rows left");
            assertThat(scene.records("asset.events")).extracting(LockKeysIT::id).containsExactly("first", "second");
        } finally {
            other.shutdownNow();
        }
    }

    @Test
    void without_a_lock_concurrent_transactions_of_a_key_come_as_they_commit_and_none_is_lost(
            KafkaServer kafka, PostgresServer postgres) throws Exception {
        try (Scene scene = Scene.create(kafka, postgres, "asset.events:3");
                Connection first = scene.database().getConnection()) {
            scene.startRelay();
            first.setAutoCommit(false);
            scene.outbox().within(first).publish(asset("numbered-first", "alice"));
            scene.inTransaction(tx -> scene.outbox().within(tx).publish(asset("committed-first", "alice")));
            Eventually.holds(() -> scene.count(PENDING) == 0, () -> "rows left");
            first.commit();
            Eventually.holds(() -> scene.count(PENDING) == 0, () -> "rows left");
            assertThat(scene.records("asset.events"))
                    .extracting(LockKeysIT::id)
                    .containsExactly("committed-first", "numbered-first");
        }
    }

    /** Its snapshot is made by the statement that waits for the lock, so it would read what was true before the wait. */
    @ParameterizedTest
    @ValueSource(ints = {Connection.TRANSACTION_REPEATABLE_READ, Connection.TRANSACTION_SERIALIZABLE})
    void a_transaction_that_would_read_what_was_true_before_its_wait_gets_no_lock(
            int isolation, KafkaServer kafka, PostgresServer postgres) throws Exception {
        ExecutorService other = Executors.newSingleThreadExecutor();
        try (Scene scene = Scene.create(kafka, postgres);
                Connection first = scene.database().getConnection();
                Connection second = scene.database().getConnection();
                Statement booking = first.createStatement()) {
            scene.execute("CREATE TABLE booking (amount bigint)");
            first.setAutoCommit(false);
            second.setTransactionIsolation(isolation);
            second.setAutoCommit(false);
            scene.outbox().within(first).lockKeys("alice");
            Future<?> reading = other.submit(() -> {
                scene.outbox().within(second).lockKeys("alice");
                try (Statement query = second.createStatement();
                        ResultSet seen = query.executeQuery("SELECT count(*) FROM booking")) {
                    seen.next();
                    throw new AssertionError("it has the lock and sees %d bookings of 1".formatted(seen.getInt(1)));
                }
            });
            Eventually.holds(() -> reading.isDone() || scene.count(WAITING) == 1, () -> "nobody waits");
            booking.execute("INSERT INTO booking VALUES (1)");
            first.commit();
            assertThatThrownBy(reading::get)
                    .cause()
                    .isInstanceOf(PublishRefusedException.class)
                    .hasMessageContaining("1 keys of events were not locked")
                    .hasMessageContaining("READ COMMITTED");
            scene.outbox().within(second).publish(asset("evt-1", "alice"));
            second.commit();
            assertThat(scene.count(PENDING)).isEqualTo(1);
        } finally {
            other.shutdownNow();
        }
    }

    @Test
    void writers_that_lock_nothing_but_keys_are_never_reordered(KafkaServer kafka, PostgresServer postgres)
            throws Exception {
        ExecutorService writers = Executors.newFixedThreadPool(6);
        try (Scene scene = Scene.create(kafka, postgres, "asset.events:3")) {
            scene.startRelay();
            AtomicIntegerArray published = new AtomicIntegerArray(10);
            long end = System.nanoTime() + LOAD.toNanos();
            List<Future<?>> running = new ArrayList<>();
            for (int seed = 0; seed < 6; seed++) {
                SplittableRandom random = new SplittableRandom(seed);
                running.add(writers.submit(() -> {
                    while (System.nanoTime() < end) {
                        transfer(scene, random, published);
                    }
                    return null;
                }));
            }
            for (Future<?> writer : running) {
                writer.get();
            }
            Eventually.holds(() -> scene.count(PENDING) == 0, () -> "rows left");

            Map<String, Integer> last = new HashMap<>();
            for (ConsumerRecord<byte[], byte[]> record : scene.records("asset.events")) {
                String[] id = id(record).split(":");
                assertThat(Integer.parseInt(id[1])).as(id[0]).isEqualTo(last.getOrDefault(id[0], 0) + 1);
                last.put(id[0], Integer.parseInt(id[1]));
            }
            for (int user = 0; user < published.length(); user++) {
                assertThat(last).containsEntry("user-" + user, published.get(user));
            }
        } finally {
            writers.shutdownNow();
        }
    }

    /** An event for each of two users, numbered while both keys are locked. */
    private static void transfer(Scene scene, SplittableRandom random, AtomicIntegerArray published)
            throws SQLException {
        int from = random.nextInt(published.length());
        int to = (from + 1 + random.nextInt(published.length() - 1)) % published.length();
        scene.inTransaction(tx -> {
            EventPublisher events = scene.outbox().within(tx);
            events.lockKeys("user-" + from, "user-" + to);
            for (int user : List.of(from, to)) {
                events.publish(asset("user-%d:%d".formatted(user, published.incrementAndGet(user)), "user-" + user));
            }
            if (random.nextInt(20) == 0) {
                LockSupport.parkNanos(random.nextLong(1_000_000, 20_000_000));
            }
        });
    }

    @Test
    void a_second_call_with_other_keys_is_refused_before_anything_is_locked(KafkaServer kafka, PostgresServer postgres)
            throws Exception {
        try (Scene scene = Scene.create(kafka, postgres);
                Connection tx = scene.database().getConnection();
                Connection another = scene.database().getConnection()) {
            tx.setAutoCommit(false);
            another.setAutoCommit(false);
            scene.outbox().within(tx).lockKeys("alice", "bob");
            scene.outbox().within(tx).lockKeys("bob");
            assertThatThrownBy(() ->
                            scene.outbox().joining(work -> work.accept(tx)).lockKeys("bob", "carol"))
                    .isInstanceOf(PublishRefusedException.class)
                    .hasMessageContaining("name all keys of the transaction in one call");
            scene.outbox().within(another).lockKeys("carol");
            scene.outbox().within(tx).publish(asset("evt-1", "alice"));
            tx.commit();
            assertThat(scene.count(PENDING)).isEqualTo(1);

            another.rollback();
            scene.outbox().within(tx).lockKeys("carol");
            tx.rollback();
        }
    }

    @Test
    void a_rolled_back_savepoint_gives_its_locks_back_and_other_keys_may_be_locked(
            KafkaServer kafka, PostgresServer postgres) throws Exception {
        try (Scene scene = Scene.create(kafka, postgres);
                Connection tx = scene.database().getConnection();
                Connection another = scene.database().getConnection()) {
            tx.setAutoCommit(false);
            another.setAutoCommit(false);
            Savepoint savepoint = tx.setSavepoint();
            scene.outbox().within(tx).lockKeys("alice");
            tx.rollback(savepoint);
            scene.outbox().within(another).lockKeys("alice");
            scene.outbox().within(tx).lockKeys("bob");
        }
    }

    @Test
    void two_outboxes_and_a_users_own_locks_do_not_meet(KafkaServer kafka, PostgresServer postgres) throws Exception {
        try (Scene scene = Scene.create(kafka, postgres);
                Connection tx = scene.database().getConnection();
                Connection another = scene.database().getConnection();
                Statement own = another.createStatement()) {
            JdbcOutbox second = JdbcOutbox.postgres().schema("second");
            second.createTables(scene.database());
            tx.setAutoCommit(false);
            another.setAutoCommit(false);
            scene.outbox().within(tx).lockKeys("alice");
            own.execute("SET lock_timeout = '5s'");
            second.within(another).lockKeys("alice");
            own.execute(
                    "SELECT pg_advisory_xact_lock(((classid::bigint) << 32) | objid::bigint), pg_advisory_xact_lock(objid::int)"
                            + " FROM pg_locks WHERE locktype = 'advisory' AND classid = 'public.eventbus_outbox'::regclass AND objsubid = 2");
            second.within(tx).lockKeys("bob");
        }
    }

    @Test
    void a_key_that_is_not_to_be_had_in_time_is_said_with_its_sqlstate(KafkaServer kafka, PostgresServer postgres)
            throws Exception {
        try (Scene scene = Scene.create(kafka, postgres);
                Connection tx = scene.database().getConnection();
                Connection another = scene.database().getConnection();
                Statement settings = another.createStatement()) {
            tx.setAutoCommit(false);
            another.setAutoCommit(false);
            scene.outbox().within(tx).lockKeys("alice");
            settings.execute("SET LOCAL lock_timeout = '20ms'");
            assertThatThrownBy(() -> scene.outbox().within(another).lockKeys("alice"))
                    .isInstanceOf(PublishFailedException.class)
                    .hasMessageContaining("1 keys of events were not locked")
                    .cause()
                    .isInstanceOfSatisfying(
                            SQLException.class,
                            cause -> assertThat(cause.getSQLState()).isEqualTo("55P03"));
        }
    }

    private static String id(ConsumerRecord<byte[], byte[]> record) {
        return new String(record.headers().lastHeader("id").value(), UTF_8);
    }
}
