package dev.eventbus.it.outbox;

import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.Event;
import dev.eventbus.embedded.KafkaServer;
import dev.eventbus.embedded.PostgresServer;
import dev.eventbus.embedded.ServersExtension;
import dev.eventbus.it.Eventually;
import dev.eventbus.it.Scene;
import dev.eventbus.outbox.OutboxRelay;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Proxy;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.IntStream;
import javax.sql.DataSource;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.parallel.Execution;
import org.junit.jupiter.api.parallel.ExecutionMode;

/** A DELETE on the relay's second connection, and what is written and read while it is under way. */
@ExtendWith(ServersExtension.class)
@Execution(ExecutionMode.CONCURRENT)
class DeletesAsideIT {

    private static final String PENDING = "SELECT count(*) FROM eventbus_outbox";
    private static final int MANY = 20_000;

    private final Scene scene;
    private final AtomicInteger fetches = new AtomicInteger();

    /** Done by the first DELETE aside before it is sent to the database; null for nothing. */
    private volatile @Nullable Runnable firstAside;

    DeletesAsideIT(KafkaServer kafka, PostgresServer postgres) throws SQLException {
        scene = Scene.create(kafka, postgres, "asset.events:3");
    }

    private <T> T watched(Class<T> type, T target) {
        return type.cast(Proxy.newProxyInstance(
                DeletesAsideIT.class.getClassLoader(),
                new Class<?>[] {type},
                (self, method, arguments) -> call(target, method, arguments)));
    }

    private @Nullable Object call(Object target, Method method, Object @Nullable [] arguments) throws Throwable {
        if (method.getName().equals("prepareStatement") && arguments != null) {
            String sql = (String) arguments[0];
            fetches.addAndGet(sql.contains("AS snapshot_xmin") ? 1 : 0);
            Runnable now = firstAside;
            if (sql.contains("DELETE FROM")
                    && now != null
                    && Thread.currentThread().getName().equals("eventbus-relay-delete")) {
                firstAside = null;
                now.run();
            }
        }
        try {
            Object result = method.invoke(target, arguments);
            return result instanceof Connection connection && target instanceof DataSource
                    ? watched(Connection.class, connection)
                    : result;
        } catch (InvocationTargetException e) {
            throw e.getCause();
        }
    }

    private static void execute(Connection connection, String sql) {
        try (PreparedStatement statement = connection.prepareStatement(sql)) {
            statement.execute();
        } catch (SQLException e) {
            throw new IllegalStateException(e);
        }
    }

    private void awaitFetches(int more) {
        int before = fetches.get();
        Eventually.holds(() -> fetches.get() >= before + more, () -> "the relay reads no more");
    }

    @Test
    void what_is_written_while_a_delete_is_under_way_is_read_at_once_though_it_commits_last() throws Exception {
        scene.inTransaction(tx -> scene.outbox()
                .within(tx)
                .publishAll(IntStream.range(0, MANY)
                        .<Event<?>>mapToObj(i -> SerialisedWriters.event("user-" + i % 20, i / 20 + 1))
                        .toList()));
        try (Connection locker = scene.database().getConnection();
                Connection writer = scene.database().getConnection();
                OutboxRelay relay = OutboxRelay.builder(
                                scene.outbox(), watched(DataSource.class, scene.database()), scene.kafka())
                        .build()) {
            locker.setAutoCommit(false);
            writer.setAutoCommit(false);
            CompletableFuture<Void> begun = new CompletableFuture<>();
            firstAside = () -> {
                execute(locker, "SELECT 1 FROM eventbus_outbox ORDER BY shard, seq LIMIT 1 FOR UPDATE");
                begun.complete(null);
            };
            relay.start();
            begun.get(1, TimeUnit.MINUTES);
            Eventually.holds(
                    () -> scene.count(
                                    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%DELETE%'")
                            == 1,
                    () -> "no DELETE waits for the lock");
            scene.outbox().within(writer).publish(SerialisedWriters.event("late", 1)); // its id is above the DELETE's
            awaitFetches(2);
            locker.rollback();
            Eventually.holds(() -> scene.count(PENDING) == 0, relay::health);
            awaitFetches(3);
            long committed = System.nanoTime();
            writer.commit();
            Eventually.holds(() -> scene.count(PENDING) == 0, relay::health);
            assertThat(TimeUnit.NANOSECONDS.toSeconds(System.nanoTime() - committed))
                    .as("seconds; each shard is read from its beginning every 30 s anyway")
                    .isLessThan(5);
            List<String> ids = scene.records("asset.events").stream()
                    .map(SerialisedWriters::id)
                    .toList();
            assertThat(ids).hasSize(MANY + 1).doesNotHaveDuplicates();
        } finally {
            scene.close();
        }
    }
}
