package dev.eventbus.outbox;

import dev.eventbus.outbox.sql.OutboxJson;
import dev.eventbus.outbox.sql.OutboxRow;
import dev.eventbus.outbox.sql.OutboxSql;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.util.Collection;
import java.util.HashMap;
import java.util.Map;

/**
 * Keys whose next event the broker refuses for good: they wait in the outbox, others go on. What the fetch leaves out is decided
 * by the table; this class writes to it, fenced by the shard's lease, and remembers which shards have any. One thread only.
 */
final class BlockedKeys {

    private static final int LONGEST_ERROR = 2000;

    private final OutboxSql sql;
    private final ShardLeases leases;

    /** How many there are by shard. Never too few for a shard that is owned: only its owner blocks, anybody may unblock. */
    private final Map<Integer, Long> countByShard = new HashMap<>();

    BlockedKeys(OutboxSql sql, ShardLeases leases) {
        this.sql = sql;
        this.leases = leases;
    }

    boolean anyIn(int shard) {
        return countByShard.containsKey(shard);
    }

    long count() {
        return countByShard.values().stream().mapToLong(Long::longValue).sum();
    }

    /**
     * Blocks the key of a row. In one transaction: the shard's lease is locked and still ours, the row is still there.
     *
     * @param sentLater ids of later events of the key that may be in the topic already
     * @return false, with nothing written, if the lease or the row is gone
     * @throws SQLException after which the connection must be closed, which undoes what was written
     */
    boolean block(Connection connection, OutboxRow row, String reason, String error, Collection<String> sentLater)
            throws SQLException {
        connection.setAutoCommit(false);
        boolean ours = leases.lock(connection, row.key().shard()) && exists(connection, row);
        if (ours) {
            insert(connection, row, reason, error, sentLater);
        }
        connection.commit();
        connection.setAutoCommit(true);
        if (ours) {
            countByShard.merge(row.key().shard(), 1L, Long::sum);
        }
        return ours;
    }

    private boolean exists(Connection connection, OutboxRow row) throws SQLException {
        try (PreparedStatement query = connection.prepareStatement(sql.rowExists())) {
            query.setInt(1, row.key().shard());
            query.setLong(2, row.key().seq());
            query.setString(3, row.key().id());
            try (ResultSet found = query.executeQuery()) {
                return found.next();
            }
        }
    }

    private void insert(Connection connection, OutboxRow row, String reason, String error, Collection<String> sentLater)
            throws SQLException {
        try (PreparedStatement insert = connection.prepareStatement(sql.insertBlockedKey())) {
            insert.setString(1, row.event().topic());
            insert.setString(2, row.event().key());
            insert.setInt(3, row.key().shard());
            insert.setLong(4, row.key().seq());
            insert.setString(5, row.event().id());
            insert.setString(6, reason);
            insert.setString(7, error.substring(0, Math.min(error.length(), LONGEST_ERROR)));
            insert.setString(8, OutboxJson.ids(sentLater));
            insert.executeUpdate();
        }
    }

    /** Lifts blocks whose event is gone, and counts the rest; at each full read. */
    void refresh(Connection connection) throws SQLException {
        try (PreparedStatement lift = connection.prepareStatement(sql.liftBlockedKeys())) {
            lift.setString(1, leases.owner());
            lift.executeUpdate();
        }
        countByShard.clear();
        try (PreparedStatement query = connection.prepareStatement(sql.countBlockedKeys())) {
            query.setString(1, leases.owner());
            try (ResultSet rows = query.executeQuery()) {
                while (rows.next()) {
                    countByShard.put(rows.getInt(1), rows.getLong(2));
                }
            }
        }
    }
}
