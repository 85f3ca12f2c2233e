package dev.eventbus.outbox;

import static dev.eventbus.outbox.TestEvents.event;
import static org.assertj.core.api.Assertions.assertThat;

import dev.eventbus.Event;
import dev.eventbus.outbox.sql.Shards;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Proxy;
import java.sql.Connection;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.BooleanSupplier;
import java.util.stream.IntStream;
import javax.sql.DataSource;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** Shards go to another relay while the first one's statements fail, and somebody keeps rows of the outbox locked. */
class BrokenHandOverTest {

    private static final String DELETE = "THEN DELETE";
    private static final String RELEASE = "SET owner = NULL, lease_until = NULL WHERE shard = ?";

    private final TestDatabase database = new TestDatabase(JdbcOutbox.h2(), ";LOCK_TIMEOUT=50");
    private final FakeKafka kafka = new FakeKafka();
    private final FakeKafka next = new FakeKafka();
    private final AtomicInteger deletedByOthers = new AtomicInteger();
    private final RelayPass one = relay("one", failing(DataSource.class, database.dataSource), kafka);
    private final RelayPass two = relay("two", database.dataSource, next);

    /** What a statement of the first relay has in it that fails, and how many of these are before it. */
    private String failing = "";

    private int before;
    private SQLException failure = new SQLException();

    private RelayPass relay(String owner, DataSource dataSource, FakeKafka cluster) {
        RelayListener listener = new RelayListener() {
            @Override
            public void deletedByOthers(int rows) {
                deletedByOthers.addAndGet(rows);
            }
        };
        return new RelayPass(
                database.outbox,
                dataSource,
                cluster,
                new OutboxRelay.Settings(
                        owner,
                        Duration.ofSeconds(10),
                        SendMode.PIPELINED,
                        OutboxRelay.DEFAULT_MAX_RELAY_STOP,
                        listener),
                OutboxRelay.Signals.NONE);
    }

    private <T> T failing(Class<T> type, T target) {
        return type.cast(Proxy.newProxyInstance(
                getClass().getClassLoader(), new Class<?>[] {type}, (self, method, arguments) -> {
                    if (method.getName().equals("prepareStatement")
                            && !failing.isEmpty()
                            && ((String) arguments[0]).contains(failing)
                            && --before < 0) {
                        failing = "";
                        throw failure;
                    }
                    try {
                        Object result = method.invoke(target, arguments);
                        return result instanceof Connection connection ? failing(Connection.class, connection) : result;
                    } catch (InvocationTargetException e) {
                        throw e.getCause();
                    }
                }));
    }

    private void fails(String statement, int first, SQLException how) {
        failing = statement;
        before = first;
        failure = how;
    }

    @AfterEach
    void close() {
        one.end(Duration.ofMillis(20));
        two.end(Duration.ofMillis(20));
    }

    private void rounds() {
        one.look();
        two.look();
        kafka.advance(Duration.ofSeconds(1)); // over the back-off after a failure
        next.advance(Duration.ofSeconds(1));
    }

    private void roundsUntil(BooleanSupplier condition) {
        Eventually.isTrue(() -> {
            rounds();
            return condition.getAsBoolean();
        });
    }

    /** As a session does that deletes a row, or looks at it to change it. */
    private void keepLocked(Connection session, String statement) throws SQLException {
        try (Statement keeping = session.createStatement()) {
            keeping.execute(statement.formatted(database.outbox.names().qualifiedEvents()));
        }
    }

    private boolean tells(String problem) {
        return one.health().problems().toString().contains(problem);
    }

    @Test
    void a_shard_stays_while_a_delete_of_unknown_end_may_still_run_in_it_and_goes_over_then() throws Exception {
        one.look();
        two.look();
        database.publish(event("evt-1", "bob"), event("evt-2", "bob"));
        try (Connection stillRuns = database.begin()) {
            keepLocked(stillRuns, "DELETE FROM %s WHERE id = 'evt-1'");
            fails(DELETE, 0, new SQLException("the answer is lost", "08006"));
            roundsUntil(() -> two.health().ownedShards().size() >= 7);
            for (int i = 0; i < 10; i++) {
                rounds();
            }
            assertThat(tells("2 events that Kafka has cannot be deleted")).isTrue();
            assertThat(one.health().ownedShards()).hasSize(9).contains(Shards.of("bob"));
            stillRuns.commit();
        }
        roundsUntil(() -> database.ids().isEmpty() && two.health().ownedShards().size() == 8);
        assertThat(kafka.ids()).containsExactly("evt-1", "evt-2");
        assertThat(next.ids()).isEmpty();
        assertThat(deletedByOthers).hasValue(0);
    }

    @Test
    void a_relay_that_ends_while_a_delete_of_unknown_end_may_still_run_keeps_its_leases() throws Exception {
        one.look();
        database.publish(event("evt-1", "bob"), event("evt-2", "bob"));
        try (Connection stillRuns = database.begin()) {
            keepLocked(stillRuns, "DELETE FROM %s WHERE id = 'evt-1'");
            fails(DELETE, 0, new SQLException("the answer is lost", "08006"));
            Eventually.isTrue(() -> {
                one.look();
                kafka.advance(Duration.ofSeconds(1));
                return tells("2 events that Kafka has cannot be deleted");
            });
            one.end(Duration.ofSeconds(5));
            assertThat(database.strings("SELECT owner FROM \"eventbus_relay_lease\" WHERE owner = 'one'"))
                    .as("or the next owner would read a part of what is being deleted")
                    .hasSize(Shards.COUNT);
            stillRuns.commit();
        }
    }

    @Test
    void a_shard_that_was_given_back_is_the_next_owners_though_giving_back_the_one_after_it_fails() throws Exception {
        database.publish(IntStream.rangeClosed(1, 40)
                .mapToObj(n -> event("evt-" + n, "user-" + n))
                .toArray(Event<?>[]::new));
        try (Connection other = database.begin()) {
            keepLocked(other, "SELECT * FROM %s FOR UPDATE");
            Eventually.isTrue(() -> {
                one.look();
                kafka.advance(Duration.ofSeconds(1));
                return tells("40 events that Kafka has cannot be deleted");
            });
            fails(RELEASE, 1, new SQLException("something else is wrong", "40001"));
            roundsUntil(() -> two.health().ownedShards().size() == 8);
            assertThat(failing).as("the second has failed").isEmpty();
            long ours = IntStream.rangeClosed(1, 40)
                    .filter(n -> one.health().ownedShards().contains(Shards.of("user-" + n)))
                    .count();
            assertThat(one.health().inFlight()).isEqualTo(Math.toIntExact(ours));
            other.rollback();
        }
        roundsUntil(() -> database.ids().isEmpty());
        assertThat(next.ids()).isNotEmpty().doesNotHaveDuplicates();
        assertThat(deletedByOthers).hasValue(0);
    }
}
