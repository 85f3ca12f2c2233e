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
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
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

    /** More than is read at once of one key, and less than may be in flight, so that the relay reads on whatever is not deleted. */
    private static final int BACKLOG = 2_000;

    private final Scene scene;
    private final AtomicInteger fetches = new AtomicInteger();

    /** Done once by the thread that deletes aside, after a DELETE has committed and before the relay hears of it. */
    private final AtomicReference<@Nullable Runnable> afterDelete = new AtomicReference<>();

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
        String sql = method.getName().equals("prepareStatement") && arguments != null ? (String) arguments[0] : "";
        fetches.addAndGet(sql.contains("AS snapshot_xmin") ? 1 : 0);
        try {
            Object result = method.invoke(target, arguments);
            if (target instanceof DataSource && result instanceof Connection connection) {
                return watched(Connection.class, connection);
            }
            if (sql.contains("DELETE FROM")
                    && Thread.currentThread().getName().equals("eventbus-relay-delete")
                    && result instanceof PreparedStatement delete) {
                return watched(PreparedStatement.class, delete);
            }
            if (method.getName().equals("execute") && target instanceof PreparedStatement) {
                Runnable then = afterDelete.getAndSet(null);
                if (then != null) {
                    then.run();
                }
            }
            return result;
        } catch (InvocationTargetException e) {
            throw e.getCause();
        }
    }

    private void awaitFetches(int more) {
        int before = fetches.get();
        Eventually.holds(() -> fetches.get() >= before + more, () -> "the relay reads no more");
    }

    private void publish(Connection tx, int first) {
        scene.outbox()
                .within(tx)
                .publishAll(IntStream.range(first, first + BACKLOG)
                        .<Event<?>>mapToObj(i -> SerialisedWriters.event("bob", i))
                        .toList());
    }

    @Test
    void what_is_written_between_a_delete_and_its_answer_is_read_at_once_though_it_commits_last() throws Exception {
        try (Connection writer = scene.database().getConnection();
                OutboxRelay relay = OutboxRelay.builder(
                                scene.outbox(), watched(DataSource.class, scene.database()), scene.kafka())
                        .build()) {
            writer.setAutoCommit(false);
            afterDelete.set(() -> {
                scene.outbox().within(writer).publish(SerialisedWriters.event("late", 1));
                awaitFetches(2); // the number of the late one is given out now
            });
            relay.start();
            int published = 0;
            while (afterDelete.get() != null) { // the first backlog may be gone before there is a second connection
                int first = published + 1;
                scene.inTransaction(tx -> publish(tx, first));
                published += BACKLOG;
                Eventually.holds(() -> scene.count(PENDING) == 0, relay::health);
            }
            awaitFetches(3);
            long committed = System.nanoTime();
            writer.commit();
            Eventually.holds(() -> scene.count(PENDING) == 0, relay::health);
            assertThat(TimeUnit.NANOSECONDS.toSeconds(System.nanoTime() - committed))
                    .as("seconds; each shard is read from its beginning every 30 s anyway")
                    .isLessThan(1);
            List<String> ids = scene.records("asset.events").stream()
                    .map(SerialisedWriters::id)
                    .toList();
            assertThat(ids).hasSize(published + 1).doesNotHaveDuplicates();
        } finally {
            scene.close();
        }
    }
}
