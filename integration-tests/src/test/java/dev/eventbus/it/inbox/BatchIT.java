package dev.eventbus.it.inbox;

import static dev.eventbus.it.Events.ASSET_UPDATED;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.Event;
import dev.eventbus.consumer.AfterRetries;
import dev.eventbus.consumer.ConsumerRunner;
import dev.eventbus.consumer.ConsumerRunnerBuilder;
import dev.eventbus.consumer.batch.TransactionalBatch;
import dev.eventbus.consumer.inbox.JdbcInbox;
import dev.eventbus.consumer.inbox.Mark;
import dev.eventbus.consumer.inbox.MarkResult;
import dev.eventbus.embedded.KafkaServer;
import dev.eventbus.embedded.PostgresServer;
import dev.eventbus.embedded.ServersExtension;
import dev.eventbus.it.Events.AssetUpdated;
import dev.eventbus.it.Eventually;
import dev.eventbus.it.Scene;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import javax.sql.DataSource;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.parallel.Execution;
import org.junit.jupiter.api.parallel.ExecutionMode;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

/** Transactions that many events share, on a real PostgreSQL and a real Kafka: each event's effect once, in its key's order. */
@ExtendWith(ServersExtension.class)
@Execution(ExecutionMode.CONCURRENT)
class BatchIT {

    /** The two ways to handle many events in one transaction. */
    enum Handlers {
        ONE_BY_ONE,
        LIST
    }

    private static final int USERS = 40;
    private static final int EVENTS_A_USER = 100;

    private final Set<String> poison = ConcurrentHashMap.newKeySet();

    @ParameterizedTest
    @EnumSource
    void effects_stay_once_and_in_order_while_runners_come_and_go_and_commits_are_not_answered(
            Handlers handlers, KafkaServer kafka, PostgresServer postgres) throws Exception {
        try (Scene scene = scene(kafka, postgres)) {
            JdbcInbox inbox =
                    JdbcInbox.postgres(forgettingAnswers(scene.database())).batching(50);
            String group = scene.group("ledger");
            publish(scene, 0, EVENTS_A_USER / 2);
            poison.add("user-3-7");
            ConsumerRunner first = scene.start(runner(scene, group, inbox, handlers));
            Eventually.holds(() -> booked(scene) > USERS, first::health);
            ConsumerRunner second = scene.start(runner(scene, group, inbox, handlers));
            Eventually.holds(() -> !second.health().partitions().isEmpty(), second::health);
            publish(scene, EVENTS_A_USER / 2, EVENTS_A_USER);
            scene.start(runner(scene, group, inbox, handlers));
            first.close(Duration.ofSeconds(20));
            Eventually.holds(
                    () -> scene.committed(group, "asset.events") == USERS * EVENTS_A_USER,
                    () -> scene.committed(group, "asset.events") + " committed; " + second.health());

            assertThat(scene.strings("SELECT event FROM ledger GROUP BY event HAVING count(*) > 1"))
                    .as("effects doubled")
                    .isEmpty();
            assertThat(booked(scene)).isEqualTo(USERS * EVENTS_A_USER - 1);
            assertThat(disordered(scene)).isEmpty();
            assertThat(scene.records("dlq.events")).hasSize(1);
        }
    }

    @ParameterizedTest
    @CsvSource({"ONE_BY_ONE,true", "ONE_BY_ONE,false", "LIST,true", "LIST,false"})
    void K_20_a_batch_whose_commit_is_still_on_its_way_holds_up_its_own_keys_until_that_is_decided(
            Handlers handlers, boolean arrives, KafkaServer kafka, PostgresServer postgres) throws Exception {
        try (Scene scene = scene(kafka, postgres)) {
            String group = scene.group("ledger");
            CompletableFuture<Connection> onItsWay = new CompletableFuture<>();
            DataSource cutOff = HookedDataSource.over(scene.database(), (real, method, arguments, rest) -> {
                if (method.equals("commit") && !onItsWay.isDone() && bookedBy(real) > 1 && onItsWay.complete(real)) {
                    throw new SQLException("no answer", "08006");
                }
                return real == onItsWay.getNow(null) ? null : rest.call(); // what the client does now reaches nobody
            });
            publish(scene, 0, 1);
            ConsumerRunner runner =
                    scene.start(builder(scene, group, JdbcInbox.postgres(cutOff).batching(50), handlers)
                            .concurrency(2) // so that there are enough keys for each
                            .build());
            try (Connection server = onItsWay.get(60, TimeUnit.SECONDS)) {
                long held = bookedBy(server);
                publish(scene, 1, 2);
                Eventually.holds(
                        () -> booked(scene) == 2 * (USERS - held),
                        () -> count(scene) + ", held: " + held + "; " + runner.health());
                assertThat(scene.committed(group, "asset.events")).isLessThan(2 * USERS);
                if (arrives) {
                    server.commit();
                } else {
                    server.rollback();
                }
            }
            Eventually.holds(() -> scene.committed(group, "asset.events") == 2 * USERS, runner::health);
            assertThat(scene.strings("SELECT event FROM ledger"))
                    .hasSize(2 * USERS)
                    .doesNotHaveDuplicates();
            assertThat(disordered(scene)).isEmpty();
            assertThat(scene.strings("SELECT event_id FROM eventbus_attempt WHERE failures > 0"))
                    .as("attempts used")
                    .isEmpty();
            assertThat(scene.endOffsets("dlq.events")).isZero();
        }
    }

    @Test
    void F11_a_zombie_that_holds_32_marks_does_not_hold_up_other_keys(KafkaServer kafka, PostgresServer postgres)
            throws Exception {
        ExecutorService zombies = Executors.newCachedThreadPool();
        CountDownLatch wake = new CountDownLatch(1);
        try (Scene scene = scene(kafka, postgres)) {
            String group = scene.group("ledger");
            publish(scene, 0, 10);
            CountDownLatch marked = new CountDownLatch(32);
            List<Future<MarkResult>> holding = new ArrayList<>();
            for (ConsumerRecord<byte[], byte[]> record : scene.records("asset.events")) {
                String id = id(record);
                if (id.endsWith("-0") && Integer.parseInt(id.split("-")[1]) < 32) {
                    holding.add(zombies.submit(() -> scene.inbox().run(Mark.of(group, id, record), transaction -> {
                        book(transaction, id, new String(record.key(), UTF_8), 0);
                        marked.countDown();
                        assertThat(wake.await(60, TimeUnit.SECONDS)).isTrue();
                    })));
                }
            }
            assertThat(marked.await(30, TimeUnit.SECONDS)).isTrue();
            JdbcInbox inbox = scene.inbox().batching(50);
            ConsumerRunner runner = scene.start(runner(scene, group, inbox, Handlers.ONE_BY_ONE));
            Eventually.holds(() -> booked(scene) == (USERS - 32) * 10, () -> count(scene) + " " + runner.health());
            wake.countDown();
            Eventually.holds(() -> booked(scene) == USERS * 10, () -> count(scene) + " " + runner.health());
            for (Future<MarkResult> zombie : holding) {
                assertThat(zombie.get(10, TimeUnit.SECONDS)).isEqualTo(new MarkResult.Decided());
            }
            assertThat(scene.strings("SELECT event FROM ledger GROUP BY event HAVING count(*) > 1"))
                    .isEmpty();
            assertThat(scene.records("dlq.events")).isEmpty();
        } finally {
            wake.countDown();
            zombies.shutdownNow();
        }
    }

    /** Effects before their predecessor's. */
    private static List<String> disordered(Scene scene) throws SQLException {
        return scene.strings("""
                SELECT event FROM
                  (SELECT event, n, lag(n) OVER (PARTITION BY owner ORDER BY ord) AS before FROM ledger) AS seen
                WHERE before > n
                """);
    }

    private ConsumerRunner runner(Scene scene, String group, JdbcInbox inbox, Handlers handlers) {
        return builder(scene, group, inbox, handlers).concurrency(8).build();
    }

    private ConsumerRunnerBuilder builder(Scene scene, String group, JdbcInbox inbox, Handlers handlers) {
        ConsumerRunnerBuilder builder = ConsumerRunner.builder(scene.kafka(), group);
        if (handlers == Handlers.LIST) {
            builder.inTransactionBatch(inbox, ASSET_UPDATED, this::bookAll);
        } else {
            builder.inTransaction(inbox, ASSET_UPDATED, (event, tx) -> book(event, tx.connection()));
        }
        return builder.afterRetries(AfterRetries.deadLetter("dlq.events"));
    }

    private void bookAll(List<Event<AssetUpdated>> events, TransactionalBatch tx) throws SQLException {
        for (Event<AssetUpdated> event : events) {
            book(event, tx.connection());
        }
    }

    private void book(Event<AssetUpdated> event, Connection transaction) throws SQLException {
        Long n = event.payload().newAmount();
        book(transaction, event.id(), event.key(), n == null ? -1 : n);
        if (poison.contains(event.id())) {
            throw new IllegalStateException("no luck");
        }
    }

    private static void book(Connection transaction, String event, String owner, long n) throws SQLException {
        try (PreparedStatement insert =
                transaction.prepareStatement("INSERT INTO ledger (event, owner, n) VALUES (?, ?, ?)")) {
            insert.setString(1, event);
            insert.setString(2, owner);
            insert.setLong(3, n);
            insert.executeUpdate();
        }
    }

    private static Scene scene(KafkaServer kafka, PostgresServer postgres) throws SQLException {
        Scene scene = Scene.create(kafka, postgres, "asset.events:6", "dlq.events:1");
        scene.execute("""
                CREATE TABLE ledger (ord bigint GENERATED ALWAYS AS IDENTITY, event varchar(128), owner varchar(255), n bigint)
                """);
        return scene;
    }

    private static void publish(Scene scene, int from, int to) {
        for (int n = from; n < to; n++) {
            for (int u = 0; u < USERS; u++) {
                String user = "user-" + u;
                scene.sendRaw("asset.events", user, """
                        {"eventId":"%s-%d","eventType":"ASSET_UPDATED","timestamp":"2030-01-01T00:00:00Z","userId":"%s","newAmount":%d}
                        """.formatted(user, n, user, n));
            }
        }
        scene.flush();
    }

    private static String id(ConsumerRecord<byte[], byte[]> record) {
        return new String(record.value(), UTF_8).split("\"")[3];
    }

    private static long booked(Scene scene) throws SQLException {
        return scene.count("SELECT count(*) FROM ledger");
    }

    /** What a transaction has booked itself. */
    private static long bookedBy(Connection transaction) throws SQLException {
        try (PreparedStatement count = transaction.prepareStatement(
                        "SELECT count(*) FROM ledger WHERE xmin = pg_current_xact_id()::xid");
                ResultSet row = count.executeQuery()) {
            row.next();
            return row.getLong(1);
        }
    }

    private static String count(Scene scene) {
        try {
            return booked(scene) + " booked";
        } catch (SQLException e) {
            throw new IllegalStateException(e);
        }
    }

    /** Of every ten commits one is done and one is not, and neither is answered. */
    private static DataSource forgettingAnswers(DataSource real) {
        AtomicInteger commits = new AtomicInteger();
        return HookedDataSource.over(real, (connection, method, arguments, rest) -> {
            int n = method.equals("commit") ? commits.incrementAndGet() % 10 : 0;
            if (n == 3) {
                rest.call();
            }
            if (n == 3 || n == 7) {
                throw new SQLException("no answer", "08006");
            }
            return rest.call();
        });
    }
}
