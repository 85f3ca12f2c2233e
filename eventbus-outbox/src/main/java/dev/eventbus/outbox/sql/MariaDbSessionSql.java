package dev.eventbus.outbox.sql;

import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.util.Map;

/** What a relay sets in a session of MariaDB. MySQL, which has no such limit, passes over what stands in these comments. */
final class MariaDbSessionSql {

    private MariaDbSessionSql() {}

    /** A relay that stands still in a transaction holds what it has locked for no longer than a lease. */
    static Map<String, String> settings(Duration lease) {
        return Map.of("idle_transaction_timeout", String.valueOf(lease.toSeconds()));
    }

    /** Sets it, and returns what it was. */
    static String exchange(Connection session, String setting, String value) throws SQLException {
        try (Statement statement = session.createStatement()) {
            String before;
            try (ResultSet old = statement.executeQuery("SELECT 0 /*M! + @@session.%s */".formatted(setting))) {
                old.next();
                before = old.getString(1);
            }
            statement.execute(
                    "SET @eventbus_set = 1 /*M!, @@session.%s = %d */".formatted(setting, Long.parseLong(value)));
            return before;
        }
    }
}
