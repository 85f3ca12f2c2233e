package dev.eventbus.outbox;

import static dev.eventbus.outbox.TestEvents.ASSET_UPDATED;
import static dev.eventbus.outbox.TestEvents.event;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.eventbus.Event;
import dev.eventbus.EventPublisher;
import dev.eventbus.PublishFailedException;
import dev.eventbus.PublishRefusedException;
import dev.eventbus.StartRefusedException;
import dev.eventbus.outbox.TestEvents.AssetUpdated;
import dev.eventbus.outbox.sql.Shards;
import dev.eventbus.topics.TopicSpec;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.lang.reflect.Proxy;
import java.sql.BatchUpdateException;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import java.sql.Savepoint;
import java.sql.Statement;
import java.time.Instant;
import java.time.InstantSource;
import java.util.ArrayList;
import java.util.List;
import java.util.UUID;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.function.Consumer;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class JdbcOutboxTest {

    private final TestDatabase database = new TestDatabase();
    private final JdbcOutbox outbox = database.outbox;

    @Test
    void an_event_is_there_once_its_transaction_has_committed() throws SQLException {
        try (Connection tx = database.begin()) {
            String id = outbox.within(tx).publish(ASSET_UPDATED, new AssetUpdated("bob", 7));
            assertThat(database.ids()).isEmpty();
            tx.commit();
            assertThat(database.ids()).containsExactly(id);
            assertThat(UUID.fromString(id).version()).isEqualTo(7);
        }
    }

    @Test
    void a_rolled_back_transaction_leaves_no_event() throws SQLException {
        try (Connection tx = database.begin()) {
            outbox.within(tx).publish(event("evt-1", "bob"));
            tx.rollback();
        }
        assertThat(database.ids()).isEmpty();
    }

    @Test
    void a_rolled_back_savepoint_takes_its_events_along() throws SQLException {
        try (Connection tx = database.begin()) {
            EventPublisher events = outbox.within(tx);
            events.publish(event("outer", "bob"));
            Savepoint savepoint = tx.setSavepoint();
            events.publish(event("inner", "bob"));
            tx.rollback(savepoint);
            tx.commit();
        }
        assertThat(database.ids()).containsExactly("outer");
    }

    @Test
    void a_collection_keeps_its_order_over_several_batches() {
        List<Event<AssetUpdated>> events = IntStream.range(0, 1_201)
                .mapToObj(i -> event("evt-" + i, "user-" + i % 7))
                .toList();
        database.publish(events.toArray(Event<?>[]::new));
        assertThat(database.ids()).isEqualTo(events.stream().map(Event::id).toList());
    }

    @Test
    void headers_and_trace_context_have_columns_of_their_own() throws SQLException {
        database.publish(event("evt-1", "bob")
                .withHeader("tenant", "eu \"1\"")
                .withHeader("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
                .withHeader("tracestate", "a=b"));
        assertThat(database.strings("SELECT headers FROM \"eventbus_outbox\""))
                .containsExactly("{\"tenant\":\"eu \\\"1\\\"\"}");
        assertThat(database.strings("SELECT traceparent FROM \"eventbus_outbox\""))
                .containsExactly("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
        assertThat(database.strings("SELECT tracestate FROM \"eventbus_outbox\""))
                .containsExactly("a=b");
        assertThat(database.strings(
                        "SELECT aggregatetype || ' ' || aggregateid || ' ' || type FROM \"eventbus_outbox\""))
                .containsExactly("asset.events bob ASSET_UPDATED");
    }

    @Test
    void ids_and_time_stamps_follow_the_given_clock() throws SQLException {
        Instant then = Instant.parse("2030-01-01T00:00:00Z");
        JdbcOutbox timed = outbox.clock(InstantSource.fixed(then));
        try (Connection tx = database.begin()) {
            String id = timed.within(tx).publish(ASSET_UPDATED, new AssetUpdated("bob", 7));
            assertThat(UUID.fromString(id).getMostSignificantBits() >>> 16).isEqualTo(then.toEpochMilli());
            tx.commit();
        }
        assertThat(database.strings("SELECT CAST(payload AS varchar) FROM \"eventbus_outbox\""))
                .singleElement()
                .asString()
                .contains("\"timestamp\":\"2030-01-01T00:00:00Z\"");
    }

    @Test
    void a_connection_in_auto_commit_mode_is_refused() throws SQLException {
        try (Connection connection = database.dataSource.getConnection()) {
            assertThatThrownBy(() -> outbox.within(connection).publish(event("evt-1", "bob")))
                    .isInstanceOf(PublishRefusedException.class)
                    .hasMessageContaining("ASSET_UPDATED evt-1")
                    .hasMessageContaining("auto-commit")
                    .hasMessageContaining("setAutoCommit(false)");
        }
        assertThat(database.ids()).isEmpty();
    }

    @Test
    void a_closed_connection_is_refused() throws SQLException {
        Connection closed = database.begin();
        closed.close();
        assertThatThrownBy(() -> outbox.within(closed).publish(event("evt-1", "bob")))
                .isInstanceOf(PublishRefusedException.class)
                .hasMessageContaining("closed");
    }

    @Test
    void an_event_over_the_limit_is_refused_and_the_transaction_stays_usable() throws SQLException {
        JdbcOutbox small = outbox.maxEventBytes(140);
        try (Connection tx = database.begin()) {
            small.within(tx).publish(event("evt-1", "bob"));
            assertThatThrownBy(() ->
                            small.within(tx).publish(event("evt-2", "bob").withHeader("note", "x".repeat(100))))
                    .isInstanceOf(PublishRefusedException.class)
                    .hasMessageContaining("bytes, the limit maxEventBytes is 140")
                    .hasMessageContaining("max.message.bytes");
            tx.commit();
        }
        assertThat(database.ids()).containsExactly("evt-1");
    }

    @Test
    void an_event_over_its_topics_own_limit_is_refused() throws SQLException {
        JdbcOutbox narrow =
                outbox.topics(TopicSpec.of("asset.events", 3).maxMessageBytes(1_024), TopicSpec.of("others", 1));
        try (Connection tx = database.begin()) {
            narrow.within(tx).publish(event("evt-1", "bob"));
            assertThatThrownBy(() ->
                            narrow.within(tx).publish(event("evt-2", "bob").withHeader("note", "x".repeat(900))))
                    .isInstanceOf(PublishRefusedException.class)
                    .hasMessageContaining("takes 1,024")
                    .hasMessageContaining("TopicSpec");
            tx.commit();
        }
        assertThat(database.ids()).containsExactly("evt-1");
    }

    @Test
    void one_refused_event_of_a_collection_keeps_all_of_it_from_being_written() throws SQLException {
        try (Connection tx = database.begin()) {
            assertThatThrownBy(() -> outbox.within(tx)
                            .publishAll(List.of(event("evt-1", "bob"), event("evt-2", "b\0b"), event("evt-3", "bob"))))
                    .isInstanceOf(PublishRefusedException.class);
            tx.commit();
        }
        assertThat(database.ids()).isEmpty();
    }

    @Test
    void an_sql_error_passes_through_as_the_cause() throws SQLException {
        database.update("ALTER TABLE \"eventbus_outbox\" ADD CONSTRAINT no_bob CHECK (aggregateid <> 'bob')");
        try (Connection tx = database.begin()) {
            assertThatThrownBy(() -> outbox.within(tx).publish(event("evt-1", "bob")))
                    .isInstanceOfSatisfying(PublishFailedException.class, failure -> {
                        assertThat(failure.eventId()).isEqualTo("evt-1");
                        assertThat(failure)
                                .hasMessageContaining("SQLSTATE 23513")
                                .hasMessageNotContaining("bob");
                    })
                    .cause()
                    .isInstanceOf(SQLException.class);
        }
    }

    @Test
    void what_a_driver_says_about_a_batch_does_not_carry_the_events_out() throws SQLException {
        // as pgjdbc does, which writes the values into the batch's own message
        SQLException server = new SQLException(
                "ERROR: new row violates check constraint \"no_bob\"\n  Detail: Failing row contains (1, bob).",
                "23514",
                7);
        BatchUpdateException batch = new BatchUpdateException(
                "Batch entry 0 INSERT INTO x VALUES ('bob', '{\n\"userId\": \"bob\"}') was aborted", "23514", 7, null);
        batch.setNextException(server);
        Connection broken = (Connection) Proxy.newProxyInstance(
                getClass().getClassLoader(), new Class<?>[] {Connection.class}, (proxy, method, arguments) -> {
                    if (method.getName().equals("prepareStatement")) {
                        throw batch;
                    }
                    return false;
                });
        assertThatThrownBy(() -> outbox.within(broken).publish(event("evt-1", "bob")))
                .hasMessageContaining("SQLSTATE 23514")
                .satisfies(failure -> {
                    StringWriter trace = new StringWriter();
                    failure.printStackTrace(new PrintWriter(trace));
                    assertThat(trace.toString()).doesNotContain("bob'", "(1, bob)", "userId");
                })
                .cause()
                .isInstanceOfSatisfying(SQLException.class, cause -> {
                    assertThat(cause.getSQLState()).isEqualTo("23514");
                    assertThat(cause.getErrorCode()).isEqualTo(7);
                    assertThat(cause.getMessage()).isEqualTo("ERROR: new row violates check constraint \"no_bob\"");
                });
    }

    @Test
    void a_connection_source_lends_the_connection_of_the_transaction() throws SQLException {
        try (Connection tx = database.begin()) {
            outbox.joining(work -> work.accept(tx)).publish(event("evt-1", "bob"));
            tx.commit();
        }
        assertThat(database.ids()).containsExactly("evt-1");
    }

    @Test
    void a_connection_source_without_a_transaction_is_refused() {
        assertThatThrownBy(() -> outbox.joining(work -> {}).publish(event("evt-1", "bob")))
                .isInstanceOf(PublishRefusedException.class)
                .hasMessageContaining("no transaction is active")
                .hasMessageContaining("within(connection)");
    }

    @Test
    void a_connection_source_that_runs_the_work_twice_or_late_writes_one_row() throws SQLException {
        List<Consumer<Connection>> kept = new ArrayList<>();
        try (Connection tx = database.begin()) {
            assertThatThrownBy(() -> outbox.joining(work -> {
                                work.accept(tx);
                                work.accept(tx);
                            })
                            .publish(event("evt-1", "bob")))
                    .isInstanceOf(PublishRefusedException.class)
                    .hasMessageContaining("twice");
            assertThatThrownBy(() -> outbox.joining(kept::add).publish(event("evt-2", "bob")))
                    .isInstanceOf(PublishRefusedException.class);
            assertThatThrownBy(() -> kept.get(0).accept(tx)).isInstanceOf(PublishRefusedException.class);
            tx.commit();
        }
        assertThat(database.ids()).containsExactly("evt-1");
    }

    @Test
    void a_failure_that_the_connection_source_keeps_to_itself_is_thrown_all_the_same() throws SQLException {
        try (Connection autoCommit = database.dataSource.getConnection()) {
            assertThatThrownBy(() -> outbox.joining(work -> {
                                try {
                                    work.accept(autoCommit);
                                } catch (RuntimeException kept) {
                                    // as a careless source does
                                }
                            })
                            .publish(event("evt-1", "bob")))
                    .isInstanceOf(PublishRefusedException.class)
                    .hasMessageContaining("auto-commit");
        }
        assertThat(database.ids()).isEmpty();
    }

    @Test
    void a_connection_source_that_returns_before_the_work_has_ended_is_refused() throws Exception {
        CountDownLatch begun = new CountDownLatch(1);
        CountDownLatch refused = new CountDownLatch(1);
        ExecutorService elsewhere = Executors.newSingleThreadExecutor();
        try (Connection tx = database.begin()) {
            Connection slow = (Connection) Proxy.newProxyInstance(
                    Connection.class.getClassLoader(),
                    new Class<?>[] {Connection.class},
                    (proxy, method, arguments) -> {
                        begun.countDown();
                        refused.await();
                        return method.invoke(tx, arguments);
                    });
            List<Future<?>> late = new ArrayList<>();
            assertThatThrownBy(() -> outbox.joining(work -> {
                                late.add(elsewhere.submit(() -> work.accept(slow)));
                                awaited(begun);
                            })
                            .publish(event("evt-1", "bob")))
                    .isInstanceOf(PublishRefusedException.class)
                    .hasMessageContaining("still running");
            refused.countDown();
            late.get(0).get();
            tx.rollback();
        } finally {
            elsewhere.shutdownNow();
        }
        assertThat(database.ids()).isEmpty();
    }

    private static void awaited(CountDownLatch latch) {
        try {
            latch.await();
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }

    @Test
    void tables_may_lie_in_a_schema_under_another_name() throws SQLException {
        TestDatabase named = new TestDatabase(JdbcOutbox.h2().schema("scan").table("outbox"), "");
        named.publish(event("evt-1", "bob"));
        assertThat(named.strings("SELECT id FROM \"scan\".\"outbox\"")).containsExactly("evt-1");
        assertThat(named.strings("SELECT COUNT(*) FROM \"scan\".\"eventbus_relay_lease\""))
                .containsExactly("16");
        try (Connection connection = named.dataSource.getConnection()) {
            named.outbox.verify(connection);
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {";MODE=PostgreSQL;DATABASE_TO_LOWER=TRUE", ";MODE=MySQL", ";DATABASE_TO_UPPER=FALSE"})
    void every_mode_of_h2_will_do(String mode) throws SQLException {
        TestDatabase other = new TestDatabase(JdbcOutbox.h2(), mode);
        other.publish(event("evt-1", "bob"));
        assertThat(other.ids()).containsExactly("evt-1");
        try (Connection connection = other.dataSource.getConnection()) {
            other.outbox.verify(connection);
            other.outbox.createTables(connection);
        }
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "outbox\"; DROP TABLE x; --",
                "",
                "1st",
                "a.b",
                "out box",
                "оutbox",
                "outbox\n",
                "x\u0000",
                "a123456789012345678901234567890123456789012345678901234567890123"
            })
    void a_hostile_name_is_refused(String name) {
        assertThatThrownBy(() -> JdbcOutbox.postgres().table(name)).isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() -> JdbcOutbox.postgres().schema(name)).isInstanceOf(IllegalArgumentException.class);
    }

    @Test
    void a_reserved_word_is_quoted() {
        TestDatabase reserved =
                new TestDatabase(JdbcOutbox.h2().schema("select").table("Order"), "");
        reserved.publish(event("evt-1", "bob"));
        assertThat(reserved.strings("SELECT id FROM \"select\".\"Order\"")).containsExactly("evt-1");
    }

    @Test
    void verify_names_every_missing_table_and_column_at_once() throws SQLException {
        database.update("DROP TABLE \"eventbus_blocked_key\"");
        database.update("ALTER TABLE \"eventbus_outbox\" DROP COLUMN tracestate");
        try (Connection connection = database.dataSource.getConnection()) {
            assertThatThrownBy(() -> outbox.verify(connection))
                    .isInstanceOf(StartRefusedException.class)
                    .hasMessageContaining("not found in schema 'PUBLIC'")
                    .hasMessageContaining("[eventbus_blocked_key]")
                    .hasMessageContaining("user ")
                    .hasMessageContaining("META-INF/eventbus/outbox/h2/V1__eventbus_outbox.sql")
                    .hasMessageContaining("table eventbus_outbox in schema 'PUBLIC' lacks [tracestate]");
        }
    }

    @Test
    void verify_refuses_another_number_of_shards() throws SQLException {
        database.update("UPDATE \"eventbus_meta\" SET \"value\" = '64' WHERE name = 'shards'");
        try (Connection connection = database.dataSource.getConnection()) {
            assertThatThrownBy(() -> outbox.verify(connection))
                    .isInstanceOf(StartRefusedException.class)
                    .hasMessageContaining("shards = 64");
        }
    }

    @Test
    void creating_the_tables_again_keeps_what_is_there() throws SQLException {
        database.publish(event("evt-1", "bob"));
        List<String> id = database.strings("SELECT \"value\" FROM \"eventbus_meta\" WHERE name = 'outbox_id'");
        outbox.createTables(database.dataSource);
        assertThat(database.ids()).containsExactly("evt-1");
        assertThat(database.strings("SELECT \"value\" FROM \"eventbus_meta\" WHERE name = 'outbox_id'"))
                .isEqualTo(id);
        assertThat(database.strings("SELECT COUNT(*) FROM \"eventbus_key_lock\""))
                .containsExactly("4096");
    }

    @Test
    void a_key_has_the_same_shard_for_ever() {
        assertThat(List.of("bob", "alice", "사용자-1", "").stream().map(Shards::of))
                .containsExactly(13, 12, 7, 1);
        assertThat(IntStream.range(0, 10_000)
                        .map(i -> Shards.of("user-" + i))
                        .distinct()
                        .count())
                .isEqualTo(16);
    }

    @Test
    void publishing_is_one_statement_in_the_callers_transaction_and_nothing_before_its_commit() throws SQLException {
        List<String> calls = new ArrayList<>();
        try (Connection tx = database.begin()) {
            Connection counted = counted(Connection.class, tx, calls);
            outbox.within(counted).publish(event("evt-1", "bob"));
            assertThat(calls).filteredOn(call -> call.startsWith("execute")).hasSize(1);
            calls.clear();
            outbox.within(counted)
                    .publishAll(IntStream.range(0, 100)
                            .mapToObj(i -> event("all-" + i, "bob"))
                            .toList());
            assertThat(calls).filteredOn(call -> call.startsWith("execute")).hasSize(1);
            assertThat(calls).doesNotContain("commit", "rollback", "setAutoCommit", "setSavepoint", "close:Connection");
            tx.commit();
        }
        assertThat(database.ids()).hasSize(101);
    }

    /** Notes which methods of a connection and of its statements are called. */
    private static <T> T counted(Class<T> type, T target, List<String> calls) {
        return type.cast(Proxy.newProxyInstance(
                JdbcOutboxTest.class.getClassLoader(), new Class<?>[] {type}, (proxy, method, arguments) -> {
                    calls.add(method.getName().equals("close") ? "close:" + type.getSimpleName() : method.getName());
                    Object result = method.invoke(target, arguments);
                    return result instanceof PreparedStatement statement
                            ? counted(PreparedStatement.class, statement, calls)
                            : result;
                }));
    }

    @Test
    void within_gives_back_a_connection_that_can_still_be_used() throws SQLException {
        try (Connection tx = database.begin();
                Statement statement = tx.createStatement()) {
            outbox.within(tx).publish(event("evt-1", "bob"));
            assertThat(tx.isClosed()).isFalse();
            statement.execute("SELECT 1");
            tx.rollback();
        }
    }
}
