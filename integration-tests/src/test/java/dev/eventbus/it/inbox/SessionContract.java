package dev.eventbus.it.inbox;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.zaxxer.hikari.HikariConfig;
import com.zaxxer.hikari.HikariDataSource;
import dev.eventbus.consumer.inbox.JdbcInbox;
import dev.eventbus.consumer.inbox.MarkResult.Decided;
import java.io.IOException;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.List;
import org.junit.jupiter.api.Test;

/** What a handler leaves in its session meets nobody: neither the next event nor whoever else uses the pool. */
public abstract class SessionContract extends InboxDatabase {

    /**
     * Something that outlives a transaction.
     *
     * @param leaves what a handler may do
     * @param probe is true if it is still there
     */
    protected record Leftover(String leaves, String probe) {}

    protected abstract List<Leftover> leftovers();

    /** What the pool does with each new connection, and a probe that is true if it is so. */
    protected abstract Leftover ofThePool();

    @Test
    void K_18_what_a_handler_leaves_behind_is_cleared_away_whether_it_commits_or_fails() throws Exception {
        int event = 0;
        for (Leftover leftover : leftovers()) {
            try (HikariDataSource pool = poolOfOne()) {
                JdbcInbox inbox = inboxOn(pool);
                String id = "evt-" + event++;
                assertThat(inbox.run(mark(id), transaction -> {
                            execute(transaction, leftover.leaves());
                            book(id).run(transaction);
                        }))
                        .isEqualTo(new Decided());
                assertClean(pool, leftover);
                assertThatThrownBy(() -> inbox.run(mark("failing"), transaction -> {
                            execute(transaction, leftover.leaves());
                            throw new IOException("no");
                        }))
                        .isInstanceOf(IOException.class);
                assertClean(pool, leftover);
                inbox.run(
                        mark("next-" + id),
                        transaction -> assertThat(isTrue(transaction, leftover.probe()))
                                .as("seen by the next event: " + leftover)
                                .isFalse());
            }
        }
        assertThat(effects()).hasSize(event);
    }

    @Test
    void a_handler_that_leaves_nothing_costs_no_statement_more() throws Exception {
        var statements = new java.util.concurrent.atomic.AtomicInteger();
        JdbcInbox counted = inboxOn(HookedDataSource.over(dataSource(), (real, method, arguments, rest) -> {
            if (method.equals("createStatement") || method.startsWith("prepare")) {
                statements.incrementAndGet();
            }
            return rest.call();
        }));
        counted.run(mark("evt-1"), transaction -> {});
        int alone = statements.getAndSet(0);
        counted.run(mark("evt-2"), book("evt-2"));
        assertThat(statements).hasValue(alone + 1);
    }

    private void assertClean(HikariDataSource pool, Leftover leftover) throws SQLException {
        try (Connection next = pool.getConnection()) {
            assertThat(isTrue(next, leftover.probe()))
                    .as("left behind: " + leftover)
                    .isFalse();
            assertThat(isTrue(next, ofThePool().probe()))
                    .as("what the pool had set")
                    .isTrue();
        }
    }

    private HikariDataSource poolOfOne() {
        HikariConfig config = new HikariConfig();
        config.setDataSource(dataSource());
        config.setMaximumPoolSize(1);
        config.setConnectionInitSql(ofThePool().leaves());
        return new HikariDataSource(config);
    }

    private static void execute(Connection connection, String sql) throws SQLException {
        try (Statement statement = connection.createStatement()) {
            statement.execute(sql);
        }
    }

    private static boolean isTrue(Connection connection, String probe) throws SQLException {
        try (Statement statement = connection.createStatement();
                ResultSet row = statement.executeQuery(probe)) {
            row.next();
            return row.getBoolean(1);
        }
    }
}
