package dev.eventbus.consumer.inbox;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.time.Duration;
import org.jspecify.annotations.Nullable;

/** H2 2.3 and later, in every compatibility mode. Ids and groups are binary columns. */
final class H2AttemptSql implements InboxSql.AttemptSql {

    private final String find;
    private final String insert;
    private final String update;
    private final String delete;
    private final String purge;

    /** @param schema quoted and followed by a dot, or empty */
    H2AttemptSql(String schema) {
        this.find = """
                SELECT failures, starts FROM %seventbus_attempt
                WHERE consumer_group = ? AND event_id = ?
                """.formatted(schema);
        this.insert = """
                INSERT INTO %seventbus_attempt (consumer_group, event_id, failures, starts, at)
                VALUES (?, ?, ?, ?, CURRENT_TIMESTAMP(6))
                """.formatted(schema);
        this.update = """
                UPDATE %seventbus_attempt SET failures = ?, starts = ?, at = CURRENT_TIMESTAMP(6)
                WHERE consumer_group = ? AND event_id = ?
                """.formatted(schema);
        this.delete = """
                DELETE FROM %seventbus_attempt
                WHERE consumer_group = ? AND event_id = ?
                """.formatted(schema);
        this.purge = """
                DELETE FROM %1$seventbus_attempt
                WHERE consumer_group = ? AND at <= DATEADD(SECOND, -CAST(? AS bigint), CURRENT_TIMESTAMP(6))
                  AND NOT EXISTS (SELECT 1 FROM %1$seventbus_inbox AS inbox
                                  WHERE inbox.consumer_group = eventbus_attempt.consumer_group
                                    AND inbox.event_id = eventbus_attempt.event_id
                                    AND inbox.outcome IN ('DYING', 'PARKED'))
                FETCH FIRST %2$d ROWS ONLY
                """.formatted(schema, InboxSql.PURGE_BATCH);
    }

    @Override
    public AttemptStore.@Nullable Attempts find(Connection connection, String group, String eventId)
            throws SQLException {
        try (PreparedStatement statement = connection.prepareStatement(find)) {
            statement.setBytes(1, group.getBytes(UTF_8));
            statement.setBytes(2, eventId.getBytes(UTF_8));
            try (ResultSet row = statement.executeQuery()) {
                return row.next() ? new AttemptStore.Attempts(row.getInt(1), row.getInt(2)) : null;
            }
        }
    }

    @Override
    public void insert(Connection connection, String group, String eventId, AttemptStore.Attempts attempts)
            throws SQLException {
        try (PreparedStatement statement = connection.prepareStatement(insert)) {
            statement.setBytes(1, group.getBytes(UTF_8));
            statement.setBytes(2, eventId.getBytes(UTF_8));
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
            statement.setBytes(3, group.getBytes(UTF_8));
            statement.setBytes(4, eventId.getBytes(UTF_8));
            statement.executeUpdate();
        }
    }

    @Override
    public void delete(Connection connection, String group, String eventId) throws SQLException {
        try (PreparedStatement statement = connection.prepareStatement(delete)) {
            statement.setBytes(1, group.getBytes(UTF_8));
            statement.setBytes(2, eventId.getBytes(UTF_8));
            statement.executeUpdate();
        }
    }

    @Override
    public int purge(Connection connection, String group, Duration olderThan) throws SQLException {
        try (PreparedStatement statement = connection.prepareStatement(purge)) {
            statement.setBytes(1, group.getBytes(UTF_8));
            statement.setLong(2, olderThan.toSeconds());
            return statement.executeUpdate();
        }
    }
}
