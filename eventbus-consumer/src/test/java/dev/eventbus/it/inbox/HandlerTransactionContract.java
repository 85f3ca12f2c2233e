package dev.eventbus.it.inbox;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.params.provider.Arguments.arguments;

import dev.eventbus.consumer.inbox.HandlerTransactionException;
import dev.eventbus.consumer.inbox.JdbcInbox;
import dev.eventbus.consumer.inbox.MarkResult;
import dev.eventbus.consumer.inbox.MarkResult.Decided;
import dev.eventbus.consumer.inbox.MarkResult.HeldElsewhere;
import dev.eventbus.consumer.inbox.MarkResult.Known;
import dev.eventbus.consumer.inbox.Outcome;
import java.io.IOException;
import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import javax.sql.DataSource;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** What a handler can and cannot do with the transaction it is given, and that the connection comes back as it was. */
public abstract class HandlerTransactionContract extends InboxDatabase {

    /** Makes the session's lock time-out 7 s. */
    protected abstract String setLockTimeout();

    /** Reads it. */
    protected abstract String showLockTimeout();

    /** A text that commits, in a way that nobody sees by looking at it. */
    protected abstract String hiddenCommit();

    /** Doors that the driver does not have. */
    protected Set<String> walledUp() {
        return Set.of();
    }

    // --- what a handler cannot do
    // -------------------------------------------------------------------------------------

    /** One call on a connection. */
    @FunctionalInterface
    interface Call {
        void on(Connection connection) throws Exception;
    }

    static Stream<Arguments> refusedCalls() {
        return Stream.of(
                arguments("commit", (Call) Connection::commit),
                arguments("rollback", (Call) Connection::rollback),
                arguments("setAutoCommit(true)", (Call) c -> c.setAutoCommit(true)),
                arguments("setAutoCommit(false)", (Call) c -> c.setAutoCommit(false)),
                arguments("setTransactionIsolation", (Call)
                        c -> c.setTransactionIsolation(Connection.TRANSACTION_SERIALIZABLE)),
                arguments("setReadOnly", (Call) c -> c.setReadOnly(true)),
                arguments("setNetworkTimeout", (Call) c -> c.setNetworkTimeout(Runnable::run, 1)),
                arguments("abort", (Call) c -> c.abort(Runnable::run)));
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("refusedCalls")
    void what_would_end_or_change_the_transaction_is_refused_and_hurts_nothing(String name, Call call)
            throws Exception {
        MarkResult result = inbox().run(mark("evt-1"), transaction -> {
            book("before").run(transaction);
            assertThatThrownBy(() -> call.on(transaction))
                    .isInstanceOf(SQLException.class)
                    .hasMessageContaining("refused")
                    .hasMessageContaining(name.replaceAll("\\(.*", ""));
            book("after").run(transaction);
        });
        assertThat(result).isEqualTo(new Decided());
        assertThat(effects()).containsExactlyInAnyOrder("before", "after");
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "COMMIT",
                "  commit ;",
                "/* tidy */ COMMIT",
                "-- tidy\nCOMMIT AND CHAIN",
                "END",
                "ABORT",
                "BEGIN",
                "START TRANSACTION",
                "ROLLBACK",
                "ROLLBACK WORK",
                "PREPARE TRANSACTION 'x'",
                "SET AUTOCOMMIT TRUE",
                "INSERT INTO effect (id) VALUES ('; ''x'); COMMIT",
                "SELECT $$ ; $$; COMMIT",
                "SELECT 1 /* /* ; */ */; ROLLBACK",
                "/*!50701 COMMIT */",
                "# tidy\nCOMMIT"
            })
    void transaction_control_in_sql_is_refused_before_it_has_an_effect(String sql) throws Exception {
        List<Call> ways = List.of(
                c -> statement(c, statement -> statement.execute(sql)),
                c -> statement(c, statement -> statement.executeUpdate(sql)),
                c -> statement(c, statement -> statement.executeLargeUpdate(sql)),
                c -> statement(c, statement -> statement.executeQuery(sql)),
                c -> statement(c, statement -> statement.addBatch(sql)),
                c -> c.prepareStatement(sql).close(),
                c -> c.prepareCall(sql).close());
        for (Call way : ways) {
            assertThatThrownBy(() -> inbox().run(mark("evt-1"), transaction -> {
                        book("evt-1").run(transaction);
                        way.on(transaction);
                    }))
                    .isInstanceOf(SQLException.class)
                    .hasMessageContaining("the library ends its transaction");
        }
        assertThat(effects()).isEmpty();
        assertThat(count("eventbus_inbox")).isZero();
    }

    @Test
    void sql_that_only_looks_like_it_is_executed() throws Exception {
        inbox().run(
                        mark("evt-1"),
                        transaction -> statement(transaction, statement -> {
                            statement.execute("INSERT INTO effect (id) VALUES ('; COMMIT; --')");
                            statement.execute("/* COMMIT; */ INSERT INTO effect (id) VALUES ('; ROLLBACK')");
                            statement.execute("SAVEPOINT before_trial");
                            statement.execute("INSERT INTO effect (id) VALUES ('trial')");
                            statement.execute("ROLLBACK TO SAVEPOINT before_trial");
                        }));
        assertThat(effects()).containsExactlyInAnyOrder("; COMMIT; --", "; ROLLBACK");
    }

    @Test
    void a_commit_that_could_not_be_recognised_is_found_after_the_handler() throws Exception {
        assertThatThrownBy(() -> inbox().run(mark("evt-1"), transaction -> {
                    book("before").run(transaction);
                    statement(transaction, statement -> statement.execute(hiddenCommit()));
                    book("after").run(transaction);
                }))
                .isInstanceOf(HandlerTransactionException.class)
                .hasMessageContaining("evt-1")
                .hasMessageContaining(GROUP);
        assertThat(effects()).containsExactly("before");
        assertThat(inbox().run(mark("evt-1"), book("again"))).isEqualTo(new Known(Outcome.DONE));
    }

    static Stream<Throwable> failures() {
        return Stream.of(new IOException("no ledger"), new AssertionError("no ledger"));
    }

    @ParameterizedTest
    @MethodSource("failures")
    void who_commits_in_hiding_and_then_throws_is_told_as_such(Throwable thrown) throws Exception {
        assertThatThrownBy(() -> inbox().run(mark("evt-1"), transaction -> {
                    statement(transaction, statement -> statement.execute(hiddenCommit()));
                    fail(thrown);
                }))
                .isInstanceOf(HandlerTransactionException.class)
                .hasSuppressedException(thrown);
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void so_is_one_whose_statement_fails_after_that(boolean keptToItself) throws Exception {
        assertThatThrownBy(() -> inbox().run(
                                mark("evt-1"),
                                transaction -> statement(transaction, statement -> {
                                    statement.execute(hiddenCommit());
                                    try {
                                        statement.execute("SELECT nothing FROM nowhere");
                                    } catch (SQLException e) {
                                        if (!keptToItself) {
                                            throw e;
                                        }
                                    }
                                })))
                .isInstanceOf(HandlerTransactionException.class);
    }

    @ParameterizedTest
    @MethodSource("failures")
    void who_throws_without_a_commit_is_told_as_it_is(Throwable thrown) throws Exception {
        assertThatThrownBy(() -> inbox().run(mark("evt-1"), transaction -> {
                    book("evt-1").run(transaction);
                    fail(thrown);
                }))
                .isSameAs(thrown)
                .hasNoSuppressedExceptions();
        assertThat(effects()).isEmpty();
        assertThat(count("eventbus_inbox")).isZero();
    }

    @Test
    void a_statement_that_failed_comes_out_with_nothing_beside_it() throws Exception {
        assertThatThrownBy(() -> inbox().run(
                                mark("evt-1"),
                                transaction -> statement(
                                        transaction, statement -> statement.execute("SELECT nothing FROM nowhere"))))
                .isInstanceOf(SQLException.class)
                .hasNoSuppressedExceptions();
    }

    private static void fail(Throwable thrown) throws Exception {
        if (thrown instanceof Error error) {
            throw error;
        }
        throw (Exception) thrown;
    }

    // --- doors
    // --------------------------------------------------------------------------------------------------------

    /** Leads from the handler's connection to a connection, if it leads anywhere. */
    @FunctionalInterface
    interface Door {
        Connection behind(Connection connection) throws SQLException;
    }

    static Stream<Arguments> doors() {
        return Stream.of(
                arguments("statement", (Door) c -> c.createStatement().getConnection()),
                arguments("prepared statement", (Door)
                        c -> c.prepareStatement("SELECT 1").getConnection()),
                arguments("callable statement", (Door)
                        c -> c.prepareCall("SELECT 1").getConnection()),
                arguments("meta data", (Door) c -> c.getMetaData().getConnection()),
                arguments("result set", (Door) c -> c.createStatement()
                        .executeQuery("SELECT 1")
                        .getStatement()
                        .getConnection()),
                arguments("result set of a prepared statement", (Door) c -> c.prepareStatement("SELECT 1")
                        .executeQuery()
                        .getStatement()
                        .getConnection()),
                arguments("current result set", (Door) c -> {
                    Statement statement = c.createStatement();
                    statement.execute("SELECT 1");
                    return statement.getResultSet().getStatement().getConnection();
                }),
                arguments("generated keys", (Door) c -> {
                    Statement statement = c.createStatement();
                    statement.executeUpdate("INSERT INTO effect (id) VALUES ('x')", Statement.RETURN_GENERATED_KEYS);
                    return behind(statement.getGeneratedKeys(), c);
                }),
                arguments("result set of the meta data", (Door)
                        c -> behind(c.getMetaData().getTables(null, null, "%", null), c)),
                arguments("array", (Door) c ->
                        behind(c.createArrayOf("varchar", new Object[] {"a"}).getResultSet(), c)),
                arguments("array of a row", (Door) c -> {
                    ResultSet row = c.createStatement().executeQuery("SELECT ARRAY[1, 2]");
                    row.next();
                    return behind(row.getArray(1).getResultSet(), c);
                }),
                arguments("unwrapped connection", (Door) c -> c.unwrap(Connection.class)),
                arguments("unwrapped meta data", (Door)
                        c -> c.getMetaData().unwrap(DatabaseMetaData.class).getConnection()));
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("doors")
    void behind_every_door_is_the_guarded_connection(String name, Door door) throws Exception {
        inbox().run(mark("evt-1"), transaction -> {
            if (walledUp().contains(name)) {
                assertThatThrownBy(() -> door.behind(transaction)).isInstanceOf(SQLException.class);
                return;
            }
            Connection behind = door.behind(transaction);
            assertThat(behind == transaction).as("the very same").isTrue();
            assertThatThrownBy(behind::commit).hasMessageContaining("refused");
        });
    }

    @Test
    void the_drivers_own_objects_are_not_handed_out() throws Exception {
        Class<?> driversConnection;
        Class<?> driversStatement;
        try (Connection raw = dataSource().getConnection();
                Statement statement = raw.createStatement()) {
            driversConnection = raw.getClass();
            driversStatement = statement.getClass();
        }
        inbox().run(mark("evt-1"), transaction -> {
            assertThat(transaction.isWrapperFor(driversConnection)).isFalse();
            assertThat(transaction.isWrapperFor(Connection.class)).isTrue();
            assertThatThrownBy(() -> transaction.unwrap(driversConnection))
                    .isInstanceOf(SQLException.class)
                    .hasMessageContaining("commit behind the library's back");
            statement(
                    transaction,
                    statement -> assertThatThrownBy(() -> statement.unwrap(driversStatement))
                            .isInstanceOf(SQLException.class));
        });
    }

    @Test
    void a_guarded_array_can_be_given_to_the_driver_again() throws Exception {
        if (walledUp().contains("array")) {
            return; // said by the door's own test
        }
        inbox().run(mark("evt-1"), transaction -> {
            try (var statement = transaction.prepareStatement("SELECT CAST(? AS varchar(10) ARRAY)")) {
                statement.setArray(1, transaction.createArrayOf("varchar", new Object[] {"a", "b"}));
                ResultSet row = statement.executeQuery();
                row.next();
                assertThat((Object[]) row.getArray(1).getArray()).containsExactly("a", "b");
            }
        });
    }

    @Test
    void closing_it_does_nothing() throws Exception {
        inbox().run(mark("evt-1"), transaction -> {
            try (transaction) {
                book("before").run(transaction);
            }
            assertThat(transaction.isClosed()).isFalse();
            book("after").run(transaction);
        });
        assertThat(effects()).containsExactlyInAnyOrder("before", "after");
    }

    @Test
    void after_the_handler_it_is_dead_and_so_is_everything_it_gave() throws Exception {
        List<AutoCloseable> kept = new ArrayList<>();
        inbox().run(mark("evt-1"), transaction -> {
            Statement statement = transaction.createStatement();
            kept.addAll(List.of(transaction, statement, statement.executeQuery("SELECT 1")));
        });
        Connection connection = (Connection) kept.get(0);
        assertThat(connection.isClosed()).isTrue();
        assertThat(connection.isValid(1)).isFalse();
        assertThatThrownBy(connection::createStatement).hasMessageContaining("after the handler had returned");
        assertThatThrownBy(connection::commit).hasMessageContaining("after the handler had returned");
        Statement statement = (Statement) kept.get(1);
        assertThatThrownBy(() -> statement.execute("INSERT INTO effect (id) VALUES ('late')"))
                .hasMessageContaining("after the handler had returned");
        assertThatThrownBy(statement::getConnection).isInstanceOf(SQLException.class);
        for (AutoCloseable closeable : kept) {
            closeable.close();
        }
        assertThat(effects()).isEmpty();
    }

    // --- the connection comes back as it was
    // --------------------------------------------------------------------------

    @Test
    void the_connection_comes_back_as_it_was_whatever_happened() throws Exception {
        try (Connection one = dataSource().getConnection()) {
            one.setTransactionIsolation(Connection.TRANSACTION_SERIALIZABLE);
            statement(one, statement -> statement.execute(setLockTimeout()));
            String lockTimeout = show(one);
            JdbcInbox pooled = inboxOn(HookedDataSource.poolOf(one));
            List<MarkResult> results = new ArrayList<>();

            results.add(pooled.run(mark("evt-1"), transaction -> {
                assertThat(transaction.getTransactionIsolation()).isEqualTo(Connection.TRANSACTION_READ_COMMITTED);
                assertThat(show(transaction)).isEqualTo(lockTimeout);
            }));
            assertClean(one, lockTimeout);
            results.add(pooled.run(mark("evt-1"), book("again")));
            assertClean(one, lockTimeout);
            assertThatThrownBy(() -> pooled.run(mark("evt-2"), transaction -> {
                        throw new IOException("no");
                    }))
                    .isInstanceOf(IOException.class);
            assertClean(one, lockTimeout);
            results.add(whileHeld("evt-3", () -> pooled.run(mark("evt-3"), book("evt-3"))));
            assertClean(one, lockTimeout);
            results.add(pooled.decide(mark("evt-4"), Outcome.DYING));
            pooled.dead(mark("evt-4"));
            assertClean(one, lockTimeout);

            assertThat(results)
                    .containsExactly(new Decided(), new Known(Outcome.DONE), new HeldElsewhere(), new Decided());
        }
    }

    @Test
    void a_pool_without_auto_commit_keeps_it_off_even_if_its_test_query_began_a_transaction() throws Exception {
        try (Connection one = dataSource().getConnection()) {
            one.setTransactionIsolation(Connection.TRANSACTION_SERIALIZABLE);
            one.setAutoCommit(false);
            statement(one, statement -> statement.execute("SELECT 1"));
            assertThat(inboxOn(HookedDataSource.poolOf(one)).run(mark("evt-1"), book("evt-1")))
                    .isEqualTo(new Decided());
            assertThat(one.getAutoCommit()).isFalse();
        }
        assertThat(effects()).containsExactly("evt-1");
    }

    @Test
    void when_the_roll_back_fails_too_the_handlers_exception_comes_out_and_nothing_is_committed() throws Exception {
        List<String> calls = new ArrayList<>();
        DataSource broken = HookedDataSource.over(dataSource(), (real, method, arguments, rest) -> {
            calls.add(method + List.of(arguments));
            if (method.equals("rollback")) {
                throw new SQLException("connection lost", "08006");
            }
            return rest.call();
        });
        IOException thrown = new IOException("no");
        assertThatThrownBy(() -> inboxOn(broken).run(mark("evt-1"), transaction -> {
                    book("evt-1").run(transaction);
                    throw thrown;
                }))
                .isSameAs(thrown)
                .satisfies(e -> assertThat(e.getSuppressed()).hasSize(1))
                .satisfies(e -> assertThat(e.getSuppressed()[0]).hasMessage("connection lost"));
        assertThat(calls).doesNotContain("setAutoCommit[true]").anyMatch(call -> call.startsWith("abort"));
        assertThat(calls.stream().filter(call -> call.startsWith("abort") || call.startsWith("close")))
                .as("a pool must not get back what is broken")
                .first()
                .asString()
                .startsWith("abort");
        assertThat(effects()).isEmpty();
    }

    @Test
    void a_connection_that_fails_before_its_transaction_has_begun_is_broken_off_and_not_left_half_set()
            throws Exception {
        List<String> calls = new ArrayList<>();
        DataSource broken = HookedDataSource.over(dataSource(), (real, method, arguments, rest) -> {
            calls.add(method);
            if (calls.contains("setAutoCommit")
                    && !List.of("setAutoCommit", "abort", "close").contains(method)) {
                throw new SQLException("connection lost", "08006");
            }
            return rest.call();
        });
        assertThatThrownBy(() -> inboxOn(broken).run(mark("evt-1"), book("evt-1")))
                .hasMessage("connection lost");
        assertThat(calls).containsSubsequence("abort", "close");
        assertThat(effects()).isEmpty();
    }

    // --- shared by the tests
    // ------------------------------------------------------------------------------------------

    /** Some drivers have no statement behind such a result set: then there is no door. */
    private static Connection behind(ResultSet rows, Connection otherwise) throws SQLException {
        return rows.getStatement() == null ? otherwise : rows.getStatement().getConnection();
    }

    private String show(Connection connection) throws SQLException {
        try (Statement statement = connection.createStatement();
                ResultSet row = statement.executeQuery(showLockTimeout())) {
            row.next();
            return row.getString(1);
        }
    }

    private void assertClean(Connection connection, String lockTimeout) throws SQLException {
        assertThat(connection.getAutoCommit()).isTrue();
        assertThat(connection.getTransactionIsolation()).isEqualTo(Connection.TRANSACTION_SERIALIZABLE);
        assertThat(show(connection)).isEqualTo(lockTimeout);
    }

    /** One attempt to decide. */
    private interface Attempt {
        MarkResult make() throws Exception;
    }

    private MarkResult whileHeld(String eventId, Attempt attempt) throws Exception {
        CountDownLatch marked = new CountDownLatch(1);
        CountDownLatch release = new CountDownLatch(1);
        Future<MarkResult> owner = others().submit(() -> inbox().run(mark(eventId), transaction -> {
            marked.countDown();
            await(release);
        }));
        await(marked);
        MarkResult result = attempt.make();
        release.countDown();
        assertThat(owner.get(10, TimeUnit.SECONDS)).isEqualTo(new Decided());
        return result;
    }
}
