package dev.eventbus.it.inbox;

import static org.assertj.core.api.Assertions.assertThat;

import com.zaxxer.hikari.HikariConfig;
import com.zaxxer.hikari.HikariDataSource;
import dev.eventbus.consumer.inbox.JdbcInbox;
import dev.eventbus.consumer.inbox.MarkResult;
import dev.eventbus.consumer.inbox.Outcome;
import dev.eventbus.consumer.inbox.PurgeContract;
import dev.eventbus.consumer.inbox.Transactions;
import dev.eventbus.embedded.PostgresServer;
import dev.eventbus.embedded.ServersExtension;
import dev.eventbus.it.Eventually;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.List;
import javax.sql.DataSource;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Nested;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.parallel.Execution;
import org.junit.jupiter.api.parallel.ExecutionMode;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.postgresql.ds.PGSimpleDataSource;

/** The contracts of the inbox on a real PostgreSQL, one after the other on one database, and what only PostgreSQL has. */
@ExtendWith(ServersExtension.class)
@Execution(ExecutionMode.CONCURRENT)
class PostgresInboxIT {

    private static final PGSimpleDataSource DATABASE = new PGSimpleDataSource();

    /** For what takes ten thousand transactions. */
    private static HikariDataSource pool;

    @BeforeAll
    static void createDatabase(PostgresServer postgres) {
        DATABASE.setUrl(postgres.createDatabase(postgres.uniqueName("inbox")));
        DATABASE.setUser(postgres.user());
        DATABASE.setPassword(postgres.password());
        HikariConfig pooled = new HikariConfig();
        pooled.setDataSource(DATABASE);
        pooled.setMinimumIdle(0);
        pooled.setMaximumPoolSize(16);
        pool = new HikariDataSource(pooled);
    }

    @AfterAll
    static void closePool() {
        pool.close();
    }

    @Nested
    @Execution(ExecutionMode.SAME_THREAD)
    class Decisions extends InboxContract {

        @Override
        protected DataSource openDatabase() {
            return DATABASE;
        }

        @Override
        protected JdbcInbox inboxOn(DataSource dataSource) {
            return JdbcInbox.postgres(dataSource);
        }
    }

    @Nested
    @Execution(ExecutionMode.SAME_THREAD)
    class Parking extends ParkingContract {

        @Test
        void an_event_whose_mark_another_transaction_is_just_making_stays_where_it_is() throws Exception {
            anEventWhoseMarkIsJustBeingMadeStaysWhereItIs();
        }

        @Test
        void a_key_that_another_transaction_is_just_parking_is_not_waited_for() throws Exception {
            aKeyThatIsJustBeingParkedIsNotWaitedFor();
        }

        @Override
        protected DataSource openDatabase() {
            return pool;
        }

        @Override
        protected JdbcInbox inboxOn(DataSource dataSource) {
            return JdbcInbox.postgres(dataSource);
        }

        @Override
        protected int races() {
            return 10_000;
        }

        @Override
        protected int keysAtOnce() {
            return 8;
        }
    }

    @Nested
    @Execution(ExecutionMode.SAME_THREAD)
    class Attempts extends AttemptContract {

        @Override
        protected DataSource openDatabase() {
            return DATABASE;
        }

        @Override
        protected JdbcInbox inboxOn(DataSource dataSource) {
            return JdbcInbox.postgres(dataSource);
        }
    }

    @Nested
    @Execution(ExecutionMode.SAME_THREAD)
    class Redrives extends RedriveContract {

        @Override
        protected DataSource openDatabase() {
            return DATABASE;
        }

        @Override
        protected JdbcInbox inboxOn(DataSource dataSource) {
            return JdbcInbox.postgres(dataSource);
        }
    }

    @Nested
    @Execution(ExecutionMode.SAME_THREAD)
    class Batches extends BatchTransactionContract {

        @Override
        protected DataSource openDatabase() {
            return DATABASE;
        }

        @Override
        protected JdbcInbox inboxOn(DataSource dataSource) {
            return JdbcInbox.postgres(dataSource);
        }

        @Override
        protected String hiddenCommit() {
            return "SELECT E'\\''; COMMIT; SELECT E'\\''";
        }
    }

    @Nested
    @Execution(ExecutionMode.SAME_THREAD)
    class VanishingMarks extends VanishingMarkContract {

        @Override
        protected DataSource openDatabase() {
            return DATABASE;
        }

        @Override
        protected JdbcInbox inboxOn(DataSource dataSource) {
            return JdbcInbox.postgres(dataSource);
        }
    }

    @Nested
    @Execution(ExecutionMode.SAME_THREAD)
    class Sessions extends SessionContract {

        @Override
        protected DataSource openDatabase() {
            return DATABASE;
        }

        @Override
        protected JdbcInbox inboxOn(DataSource dataSource) {
            return JdbcInbox.postgres(dataSource);
        }

        @Override
        protected Leftover ofThePool() {
            return new Leftover(
                    "SET work_mem = '7MB'; SET idle_in_transaction_session_timeout = '77s'",
                    "SELECT current_setting('work_mem') = '7MB' AND current_setting('idle_in_transaction_session_timeout') = '77s'");
        }

        @Override
        protected List<Leftover> leftovers() {
            return List.of(
                    new Leftover("SET work_mem = '9MB'", "SELECT current_setting('work_mem') = '9MB'"),
                    new Leftover(
                            "SET LOCAL statement_timeout = '50s'; SET SESSION lock_timeout = '40s'",
                            "SELECT current_setting('lock_timeout') = '40s' OR current_setting('statement_timeout') = '50s'"),
                    new Leftover(
                            "SELECT set_config('app.tenant', 'alice', false)",
                            "SELECT coalesce(current_setting('app.tenant', true), '') <> ''"),
                    new Leftover(
                            "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
                            "SELECT current_setting('default_transaction_read_only') = 'on'"),
                    new Leftover(
                            "SET ROLE pg_monitor; RESET ROLE; SET ROLE pg_read_all_data; SET ROLE NONE",
                            "SELECT current_user LIKE 'pg_%'"),
                    new Leftover("CREATE TEMP TABLE mine (id integer)", "SELECT to_regclass('mine') IS NOT NULL"),
                    new Leftover(
                            "SELECT pg_advisory_lock(4711)",
                            "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND objid = 4711)"),
                    new Leftover("LISTEN news", "SELECT EXISTS (SELECT FROM pg_listening_channels())"),
                    new Leftover(
                            "DECLARE reading CURSOR WITH HOLD FOR SELECT 1",
                            "SELECT EXISTS (SELECT FROM pg_cursors WHERE is_holdable)"),
                    new Leftover(
                            "PREPARE mine AS SELECT 1",
                            "SELECT EXISTS (SELECT FROM pg_prepared_statements WHERE from_sql AND name = 'mine')"));
        }
    }

    @Nested
    @Execution(ExecutionMode.SAME_THREAD)
    class JoinedTransactions extends TransactionsContract {

        @Override
        protected DataSource openDatabase() {
            return DATABASE;
        }

        @Override
        protected JdbcInbox inboxOn(DataSource dataSource) {
            return JdbcInbox.postgres(dataSource);
        }

        @Override
        protected JdbcInbox inboxIn(Transactions transactions) {
            return JdbcInbox.postgres(transactions);
        }
    }

    @Nested
    @Execution(ExecutionMode.SAME_THREAD)
    class Purges extends PurgeContract {

        @Override
        protected DataSource openDatabase() {
            return DATABASE;
        }

        @Override
        protected JdbcInbox inboxOn(DataSource dataSource) {
            return JdbcInbox.postgres(HookedDataSource.over(dataSource, (real, method, arguments, rest) -> {
                if (method.equals("getAutoCommit")) { // as it is once the table is large
                    try (Statement statement = real.createStatement()) {
                        statement.execute(
                                "SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_sort = off");
                    }
                }
                return rest.call();
            }));
        }

        @Test
        void what_must_stay_is_read_once_in_a_pass_and_what_is_young_never() throws Exception {
            marks("kept", 5_000, Outcome.DONE, 100);
            execute("UPDATE eventbus_inbox SET topic = 'other.events'");
            marks("old", 2_500, Outcome.DONE, 20);
            marks("young", 3_000, Outcome.DONE, 1);
            execute("VACUUM ANALYZE eventbus_inbox");
            assertThat(purged(GROUP, "t")).isEqualTo(2_500);
            Eventually.holds(
                    () -> statistic("n_tup_del", "pg_stat_user_tables WHERE relname = 'eventbus_inbox'") == 2_500,
                    () -> "sessions that have ended say it a moment later");
            assertThat(statistic("idx_tup_read", "pg_stat_user_indexes WHERE indexrelname = 'eventbus_inbox_age'"))
                    .as("entries of the index")
                    .isBetween(7_500L, 7_600L);
        }

        private static long statistic(String name, String from) throws SQLException {
            try (Connection connection = DATABASE.getConnection();
                    Statement statement = connection.createStatement();
                    ResultSet row = statement.executeQuery("SELECT " + name + " FROM " + from)) {
                row.next();
                return row.getLong(1);
            }
        }

        @Override
        protected String daysAgo(int days) {
            return "clock_timestamp() - interval '%d days'".formatted(days);
        }

        @Override
        protected String bytes(String text) {
            return "'" + text + "'";
        }

        @Override
        protected boolean idsAreBytes() {
            return false;
        }

        @Override
        protected String hash() {
            return "''";
        }
    }

    @Nested
    @Execution(ExecutionMode.SAME_THREAD)
    class IdleLimits extends IdleLimitContract {

        @Override
        protected DataSource openDatabase() {
            return DATABASE;
        }

        @Override
        protected JdbcInbox inboxOn(DataSource dataSource) {
            return JdbcInbox.postgres(dataSource);
        }
    }

    @Nested
    @Execution(ExecutionMode.SAME_THREAD)
    class Tables extends InboxTablesContract {

        @Override
        protected DataSource openDatabase() throws SQLException {
            try (Connection connection = DATABASE.getConnection();
                    Statement statement = connection.createStatement()) {
                statement.execute("""
                        CREATE COLLATION IF NOT EXISTS without_case
                          (provider = icu, locale = 'und-u-ks-level2', deterministic = false)
                        """);
            }
            return DATABASE;
        }

        @Override
        protected JdbcInbox inboxOn(DataSource dataSource) {
            return JdbcInbox.postgres(dataSource);
        }

        @Override
        protected String makeIdsCaseInsensitive() {
            return "ALTER TABLE eventbus_inbox ALTER COLUMN event_id SET DATA TYPE varchar(128) COLLATE without_case";
        }
    }

    @Nested
    @Execution(ExecutionMode.SAME_THREAD)
    class HandlerTransactions extends HandlerTransactionContract {

        @Override
        protected DataSource openDatabase() {
            return DATABASE;
        }

        @Override
        protected JdbcInbox inboxOn(DataSource dataSource) {
            return JdbcInbox.postgres(dataSource);
        }

        @Override
        protected String setLockTimeout() {
            return "SET lock_timeout = '7s'";
        }

        @Override
        protected String showLockTimeout() {
            return "SHOW lock_timeout";
        }

        @Override
        protected String hiddenCommit() {
            return "SELECT E'\\''; COMMIT; SELECT E'\\''";
        }

        @Test
        void ddl_in_a_handler_belongs_to_its_transaction() throws Exception {
            execute("DROP TABLE IF EXISTS more");
            assertThat(inbox().run(mark("evt-1"), transaction -> {
                        statement(transaction, statement -> statement.execute("CREATE TABLE more (id integer)"));
                        book("evt-1").run(transaction);
                    }))
                    .isEqualTo(new MarkResult.Decided());
            assertThat(count("more")).isZero();
            assertThat(effects()).containsExactly("evt-1");
        }

        /** What the setting is when COMMIT comes decides. */
        @ParameterizedTest
        @ValueSource(strings = {"off", "local", "on", "remote_apply"})
        void the_effect_is_committed_durably_whatever_the_session_and_the_handler_say(String setting) throws Exception {
            List<String> atCommit = new ArrayList<>();
            DataSource watched = HookedDataSource.over(DATABASE, (real, method, arguments, rest) -> {
                if (method.equals("getAutoCommit")) {
                    statement(real, statement -> statement.execute("SET synchronous_commit = " + setting));
                }
                if (method.equals("commit")) {
                    atCommit.add(synchronousCommit(real));
                }
                return rest.call();
            });
            assertThat(inboxOn(watched)
                            .run(
                                    mark("evt-1"),
                                    transaction -> statement(
                                            transaction,
                                            statement ->
                                                    statement.execute("SET LOCAL synchronous_commit = " + setting))))
                    .isEqualTo(new MarkResult.Decided());
            assertThat(atCommit.get(0)).isEqualTo(setting.equals("remote_apply") ? "remote_apply" : "on");
        }

        private static String synchronousCommit(Connection connection) throws SQLException {
            try (Statement statement = connection.createStatement();
                    ResultSet row = statement.executeQuery("SHOW synchronous_commit")) {
                row.next();
                return row.getString(1);
            }
        }
    }
}
