package dev.eventbus.consumer.parking;

/** The statements about the audit of redrives; they read the same on every database. */
public final class RedriveSql {

    private final String schema;

    /** @param schema quoted and followed by a dot, or empty */
    public RedriveSql(String schema) {
        this.schema = schema;
    }

    /** Notes that somebody begins: id, group, by whom, note, selection, planned, state, time. */
    public String begin() {
        return """
                INSERT INTO %seventbus_redrive
                  (id, consumer_group, requested_by, note, selection, planned, done, failed, discarded, state, at)
                VALUES (?, ?, ?, ?, ?, ?, 0, 0, 0, ?, ?)
                """.formatted(schema);
    }

    /** Notes what has come of it: done, failed, discarded, state, id. */
    public String note() {
        return """
                UPDATE %seventbus_redrive SET done = ?, failed = ?, discarded = ?, state = ?
                WHERE id = ?
                """.formatted(schema);
    }

    /** In which topic the event of a mark was met: group, event id. Column {@code topic}. */
    public String topicOfMark() {
        return """
                SELECT topic FROM %seventbus_inbox
                WHERE consumer_group = ? AND event_id = ?
                """.formatted(schema);
    }

    /** At least so often a redrive of the key has been tried: redrives, group, topic, key, redrives. */
    public String raiseRedrives() {
        return """
                UPDATE %seventbus_parked_key SET redrives = ?
                WHERE consumer_group = ? AND topic = ? AND key_bytes = ? AND redrives < ?
                """.formatted(schema);
    }
}
