package dev.eventbus.consumer.inbox;

import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import org.jspecify.annotations.Nullable;

/** PostgreSQL 13 and later. */
final class PostgresInboxSql implements InboxSql {

    private static final String LOCK_NOT_AVAILABLE = "55P03";

    private final String schema;
    private final String insert;
    private final String decision;
    private final String dead;

    /** @param schema quoted and followed by a dot, or empty */
    PostgresInboxSql(String schema) {
        this.schema = schema;
        // One round trip. Isolation and lock time-out are the transaction's own, so they need no putting back in the
        // session;
        // the handler gets the lock time-out that the session had. Without the unique index ON CONFLICT is an error.
        this.insert = """
                SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
                SELECT set_config('eventbus.lock_timeout', current_setting('lock_timeout'), true);
                SET LOCAL lock_timeout = %d;
                INSERT INTO %seventbus_inbox
                  (consumer_group, event_id, outcome, payload_hash, topic, partition_no, record_offset, decided_at)
                VALUES (?, ?, ?, ?, ?, ?, ?, clock_timestamp())
                ON CONFLICT (consumer_group, event_id) DO NOTHING;
                SELECT pg_current_xact_id_if_assigned()::text,
                       set_config('lock_timeout', current_setting('eventbus.lock_timeout'), true)
                """.formatted(MARK_LOCK_TIMEOUT_MILLIS, schema);
        this.decision = """
                SELECT outcome, payload_hash FROM %seventbus_inbox
                WHERE consumer_group = ? AND event_id = ?
                """.formatted(schema);
        this.dead = """
                UPDATE %seventbus_inbox SET outcome = 'DEAD', decided_at = clock_timestamp()
                WHERE consumer_group = ? AND event_id = ? AND outcome = 'DYING' AND payload_hash = ?
                """.formatted(schema);
    }

    // What synchronous_commit is when COMMIT comes decides; remote_apply is the one setting that waits for more than
    // 'on'.
    private static final String SEAL = """
            SELECT pg_current_xact_id_if_assigned()::text,
                   set_config('synchronous_commit', CASE current_setting('synchronous_commit')
                     WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END, true)
            """;

    // also on in a standby
    private static final String READ_ONLY = "SELECT current_setting('transaction_read_only') = 'on'";

    @Override
    public String ddl() {
        return "/META-INF/eventbus/inbox/postgresql/V1__eventbus_inbox.sql";
    }

    @Override
    public String schema() {
        return schema;
    }

    @Override
    public boolean ddlCommits() {
        return false;
    }

    @Override
    public Restore isolate(Connection connection) {
        return () -> {}; // the insert does it
    }

    @Override
    public Insertion insert(Connection connection, Mark mark, Outcome outcome) throws SQLException {
        try (PreparedStatement statement = connection.prepareStatement(insert)) {
            statement.setString(1, mark.group());
            statement.setString(2, mark.eventId());
            statement.setString(3, outcome.name());
            statement.setBytes(4, mark.payloadHash());
            statement.setString(5, mark.topic());
            statement.setInt(6, mark.partition());
            statement.setLong(7, mark.offset());
            statement.execute();
            statement.getMoreResults(); // set_config
            statement.getMoreResults(); // SET LOCAL
            statement.getMoreResults(); // INSERT
            if (statement.getUpdateCount() == 0) {
                return new Insertion.Taken();
            }
            statement.getMoreResults();
            try (ResultSet row = statement.getResultSet()) {
                row.next();
                return new Insertion.Inserted(row.getString(1));
            }
        } catch (SQLException e) {
            if (LOCK_NOT_AVAILABLE.equals(e.getSQLState())) {
                return new Insertion.Held();
            }
            throw e;
        }
    }

    @Override
    public @Nullable Decision decision(Connection connection, Mark mark) throws SQLException {
        try (PreparedStatement statement = connection.prepareStatement(decision)) {
            statement.setString(1, mark.group());
            statement.setString(2, mark.eventId());
            try (ResultSet row = statement.executeQuery()) {
                return row.next() ? new Decision(Outcome.valueOf(row.getString(1)), row.getBytes(2)) : null;
            }
        }
    }

    @Override
    public void dead(Connection connection, Mark mark) throws SQLException {
        try (PreparedStatement statement = connection.prepareStatement(dead)) {
            statement.setString(1, mark.group());
            statement.setString(2, mark.eventId());
            statement.setBytes(3, mark.payloadHash());
            statement.executeUpdate();
        }
    }

    @Override
    public @Nullable String seal(Connection connection) throws SQLException {
        try (PreparedStatement statement = connection.prepareStatement(SEAL);
                ResultSet row = statement.executeQuery()) {
            row.next();
            return row.getString(1);
        }
    }

    @Override
    public boolean readOnly(Connection connection) throws SQLException {
        try (PreparedStatement statement = connection.prepareStatement(READ_ONLY);
                ResultSet row = statement.executeQuery()) {
            row.next();
            return row.getBoolean(1);
        }
    }
}
