package dev.eventbus.outbox;

import dev.eventbus.outbox.sql.OutboxSql;
import dev.eventbus.outbox.sql.Shards;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.time.Duration;
import java.util.Collections;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.function.LongSupplier;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Which shards this relay may send. A lease runs on the database's clock and is taken by compare-and-set with a new epoch; the
 * local monotonic clock only serves to give it up early. One thread only.
 */
final class ShardLeases {

    private static final Logger LOG = LoggerFactory.getLogger(ShardLeases.class);

    private final OutboxSql sql;
    private final String owner;
    private final Duration lease;
    private final LongSupplier nanoTime;

    /** Owned shards, each with the epoch under which it was taken. */
    private final Map<Integer, Long> epochs = new TreeMap<>();

    /** Local time at which the leases are given up, a fifth of a lease before they run out. */
    private long giveUpAt;

    private long renewAt;
    private boolean standbyTold;

    ShardLeases(OutboxSql sql, String owner, Duration lease, LongSupplier nanoTime) {
        this.sql = sql;
        this.owner = owner;
        this.lease = lease;
        this.nanoTime = nanoTime;
        this.renewAt = nanoTime.getAsLong();
    }

    String owner() {
        return owner;
    }

    Set<Integer> owned() {
        return Collections.unmodifiableSet(epochs.keySet());
    }

    /** Whether rows may be sent now. */
    boolean areValid() {
        return !epochs.isEmpty() && nanoTime.getAsLong() - giveUpAt < 0;
    }

    /** Forgets leases that could not be renewed in time. Returns whether there were any. */
    boolean giveUpIfOverdue() {
        if (epochs.isEmpty() || nanoTime.getAsLong() - giveUpAt < 0) {
            return false;
        }
        epochs.clear();
        checkSoon();
        return true;
    }

    /** Renews and takes leases at the next {@link #tick} whatever the time. */
    void checkSoon() {
        renewAt = nanoTime.getAsLong();
    }

    /** Local time of the next renewal. */
    boolean isDue() {
        return nanoTime.getAsLong() - renewAt >= 0;
    }

    /**
     * What a renewal changed.
     *
     * @param gained shards owned from now on, to be read from their beginning
     * @param lost shards that were owned under another epoch until now
     */
    record Change(Set<Integer> gained, Set<Integer> lost) {

        boolean any() {
            return !gained.isEmpty() || !lost.isEmpty();
        }
    }

    /** Renews own leases and takes those that are free or have run out, if it is time. */
    Change tick(Connection connection) throws SQLException {
        if (!isDue()) {
            return new Change(Set.of(), Set.of());
        }
        long before = nanoTime.getAsLong();
        Map<Integer, Long> now = renew(connection);
        now.putAll(claim(connection));
        Set<Integer> gained = differing(now, epochs);
        Set<Integer> lost = differing(epochs, now);
        epochs.clear();
        epochs.putAll(now);
        giveUpAt = before + lease.toNanos() / 5 * 4;
        renewAt = before + lease.toNanos() * 3 / 10;
        tellStandby(connection);
        return new Change(gained, lost);
    }

    private static Set<Integer> differing(Map<Integer, Long> from, Map<Integer, Long> to) {
        Set<Integer> shards = new HashSet<>();
        from.forEach((shard, epoch) -> {
            if (!epoch.equals(to.get(shard))) {
                shards.add(shard);
            }
        });
        return shards;
    }

    private Map<Integer, Long> renew(Connection connection) throws SQLException {
        try (PreparedStatement renew = connection.prepareStatement(sql.renewLeases())) {
            renew.setLong(1, lease.toMillis());
            renew.setString(2, owner);
            return shards(renew);
        }
    }

    private Map<Integer, Long> claim(Connection connection) throws SQLException {
        try (PreparedStatement claim = connection.prepareStatement(sql.claimLeases())) {
            claim.setString(1, owner);
            claim.setLong(2, lease.toMillis());
            return shards(claim);
        }
    }

    private static Map<Integer, Long> shards(PreparedStatement statement) throws SQLException {
        try (ResultSet rows = statement.executeQuery()) {
            Map<Integer, Long> shards = new TreeMap<>();
            while (rows.next()) {
                shards.put(rows.getInt(1), rows.getLong(2));
            }
            return shards;
        }
    }

    private void tellStandby(Connection connection) throws SQLException {
        boolean standby = epochs.size() < Shards.COUNT;
        if (standby && !standbyTold) {
            try (PreparedStatement query = connection.prepareStatement(sql.leases());
                    ResultSet rows = query.executeQuery()) {
                Map<String, Integer> shardsByOwner = new TreeMap<>();
                while (rows.next()) {
                    shardsByOwner.merge(rows.getString(2), 1, Integer::sum);
                }
                LOG.info(
                        "Relay {} stands by for the shards of others {}; it takes over within {} if one stops.",
                        owner,
                        shardsByOwner,
                        lease);
            }
        }
        standbyTold = standby;
    }

    /** Gives every lease back, so that the next relay need not wait. */
    void release(Connection connection) throws SQLException {
        try (PreparedStatement release = connection.prepareStatement(sql.releaseLeases())) {
            release.setString(1, owner);
            release.executeUpdate();
        }
        epochs.clear();
    }

    /** Locks the lease of a shard until the end of the connection's transaction; false if it is not ours any more. */
    boolean lock(Connection connection, int shard) throws SQLException {
        Long epoch = epochs.get(shard);
        if (epoch == null) {
            return false;
        }
        try (PreparedStatement lock = connection.prepareStatement(sql.lockLease())) {
            lock.setInt(1, shard);
            lock.setString(2, owner);
            lock.setLong(3, epoch);
            try (ResultSet row = lock.executeQuery()) {
                return row.next();
            }
        }
    }
}
