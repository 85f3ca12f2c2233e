package dev.eventbus.consumer.inbox;

import java.sql.Connection;
import java.sql.SQLException;
import java.time.Duration;
import org.jspecify.annotations.Nullable;

/** The statements about {@code eventbus_attempt} of one database. Each works in the connection's transaction. */
interface AttemptSql {

    /** What is noted of an event; null if nothing is. */
    AttemptStore.@Nullable Attempts find(Connection connection, String group, String eventId) throws SQLException;

    /** Notes an event that nothing is noted of. */
    void insert(Connection connection, String group, String eventId, AttemptStore.Attempts attempts)
            throws SQLException;

    /** Replaces what is noted of an event. */
    void update(Connection connection, String group, String eventId, AttemptStore.Attempts attempts)
            throws SQLException;

    /** Forgets an event. */
    void delete(Connection connection, String group, String eventId) throws SQLException;

    /**
     * Forgets events of a group that are neither dying nor parked and were noted longer ago than that by the database's clock, {@value
     * InboxSql#PURGE_BATCH} at most; how many.
     */
    int purge(Connection connection, String group, Duration olderThan) throws SQLException;
}
