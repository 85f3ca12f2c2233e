package dev.eventbus.consumer.inbox;

import static org.assertj.core.api.Assertions.assertThat;

import java.lang.reflect.Proxy;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.time.Duration;
import java.util.Map;
import org.junit.jupiter.api.Test;

/** What the inbox asks a MariaDB whose settings no test can change while it runs. */
class MariaDbInboxSqlTest {

    private static final String FLUSHES = "innodb_flush_log_at_trx_commit IN (1, 3)";
    private static final String ROLLS_BACK = "@@global.innodb_rollback_on_timeout";

    private final InboxSql sql = new MariaDbInboxSql("", new InboxSql.Session(true, Duration.ofSeconds(60)));

    @Test
    void a_server_with_its_default_settings_is_fit() throws SQLException {
        assertThat(sql.unfit(server(Map.of(FLUSHES, true, ROLLS_BACK, false)))).isEmpty();
    }

    @Test
    void a_server_whose_lock_time_outs_undo_whole_transactions_is_unfit() throws SQLException {
        assertThat(sql.unfit(server(Map.of(FLUSHES, true, ROLLS_BACK, true))))
                .singleElement()
                .asString()
                .contains("innodb_rollback_on_timeout is ON", "(P9)", "innodb_rollback_on_timeout=OFF");
    }

    @Test
    void all_that_is_wrong_is_said_at_once() throws SQLException {
        assertThat(sql.unfit(server(Map.of(FLUSHES, false, ROLLS_BACK, true)))).hasSize(2);
    }

    /** Answers queries that have this text with one row of that value. */
    private static Connection server(Map<String, Boolean> answers) {
        return (Connection) fake(Connection.class, (name, arguments) -> {
            boolean answer = answers.entrySet().stream()
                    .filter(entry -> String.valueOf(arguments[0]).contains(entry.getKey()))
                    .findFirst()
                    .orElseThrow()
                    .getValue();
            Object row = fake(ResultSet.class, (call, none) -> call.equals("getBoolean") ? answer : true);
            return fake(PreparedStatement.class, (call, none) -> row);
        });
    }

    private interface Answer {
        Object to(String method, Object[] arguments);
    }

    private static Object fake(Class<?> type, Answer answer) {
        return Proxy.newProxyInstance(
                MariaDbInboxSqlTest.class.getClassLoader(),
                new Class<?>[] {type},
                (proxy, method, arguments) -> method.getName().equals("close")
                        ? null
                        : answer.to(method.getName(), arguments == null ? new Object[0] : arguments));
    }
}
