package dev.eventbus.consumer.parking;

import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Types;
import java.time.Instant;
import java.time.OffsetDateTime;
import java.time.ZoneOffset;
import org.jspecify.annotations.Nullable;

/** PostgreSQL 13 and later. */
public final class PostgresParkingSql implements ParkingSql {

    private final String schema;

    /** @param schema quoted and followed by a dot, or empty */
    public PostgresParkingSql(String schema) {
        this.schema = schema;
    }

    @Override
    public String insertKey() {
        // Whoever is just parking the key is waited for as a mark is; then the session's own limit is back.
        return """
                SELECT set_config('lock_timeout', '250ms', true);
                INSERT INTO %seventbus_parked_key
                  (consumer_group, topic, key_bytes, state, reason, next_try, redrives, since)
                VALUES (?, ?, ?, ?, ?, ?, 0, clock_timestamp())
                ON CONFLICT (consumer_group, topic, key_bytes) DO NOTHING;
                SELECT set_config('lock_timeout', coalesce(current_setting('eventbus.lock_timeout', true), '0'), true)
                """.formatted(schema);
    }

    @Override
    public String lockToAdd() {
        return """
                SELECT state FROM %seventbus_parked_key
                WHERE consumer_group = ? AND topic = ? AND key_bytes = ?
                FOR KEY SHARE NOWAIT
                """.formatted(schema);
    }

    @Override
    public String lockToDrain() {
        return """
                SELECT state, next_try FROM %seventbus_parked_key
                WHERE consumer_group = ? AND topic = ? AND key_bytes = ?
                FOR NO KEY UPDATE SKIP LOCKED
                """.formatted(schema);
    }

    @Override
    public String lockToChange() {
        return """
                SELECT state, next_try, redrives, reason FROM %seventbus_parked_key
                WHERE consumer_group = ? AND topic = ? AND key_bytes = ?
                FOR NO KEY UPDATE NOWAIT
                """.formatted(schema);
    }

    @Override
    public String lockToLift() {
        return """
                SELECT state, next_try FROM %seventbus_parked_key
                WHERE consumer_group = ? AND topic = ? AND key_bytes = ?
                FOR UPDATE SKIP LOCKED
                """.formatted(schema);
    }

    @Override
    public String insertEvent() {
        return """
                INSERT INTO %seventbus_parked_event
                  (consumer_group, topic, key_bytes, event_id, partition_no, record_offset, value_bytes, headers, record_time,
                   attempts, reason, error, parked_at)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, clock_timestamp())
                """.formatted(schema);
    }

    @Override
    public String firstEvent() {
        return """
                SELECT event_id, partition_no, record_offset, value_bytes, headers, record_time, attempts, reason, error
                FROM %seventbus_parked_event
                WHERE consumer_group = ? AND topic = ? AND key_bytes = ?
                ORDER BY ord LIMIT 1
                """.formatted(schema);
    }

    @Override
    public String findEvent() {
        return """
                SELECT event_id, partition_no, record_offset, value_bytes, headers, record_time, attempts, reason, error, topic,
                       key_bytes
                FROM %seventbus_parked_event
                WHERE consumer_group = ? AND event_id = ?
                """.formatted(schema);
    }

    @Override
    public String deleteEvent() {
        return """
                DELETE FROM %seventbus_parked_event
                WHERE consumer_group = ? AND event_id = ?
                """.formatted(schema);
    }

    @Override
    public String deleteKey() {
        return """
                DELETE FROM %seventbus_parked_key
                WHERE consumer_group = ? AND topic = ? AND key_bytes = ?
                """.formatted(schema);
    }

    @Override
    public String eventFailed() {
        return """
                UPDATE %seventbus_parked_event SET attempts = ?, reason = ?, error = ?
                WHERE consumer_group = ? AND event_id = ?
                """.formatted(schema);
    }

    @Override
    public String changeKey() {
        return """
                UPDATE %seventbus_parked_key SET state = ?, next_try = ?, redrives = ?, reason = ?
                WHERE consumer_group = ? AND topic = ? AND key_bytes = ?
                """.formatted(schema);
    }

    @Override
    public String redriveKey() {
        return """
                UPDATE %seventbus_parked_key SET state = 'REDRIVE', next_try = NULL
                WHERE consumer_group = ? AND topic = ? AND key_bytes = ?
                """.formatted(schema);
    }

    @Override
    public String keys() {
        return """
                SELECT parked.topic, parked.key_bytes, parked.state, parked.reason, parked.next_try, parked.redrives, parked.since,
                       (SELECT count(*) FROM %1$seventbus_parked_event event
                        WHERE event.consumer_group = parked.consumer_group AND event.topic = parked.topic
                          AND event.key_bytes = parked.key_bytes) AS events,
                       (SELECT event.partition_no FROM %1$seventbus_parked_event event
                        WHERE event.consumer_group = parked.consumer_group AND event.topic = parked.topic
                          AND event.key_bytes = parked.key_bytes
                        ORDER BY event.ord LIMIT 1) AS partition_no
                FROM %1$seventbus_parked_key parked
                WHERE parked.consumer_group = ?
                """.formatted(schema);
    }

    @Override
    public String dueKeys() {
        return """
                SELECT parked.topic, parked.key_bytes, parked.state, parked.reason, parked.next_try, parked.redrives, parked.since,
                       (SELECT count(*) FROM %1$seventbus_parked_event event
                        WHERE event.consumer_group = parked.consumer_group AND event.topic = parked.topic
                          AND event.key_bytes = parked.key_bytes) AS events,
                       (SELECT event.partition_no FROM %1$seventbus_parked_event event
                        WHERE event.consumer_group = parked.consumer_group AND event.topic = parked.topic
                          AND event.key_bytes = parked.key_bytes
                        ORDER BY event.ord LIMIT 1) AS partition_no
                FROM %1$seventbus_parked_key parked
                WHERE parked.consumer_group = ? AND parked.state IN ('WAITING', 'REDRIVE')
                  AND (parked.next_try IS NULL OR parked.next_try <= ?)
                """.formatted(schema);
    }

    @Override
    public String eventsOfKey() {
        return """
                SELECT event_id, partition_no, record_offset FROM %seventbus_parked_event
                WHERE consumer_group = ? AND topic = ? AND key_bytes = ?
                ORDER BY ord
                """.formatted(schema);
    }

    @Override
    public String settleMark() {
        return """
                UPDATE %seventbus_inbox SET outcome = ?, decided_at = clock_timestamp()
                WHERE consumer_group = ? AND event_id = ? AND outcome IN ('PARKED', 'DEAD')
                """.formatted(schema);
    }

    @Override
    public String noteDiscard() {
        return """
                INSERT INTO %seventbus_redrive
                  (id, consumer_group, requested_by, note, selection, planned, done, failed, discarded, state, at)
                VALUES (?, ?, ?, ?, ?, ?, 0, 0, ?, 'DONE', clock_timestamp())
                """.formatted(schema);
    }

    @Override
    public String schema() {
        return schema;
    }

    @Override
    public void text(PreparedStatement statement, int parameter, String value) throws SQLException {
        statement.setString(parameter, value);
    }

    @Override
    public String text(ResultSet row, int column) throws SQLException {
        return row.getString(column);
    }

    @Override
    public void time(PreparedStatement statement, int parameter, @Nullable Instant value) throws SQLException {
        statement.setObject(
                parameter, value == null ? null : value.atOffset(ZoneOffset.UTC), Types.TIMESTAMP_WITH_TIMEZONE);
    }

    @Override
    public @Nullable Instant time(ResultSet row, int column) throws SQLException {
        OffsetDateTime time = row.getObject(column, OffsetDateTime.class);
        return time == null ? null : time.toInstant();
    }

    @Override
    public boolean isDuplicate(SQLException failure) {
        return "23505".equals(failure.getSQLState());
    }

    @Override
    public boolean isLocked(SQLException failure) {
        return "55P03".equals(failure.getSQLState());
    }

    @Override
    public boolean isRefused(SQLException failure) {
        return "23503".equals(failure.getSQLState());
    }
}
