package dev.eventbus.it.inbox;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.eventbus.consumer.inbox.HandlerTransactionException;
import dev.eventbus.consumer.inbox.JdbcInbox;
import dev.eventbus.consumer.parking.ParkedKey.State;
import java.io.IOException;
import java.sql.SQLException;
import java.sql.SQLTransactionRollbackException;
import java.sql.Statement;
import java.util.concurrent.atomic.AtomicInteger;
import javax.sql.DataSource;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class H2ParkingTest extends ParkingContract {

    @Test
    void an_event_whose_mark_another_transaction_is_just_making_stays_where_it_is() throws Exception {
        anEventWhoseMarkIsJustBeingMadeStaysWhereItIs();
    }

    @Override
    protected DataSource openDatabase() {
        return H2InboxTest.newDatabase("");
    }

    @Override
    protected JdbcInbox inboxOn(DataSource dataSource) {
        return JdbcInbox.h2(dataSource);
    }

    @Override
    protected int races() {
        return 1_000;
    }

    /** The mark of a parked event was there before its transaction, so that it is there says nothing. */
    @ParameterizedTest
    @ValueSource(booleans = {true, false})
    void a_deadlock_of_a_parked_event_comes_out_as_what_it_is(boolean swallowed) throws Exception {
        park("evt-1", State.REDRIVE);
        assertThatThrownBy(() -> inboxOn(victims()).parking().drain(GROUP, alice(), NOW, (event, transaction) -> {
                    book(event.eventId()).run(transaction);
                    try {
                        transaction.prepareStatement("VICTIM").close();
                    } catch (SQLTransactionRollbackException e) {
                        if (!swallowed) {
                            throw e;
                        }
                    }
                }))
                .isInstanceOf(SQLTransactionRollbackException.class)
                .hasNoSuppressedExceptions();
        assertThat(outcome("evt-1")).isEqualTo("PARKED");
        assertThat(effects()).isEmpty();
    }

    @Test
    void a_hidden_commit_of_a_parked_event_is_still_told() throws Exception {
        park("evt-1", State.REDRIVE);
        IOException thrown = new IOException("no ledger");
        assertThatThrownBy(() -> inbox().parking().drain(GROUP, alice(), NOW, (event, transaction) -> {
                    try (Statement statement = transaction.createStatement()) {
                        statement.execute("EXECUTE IMMEDIATE 'COMMIT'");
                    }
                    throw thrown;
                }))
                .isInstanceOf(HandlerTransactionException.class)
                .hasSuppressedException(thrown);
        assertThat(outcome("evt-1")).isEqualTo("DONE");
    }

    /** Else a process that dies in between leaves a key that nobody lifts, and later events follow it for nothing. */
    @Test
    void a_key_whose_last_event_is_discarded_is_lifted_by_the_same_transaction() throws SQLException {
        park("evt-1", State.PARKED);
        AtomicInteger commits = new AtomicInteger();
        DataSource dies = HookedDataSource.over(dataSource(), (real, method, arguments, rest) -> {
            if (method.equals("commit") && commits.incrementAndGet() > 1) {
                throw new SQLException("connection lost", "08006");
            }
            return rest.call();
        });
        assertThat(inboxOn(dies).parking().discard(GROUP, alice(), id -> true)).isEqualTo(1);
        assertThat(inbox().parking().load(GROUP)).isEmpty();
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
}
