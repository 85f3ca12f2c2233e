package dev.eventbus.outbox.sql;

import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.SortedMap;
import java.util.SortedSet;
import java.util.TreeMap;
import java.util.TreeSet;

/** Runs the statements that say how the outbox does, each bounded in time. Stateless. */
public final class StatsStore {

    /** Rows that are counted of one shard. */
    public static final int MOST_COUNTED = 10_000;

    private static final int LIMIT_SECONDS = 10;

    private final OutboxSql outbox;
    private final AdminSql sql;

    public StatsStore(OutboxSql outbox) {
        this.outbox = outbox;
        this.sql = outbox.admin();
    }

    /**
     * Events that wait.
     *
     * @param byTopic how many, counted up to {@link #MOST_COUNTED} rows of a shard
     * @param exact whether no shard had more
     */
    public record Pending(SortedMap<String, Long> byTopic, boolean exact) {}

    public Pending pending(Connection connection) throws SQLException {
        try (PreparedStatement query = prepare(connection, sql.pending())) {
            long places = sql.pending().chars().filter(c -> c == '?').count();
            for (int place = 1; place <= places; place++) {
                query.setInt(place, MOST_COUNTED + 1);
            }
            SortedMap<String, Long> byTopic = new TreeMap<>();
            long[] byShard = new long[Shards.COUNT];
            try (ResultSet rows = query.executeQuery()) {
                while (rows.next()) {
                    byTopic.merge(rows.getString(2), rows.getLong(3), Long::sum);
                    int shard = rows.getInt(1);
                    byShard[Math.floorMod(shard, byShard.length)] += rows.getLong(3);
                }
            }
            boolean exact = true;
            for (long count : byShard) {
                exact &= count <= MOST_COUNTED;
            }
            return new Pending(byTopic, exact);
        }
    }

    /** How long ago, by the database's clock, the oldest event was published that waits for no person. */
    public Optional<Duration> oldestAge(Connection connection) throws SQLException {
        try (PreparedStatement query = prepare(connection, sql.oldest());
                ResultSet row = query.executeQuery()) {
            row.next();
            Instant oldest = outbox.instant(row, 1);
            Instant now = outbox.instant(row, 2);
            if (oldest == null || now == null) {
                return Optional.empty();
            }
            return Optional.of(now.isBefore(oldest) ? Duration.ZERO : Duration.between(oldest, now));
        }
    }

    /**
     * Who may send the events of a shard.
     *
     * @param owner empty if nobody has its lease
     * @param leaseUntil until when, unless it is renewed
     */
    public record Shard(int number, Optional<String> owner, Optional<Instant> leaseUntil) {}

    public List<Shard> shards(Connection connection) throws SQLException {
        try (PreparedStatement query = prepare(connection, sql.shards());
                ResultSet rows = query.executeQuery()) {
            List<Shard> shards = new ArrayList<>();
            while (rows.next()) {
                boolean owned = rows.getBoolean(4);
                shards.add(
                        owned
                                ? new Shard(
                                        rows.getInt(1),
                                        Optional.ofNullable(rows.getString(2)),
                                        Optional.ofNullable(outbox.instant(rows, 3)))
                                : new Shard(rows.getInt(1), Optional.empty(), Optional.empty()));
            }
            return shards;
        }
    }

    public SortedSet<String> relays(Connection connection) throws SQLException {
        try (PreparedStatement query = prepare(connection, sql.relays());
                ResultSet rows = query.executeQuery()) {
            SortedSet<String> relays = new TreeSet<>();
            while (rows.next()) {
                relays.add(rows.getString(1));
            }
            return relays;
        }
    }

    public long blockedKeys(Connection connection) throws SQLException {
        try (PreparedStatement query = prepare(connection, sql.countBlockedKeys());
                ResultSet row = query.executeQuery()) {
            row.next();
            return row.getLong(1);
        }
    }

    private static PreparedStatement prepare(Connection connection, String text) throws SQLException {
        PreparedStatement query = connection.prepareStatement(text);
        query.setQueryTimeout(LIMIT_SECONDS);
        return query;
    }
}
