package dev.eventbus.it.inbox;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.eventbus.consumer.inbox.JdbcInbox;
import java.sql.SQLException;
import javax.sql.DataSource;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class H2HandlerTransactionTest extends HandlerTransactionContract {

    @Override
    protected DataSource openDatabase() {
        return H2InboxTest.newDatabase("");
    }

    @Override
    protected JdbcInbox inboxOn(DataSource dataSource) {
        return JdbcInbox.h2(dataSource);
    }

    @Override
    protected String setLockTimeout() {
        return "SET LOCK_TIMEOUT 7000";
    }

    @Override
    protected String showLockTimeout() {
        return "SELECT LOCK_TIMEOUT()";
    }

    @Override
    protected String hiddenCommit() {
        return "EXECUTE IMMEDIATE 'COMMIT'";
    }

    /** H2 commits before DDL. */
    @ParameterizedTest
    @ValueSource(strings = {"CREATE TABLE more (id int)", "drop table if exists more", "TRUNCATE TABLE effect"})
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

    @Test
    void a_failed_statement_alone_leaves_the_transaction_to_the_handler() throws Exception {
        inbox().run(mark("evt-1"), transaction -> {
            statement(
                    transaction,
                    statement -> assertThatThrownBy(() -> statement.execute("SELECT nothing FROM nowhere"))
                            .isInstanceOf(SQLException.class));
            book("evt-1").run(transaction);
        });
        assertThat(effects()).containsExactly("evt-1");
    }

    /** H2 can neither tell what a session has nor be made to end one. */
    @ParameterizedTest
    @ValueSource(strings = {"SET @tenant = 1", "SET LOCK_TIMEOUT 7", "SET SCHEMA INFORMATION_SCHEMA"})
    void K_18_what_would_stay_in_the_session_is_refused(String setting) throws Exception {
        assertThatThrownBy(() -> inbox().run(
                                mark("evt-1"),
                                transaction -> statement(transaction, statement -> statement.execute(setting))))
                .isInstanceOf(SQLException.class)
                .hasMessageContaining("would meet whoever is next");
        assertThat(count("eventbus_inbox")).isZero();
    }
}
