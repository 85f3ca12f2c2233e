package dev.eventbus.consumer.inbox;

import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.time.Duration;
import org.jspecify.annotations.Nullable;

/** PostgreSQL 13 and later. */
final class PostgresAttemptSql implements InboxSql.AttemptSql {

    private final String find;
    private final String insert;
    private final String update;
    private final String delete;
    private final String purge;

    /** @param schema quoted and followed by a dot, or empty */
    PostgresAttemptSql(String schema) {
        this.find = """
                SELECT failures, starts FROM %seventbus_attempt
                WHERE consumer_group = ? AND event_id = ?
                """.formatted(schema);
        this.insert = """
                INSERT INTO %seventbus_attempt (consumer_group, event_id, failures, starts, at)
                VALUES (?, ?, ?, ?, clock_timestamp())
                """.formatted(schema);
        this.update = """
                UPDATE %seventbus_attempt SET failures = ?, starts = ?, at = clock_timestamp()
                WHERE consumer_group = ? AND event_id = ?
                """.formatted(schema);
        this.delete = """
                DELETE FROM %seventbus_attempt
                WHERE consumer_group = ? AND event_id = ?
                """.formatted(schema);
        this.purge = """
                DELETE FROM %1$seventbus_attempt WHERE ctid = ANY (ARRAY(
                  SELECT attempt.ctid FROM %1$seventbus_attempt AS attempt
                  WHERE attempt.consumer_group = ? AND attempt.at <= clock_timestamp() - make_interval(secs => ?)
                    AND NOT EXISTS (SELECT 1 FROM %1$seventbus_inbox AS inbox
                                    WHERE inbox.consumer_group = attempt.consumer_group
                                      AND inbox.event_id = attempt.event_id
                                      AND inbox.outcome IN ('DYING', 'PARKED'))
                  LIMIT %2$d FOR UPDATE SKIP LOCKED))
                """.formatted(schema, InboxSql.PURGE_BATCH);
    }

    @Override
    public AttemptStore.@Nullable Attempts find(Connection connection, String group, String eventId)
            throws SQLException {
        try (PreparedStatement statement = connection.prepareStatement(find)) {
            statement.setString(1, group);
            statement.setString(2, eventId);
            try (ResultSet row = statement.executeQuery()) {
                return row.next() ? new AttemptStore.Attempts(row.getInt(1), row.getInt(2)) : null;
            }
        }
    }

    @Override
    public void insert(Connection connection, String group, String eventId, AttemptStore.Attempts attempts)
            throws SQLException {
        try (PreparedStatement statement = connection.prepareStatement(insert)) {
            statement.setString(1, group);
            statement.setString(2, eventId);
            statement.setInt(3, attempts.failures());
            statement.setInt(4, attempts.starts());
            statement.executeUpdate();
        }
    }

    @Override
    public void update(Connection connection, String group, String eventId, AttemptStore.Attempts attempts)
            throws SQLException {
        try (PreparedStatement statement = connection.prepareStatement(update)) {
            statement.setInt(1, attempts.failures());
            statement.setInt(2, attempts.starts());
            statement.setString(3, group);
            statement.setString(4, eventId);
            statement.executeUpdate();
        }
    }

    @Override
    public void delete(Connection connection, String group, String eventId) throws SQLException {
        try (PreparedStatement statement = connection.prepareStatement(delete)) {
            statement.setString(1, group);
            statement.setString(2, eventId);
            statement.executeUpdate();
        }
    }

    @Override
    public int purge(Connection connection, String group, Duration olderThan) throws SQLException {
        try (PreparedStatement statement = connection.prepareStatement(purge)) {
            statement.setString(1, group);
            statement.setDouble(2, (double) olderThan.toSeconds());
            return statement.executeUpdate();
        }
    }
}
