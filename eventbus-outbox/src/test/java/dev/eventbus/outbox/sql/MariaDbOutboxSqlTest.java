package dev.eventbus.outbox.sql;

import static org.assertj.core.api.Assertions.assertThat;

import java.lang.reflect.Proxy;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

class MariaDbOutboxSqlTest {

    private final MariaDbOutboxSql sql = new MariaDbOutboxSql(TableNames.defaults());
    private final List<String> texts = new ArrayList<>();
    private int bound;

    @Test
    void a_fetch_has_few_texts_however_many_rows_are_in_flight() throws SQLException {
        for (int rows = 0; rows <= 2_000; rows += rows < 70 ? 1 : 57) {
            bound = 0;
            List<RowKey> inFlight = IntStream.range(0, rows)
                    .mapToObj(i -> new RowKey(1, i + 1, "evt-" + i))
                    .toList();
            List<FetchWindow.Floor> floors = List.of(new FetchWindow.Floor(0, 0), new FetchWindow.Floor(1, 0));
            sql.fetch(connection(), new FetchWindow(floors, inFlight, List.of("a", "b", "c"), 500, 2_000, 1_000));
            assertThat(texts.get(texts.size() - 1).chars().filter(c -> c == '?').count())
                    .as("%d rows", rows)
                    .isEqualTo(bound);
        }
        assertThat(Set.copyOf(texts)).hasSize(12);
    }

    @Test
    void all_tables_of_the_statements_are_written_in_backticks() {
        assertThat(List.of(
                                sql.insert(),
                                sql.claimLease(),
                                sql.renewLeases(),
                                sql.leases(),
                                sql.insertBlockedKey(),
                                sql.admin().blocksWithoutEvent(),
                                sql.admin().deleteBlockAsRead(),
                                sql.admin().meta())
                        .stream()
                        .collect(Collectors.joining()))
                .contains("`eventbus_outbox`")
                .doesNotContain("\"");
    }

    @Test
    void no_lease_that_somebody_has_locked_is_waited_for() {
        assertThat(List.of(
                        sql.renewLeases(), sql.claimLease(), sql.releaseLease(), sql.releaseLeases(), sql.lockLease()))
                .allMatch(statement -> statement.contains("FOR UPDATE SKIP LOCKED"));
    }

    /** What is read in a statement that changes something is locked there. */
    @Test
    void blocks_whose_event_is_gone_are_found_by_one_statement_and_deleted_by_another() {
        assertThat(sql.admin().blocksWithoutEvent().strip())
                .startsWith("SELECT")
                .doesNotContain("FOR UPDATE");
        assertThat(sql.admin().deleteBlockAsRead().strip())
                .startsWith("DELETE")
                .doesNotContain("SELECT")
                .contains("shard = ?", "seq = ?", "event_id = ", "reason = ?");
    }

    private Connection connection() {
        PreparedStatement statement = (PreparedStatement) Proxy.newProxyInstance(
                getClass().getClassLoader(), new Class<?>[] {PreparedStatement.class}, (proxy, method, arguments) -> {
                    bound = Math.max(bound, (int) arguments[0]);
                    return null;
                });
        return (Connection) Proxy.newProxyInstance(
                getClass().getClassLoader(), new Class<?>[] {Connection.class}, (proxy, method, arguments) -> {
                    texts.add((String) arguments[0]);
                    return statement;
                });
    }
}
