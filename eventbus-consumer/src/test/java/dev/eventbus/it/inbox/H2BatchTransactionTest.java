package dev.eventbus.it.inbox;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.eventbus.consumer.inbox.HandlerTransactionException;
import dev.eventbus.consumer.inbox.JdbcInbox;
import java.io.IOException;
import java.sql.Connection;
import java.sql.SQLException;
import java.sql.SQLTransactionRollbackException;
import java.sql.Statement;
import java.util.List;
import java.util.UUID;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import javax.sql.DataSource;
import org.h2.jdbcx.JdbcDataSource;
import org.junit.jupiter.api.Test;

class H2BatchTransactionTest extends BatchTransactionContract {

    @Override
    protected DataSource openDatabase() {
        JdbcDataSource h2 = new JdbcDataSource();
        h2.setURL("jdbc:h2:mem:" + UUID.randomUUID() + ";DB_CLOSE_DELAY=-1");
        return h2;
    }

    @Override
    protected JdbcInbox inboxOn(DataSource dataSource) {
        return JdbcInbox.h2(dataSource);
    }

    @Override
    protected String hiddenCommit() {
        return "EXECUTE IMMEDIATE 'COMMIT'";
    }

    @Test
    void after_a_rollback_that_a_handler_keeps_to_itself_a_hidden_commit_keeps_no_effect_without_its_mark()
            throws Exception {
        JdbcInbox inbox = inboxOn(victims());
        assertThatThrownBy(() -> inbox.runAll(List.of(mark("a"), mark("b")), (lender, results) -> {
                    lender.lend(H2BatchTransactionTest::swallowsItsRollback);
                    lender.lend(transaction -> {
                        book("b").run(transaction);
                        execute(transaction, hiddenCommit());
                    });
                }))
                .isInstanceOf(SQLTransactionRollbackException.class)
                .hasMessageContaining("nothing of it is committed");
        assertThat(effects()).isEmpty();
        assertThat(count("eventbus_inbox")).isZero();
    }

    @Test
    void the_handler_itself_can_do_nothing_more_after_such_a_rollback() throws Exception {
        JdbcInbox inbox = inboxOn(victims());
        assertThatThrownBy(() -> inbox.runAll(List.of(mark("a"), mark("b")), (lender, results) -> {
                    lender.lend(transaction -> {
                        swallowsItsRollback(transaction);
                        book("a").run(transaction);
                        execute(transaction, hiddenCommit());
                    });
                    lender.lend(book("b"));
                }))
                .isInstanceOf(SQLTransactionRollbackException.class);
        assertThat(effects()).isEmpty();
        assertThat(count("eventbus_inbox")).isZero();
    }

    @Test
    void whether_a_handler_that_throws_has_committed_is_known_without_another_connection() throws Exception {
        AtomicInteger connections = new AtomicInteger();
        JdbcInbox inbox = inboxOn(HookedDataSource.over(dataSource(), (real, method, arguments, rest) -> {
            if (method.equals("getAutoCommit") && connections.incrementAndGet() > 1) {
                throw new SQLException("no connection left", "08001");
            }
            return rest.call();
        }));
        IOException thrown = new IOException("no ledger");
        assertThatThrownBy(() -> inbox.runAll(List.of(mark("a"), mark("b")), (lender, results) -> {
                    lender.lend(book("a"));
                    lender.lend(transaction -> {
                        throw thrown;
                    });
                }))
                .isSameAs(thrown)
                .hasNoSuppressedExceptions();
    }

    @Test
    void what_a_hidden_commit_has_kept_does_not_pass_for_undone_when_the_marks_cannot_be_read() throws Exception {
        AtomicInteger connections = new AtomicInteger();
        JdbcInbox inbox = inboxOn(HookedDataSource.over(dataSource(), (real, method, arguments, rest) -> {
            if (method.equals("getAutoCommit") && connections.incrementAndGet() > 1) {
                throw new SQLException("no connection left", "08001");
            }
            return rest.call();
        }));
        assertThatThrownBy(() -> inbox.runAll(List.of(mark("a"), mark("b")), (lender, results) -> {
                    lender.lend(transaction -> {
                        book("a").run(transaction);
                        execute(transaction, hiddenCommit());
                    });
                    lender.lend(transaction -> {
                        throw new IOException("no ledger");
                    });
                }))
                .isInstanceOf(HandlerTransactionException.class);
        assertThat(outcome("b")).isEqualTo("DONE");
    }

    @Test
    void what_a_hidden_commit_has_kept_is_told_also_when_the_session_is_gone_afterwards() throws Exception {
        AtomicReference<Connection> first = new AtomicReference<>();
        AtomicBoolean dead = new AtomicBoolean();
        JdbcInbox inbox = inboxOn(HookedDataSource.over(dataSource(), (real, method, arguments, rest) -> {
            first.compareAndSet(null, real);
            if (dead.get() && first.get() == real && !method.equals("abort") && !method.equals("close")) {
                throw new SQLException("connection lost", "08006");
            }
            return rest.call();
        }));
        IOException thrown = new IOException("no ledger");
        assertThatThrownBy(() -> inbox.runAll(List.of(mark("a"), mark("b")), (lender, results) -> {
                    lender.lend(transaction -> {
                        book("a").run(transaction);
                        execute(transaction, hiddenCommit());
                    });
                    dead.set(true);
                    throw thrown;
                }))
                .isInstanceOf(HandlerTransactionException.class)
                .hasSuppressedException(thrown);
        assertThat(outcome("b")).isEqualTo("DONE");
    }

    /** A database that rolls back the transaction of the statement VICTIM, as of a deadlock's victim. */
    private DataSource victims() {
        return HookedDataSource.over(dataSource(), (real, method, arguments, rest) -> {
            if (method.equals("prepareStatement") && "VICTIM".equals(arguments[0])) {
                real.rollback();
                throw new SQLTransactionRollbackException("deadlock", "40001", 40001);
            }
            return rest.call();
        });
    }

    private static void swallowsItsRollback(Connection transaction) throws Exception {
        book("victim").run(transaction);
        try {
            transaction.prepareStatement("VICTIM").close();
        } catch (SQLTransactionRollbackException e) {
            assertThat(e.getMessage()).isEqualTo("deadlock");
        }
    }

    private static void execute(Connection transaction, String sql) throws SQLException {
        try (Statement statement = transaction.createStatement()) {
            statement.execute(sql);
        }
    }
}
