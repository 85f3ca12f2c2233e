package dev.eventbus.benchmarks;

import com.zaxxer.hikari.HikariConfig;
import com.zaxxer.hikari.HikariDataSource;
import dev.eventbus.consumer.inbox.JdbcInbox;
import java.sql.Array;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.List;
import javax.sql.DataSource;

/**
 * What an idempotent handler writes: a row for each event, in the order of their writing and with no uniqueness that would hide an
 * effect that was doubled. Beside it the table by which hand-written handlers tell repeats, the event's id alone.
 */
final class Ledger implements AutoCloseable {

    private static final String INSERT = "INSERT INTO bench_ledger (n, user_id, amount) VALUES (?, ?, ?)";
    private static final String MARK =
            "INSERT INTO bench_inbox (event_id) VALUES (?) ON CONFLICT (event_id) DO NOTHING";
    private static final String MARK_MANY =
            "INSERT INTO bench_inbox (event_id) SELECT unnest(?) ON CONFLICT (event_id) DO NOTHING RETURNING event_id";
    private static final String INSERT_MANY =
            "INSERT INTO bench_ledger (n, user_id, amount) SELECT * FROM unnest(?, ?, ?)";

    private final Servers servers;
    private final HikariDataSource pool;

    private Ledger(Servers servers, HikariDataSource pool) {
        this.servers = servers;
        this.pool = pool;
    }

    /** Creates the tables, and a pool of so many connections. */
    static Ledger create(Servers servers, int connections) throws SQLException {
        servers.execute("""
                CREATE TABLE IF NOT EXISTS bench_ledger (
                  ord bigint GENERATED ALWAYS AS IDENTITY, n bigint NOT NULL, user_id text NOT NULL, amount bigint NOT NULL);
                CREATE TABLE IF NOT EXISTS bench_inbox (event_id text PRIMARY KEY)
                """);
        HikariDataSource pool = pool(
                servers.postgres().jdbcUrl(),
                servers.postgres().user(),
                servers.postgres().password(),
                connections);
        JdbcInbox.postgres(pool).createTables();
        return new Ledger(servers, pool);
    }

    static HikariDataSource pool(String url, String user, String password, int connections) {
        HikariConfig config = new HikariConfig();
        config.setJdbcUrl(url);
        config.setUsername(user);
        config.setPassword(password);
        config.setMaximumPoolSize(connections);
        return new HikariDataSource(config);
    }

    DataSource dataSource() {
        return pool;
    }

    void empty() throws SQLException {
        servers.execute("TRUNCATE bench_ledger, bench_inbox, eventbus_inbox; CHECKPOINT");
    }

    /** The effect of one event, in whoever's transaction. */
    static void book(Connection transaction, long number, String key) throws SQLException {
        try (PreparedStatement insert = transaction.prepareStatement(INSERT)) {
            insert.setLong(1, number);
            insert.setString(2, key);
            insert.setLong(3, amount(number));
            insert.executeUpdate();
        }
    }

    /** The effects of many, by one statement. */
    static void bookAll(Connection transaction, List<Long> numbers, List<String> keys) throws SQLException {
        try (PreparedStatement insert = transaction.prepareStatement(INSERT_MANY)) {
            insert.setArray(1, array(transaction, "int8", numbers));
            insert.setArray(2, array(transaction, "text", keys));
            insert.setArray(
                    3,
                    array(
                            transaction,
                            "int8",
                            numbers.stream().map(Ledger::amount).toList()));
            insert.executeUpdate();
        }
    }

    /** As one writes it by hand for each record: mark, effect, commit. */
    void once(long number, String key) throws SQLException {
        try (Connection transaction = pool.getConnection();
                PreparedStatement mark = transaction.prepareStatement(MARK)) {
            transaction.setAutoCommit(false);
            mark.setString(1, Backlog.idOf(number));
            if (mark.executeUpdate() == 1) {
                book(transaction, number, key);
            }
            transaction.commit();
        }
    }

    /** Marks many by one statement; the ids that were not marked before. */
    static List<String> mark(Connection transaction, List<String> ids) throws SQLException {
        try (PreparedStatement mark = transaction.prepareStatement(MARK_MANY)) {
            mark.setArray(1, array(transaction, "text", ids));
            try (ResultSet rows = mark.executeQuery()) {
                List<String> fresh = new ArrayList<>(ids.size());
                while (rows.next()) {
                    fresh.add(rows.getString(1));
                }
                return fresh;
            }
        }
    }

    private static Array array(Connection transaction, String type, List<?> values) throws SQLException {
        return transaction.createArrayOf(type, values.toArray());
    }

    private static long amount(long number) {
        return number % 1_000;
    }

    /** Events with an effect. */
    long booked() throws SQLException {
        return ask("SELECT count(DISTINCT n) FROM bench_ledger");
    }

    /** Effects that are there more than once. */
    long doubled() throws SQLException {
        return ask("SELECT count(*) - count(DISTINCT n) FROM bench_ledger");
    }

    /** Effects of a key that were written after a later one of it. */
    long violations() throws SQLException {
        return ask("""
                SELECT count(*) FROM (
                  SELECT n, lag(n) OVER (PARTITION BY user_id ORDER BY ord) AS before FROM bench_ledger) AS effects
                WHERE n < before
                """);
    }

    private long ask(String sql) throws SQLException {
        try (Connection connection = servers.connect();
                Statement statement = connection.createStatement();
                ResultSet row = statement.executeQuery(sql)) {
            row.next();
            return row.getLong(1);
        }
    }

    @Override
    public void close() {
        pool.close();
    }
}
