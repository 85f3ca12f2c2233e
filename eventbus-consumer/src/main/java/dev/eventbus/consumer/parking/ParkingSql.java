package dev.eventbus.consumer.parking;

import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.time.Instant;
import org.jspecify.annotations.Nullable;

/**
 * Every statement about parked keys and events, in the words of one database. A statement can be pasted into a console; what goes in at
 * run time is bound, never written into the text. Groups, topics and ids are bound by {@link #text}, times by {@link #time}; a key is
 * named by three parameters in this order: group, topic, key.
 */
public interface ParkingSql {

    /** Parks a key: the key, state, reason, time of the next try. If it is parked already: no row, or {@link #isDuplicate}; {@link #isLocked} if somebody is just doing so. */
    String insertKey();

    /**
     * Locks a parked key (the key) so that it stays while an event of it is added; {@link #isLocked} if that would take waiting. Adding
     * to it by others goes on where the database can tell.
     */
    String lockToAdd();

    /** Locks a parked key (the key) for whoever runs its first event. Columns {@code state, next_try}; no row if another has it. */
    String lockToDrain();

    /**
     * Locks a parked key (the key) for whoever changes its state; {@link #isLocked} if somebody else has it, after a short wait where
     * those who add to it lock it too. Columns {@code state, next_try, redrives, reason}.
     */
    String lockToChange();

    /** As {@link #lockToDrain}, and nobody adds to it either. */
    String lockToLift();

    /**
     * Adds an event: the key, then event id, partition, offset, value, headers, time of the record, attempts, reason, error. Fails with
     * {@link #isDuplicate} if it is there, with {@link #isRefused} if its key is not.
     */
    String insertEvent();

    /**
     * The first event of a key (the key). Columns {@code event_id, partition_no, record_offset, value_bytes, headers, record_time,
     * attempts, reason, error}.
     */
    String firstEvent();

    /** One event: group, event id. Columns as {@link #firstEvent}, then {@code topic, key_bytes}. */
    String findEvent();

    /** Forgets an event: group, event id. */
    String deleteEvent();

    /** Lifts a key (the key); {@link #isRefused} if it has events. */
    String deleteKey();

    /** An event has failed: attempts, reason, error, group, event id. */
    String eventFailed();

    /** State, time of the next try, redrives, reason, the key. */
    String changeKey();

    /** A key's events are to be handled again: the key. */
    String redriveKey();

    /**
     * All parked keys of a group (group). Columns {@code topic, key_bytes, state, reason, next_try, redrives, since, events,
     * partition_no}; the last one NULL for a key without events.
     */
    String keys();

    /** As {@link #keys}, of those whose first event is to be run: group, now. */
    String dueKeys();

    /** Events of a key: the key. Columns {@code event_id, partition_no, record_offset}, in order. */
    String eventsOfKey();

    /** The mark of a parked or dead event becomes another: outcome, group, event id. */
    String settleMark();

    /** Notes in the audit that events were given up: id, group, by whom, note, selection, planned, discarded. */
    String noteDiscard();

    /** What stands before a table's name: empty, or a quoted schema and a dot. */
    String schema();

    /** Binds a group, a topic or an id. */
    void text(PreparedStatement statement, int parameter, String value) throws SQLException;

    /** The value of such a column. */
    String text(ResultSet row, int column) throws SQLException;

    /** Binds a time. */
    void time(PreparedStatement statement, int parameter, @Nullable Instant value) throws SQLException;

    /** The value of a column that holds a time. */
    @Nullable
    Instant time(ResultSet row, int column) throws SQLException;

    /** Whether a row stands where one was to be inserted. */
    boolean isDuplicate(SQLException failure);

    /** Whether a lock was not to be had at once. */
    boolean isLocked(SQLException failure);

    /** Whether the foreign key has refused something. */
    boolean isRefused(SQLException failure);
}
