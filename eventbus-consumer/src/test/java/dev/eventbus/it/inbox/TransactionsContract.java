package dev.eventbus.it.inbox;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatCode;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.eventbus.consumer.inbox.JdbcInbox;
import dev.eventbus.consumer.inbox.MarkResult;
import dev.eventbus.consumer.inbox.MarkResult.Decided;
import dev.eventbus.consumer.inbox.MarkResult.HeldElsewhere;
import dev.eventbus.consumer.inbox.MarkResult.Known;
import dev.eventbus.consumer.inbox.Outcome;
import dev.eventbus.consumer.inbox.Transactions;
import dev.eventbus.consumer.parking.ParkedEvent;
import dev.eventbus.consumer.parking.ParkedKey;
import java.io.IOException;
import java.sql.Connection;
import java.sql.SQLException;
import java.time.Instant;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.junit.jupiter.api.Test;

/** The inbox in transactions that somebody else begins and ends. */
public abstract class TransactionsContract extends InboxDatabase {

    protected abstract JdbcInbox inboxIn(Transactions transactions);

    /** What a framework is, in the fewest words. */
    private void inTransaction(Consumer<Connection> work) {
        try (Connection connection = dataSource().getConnection()) {
            connection.setAutoCommit(false);
            try {
                work.accept(connection);
                connection.commit();
            } catch (RuntimeException | Error e) {
                connection.rollback();
                throw e;
            }
        } catch (SQLException e) {
            throw new IllegalStateException("framework", e);
        }
    }

    @Test
    void an_effect_and_its_mark_commit_together_in_the_users_transaction() throws Exception {
        JdbcInbox joined = inboxIn(this::inTransaction);
        assertThat(joined.run(mark("evt-1"), book("evt-1"))).isEqualTo(new Decided());
        assertThat(joined.run(mark("evt-1"), book("again"))).isEqualTo(new Known(Outcome.DONE));
        assertThat(joined.decide(mark("evt-2"), Outcome.DYING)).isEqualTo(new Decided());
        joined.dead(mark("evt-2"));
        assertThat(joined.run(mark("evt-2"), book("evt-2"))).isEqualTo(new Known(Outcome.DEAD));
        assertThat(effects()).containsExactly("evt-1");
        assertThat(outcome("evt-1")).isEqualTo("DONE");
    }

    @Test
    void they_roll_back_together_and_the_exception_comes_out_unchanged() throws Exception {
        JdbcInbox joined = inboxIn(work -> {
            try {
                inTransaction(work);
            } catch (RuntimeException e) {
                throw new IllegalStateException("wrapped by a framework", e);
            }
        });
        for (Throwable thrown :
                new Throwable[] {new IOException("no"), new AssertionError("no"), new SQLException("no")}) {
            assertThatThrownBy(() -> joined.run(mark("evt-1"), transaction -> {
                        book("evt-1").run(transaction);
                        if (thrown instanceof Error error) {
                            throw error;
                        }
                        throw (Exception) thrown;
                    }))
                    .isSameAs(thrown);
        }
        assertThat(effects()).isEmpty();
        assertThat(count("eventbus_inbox")).isZero();
        assertThat(joined.run(mark("evt-1"), book("evt-1"))).isEqualTo(new Decided());
    }

    @Test
    void a_mark_held_elsewhere_rolls_the_users_transaction_back() throws Exception {
        JdbcInbox joined = inboxIn(this::inTransaction);
        CountDownLatch marked = new CountDownLatch(1);
        CountDownLatch release = new CountDownLatch(1);
        Future<MarkResult> owner = others().submit(() -> joined.run(mark("evt-1"), transaction -> {
            marked.countDown();
            await(release);
        }));
        await(marked);
        assertThat(joined.run(mark("evt-1"), book("evt-1"))).isEqualTo(new HeldElsewhere());
        release.countDown();
        assertThat(owner.get(10, TimeUnit.SECONDS)).isEqualTo(new Decided());
        assertThat(effects()).isEmpty();
    }

    @Test
    void a_commit_that_fails_is_an_unknown_outcome_settled_by_running_again() throws Exception {
        RuntimeException unknown = new IllegalStateException("commit", new SQLException("connection lost", "08006"));
        JdbcInbox losing = inboxIn(work -> {
            inTransaction(work);
            throw unknown;
        });
        assertThatThrownBy(() -> losing.run(mark("evt-1"), book("evt-1"))).isSameAs(unknown);
        assertThatThrownBy(() -> losing.decide(mark("evt-2"), Outcome.DYING))
                .isInstanceOf(SQLException.class)
                .satisfies(e -> assertThat(((SQLException) e).getSQLState()).isEqualTo("08006"))
                .hasCause(unknown);
        JdbcInbox joined = inboxIn(this::inTransaction);
        assertThat(joined.run(mark("evt-1"), book("evt-1"))).isEqualTo(new Known(Outcome.DONE));
        assertThat(effects()).containsExactly("evt-1");
    }

    @Test
    void what_the_database_says_of_an_outage_is_told_of_parking_too() {
        JdbcInbox broken = inboxIn(work -> {
            throw new IllegalStateException("framework", new SQLException("connection lost", "08006", 42));
        });
        ParkedEvent event = new ParkedEvent(
                "asset.events",
                new byte[] {1},
                "evt-1",
                0,
                7,
                new byte[] {2},
                new byte[4],
                Instant.EPOCH,
                1,
                "X",
                null);
        for (ThrowingCallable call : new ThrowingCallable[] {
            () -> broken.parking().park(mark("evt-1"), event, ParkedKey.State.PARKED, null),
            () -> broken.parking().follow(mark("evt-1"), event),
            () -> broken.parking().load(GROUP)
        }) {
            assertThatThrownBy(call).isInstanceOfSatisfying(SQLException.class, e -> {
                assertThat(e.getSQLState()).isEqualTo("08006");
                assertThat(e.getErrorCode()).isEqualTo(42);
            });
        }
    }

    @Test
    void a_connection_in_auto_commit_mode_is_refused_before_anything_is_written() throws Exception {
        JdbcInbox joined = inboxIn(work -> {
            try (Connection connection = dataSource().getConnection()) {
                work.accept(connection);
            } catch (SQLException e) {
                throw new IllegalStateException(e);
            }
        });
        assertThatThrownBy(() -> joined.run(mark("evt-1"), book("evt-1")))
                .isInstanceOf(IllegalStateException.class)
                .hasMessageContaining("auto-commit");
        assertThat(count("eventbus_inbox")).isZero();
    }

    @Test
    void transactions_that_keep_the_work_or_its_exception_to_themselves_are_not_believed() throws Exception {
        JdbcInbox idle = inboxIn(work -> {});
        assertThatThrownBy(() -> idle.run(mark("evt-1"), book("evt-1")))
                .isInstanceOf(IllegalStateException.class)
                .hasMessageContaining("without having run the work");
        JdbcInbox mute = inboxIn(work -> {
            try {
                inTransaction(work);
            } catch (IllegalArgumentException e) {
                throw e;
            } catch (RuntimeException e) {
                // rolled back, and nobody is told
            }
        });
        IOException thrown = new IOException("no");
        assertThatThrownBy(() -> mute.run(mark("evt-1"), transaction -> {
                    throw thrown;
                }))
                .isSameAs(thrown);
    }

    @Test
    void the_connection_is_guarded_there_too() throws Exception {
        inboxIn(this::inTransaction).run(mark("evt-1"), transaction -> {
            assertThatThrownBy(transaction::commit).hasMessageContaining("refused");
            transaction.close();
            book("evt-1").run(transaction);
        });
        assertThat(effects()).containsExactly("evt-1");
    }

    @Test
    void tables_are_made_and_checked_through_them_too() throws Exception {
        JdbcInbox joined = inboxIn(this::inTransaction);
        joined.verify();
        execute("DROP TABLE eventbus_redrive");
        assertThatThrownBy(joined::verify).hasMessageContaining("eventbus_redrive");
        for (String table : new String[] {"parked_event", "parked_key", "attempt", "inbox"}) {
            execute("DROP TABLE eventbus_" + table);
        }
        joined.createTables();
        assertThatCode(joined::verify).doesNotThrowAnyException();
    }
}
