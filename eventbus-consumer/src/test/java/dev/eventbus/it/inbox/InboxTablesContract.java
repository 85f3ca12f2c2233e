package dev.eventbus.it.inbox;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatCode;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.eventbus.StartRefusedException;
import dev.eventbus.consumer.inbox.JdbcInbox;
import dev.eventbus.consumer.inbox.MarkResult;
import dev.eventbus.consumer.inbox.Outcome;
import java.sql.SQLException;
import javax.sql.DataSource;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The tables, and what is refused before anything starts. */
public abstract class InboxTablesContract extends InboxDatabase {

    /** Makes {@code a} and {@code A} one id. */
    protected abstract String makeIdsCaseInsensitive();

    /** A name in quotes. */
    protected String quoted(String name) {
        return '"' + name + '"';
    }

    /** Drops a schema and what is in it. */
    protected String dropSchema(String name) {
        return "DROP SCHEMA IF EXISTS " + quoted(name) + " CASCADE";
    }

    @Test
    void fresh_tables_are_accepted_and_checking_leaves_nothing_behind() throws Exception {
        inbox().verify();
        inbox().verify();
        assertThat(count("eventbus_inbox")).isZero();
    }

    @Test
    void creating_the_tables_again_keeps_what_they_hold() throws Exception {
        inbox().run(mark("evt-1"), book("evt-1"));
        JdbcInbox.createTables(dataSource());
        inbox().createTables();
        assertThat(outcome("evt-1")).isEqualTo("DONE");
    }

    @Test
    void each_missing_table_and_column_is_named_at_once_with_the_script_that_has_it() throws Exception {
        execute("DROP TABLE eventbus_redrive");
        execute("ALTER TABLE eventbus_attempt DROP COLUMN starts");
        assertThatThrownBy(() -> inbox().verify())
                .isInstanceOf(StartRefusedException.class)
                .hasMessageContaining("eventbus_redrive")
                .hasMessageContaining("starts")
                .hasMessageContaining("V1__eventbus_inbox.sql");
    }

    @Test
    void without_its_primary_key_the_inbox_is_refused() throws Exception {
        execute("CREATE TABLE without_key AS SELECT * FROM eventbus_inbox");
        execute("DROP TABLE eventbus_inbox");
        execute("ALTER TABLE without_key RENAME TO eventbus_inbox");
        assertThatThrownBy(() -> inbox().verify())
                .isInstanceOf(StartRefusedException.class)
                .hasMessageContaining("primary key (consumer_group, event_id)")
                .hasMessageContaining("P5");
    }

    @Test
    void an_id_column_that_takes_look_alikes_for_one_is_refused() throws Exception {
        execute(makeIdsCaseInsensitive());
        assertThatThrownBy(() -> inbox().verify())
                .isInstanceOf(StartRefusedException.class)
                .hasMessageContaining("different event ids for one")
                .hasMessageContaining("P6");
    }

    @Test
    void a_database_that_does_not_answer_is_refused_with_its_cause() {
        SQLException cause = new SQLException("no route", "08001");
        DataSource unreachable = HookedDataSource.over(dataSource(), (real, method, arguments, rest) -> {
            if (method.equals("close")) {
                return rest.call();
            }
            throw cause;
        });
        assertThatThrownBy(() -> inboxOn(unreachable).verify())
                .isInstanceOf(StartRefusedException.class)
                .hasMessageContaining("08001")
                .hasCause(cause);
    }

    @Test
    void a_schema_holds_an_inbox_of_its_own() throws Exception {
        execute(dropSchema("Ledger_1"));
        JdbcInbox ledger = inbox().schema("Ledger_1");
        assertThatThrownBy(ledger::verify)
                .isInstanceOf(StartRefusedException.class)
                .hasMessageContaining(quoted("Ledger_1") + ".eventbus_inbox");

        ledger.createTables();
        ledger.verify();
        inbox().decide(mark("evt-1"), Outcome.SKIPPED);
        assertThat(ledger.run(mark("evt-1"), transaction -> {})).isEqualTo(new MarkResult.Decided());
        ledger.decide(mark("evt-2"), Outcome.DYING);
        ledger.dead(mark("evt-2"));
        assertThat(count(quoted("Ledger_1") + ".eventbus_inbox")).isEqualTo(2);
        assertThat(count("eventbus_inbox")).isEqualTo(1);
        execute(dropSchema("Ledger_1"));
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "",
                " ",
                "1ledger",
                "led ger",
                "ledger\"; DROP TABLE eventbus_inbox; --",
                "\"ledger\"",
                "a.b",
                "l\u0435dger",
                "ledger\0",
                "ledger\n"
            })
    void a_schema_name_that_is_no_plain_name_is_refused(String name) {
        assertThatThrownBy(() -> inbox().schema(name))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("schema must be 1 to 63");
        assertThatThrownBy(() -> inbox().schema("x".repeat(64))).isInstanceOf(IllegalArgumentException.class);
        assertThatCode(() -> inbox().schema("x".repeat(63))).doesNotThrowAnyException();
    }
}
