package dev.eventbus.consumer;

import static dev.eventbus.consumer.MockKafka.ASSET;
import static dev.eventbus.consumer.MockKafka.LETTERS;
import static dev.eventbus.consumer.MockKafka.P0;
import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.consumer.inbox.JdbcInbox;
import dev.eventbus.it.inbox.HookedDataSource;
import dev.eventbus.topics.KafkaCluster;
import io.github.resilience4j.retry.RetryConfig;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Proxy;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import java.util.UUID;
import javax.sql.DataSource;
import org.apache.kafka.clients.consumer.Consumer;
import org.apache.kafka.clients.producer.Producer;
import org.h2.jdbcx.JdbcDataSource;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.parallel.Execution;
import org.junit.jupiter.api.parallel.ExecutionMode;

/**
 * A process that dies before or after any of its calls to the database, the dead-letter topic and the group's offsets, while an event
 * is failing for the last time; its successor reads everything again, and what the event depends on has recovered.
 */
@Execution(ExecutionMode.CONCURRENT)
class InboxCrashPointsTest {

    private static final Set<String> EDGES = Set.of("prepareStatement", "commit", "send", "commitSync", "commitAsync");

    private final JdbcDataSource database = new JdbcDataSource();
    private final List<Connection> open = new ArrayList<>();
    private final List<String> runs = new ArrayList<>();
    private boolean healed;

    /** The n-th call from now is the process's last; every later one finds it dead. */
    private static final class CrashPoint {
        private int left;
        private boolean reached;

        CrashPoint(int calls) {
            left = calls;
        }

        void pass() {
            if (reached || left-- == 0) {
                reached = true;
                throw new InternalError("the process is dead");
            }
        }
    }

    @Test
    void F3_wherever_the_process_dies_an_event_is_dead_lettered_or_has_its_effect_before_its_successors()
            throws Exception {
        Set<String> endings = new LinkedHashSet<>();
        int points = 0;
        boolean reached;
        do {
            reached = diesAt(points++, endings);
        } while (reached);
        assertThat(points).as("calls after which it can die").isGreaterThan(40);
        assertThat(endings).containsExactlyInAnyOrder("DONE", "DEAD");
    }

    private boolean diesAt(int call, Set<String> endings) throws Exception {
        database.setURL("jdbc:h2:mem:" + UUID.randomUUID() + ";DB_CLOSE_DELAY=-1");
        JdbcInbox.h2(database).createTables();
        execute("CREATE TABLE ledger (ord bigint GENERATED ALWAYS AS IDENTITY, event varchar(128))");
        runs.clear();

        healed = false;
        CrashPoint crash = new CrashPoint(call);
        MockKafka first = MockKafka.create();
        live(first, guarded(first, crash), dying(crash), crash);
        for (Connection connection : open) {
            connection.close(); // the database notices, and rolls back
        }
        open.clear();

        healed = true;
        List<String> before = ledger();
        runs.clear();
        MockKafka second = MockKafka.create();
        live(second, second, database, new CrashPoint(Integer.MAX_VALUE));

        String as = "dead at call " + call;
        assertThat(ledger()).as(as).doesNotHaveDuplicates().contains("a2", "b1").containsAll(before);
        if (before.contains("a2")) {
            assertThat(runs).as(as + ": its successor had run").doesNotContain("a1");
        }
        String ended = outcome("a1");
        int letters = first.letters.history().size() + second.letters.history().size();
        if (ended.equals("DEAD")) {
            assertThat(ledger()).as(as).doesNotContain("a1");
            assertThat(letters).as(as).isBetween(1, 2);
        } else {
            assertThat(ended).as(as).isEqualTo("DONE");
            assertThat(ledger()).as(as).containsSubsequence("a1", "a2");
            assertThat(letters).as(as).isZero();
        }
        assertThat(outcome("a2")).as(as).isEqualTo("DONE");
        assertThat(second.committed(P0)).as(as).isEqualTo(3);
        endings.add(ended);
        return crash.reached;
    }

    /** A runner's life until nothing is left to do, or until it dies. */
    private void live(MockKafka kafka, KafkaCluster cluster, DataSource dataSource, CrashPoint crash) {
        ConsumerRunner runner = runner(cluster, dataSource);
        kafka.assign(P0);
        step(runner, crash);
        kafka.event(P0, "alice", "a1");
        kafka.event(P0, "alice", "a2");
        kafka.event(P0, "bob", "b1");
        settle(runner, crash);
        while (!crash.reached && runner.health().nextRetry() != null) {
            kafka.setTo(runner.health().nextRetry());
            settle(runner, crash);
        }
    }

    private static void settle(ConsumerRunner runner, CrashPoint crash) {
        for (int i = 0; i < 4 && !crash.reached; i = step(runner, crash) == 0 ? i + 1 : 0) {
            assertThat(crash.reached).isFalse();
        }
    }

    private static int step(ConsumerRunner runner, CrashPoint crash) {
        try {
            return runner.runOnce();
        } catch (InternalError e) {
            assertThat(crash.reached).isTrue();
            return 0;
        }
    }

    private ConsumerRunner runner(KafkaCluster cluster, DataSource dataSource) {
        return ConsumerRunner.builder(cluster, "ledger")
                .inTransaction(JdbcInbox.h2(dataSource), ASSET, (event, tx) -> {
                    runs.add(event.id());
                    try (PreparedStatement insert =
                            tx.connection().prepareStatement("INSERT INTO ledger (event) VALUES (?)")) {
                        insert.setString(1, event.id());
                        insert.executeUpdate();
                    }
                    if (event.id().equals("a1") && !healed) {
                        throw new IllegalStateException("after the write");
                    }
                })
                .retry(RetryConfig.custom()
                        .maxAttempts(2)
                        .waitDuration(Duration.ofSeconds(1))
                        .build())
                .afterRetries(AfterRetries.deadLetter(LETTERS))
                .build();
    }

    private DataSource dying(CrashPoint crash) {
        return HookedDataSource.over(database, (real, method, arguments, rest) -> {
            if (!open.contains(real)) {
                open.add(real);
            }
            boolean edge = EDGES.contains(method);
            if (edge || crash.reached) {
                crash.pass();
            }
            Object result = rest.call();
            if (method.equals("commit")) {
                crash.pass();
            }
            return result;
        });
    }

    private static KafkaCluster guarded(MockKafka kafka, CrashPoint crash) {
        return proxy(KafkaCluster.class, kafka, crash, (method, result) -> switch (method) {
            case "producer" -> proxy(Producer.class, result, crash, (name, answer) -> answer);
            case "consumer" -> proxy(Consumer.class, result, crash, (name, answer) -> answer);
            default -> result;
        });
    }

    private interface Wrap {
        @Nullable
        Object result(String method, @Nullable Object result);
    }

    private static <T> T proxy(Class<T> type, @Nullable Object target, CrashPoint crash, Wrap wrap) {
        return type.cast(Proxy.newProxyInstance(
                InboxCrashPointsTest.class.getClassLoader(), new Class<?>[] {type}, (proxy, method, arguments) -> {
                    boolean edge = EDGES.contains(method.getName());
                    if (edge) {
                        crash.pass();
                    }
                    Object result;
                    try {
                        result = method.invoke(target, arguments);
                    } catch (InvocationTargetException e) {
                        throw e.getCause() == null ? e : e.getCause();
                    }
                    if (edge) {
                        crash.pass();
                    }
                    return wrap.result(method.getName(), result);
                }));
    }

    private List<String> ledger() throws SQLException {
        return query("SELECT event FROM ledger ORDER BY ord");
    }

    private String outcome(String id) throws SQLException {
        return query("SELECT outcome FROM eventbus_inbox WHERE event_id = STRINGTOUTF8('" + id + "')")
                .get(0);
    }

    private List<String> query(String sql) throws SQLException {
        List<String> rows = new ArrayList<>();
        try (Connection connection = database.getConnection();
                Statement statement = connection.createStatement();
                ResultSet result = statement.executeQuery(sql)) {
            while (result.next()) {
                rows.add(result.getString(1));
            }
        }
        return rows;
    }

    private void execute(String sql) throws SQLException {
        try (Connection connection = database.getConnection();
                Statement statement = connection.createStatement()) {
            statement.execute(sql);
        }
    }
}
