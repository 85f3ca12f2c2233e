package dev.eventbus.consumer.parking;

import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.UUID;
import org.jspecify.annotations.Nullable;

/**
 * The rows of one group's parked keys and events, by the statements of one database. Each method works in the connection's transaction and
 * neither begins nor ends one.
 */
public final class ParkedRows {

    private final ParkingSql sql;
    private final String group;

    public ParkedRows(ParkingSql sql, String group) {
        this.sql = sql;
        this.group = group;
    }

    /** Parks the event's key, if it is not parked. */
    public void insertKey(
            Connection connection, ParkedEvent first, ParkedKey.State state, String reason, @Nullable Instant nextTry)
            throws SQLException {
        try (PreparedStatement insert = connection.prepareStatement(sql.insertKey())) {
            bind(insert, 1, first.topic(), first.key());
            insert.setString(4, state.name());
            insert.setString(5, reason);
            sql.time(insert, 6, nextTry);
            insert.execute();
        } catch (SQLException e) {
            if (!sql.isDuplicate(e)) {
                throw e;
            }
        }
    }

    /** Locks the event's key so that it stays parked; false if it is not. */
    public boolean lockToAdd(Connection connection, ParkedEvent event) throws SQLException {
        return isThere(connection, sql.lockToAdd(), event.topic(), event.key());
    }

    /** Locks a key against all others; false if it is not parked or somebody has it. */
    public boolean lockToLift(Connection connection, ParkedKey key) throws SQLException {
        return isThere(connection, sql.lockToLift(), key.topic(), key.key());
    }

    private boolean isThere(Connection connection, String lock, String topic, byte[] key) throws SQLException {
        try (PreparedStatement statement = connection.prepareStatement(lock)) {
            bind(statement, 1, topic, key);
            try (ResultSet row = statement.executeQuery()) {
                return row.next();
            }
        }
    }

    /** Locks a key for whoever runs its first event; false if it is not due, not parked or somebody has it. */
    public boolean lockDue(Connection connection, ParkedKey key, Instant now) throws SQLException {
        try (PreparedStatement lock = connection.prepareStatement(sql.lockToDrain())) {
            bind(lock, 1, key.topic(), key.key());
            try (ResultSet row = lock.executeQuery()) {
                if (!row.next() || ParkedKey.State.named(row.getString(1)) == ParkedKey.State.PARKED) {
                    return false;
                }
                Instant due = sql.time(row, 2);
                return due == null || !due.isAfter(now);
            }
        }
    }

    /** A key as it is while it is locked. */
    public record Held(ParkedKey.State state, @Nullable Instant nextTry, int redrives, String reason) {

        /** Whether one of its events has failed for good, and nobody knows whether its letter has arrived. */
        private boolean isLetterDue(ParkedEvent event) {
            return state == ParkedKey.State.WAITING && event.hasFailedForGood() && reason.equals(event.reason());
        }
    }

    /** Locks a key to change its state; null if it is not parked. */
    public @Nullable Held lockToChange(Connection connection, String topic, byte[] key) throws SQLException {
        try (PreparedStatement lock = connection.prepareStatement(sql.lockToChange())) {
            bind(lock, 1, topic, key);
            try (ResultSet row = lock.executeQuery()) {
                return row.next()
                        ? new Held(
                                ParkedKey.State.named(row.getString(1)),
                                sql.time(row, 2),
                                row.getInt(3),
                                row.getString(4))
                        : null;
            }
        }
    }

    /** As {@link #lockToChange}; false if it is not parked, or not any more as it was read, because others have changed it. */
    public boolean lockUnchanged(Connection connection, ParkedKey read) throws SQLException {
        Held now = lockToChange(connection, read.topic(), read.key());
        return now != null
                && now.state() == read.state()
                && Objects.equals(now.nextTry(), read.nextTry())
                && now.redrives() == read.redrives();
    }

    /** Adds an event; false if its key is not parked, and then this transaction can only be rolled back. */
    public boolean insertEvent(Connection connection, ParkedEvent event) throws SQLException {
        try (PreparedStatement insert = connection.prepareStatement(sql.insertEvent())) {
            bind(insert, 1, event.topic(), event.key());
            sql.text(insert, 4, event.eventId());
            insert.setInt(5, event.partition());
            insert.setLong(6, event.offset());
            insert.setBytes(7, event.value());
            insert.setBytes(8, event.headers());
            sql.time(insert, 9, event.recordTime());
            insert.setInt(10, event.attempts());
            insert.setString(11, event.reason());
            insert.setString(12, event.error());
            insert.executeUpdate();
            return true;
        } catch (SQLException e) {
            if (sql.isRefused(e)) {
                return false;
            }
            throw e;
        }
    }

    /** All keys. */
    public List<ParkedKey> keys(Connection connection) throws SQLException {
        try (PreparedStatement select = connection.prepareStatement(sql.keys())) {
            sql.text(select, 1, group);
            return keys(select);
        }
    }

    /** Those whose first event is to be run now. */
    public List<ParkedKey> dueKeys(Connection connection, Instant now) throws SQLException {
        try (PreparedStatement select = connection.prepareStatement(sql.dueKeys())) {
            sql.text(select, 1, group);
            sql.time(select, 2, now);
            return keys(select);
        }
    }

    private List<ParkedKey> keys(PreparedStatement select) throws SQLException {
        List<ParkedKey> keys = new ArrayList<>();
        try (ResultSet row = select.executeQuery()) {
            while (row.next()) {
                int partition = row.getInt(9);
                boolean empty = row.wasNull();
                keys.add(new ParkedKey(
                        sql.text(row, 1),
                        row.getBytes(2),
                        ParkedKey.State.named(row.getString(3)),
                        row.getString(4),
                        sql.time(row, 5),
                        row.getInt(6),
                        Objects.requireNonNull(sql.time(row, 7)),
                        row.getLong(8),
                        empty ? -1 : partition));
            }
        }
        return keys;
    }

    /** An event; null if it is not parked. */
    public @Nullable ParkedEvent event(Connection connection, String eventId) throws SQLException {
        try (PreparedStatement select = connection.prepareStatement(sql.findEvent())) {
            sql.text(select, 1, group);
            sql.text(select, 2, eventId);
            try (ResultSet row = select.executeQuery()) {
                return row.next() ? event(row, sql.text(row, 10), row.getBytes(11)) : null;
            }
        }
    }

    /** The first event of a key; null if it has none. */
    public @Nullable ParkedEvent first(Connection connection, ParkedKey key) throws SQLException {
        try (PreparedStatement select = connection.prepareStatement(sql.firstEvent())) {
            bind(select, 1, key.topic(), key.key());
            try (ResultSet row = select.executeQuery()) {
                return row.next() ? event(row, key.topic(), key.key()) : null;
            }
        }
    }

    private ParkedEvent event(ResultSet row, String topic, byte[] key) throws SQLException {
        return new ParkedEvent(
                topic,
                key,
                sql.text(row, 1),
                row.getInt(2),
                row.getLong(3),
                row.getBytes(4),
                row.getBytes(5),
                Objects.requireNonNull(sql.time(row, 6)),
                row.getInt(7),
                row.getString(8),
                row.getString(9));
    }

    /** An event that waits, and where it was read. */
    public record Place(String eventId, int partition, long offset) {}

    /** The ids of a key's events, in order. */
    public List<String> eventIds(Connection connection, ParkedKey key) throws SQLException {
        return places(connection, key).stream().map(Place::eventId).toList();
    }

    /** A key's events, in order. */
    public List<Place> places(Connection connection, ParkedKey key) throws SQLException {
        return places(connection, key.topic(), key.key());
    }

    private List<Place> places(Connection connection, String topic, byte[] key) throws SQLException {
        List<Place> places = new ArrayList<>();
        try (PreparedStatement select = connection.prepareStatement(sql.eventsOfKey())) {
            bind(select, 1, topic, key);
            try (ResultSet row = select.executeQuery()) {
                while (row.next()) {
                    places.add(new Place(sql.text(row, 1), row.getInt(2), row.getLong(3)));
                }
            }
        }
        return places;
    }

    /** Whether the event's mark was PARKED or DEAD, and is the outcome now. */
    public boolean settle(Connection connection, String eventId, String outcome) throws SQLException {
        try (PreparedStatement update = connection.prepareStatement(sql.settleMark())) {
            update.setString(1, outcome);
            sql.text(update, 2, group);
            sql.text(update, 3, eventId);
            return update.executeUpdate() == 1;
        }
    }

    /** Forgets an event; whether it was there. */
    public boolean deleteEvent(Connection connection, String eventId) throws SQLException {
        try (PreparedStatement delete = connection.prepareStatement(sql.deleteEvent())) {
            sql.text(delete, 1, group);
            sql.text(delete, 2, eventId);
            return delete.executeUpdate() == 1;
        }
    }

    /** Notes in the audit that somebody has given up events of a key. */
    public void noteDiscard(Connection connection, ParkedKey key, long planned, long discarded) throws SQLException {
        try (PreparedStatement insert = connection.prepareStatement(sql.noteDiscard())) {
            insert.setString(1, UUID.randomUUID().toString());
            sql.text(insert, 2, group);
            insert.setString(3, "not said");
            insert.setString(4, "ParkingStore.discard");
            insert.setString(5, "a parked key of topic " + key.topic());
            insert.setLong(6, planned);
            insert.setLong(7, discarded);
            insert.executeUpdate();
        }
    }

    /** Lifts a key; whether it was there. */
    public boolean deleteKey(Connection connection, ParkedKey key) throws SQLException {
        try (PreparedStatement delete = connection.prepareStatement(sql.deleteKey())) {
            bind(delete, 1, key.topic(), key.key());
            return delete.executeUpdate() == 1;
        }
    }

    /** Notes what an event has failed with; whether it was there. */
    public boolean failed(Connection connection, ParkedEvent event) throws SQLException {
        try (PreparedStatement update = connection.prepareStatement(sql.eventFailed())) {
            update.setInt(1, event.attempts());
            update.setString(2, event.reason());
            update.setString(3, event.error());
            sql.text(update, 4, group);
            sql.text(update, 5, event.eventId());
            return update.executeUpdate() == 1;
        }
    }

    /** Changes the key of an event that has failed. */
    public void changeKey(
            Connection connection, ParkedEvent failed, ParkedKey.State state, @Nullable Instant nextTry, int redrives)
            throws SQLException {
        try (PreparedStatement update = connection.prepareStatement(sql.changeKey())) {
            update.setString(1, state.name());
            sql.time(update, 2, nextTry);
            update.setInt(3, redrives);
            update.setString(4, Objects.requireNonNull(failed.reason(), "a failed event's reason"));
            bind(update, 5, failed.topic(), failed.key());
            update.executeUpdate();
        }
    }

    /** As {@link #redrive(Connection, String, byte[], Held)}, of a key that is locked for it; whether it was there. */
    public boolean redrive(Connection connection, String topic, byte[] key) throws SQLException {
        Held held = lockToChange(connection, topic, key);
        if (held != null) {
            redrive(connection, topic, key, held);
        }
        return held != null;
    }

    /**
     * A key's events are to be handled again. One of them whose letter is still to be sent has not failed for good yet: if it fails again,
     * its letter is sent.
     *
     * @param held as {@link #lockToChange} says
     */
    public void redrive(Connection connection, String topic, byte[] key, Held held) throws SQLException {
        if (held.state() == ParkedKey.State.WAITING) {
            letterIsDueNoMore(connection, topic, key, held);
        }
        try (PreparedStatement update = connection.prepareStatement(sql.redriveKey())) {
            bind(update, 1, topic, key);
            update.executeUpdate();
        }
    }

    /** It is the first one that has failed for good: before it stand only some that were put there since. */
    private void letterIsDueNoMore(Connection connection, String topic, byte[] key, Held held) throws SQLException {
        for (Place place : places(connection, topic, key)) {
            ParkedEvent event = event(connection, place.eventId());
            if (event != null && event.reason() != null) {
                if (held.isLetterDue(event)) {
                    failed(connection, event.failed(event.attempts(), ParkedEvent.RETRY_LATER, event.error()));
                }
                return;
            }
        }
    }

    private void bind(PreparedStatement statement, int from, String topic, byte[] key) throws SQLException {
        sql.text(statement, from, group);
        sql.text(statement, from + 1, topic);
        statement.setBytes(from + 2, key);
    }
}
