package dev.eventbus.outbox.sql;

import com.fasterxml.jackson.core.JsonProcessingException;
import dev.eventbus.EncodedEvent;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * Runs the statements of {@code eventbus_blocked_key} on a given connection. Stateless.
 *
 * <p>A row there is a block, and the fetch leaves its key out; or, with the reason {@code UNBLOCKED}, a mark that somebody has let the
 * key's events through up to the one that it names. A mark stops nothing, and goes when that event is gone.
 */
public final class BlockedKeyStore {

    private static final int LONGEST_ERROR = 2000;

    /** Each is a transaction of its own, and the leases must be kept meanwhile. */
    private static final int MOST_LIFTED = 200;

    private final OutboxSql sql;
    private final AdminSql admin;

    public BlockedKeyStore(OutboxSql sql) {
        this.sql = sql;
        this.admin = sql.admin();
    }

    /**
     * A key that waits.
     *
     * @param event row of the event that it waits for
     * @param error what was said about it; empty if nothing was
     * @param sentLater ids of later events of the key that may be in the topic already
     */
    public record Block(
            String topic,
            String key,
            RowKey event,
            String reason,
            String error,
            List<String> sentLater,
            Instant since) {}

    /** Which blocks are wanted; a null allows any. */
    public record Filter(@Nullable String eventId, @Nullable String reason) {}

    /** Blocks the key of a row, if the row is still there. The caller has locked the shard. Returns whether it is blocked now. */
    public boolean block(
            Connection connection, OutboxRow row, String reason, String error, Collection<String> sentLater)
            throws SQLException {
        if (!exists(connection, row.key())) {
            return false;
        }
        try (PreparedStatement insert = connection.prepareStatement(sql.insertBlockedKey())) {
            insert.setString(1, row.event().topic());
            insert.setString(2, row.event().key());
            insert.setInt(3, row.key().shard());
            insert.setLong(4, row.key().seq());
            insert.setString(5, row.key().id());
            insert.setString(6, reason);
            insert.setString(7, error.substring(0, Math.min(error.length(), LONGEST_ERROR)));
            insert.setString(8, OutboxJson.ids(sentLater));
            insert.executeUpdate();
        }
        return true;
    }

    private boolean exists(Connection connection, RowKey row) throws SQLException {
        try (PreparedStatement query = connection.prepareStatement(sql.rowExists())) {
            bind(query, row);
            try (ResultSet found = query.executeQuery()) {
                return found.next();
            }
        }
    }

    private record Gone(String topic, String key, RowKey event, String reason) {}

    /**
     * Lifts the blocks of one owner's shards whose event is gone, on a connection that commits by itself. One statement for all would lock
     * leases and events too, on MariaDB, and in another order than whoever blocks a key or discards its event.
     *
     * @return whether there may be more
     */
    public boolean lift(Connection connection, String owner) throws SQLException {
        List<Gone> gone = gone(connection, owner);
        for (Gone block : gone) {
            try (PreparedStatement delete = connection.prepareStatement(admin.deleteBlockAsRead())) {
                delete.setString(1, block.topic());
                delete.setString(2, block.key());
                delete.setInt(3, block.event().shard());
                delete.setLong(4, block.event().seq());
                delete.setString(5, block.event().id());
                delete.setString(6, block.reason());
                delete.executeUpdate();
            }
        }
        return gone.size() == MOST_LIFTED;
    }

    private List<Gone> gone(Connection connection, String owner) throws SQLException {
        try (PreparedStatement query = connection.prepareStatement(admin.blocksWithoutEvent())) {
            query.setString(1, owner);
            query.setInt(2, MOST_LIFTED);
            try (ResultSet rows = query.executeQuery()) {
                List<Gone> gone = new ArrayList<>();
                while (rows.next()) {
                    RowKey event = new RowKey(rows.getInt(3), rows.getLong(4), rows.getString(5));
                    gone.add(new Gone(rows.getString(1), rows.getString(2), event, rows.getString(6)));
                }
                return gone;
            }
        }
    }

    /** How many keys of a shard are blocked for a reason. */
    public record Count(int shard, String reason, long keys) {}

    public List<Count> counts(Connection connection, String owner) throws SQLException {
        try (PreparedStatement query = connection.prepareStatement(sql.countBlockedKeys())) {
            query.setString(1, owner);
            try (ResultSet rows = query.executeQuery()) {
                List<Count> counts = new ArrayList<>();
                while (rows.next()) {
                    counts.add(new Count(rows.getInt(1), rows.getString(2), rows.getLong(3)));
                }
                return counts;
            }
        }
    }

    /** Whether somebody has unblocked the key of this event since it was published. */
    public boolean isUnblocked(Connection connection, OutboxRow row) throws SQLException {
        try (PreparedStatement query = connection.prepareStatement(sql.unblockedSince())) {
            query.setString(1, row.event().topic());
            query.setString(2, row.event().key());
            query.setLong(3, row.key().seq());
            try (ResultSet mark = query.executeQuery()) {
                return mark.next();
            }
        }
    }

    /** Blocks, the oldest first. */
    public List<Block> find(Connection connection, Filter filter, int most) throws SQLException {
        try (PreparedStatement query = connection.prepareStatement(admin.blockedKeys())) {
            query.setString(1, filter.eventId());
            query.setString(2, filter.reason());
            query.setInt(3, most);
            try (ResultSet rows = query.executeQuery()) {
                List<Block> found = new ArrayList<>();
                while (rows.next()) {
                    found.add(block(rows));
                }
                return found;
            }
        }
    }

    /** The block of a key. */
    public Optional<Block> find(Connection connection, String topic, String key) throws SQLException {
        try (PreparedStatement query = connection.prepareStatement(admin.blockedKey())) {
            query.setString(1, topic);
            query.setString(2, key);
            try (ResultSet row = query.executeQuery()) {
                return row.next() ? Optional.of(block(row)) : Optional.empty();
            }
        }
    }

    private Block block(ResultSet row) throws SQLException {
        String error = row.getString(7);
        return new Block(
                row.getString(1),
                row.getString(2),
                new RowKey(row.getInt(3), row.getLong(4), row.getString(5)),
                row.getString(6),
                error == null ? "" : error,
                OutboxJson.readIds(row.getString(8)),
                Objects.requireNonNull(sql.instant(row, 9)));
    }

    /** Locks a shard against its owner's blocking, until the end of the transaction. */
    public void lock(Connection connection, int shard) throws SQLException {
        try (PreparedStatement lock = connection.prepareStatement(admin.lockShard())) {
            lock.setInt(1, shard);
            try (ResultSet row = lock.executeQuery()) {
                if (!row.next()) {
                    throw new SQLException("eventbus_relay_lease has no row for shard %d".formatted(shard));
                }
            }
        }
    }

    /** The newest event of a key that waits. */
    public Optional<RowKey> newest(Connection connection, Block block) throws SQLException {
        try (PreparedStatement query = connection.prepareStatement(admin.newestOfKey())) {
            query.setInt(1, block.event().shard());
            query.setString(2, block.topic());
            query.setString(3, block.key());
            try (ResultSet row = query.executeQuery()) {
                return row.next()
                        ? Optional.of(new RowKey(block.event().shard(), row.getLong(1), row.getString(2)))
                        : Optional.empty();
            }
        }
    }

    /** Makes a mark of a block, so that the key's events are sent up to this one, however old they are. */
    public void unblock(Connection connection, Block block, RowKey upTo) throws SQLException {
        try (PreparedStatement update = connection.prepareStatement(admin.unblockKey())) {
            update.setLong(1, upTo.seq());
            update.setString(2, upTo.id());
            update.setString(3, block.topic());
            update.setString(4, block.key());
            update.executeUpdate();
        }
    }

    /** Takes a block away. */
    public void delete(Connection connection, Block block) throws SQLException {
        try (PreparedStatement delete = connection.prepareStatement(admin.deleteBlockedKey())) {
            delete.setString(1, block.topic());
            delete.setString(2, block.key());
            delete.executeUpdate();
        }
    }

    /** Takes the event of a block out of the outbox and returns it; empty if it is not there. */
    public Optional<EncodedEvent> take(Connection connection, Block block) throws SQLException {
        Optional<EncodedEvent> event = event(connection, block.event());
        if (event.isPresent()) {
            try (PreparedStatement delete = connection.prepareStatement(admin.deleteEvent())) {
                bind(delete, block.event());
                delete.executeUpdate();
            }
        }
        return event;
    }

    private Optional<EncodedEvent> event(Connection connection, RowKey row) throws SQLException {
        try (PreparedStatement query = connection.prepareStatement(admin.event())) {
            bind(query, row);
            try (ResultSet found = query.executeQuery()) {
                return found.next() ? Optional.of(event(found)) : Optional.empty();
            }
        }
    }

    private static EncodedEvent event(ResultSet row) throws SQLException {
        String key = row.getString(4);
        return new EncodedEvent(
                row.getString(1),
                row.getString(2),
                row.getString(3),
                key == null ? "" : key,
                row.getBytes(5),
                row.getString(6),
                row.getString(7),
                row.getString(8),
                headers(row.getString(9)));
    }

    /** An event may be blocked because its headers cannot be read; it is handed back without them. */
    private static Map<String, String> headers(@Nullable String json) {
        try {
            return OutboxJson.readHeaders(json);
        } catch (JsonProcessingException e) {
            return Map.of();
        }
    }

    private static void bind(PreparedStatement statement, RowKey row) throws SQLException {
        statement.setInt(1, row.shard());
        statement.setLong(2, row.seq());
        statement.setString(3, row.id());
    }
}
