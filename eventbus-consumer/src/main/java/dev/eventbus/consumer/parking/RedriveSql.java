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

    /**
     * How events stand, as one moment has it: group, so many event ids, and all of them again. Columns {@code event_id, outcome}; a row for
     * each that has a mark, and one for each that is parked, with {@code outcome} NULL.
     */
    public String fates(int events) {
        String ids = "?" + ", ?".repeat(events - 1);
        return """
                SELECT event_id, outcome FROM %1$seventbus_inbox
                WHERE consumer_group = ? AND event_id IN (%2$s)
                UNION ALL
                SELECT event_id, NULL FROM %1$seventbus_parked_event
                WHERE consumer_group = ? AND event_id IN (%2$s)
                """.formatted(schema, ids);
    }

    /** At least so often a redrive of the key has been tried: redrives, group, topic, key, redrives. */
    public String raiseRedrives() {
        return """
                UPDATE %seventbus_parked_key SET redrives = ?
                WHERE consumer_group = ? AND topic = ? AND key_bytes = ? AND redrives < ?
                """.formatted(schema);
    }
}
