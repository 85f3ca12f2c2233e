package dev.eventbus.outbox.sql;

import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.SortedSet;
import java.util.TreeSet;
import org.jspecify.annotations.Nullable;

/**
 * Runs the statements of {@code eventbus_relay_member} and {@code eventbus_relay_lease} for one relay. Every time in them is the
 * database's. Each call is a transaction of its own on a connection that commits by itself, except {@link #lock}. Stateless.
 */
public final class LeaseStore {

    private final OutboxSql sql;
    private final String owner;
    private final Duration lease;

    /**
     * @param owner name of this relay, which no other ever has
     * @param lease how long it counts as alive, and as the owner of its shards, after it last said so
     */
    public LeaseStore(OutboxSql sql, String owner, Duration lease) {
        this.sql = sql;
        this.owner = owner;
        this.lease = lease;
    }

    public String owner() {
        return owner;
    }

    /**
     * A shard's lease as it was seen.
     *
     * @param owner who may send the shard; null if nobody may
     * @param epoch raised each time that the shard is taken
     * @param millisLeft for how long the lease still runs; 0 if it does not
     */
    public record Lease(int shard, @Nullable String owner, long epoch, long millisLeft) {}

    /**
     * Renews what this relay owns and nobody has locked, says that it is alive, and forgets relays that are not. In this order: who may not
     * touch the leases must not count, or the shards of its share would be nobody's.
     */
    public void renew(Connection connection) throws SQLException {
        try (PreparedStatement renew = connection.prepareStatement(sql.renewLeases())) {
            renew.setLong(1, lease.toMillis());
            renew.setString(2, owner);
            renew.executeUpdate();
        }
        try (PreparedStatement upsert = connection.prepareStatement(sql.upsertMember())) {
            upsert.setString(1, owner);
            upsert.setLong(2, lease.toMillis());
            upsert.executeUpdate();
        }
        try (PreparedStatement prune = connection.prepareStatement(sql.pruneMembers())) {
            prune.executeUpdate();
        }
    }

    /** Relays that are alive, in an order that is the same everywhere. */
    public SortedSet<String> members(Connection connection) throws SQLException {
        try (PreparedStatement query = connection.prepareStatement(sql.members());
                ResultSet rows = query.executeQuery()) {
            SortedSet<String> owners = new TreeSet<>();
            while (rows.next()) {
                owners.add(rows.getString(1));
            }
            return owners;
        }
    }

    /** Every shard's lease. */
    public List<Lease> leases(Connection connection) throws SQLException {
        try (PreparedStatement query = connection.prepareStatement(sql.leases());
                ResultSet rows = query.executeQuery()) {
            List<Lease> leases = new ArrayList<>();
            while (rows.next()) {
                leases.add(new Lease(rows.getInt(1), rows.getString(2), rows.getLong(3), rows.getLong(4)));
            }
            return leases;
        }
    }

    /** Takes a shard that was seen free, with the epoch after the one seen. False if somebody else was faster, or has locked it. */
    public boolean claim(Connection connection, Lease seen) throws SQLException {
        try (PreparedStatement claim = connection.prepareStatement(sql.claimLease())) {
            claim.setString(1, owner);
            claim.setLong(2, lease.toMillis());
            claim.setInt(3, seen.shard());
            claim.setLong(4, seen.epoch());
            return claim.executeUpdate() == 1;
        }
    }

    /** Gives a shard back. Returns false if it was not ours any more, or somebody has locked it; then its lease runs out. */
    public boolean release(Connection connection, int shard, long epoch) throws SQLException {
        try (PreparedStatement release = connection.prepareStatement(sql.releaseLease())) {
            release.setInt(1, shard);
            release.setString(2, owner);
            release.setLong(3, epoch);
            return release.executeUpdate() == 1;
        }
    }

    /** Leaves: this relay counts no more, and all that it owns is free. */
    public void leave(Connection connection) throws SQLException {
        try (PreparedStatement delete = connection.prepareStatement(sql.deleteMember())) {
            delete.setString(1, owner);
            delete.executeUpdate();
        }
        try (PreparedStatement release = connection.prepareStatement(sql.releaseLeases())) {
            release.setString(1, owner);
            release.executeUpdate();
        }
    }

    /** Locks a shard's lease until the end of the connection's transaction; false if it is not ours any more, or locked. */
    public boolean lock(Connection connection, int shard, long epoch) throws SQLException {
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
