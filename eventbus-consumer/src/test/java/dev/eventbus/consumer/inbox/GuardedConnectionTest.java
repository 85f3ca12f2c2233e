package dev.eventbus.consumer.inbox;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.util.List;
import java.util.Properties;
import org.junit.jupiter.api.Test;

class GuardedConnectionTest {

    private interface Call {
        void on(Connection connection) throws SQLException;
    }

    @Test
    void what_would_outlive_the_transaction_on_a_pooled_connection_is_refused_with_the_way_out() throws SQLException {
        List<Call> calls = List.of(
                c -> c.setSchema("OTHER"),
                c -> c.setCatalog("other"),
                c -> c.setHoldability(ResultSet.CLOSE_CURSORS_AT_COMMIT),
                c -> c.setClientInfo("ApplicationName", "mine"),
                c -> c.setClientInfo(new Properties()));
        try (Connection real = DriverManager.getConnection("jdbc:h2:mem:")) {
            Connection lent = new GuardedConnection(new GuardedConnection.Lent(
                            real, new H2InboxSql(""), new InboxSql.Insertion.Inserted(""), () -> true))
                    .connection();
            for (Call call : calls) {
                assertThatThrownBy(() -> call.on(lent))
                        .isInstanceOf(SQLException.class)
                        .hasMessageContaining("refused")
                        .hasMessageContaining("SET LOCAL");
            }
            assertThat(real.getSchema()).isEqualTo("PUBLIC");
        }
    }
}
