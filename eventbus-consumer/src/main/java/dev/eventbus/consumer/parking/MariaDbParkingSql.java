package dev.eventbus.consumer.parking;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.time.Instant;
import java.time.LocalDateTime;
import java.time.ZoneOffset;
import org.jspecify.annotations.Nullable;

/** MariaDB 10.6 and later. Groups, topics and ids are columns of bytes; a plain INSERT and the duplicate error, never INSERT IGNORE. */
public final class MariaDbParkingSql implements ParkingSql {

    private static final int DUPLICATE_KEY = 1062;
    private static final int LOCK_WAIT_TIMEOUT = 1205;
    private static final int PARENT_IS_REFERENCED = 1451;
    private static final int NO_PARENT = 1452;

    private final String schema;

    /** @param schema quoted and followed by a dot, or empty */
    public MariaDbParkingSql(String schema) {
        this.schema = schema;
    }

    @Override
    public String insertKey() {
        return """
                SET STATEMENT innodb_lock_wait_timeout = 0 FOR
                INSERT INTO %seventbus_parked_key
                  (consumer_group, topic, key_bytes, state, reason, next_try, redrives, since)
                VALUES (?, ?, ?, ?, ?, ?, 0, UTC_TIMESTAMP(6))
                """.formatted(schema);
    }

    @Override
    public String lockToAdd() {
        return """
                SELECT state FROM %seventbus_parked_key
                WHERE consumer_group = ? AND topic = ? AND key_bytes = ?
                LOCK IN SHARE MODE NOWAIT
                """.formatted(schema);
    }

    @Override
    public String lockToDrain() {
        return """
                SELECT state, next_try FROM %seventbus_parked_key
                WHERE consumer_group = ? AND topic = ? AND key_bytes = ?
                FOR UPDATE SKIP LOCKED
                """.formatted(schema);
    }

    @Override
    public String lockToChange() {
        return """
                SELECT state, next_try, redrives, reason FROM %seventbus_parked_key
                WHERE consumer_group = ? AND topic = ? AND key_bytes = ?
                FOR UPDATE WAIT 1
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
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, UTC_TIMESTAMP(6))
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
                SET STATEMENT innodb_lock_wait_timeout = 0 FOR
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
                UPDATE %seventbus_inbox SET outcome = ?, decided_at = UTC_TIMESTAMP(6)
                WHERE consumer_group = ? AND event_id = ? AND outcome IN ('PARKED', 'DEAD')
                """.formatted(schema);
    }

    @Override
    public String noteDiscard() {
        return """
                INSERT INTO %seventbus_redrive
                  (id, consumer_group, requested_by, note, selection, planned, done, failed, discarded, state, at)
                VALUES (?, ?, ?, ?, ?, ?, 0, 0, ?, 'DONE', UTC_TIMESTAMP(6))
                """.formatted(schema);
    }

    @Override
    public String schema() {
        return schema;
    }

    @Override
    public void text(PreparedStatement statement, int parameter, String value) throws SQLException {
        statement.setBytes(parameter, value.getBytes(UTF_8));
    }

    @Override
    public String text(ResultSet row, int column) throws SQLException {
        return new String(row.getBytes(column), UTF_8);
    }

    @Override
    public void time(PreparedStatement statement, int parameter, @Nullable Instant value) throws SQLException {
        statement.setObject(parameter, value == null ? null : LocalDateTime.ofInstant(value, ZoneOffset.UTC));
    }

    @Override
    public @Nullable Instant time(ResultSet row, int column) throws SQLException {
        LocalDateTime utc = row.getObject(column, LocalDateTime.class);
        return utc == null ? null : utc.toInstant(ZoneOffset.UTC);
    }

    @Override
    public boolean isDuplicate(SQLException failure) {
        return failure.getErrorCode() == DUPLICATE_KEY;
    }

    @Override
    public boolean isLocked(SQLException failure) {
        return failure.getErrorCode() == LOCK_WAIT_TIMEOUT;
    }

    @Override
    public boolean isRefused(SQLException failure) {
        return failure.getErrorCode() == PARENT_IS_REFERENCED || failure.getErrorCode() == NO_PARENT;
    }
}
