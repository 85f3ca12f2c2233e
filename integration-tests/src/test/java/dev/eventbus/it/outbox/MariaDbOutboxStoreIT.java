package dev.eventbus.it.outbox;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.zaxxer.hikari.HikariConfig;
import com.zaxxer.hikari.HikariDataSource;
import dev.eventbus.embedded.EmbeddedMariaDb;
import dev.eventbus.it.MariaDbExtension;
import dev.eventbus.outbox.sql.RelayConnection;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.parallel.Isolated;

@Tag("mariadb")
@ExtendWith(MariaDbExtension.class)
@Isolated("sets the time zone of the process")
class MariaDbOutboxStoreIT extends MariaDbOutboxContract {

    private final EmbeddedMariaDb mariaDb;
    private final String url;

    MariaDbOutboxStoreIT(EmbeddedMariaDb mariaDb) {
        this.mariaDb = mariaDb;
        this.url = mariaDb.createDatabase(mariaDb.uniqueName("store"));
    }

    @Override
    Connection connect() throws SQLException {
        return DriverManager.getConnection(url, mariaDb.user(), mariaDb.password());
    }

    /** Else a frozen relay would keep its successor from the rows for as long as the server keeps a silent session: hours. */
    @Test
    void what_a_relay_has_locked_that_stands_still_is_free_after_a_lease_and_a_pool_gets_its_session_back()
            throws SQLException {
        HikariConfig one = new HikariConfig();
        one.setJdbcUrl(url);
        one.setUsername(mariaDb.user());
        one.setPassword(mariaDb.password());
        one.setMaximumPoolSize(1);
        String limit = "SELECT @@session.idle_transaction_timeout";
        try (HikariDataSource pool = new HikariDataSource(one);
                Connection other = connect();
                Statement lock = other.createStatement()) {
            try (Connection session = pool.getConnection();
                    Statement set = session.createStatement()) {
                set.execute("SET SESSION idle_transaction_timeout = 77");
            }
            RelayConnection passing = new RelayConnection(pool, sql(), Duration.ofSeconds(10));
            assertThat(first(passing.get(), limit)).isEqualTo("10");
            passing.close();
            try (Connection session = pool.getConnection()) {
                assertThat(first(session, limit)).isEqualTo("77");
            }

            Connection frozen = new RelayConnection(pool, sql(), Duration.ofSeconds(1)).get();
            frozen.setAutoCommit(false);
            String leases = "SELECT shard FROM eventbus_relay_lease FOR UPDATE";
            first(frozen, leases);
            assertThatThrownBy(() -> lock.execute(leases + " NOWAIT")).isInstanceOf(SQLException.class);
            lock.execute("SET innodb_lock_wait_timeout = 20");
            lock.execute(leases);
        }
    }

    private static String first(Connection connection, String query) throws SQLException {
        try (Statement statement = connection.createStatement();
                ResultSet row = statement.executeQuery(query)) {
            row.next();
            return row.getString(1);
        }
    }
}
