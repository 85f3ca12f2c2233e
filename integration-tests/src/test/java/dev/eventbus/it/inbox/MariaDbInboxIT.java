package dev.eventbus.it.inbox;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.eventbus.StartRefusedException;
import dev.eventbus.consumer.inbox.BatchWork;
import dev.eventbus.consumer.inbox.HandlerTransactionException;
import dev.eventbus.consumer.inbox.JdbcInbox;
import dev.eventbus.consumer.inbox.Mark;
import dev.eventbus.consumer.inbox.MarkResult.Decided;
import dev.eventbus.consumer.inbox.MarkResult.Known;
import dev.eventbus.consumer.inbox.Outcome;
import dev.eventbus.consumer.inbox.PurgeContract;
import dev.eventbus.consumer.inbox.Transactions;
import dev.eventbus.embedded.EmbeddedMariaDb;
import dev.eventbus.faults.crash.Decorator;
import dev.eventbus.it.MariaDbExtension;
import java.sql.Connection;
import java.sql.SQLException;
import java.sql.SQLTransactionRollbackException;
import java.sql.Savepoint;
import java.sql.Statement;
import java.util.List;
import java.util.Set;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import javax.sql.DataSource;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Nested;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.parallel.Isolated;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The contracts of the inbox on a real MariaDB, and what only MariaDB has. */
@Tag("mariadb")
@ExtendWith(MariaDbExtension.class)
@Isolated("changes a setting of the whole server, with which others would be refused")
class MariaDbInboxIT {

    private static DataSource database;

    @BeforeAll
    static void createDatabase(EmbeddedMariaDb mariaDb) throws SQLException {
        database = new UnpooledDataSource(
                mariaDb.createDatabase(mariaDb.uniqueName("inbox")), mariaDb.user(), mariaDb.password());
    }

    @Nested
    class Decisions extends InboxContract {

        @Override
        protected DataSource openDatabase() {
            return database;
        }

        @Override
        protected JdbcInbox inboxOn(DataSource dataSource) {
            return JdbcInbox.mariaDb(dataSource);
        }

        /** In whole seconds or not at all. */
        @Override
        protected boolean waitsForAHeldMark() {
            return false;
        }
    }

    @Nested
    class Parking extends ParkingContract {

        @Test
        void a_key_that_another_transaction_is_just_parking_is_not_waited_for() throws Exception {
            aKeyThatIsJustBeingParkedIsNotWaitedFor();
        }

        @Override
        protected DataSource openDatabase() {
            return database;
        }

        @Override
        protected JdbcInbox inboxOn(DataSource dataSource) {
            return JdbcInbox.mariaDb(dataSource);
        }

        @Override
        protected int races() {
            return 1_000;
        }
    }

    @Nested
    class Attempts extends AttemptContract {

        @Override
        protected DataSource openDatabase() {
            return database;
        }

        @Override
        protected JdbcInbox inboxOn(DataSource dataSource) {
            return JdbcInbox.mariaDb(dataSource);
        }
    }

    @Nested
    class Redrives extends RedriveContract {

        @Override
        protected DataSource openDatabase() {
            return database;
        }

        @Override
        protected JdbcInbox inboxOn(DataSource dataSource) {
            return JdbcInbox.mariaDb(dataSource);
        }
    }

    @Nested
    class Batches extends BatchTransactionContract {

        @Override
        protected DataSource openDatabase() {
            return database;
        }

        @Override
        protected JdbcInbox inboxOn(DataSource dataSource) {
            return JdbcInbox.mariaDb(dataSource);
        }

        @Override
        protected String hiddenCommit() {
            return "EXECUTE IMMEDIATE 'COMMIT'";
        }

        @Test
        void a_deadlock_that_a_handler_keeps_to_itself_is_told_from_a_commit_by_the_marks() throws Exception {
            List<Mark> marks = List.of(mark("a"), mark("b"));
            assertThatThrownBy(() -> inbox().runAll(marks, bookingAround("ROLLBACK"))) // as the victim sees it
                    .isInstanceOf(SQLTransactionRollbackException.class);
            assertThat(effects()).isEmpty();
            assertThat(count("eventbus_inbox")).isZero();

            assertThatThrownBy(() -> inbox().runAll(marks, bookingAround("COMMIT")))
                    .isInstanceOf(HandlerTransactionException.class);
            assertThat(effects()).containsExactly("a");
            assertThat(inbox().runAll(marks, bookingAround("COMMIT"))).containsOnly(new Known(Outcome.DONE));
        }

        /** The statement is alone, or one of a batch, of which others run behind it in a transaction of their own. */
        @ParameterizedTest
        @ValueSource(booleans = {false, true})
        void behind_a_real_deadlock_that_a_handler_keeps_to_itself_nothing_runs_that_could_commit(boolean inBatch)
                throws Exception {
            execute("CREATE OR REPLACE TABLE crossing (id int PRIMARY KEY, n int)");
            execute("INSERT INTO crossing SELECT seq, 0 FROM seq_1_to_100");
            try (Connection other = dataSource().getConnection()) {
                other.setAutoCommit(false);
                run(other, "UPDATE crossing SET n = 1 WHERE id > 1"); // so much that it is not the victim
                assertThatThrownBy(() -> inbox().runAll(List.of(mark("a"), mark("b")), (lender, results) -> {
                            lender.lend(transaction -> {
                                run(transaction, "SET innodb_lock_wait_timeout = 3"); // so long waits what comes behind
                                run(transaction, "UPDATE crossing SET n = 2 WHERE id = 1");
                                Future<?> crosses = others().submit(() -> {
                                    run(other, "UPDATE crossing SET n = 1 WHERE id = 1");
                                    return null;
                                });
                                assertThatThrownBy(() -> meets(transaction, inBatch))
                                        .isInstanceOf(SQLException.class);
                                assertThatThrownBy(() -> run(transaction, "EXECUTE IMMEDIATE 'COMMIT'"))
                                        .hasMessageContaining("execute refused");
                                crosses.get(10, TimeUnit.SECONDS);
                            });
                            lender.lend(book("b"));
                        }))
                        .isInstanceOfSatisfying(
                                SQLTransactionRollbackException.class,
                                e -> assertThat(e.getErrorCode()).isEqualTo(1213));
                other.rollback();
            }
            assertThat(effects()).isEmpty();
            assertThat(count("crossing")).isEqualTo(100);
            assertThat(count("eventbus_inbox")).isZero();
        }

        @Test
        void a_handler_may_go_on_after_a_statement_that_failed_and_keeps_its_savepoints() throws Exception {
            assertThat(inbox().runAll(
                                    List.of(mark("a")),
                                    (lender, results) -> lender.lend(transaction -> {
                                        Savepoint before = transaction.setSavepoint("before");
                                        book("undone").run(transaction);
                                        assertThatThrownBy(() -> run(transaction, "SELECT nothing FROM nowhere"))
                                                .isInstanceOf(SQLException.class);
                                        transaction.rollback(before);
                                        book("a").run(transaction);
                                    })))
                    .containsExactly(new Decided());
            assertThat(effects()).containsExactly("a");
        }

        private static void meets(Connection transaction, boolean inBatch) throws SQLException {
            try (Statement statement = transaction.createStatement()) {
                statement.addBatch("UPDATE crossing SET n = 2 WHERE id = 2");
                if (inBatch) {
                    statement.addBatch("INSERT INTO crossing VALUES (200, 0)");
                }
                statement.executeBatch();
            }
        }

        private static void run(Connection connection, String sql) throws SQLException {
            try (Statement statement = connection.createStatement()) {
                statement.execute(sql);
            }
        }

        private static BatchWork bookingAround(String end) {
            return (lender, results) -> {
                lender.lend(book("a"));
                lender.lend(transaction -> {
                    try (Statement statement = transaction.createStatement()) {
                        statement.execute("EXECUTE IMMEDIATE '" + end + "'");
                    }
                });
                lender.lend(book("b"));
            };
        }
    }

    @Nested
    class JoinedTransactions extends TransactionsContract {

        @Override
        protected DataSource openDatabase() {
            return database;
        }

        @Override
        protected JdbcInbox inboxOn(DataSource dataSource) {
            return JdbcInbox.mariaDb(dataSource);
        }

        @Override
        protected JdbcInbox inboxIn(Transactions transactions) {
            return JdbcInbox.mariaDb(transactions);
        }
    }

    @Nested
    class Purges extends PurgeContract {

        @Override
        protected DataSource openDatabase() {
            return database;
        }

        @Override
        protected JdbcInbox inboxOn(DataSource dataSource) {
            return JdbcInbox.mariaDb(dataSource);
        }

        @Override
        protected String daysAgo(int days) {
            return "UTC_TIMESTAMP(6) - INTERVAL %d DAY".formatted(days);
        }

        @Override
        protected String bytes(String text) {
            return "'" + text + "'";
        }
    }

    @Nested
    class IdleLimits extends IdleLimitContract {

        @Override
        protected DataSource openDatabase() {
            return database;
        }

        @Override
        protected JdbcInbox inboxOn(DataSource dataSource) {
            return JdbcInbox.mariaDb(dataSource);
        }
    }

    @Nested
    class Tables extends InboxTablesContract {

        @Override
        protected DataSource openDatabase() {
            return database;
        }

        @Override
        protected JdbcInbox inboxOn(DataSource dataSource) {
            return JdbcInbox.mariaDb(dataSource);
        }

        @Override
        protected String makeIdsCaseInsensitive() {
            return "ALTER TABLE eventbus_inbox MODIFY event_id varchar(128) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci NOT NULL";
        }

        @Override
        protected String quoted(String name) {
            return '`' + name + '`';
        }

        @Override
        protected String dropSchema(String name) {
            return "DROP SCHEMA IF EXISTS " + quoted(name);
        }

        /** Number or word, as versions differ: MariaDB 12 says ON, which counts as 0 beside OR. */
        @Test
        void a_primary_is_told_from_a_standby_by_whatever_word_the_server_has_for_it() throws SQLException {
            JdbcInbox.createTables(database);
            for (String primary : List.of("0", "'OFF'")) {
                JdbcInbox.mariaDb(saying(primary)).verify();
            }
            for (String standby : List.of("1", "'ON'", "'NO_LOCK'", "'NO_LOCK_NO_ADMIN'")) {
                assertThatThrownBy(() -> JdbcInbox.mariaDb(saying(standby)).verify())
                        .as(standby)
                        .isInstanceOf(StartRefusedException.class)
                        .hasMessageContaining("read-only");
            }
        }

        private static DataSource saying(String readOnly) {
            return Decorator.of(DataSource.class, (method, arguments) -> {
                Object given = method.invoke(database, arguments);
                return given instanceof Connection real ? saying(readOnly, real) : given;
            });
        }

        private static Connection saying(String readOnly, Connection real) {
            return Decorator.of(
                    Connection.class,
                    (method, arguments) -> method.getName().equals("prepareStatement") && arguments.length == 1
                            ? real.prepareStatement(
                                    String.valueOf(arguments[0]).replace("@@global.read_only", readOnly))
                            : method.invoke(real, arguments));
        }

        @Test
        void a_server_that_can_lose_a_commit_is_refused() throws Exception {
            execute("SET GLOBAL innodb_flush_log_at_trx_commit = 2");
            try {
                assertThatThrownBy(() -> inbox().verify())
                        .isInstanceOf(StartRefusedException.class)
                        .hasMessageContaining("innodb_flush_log_at_trx_commit")
                        .hasMessageContaining("P6");
            } finally {
                execute("SET GLOBAL innodb_flush_log_at_trx_commit = 1");
            }
        }
    }

    @Nested
    class Sessions extends SessionContract {

        @Override
        protected DataSource openDatabase() {
            return database;
        }

        @Override
        protected JdbcInbox inboxOn(DataSource dataSource) {
            return JdbcInbox.mariaDb(dataSource);
        }

        @Override
        protected Leftover ofThePool() {
            return new Leftover(
                    "SET SESSION wait_timeout = 777, idle_transaction_timeout = 77",
                    "SELECT @@session.wait_timeout = 777 AND @@session.idle_transaction_timeout = 77");
        }

        @Override
        protected List<Leftover> leftovers() {
            return List.of(
                    new Leftover("SET SESSION wait_timeout = 999", "SELECT @@session.wait_timeout = 999"),
                    new Leftover("SET @tenant = 'alice'", "SELECT @tenant IS NOT NULL"),
                    new Leftover("SELECT @tenant := 'alice'", "SELECT @tenant IS NOT NULL"),
                    new Leftover("SET SESSION TRANSACTION READ ONLY", "SELECT @@session.tx_read_only"),
                    new Leftover(
                            "CREATE TEMPORARY TABLE mine (id integer)",
                            "SELECT EXISTS (SELECT 1 FROM information_schema.TABLES WHERE TABLE_NAME = 'mine')"),
                    new Leftover("SELECT GET_LOCK('mine', 0)", "SELECT IS_USED_LOCK('mine') IS NOT NULL"));
        }
    }

    @Nested
    class HandlerTransactions extends HandlerTransactionContract {

        @Override
        protected DataSource openDatabase() {
            return database;
        }

        @Override
        protected JdbcInbox inboxOn(DataSource dataSource) {
            return JdbcInbox.mariaDb(dataSource);
        }

        @Override
        protected String setLockTimeout() {
            return "SET SESSION innodb_lock_wait_timeout = 7";
        }

        @Override
        protected String showLockTimeout() {
            return "SELECT @@session.innodb_lock_wait_timeout";
        }

        @Override
        protected String hiddenCommit() {
            return "EXECUTE IMMEDIATE 'COMMIT'";
        }

        @Override
        protected Set<String> walledUp() {
            return Set.of("callable statement", "array", "array of a row");
        }

        /** MariaDB commits before DDL. */
        @ParameterizedTest
        @ValueSource(
                strings = {
                    "CREATE TABLE more (id int)",
                    "drop table if exists more",
                    "TRUNCATE TABLE effect",
                    "LOCK TABLES effect WRITE",
                    "RENAME TABLE effect TO effects"
                })
        void ddl_in_a_handler_is_refused_before_it_has_an_effect(String ddl) throws Exception {
            assertThatThrownBy(() -> inbox().run(mark("evt-1"), transaction -> {
                        book("evt-1").run(transaction);
                        statement(transaction, statement -> statement.execute(ddl));
                    }))
                    .isInstanceOf(SQLException.class)
                    .hasMessageContaining("the library ends its transaction");
            assertThat(effects()).isEmpty();
            assertThat(count("eventbus_inbox")).isZero();
        }

        /** InnoDB rolls back all of a transaction that it chooses as a deadlock's victim, and goes on with a new one. */
        @Test
        void a_deadlock_that_the_handler_keeps_to_itself_does_not_commit_an_effect_without_its_mark() throws Exception {
            assertThatThrownBy(() -> inbox().run(mark("evt-1"), transaction -> {
                        book("before").run(transaction);
                        statement(transaction, statement -> {
                            statement.execute("EXECUTE IMMEDIATE 'ROLLBACK'"); // as the victim sees it
                        });
                        book("after").run(transaction);
                    }))
                    .isInstanceOf(SQLTransactionRollbackException.class);
            assertThat(effects()).isEmpty();
            assertThat(count("eventbus_inbox")).isZero();
        }
    }
}
