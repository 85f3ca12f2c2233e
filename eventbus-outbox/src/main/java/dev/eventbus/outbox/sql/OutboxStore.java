package dev.eventbus.outbox.sql;

import dev.eventbus.EncodedEvent;
import dev.eventbus.outbox.sql.OutboxRow.OrderKey;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.OptionalLong;
import java.util.Set;
import java.util.TreeMap;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;

/** Runs the statements of the event table and of {@code eventbus_meta} on a given connection. Stateless. */
public final class OutboxStore {

    /** Rows that are inserted with one round trip. */
    private static final int INSERT_BATCH = 500;

    private final OutboxSql sql;
    private final String insert; // put together once: it is asked for with each publish

    public OutboxStore(OutboxSql sql) {
        this.sql = sql;
        this.insert = sql.insert();
    }

    public OutboxSql sql() {
        return sql;
    }

    /** Inserts events in this order. Returns false, with nothing written, if the session cannot keep the promise. */
    public boolean insert(Connection connection, List<EncodedEvent> events) throws SQLException {
        try {
            return insertAll(connection, events);
        } catch (SQLException e) {
            if (sql.isUnsafeSession(e)) {
                return false;
            }
            throw e;
        }
    }

    private boolean insertAll(Connection connection, List<EncodedEvent> events) throws SQLException {
        try (PreparedStatement statement = connection.prepareStatement(insert)) {
            if (events.size() == 1) {
                bind(statement, events.get(0));
                return statement.executeUpdate() == 1;
            }
            for (int i = 0; i < events.size(); i++) {
                bind(statement, events.get(i));
                statement.addBatch();
                boolean full = (i + 1) % INSERT_BATCH == 0 || i + 1 == events.size();
                if (full && IntStream.of(statement.executeBatch()).anyMatch(count -> count == 0)) {
                    return false;
                }
            }
            return true;
        }
    }

    /** Binds an event to {@link OutboxSql#insert()}. */
    public static void bind(PreparedStatement insert, EncodedEvent event) throws SQLException {
        insert.setShort(1, (short) Shards.of(event.key()));
        insert.setString(2, event.id());
        insert.setString(3, event.topic());
        insert.setString(4, event.key());
        insert.setString(5, event.type());
        insert.setBytes(6, event.value());
        insert.setString(7, OutboxJson.headers(event.headers()));
        insert.setString(8, event.contentType());
        insert.setString(9, event.traceparent());
        insert.setString(10, event.tracestate());
    }

    /**
     * Locks keys until the transaction ends. Returns false if the database did not give every lock: the transaction holds other
     * keys, it is above {@link OutboxSql#lockingIsolation()}, or the table of locks is not filled.
     */
    public boolean lockKeys(Connection connection, Collection<String> keys) throws SQLException {
        int[] locks = Shards.locksOf(keys, sql.keyLocks());
        int held = 0;
        try (PreparedStatement lock = sql.lockKeys(connection, locks);
                ResultSet row = lock.executeQuery()) {
            while (row.next()) {
                held++;
            }
        }
        return held == locks.length;
    }

    /**
     * What one fetch saw.
     *
     * @param rows in the order of the shards' turns, within a shard by {@code seq}
     * @param seenUpTo as {@link FetchWindow#seenUpTo} has it; without the shards of which rows were left for the next fetch
     * @param nextShard as {@link FetchWindow#next} has it, of all that was read
     * @param isCut whether there are shards of which rows were left
     * @param tooLarge by shard the first row that was larger than {@link FetchWindow#mostRowBytes}, so that rows were left from it on
     * @param snapshotXmin every transaction below it has ended; empty where the database has no such number
     * @param head the last sequence number given out, hence at or above every row that this fetch could see
     */
    public record Fetched(
            List<OutboxRow> rows,
            Map<Integer, Long> seenUpTo,
            int nextShard,
            boolean isCut,
            Map<Integer, Long> tooLarge,
            OptionalLong snapshotXmin,
            OptionalLong head) {

        private Fetched before(Map<OrderKey, Long> missed, Map<Integer, Long> shardsCutAt) {
            Set<Integer> cut = new HashSet<>();
            List<OutboxRow> kept = new ArrayList<>();
            for (OutboxRow row : rows) {
                int shard = row.key().shard();
                if (row.key().seq() < missed.getOrDefault(row.orderKey(), Long.MAX_VALUE)
                        && row.key().seq() < shardsCutAt.getOrDefault(shard, Long.MAX_VALUE)) {
                    kept.add(row);
                } else {
                    cut.add(shard);
                }
            }
            Map<Integer, Long> seen = new HashMap<>(seenUpTo);
            seen.keySet().removeAll(cut);
            return new Fetched(kept, seen, nextShard, isCut || !cut.isEmpty(), tooLarge, snapshotXmin, head);
        }
    }

    /**
     * Reads what is next, in publish order, outside of a transaction. Where a snapshot may have what one transaction wrote and lack what
     * another wrote that had ended before, a second one is asked: it begins when the first is complete, so it lacks nothing that came
     * before the first one's rows. Rows of a key behind one that only the second has are left for the next fetch.
     */
    public Fetched fetch(Connection connection, FetchWindow window) throws SQLException {
        Fetched fetched = read(connection, window);
        if (fetched.rows().isEmpty()) {
            return fetched;
        }
        try (PreparedStatement missed = sql.missed(connection, window, fetched.rows())) {
            return missed == null ? fetched : without(missed, fetched);
        }
    }

    private static Fetched without(PreparedStatement missed, Fetched fetched) throws SQLException {
        Map<OrderKey, Long> first = new HashMap<>();
        Map<Integer, Integer> counts = new HashMap<>();
        Map<Integer, Long> lookedUpTo = new HashMap<>();
        try (ResultSet row = missed.executeQuery()) {
            while (row.next()) {
                int shard = row.getInt(1);
                long seq = row.getLong(2);
                String key = row.getString(4);
                first.putIfAbsent(new OrderKey(row.getString(3), key == null ? "" : key), seq);
                if (counts.merge(shard, 1, Integer::sum) == OutboxSql.MOST_MISSED) {
                    lookedUpTo.put(shard, seq);
                }
            }
        }
        return fetched.before(first, lookedUpTo);
    }

    private Fetched read(Connection connection, FetchWindow window) throws SQLException {
        OptionalLong xmin = OptionalLong.empty();
        OptionalLong head = OptionalLong.empty();
        List<OutboxRow> rows = new ArrayList<>();
        OutboxRow.Reader reader = new OutboxRow.Reader(sql);
        try (PreparedStatement fetch = sql.fetch(connection, window);
                ResultSet result = fetch.executeQuery()) {
            while (result.next()) {
                int shard = result.getInt(3);
                if (result.wasNull()) {
                    xmin = optionalLong(result, 1);
                    head = optionalLong(result, 2);
                } else {
                    rows.add(reader.read(result, shard));
                }
            }
        }
        window.checkOrder(rows);
        Map<Integer, Long> large = window.tooLarge(rows);
        Fetched read = new Fetched(rows, window.seenUpTo(rows), window.next(rows), false, large, xmin, head);
        return large.isEmpty() ? read : read.before(Map.of(), large);
    }

    private static OptionalLong optionalLong(ResultSet result, int column) throws SQLException {
        long value = result.getLong(column);
        return result.wasNull() ? OptionalLong.empty() : OptionalLong.of(value);
    }

    /**
     * What one delete did.
     *
     * @param rows how many rows were still there
     * @param transaction the id of the deleting transaction; 0 where the database has none
     * @param locked that were left, since somebody else has locked them
     */
    public record Deleted(int rows, long transaction, List<OutboxRow> locked) {
        Deleted(int rows, long transaction) {
            this(rows, transaction, List.of());
        }
    }

    /** Deletes rows that were read: where they were then, and by name if one is no longer there, as after {@code VACUUM FULL}. */
    public Deleted delete(Connection connection, List<OutboxRow> rows) throws SQLException {
        if (sql.waitsForLocks()) {
            return deleteUnlocked(connection, rows);
        }
        try (PreparedStatement atPlaces = sql.deleteAtPlaces(connection, rows)) {
            Deleted found = atPlaces == null ? new Deleted(0, 0) : deleted(atPlaces);
            if (found.rows() == rows.size()) {
                return found;
            }
            Deleted named =
                    deleteNamed(connection, rows.stream().map(OutboxRow::key).toList());
            return new Deleted(found.rows() + named.rows(), named.transaction());
        }
    }

    /**
     * As {@link #delete}, but waits for nobody's lock. What stands behind a locked row of its key is left too: if they are sent again, then
     * from that row to the last one of the key, so that the last one stays the last.
     */
    public Deleted deleteUnlocked(Connection connection, List<OutboxRow> rows) throws SQLException {
        Set<RowKey> all = new LinkedHashSet<>();
        rows.forEach(row -> all.add(row.key()));
        connection.setAutoCommit(false);
        Set<RowKey> ours = new LinkedHashSet<>(all);
        try (PreparedStatement lock = sql.lockUnlocked(connection, all)) {
            ours.retainAll(found(lock, all));
        }
        Map<OrderKey, Long> locked = new HashMap<>();
        if (ours.size() < all.size()) {
            try (PreparedStatement find = sql.find(connection, all)) {
                all.retainAll(found(find, all));
            }
            rows.stream()
                    .filter(row -> all.contains(row.key()) && !ours.contains(row.key()))
                    .forEach(row -> locked.merge(row.orderKey(), row.key().seq(), Math::min));
        }
        List<OutboxRow> left = new ArrayList<>(rows);
        left.removeIf(row ->
                !all.contains(row.key()) || row.key().seq() < locked.getOrDefault(row.orderKey(), Long.MAX_VALUE));
        left.forEach(row -> ours.remove(row.key()));
        Deleted deleted = ours.isEmpty() ? new Deleted(0, 0) : deleteNamed(connection, ours);
        connection.commit();
        connection.setAutoCommit(true);
        return new Deleted(deleted.rows(), deleted.transaction(), left);
    }

    private static List<RowKey> found(PreparedStatement query, Collection<RowKey> rows) throws SQLException {
        Set<List<Long>> found = new HashSet<>();
        try (ResultSet result = query.executeQuery()) {
            while (result.next()) {
                found.add(List.of(result.getLong(1), result.getLong(2)));
            }
        }
        return rows.stream()
                .filter(row -> found.contains(List.of((long) row.shard(), row.seq())))
                .toList();
    }

    /** Deletes rows by their names. */
    public Deleted deleteNamed(Connection connection, Collection<RowKey> rows) throws SQLException {
        try (PreparedStatement delete = sql.delete(connection, rows)) {
            return deleted(delete);
        }
    }

    private static Deleted deleted(PreparedStatement delete) throws SQLException {
        if (!delete.execute()) {
            return new Deleted(delete.getUpdateCount(), 0);
        }
        try (ResultSet result = delete.getResultSet()) {
            result.next();
            return new Deleted(result.getInt(1), result.getLong(2));
        }
    }

    /** How many of these rows are there, each under its number and its id. */
    public int count(Connection connection, Collection<RowKey> rows) throws SQLException {
        try (PreparedStatement find = sql.find(connection, rows)) {
            return found(find, rows).size();
        }
    }

    /** The id of a transaction that begins now; 0 where the database has none. */
    public long newTransaction(Connection connection) throws SQLException {
        String statement = sql.newTransaction();
        if (statement == null) {
            return 0;
        }
        try (PreparedStatement query = connection.prepareStatement(statement);
                ResultSet row = query.executeQuery()) {
            row.next();
            return row.getLong(1);
        }
    }

    /** The database's time. */
    public Instant now(Connection connection) throws SQLException {
        try (PreparedStatement query = connection.prepareStatement(sql.now());
                ResultSet row = query.executeQuery()) {
            row.next();
            return Objects.requireNonNull(sql.instant(row, 1));
        }
    }

    /** The value of a name in {@code eventbus_meta}, or null. */
    public @Nullable String meta(Connection connection, String name) throws SQLException {
        try (PreparedStatement query = connection.prepareStatement(sql.admin().meta())) {
            query.setString(1, name);
            try (ResultSet row = query.executeQuery()) {
                return row.next() ? row.getString(1) : null;
            }
        }
    }

    /** Writes a value unless there is one already, and returns the one that stands. */
    public String metaOnce(Connection connection, String name, String value) throws SQLException {
        String standing = meta(connection, name);
        if (standing == null) {
            try (PreparedStatement insert =
                    connection.prepareStatement(sql.admin().insertMeta())) {
                insert.setString(1, name);
                insert.setString(2, value);
                insert.executeUpdate();
            }
            standing = meta(connection, name);
        }
        return standing == null ? value : standing;
    }

    /** All names that begin like this, with their values. */
    public Map<String, String> metas(Connection connection, String prefix) throws SQLException {
        try (PreparedStatement query = connection.prepareStatement(sql.admin().metas())) {
            query.setInt(1, prefix.length());
            query.setString(2, prefix);
            Map<String, String> values = new TreeMap<>();
            try (ResultSet rows = query.executeQuery()) {
                while (rows.next()) {
                    values.put(rows.getString(1), rows.getString(2));
                }
            }
            return values;
        }
    }

    /** Changes a value if it is the expected one. Returns whether it was. */
    public boolean replaceMeta(Connection connection, String name, String expected, String value) throws SQLException {
        try (PreparedStatement replace = connection.prepareStatement(sql.admin().replaceMeta())) {
            replace.setString(1, value);
            replace.setString(2, name);
            replace.setString(3, expected);
            return replace.executeUpdate() == 1;
        }
    }

    /** Deletes all names that begin like this. */
    public void deleteMetas(Connection connection, String prefix) throws SQLException {
        try (PreparedStatement delete = connection.prepareStatement(sql.admin().deleteMetas())) {
            delete.setInt(1, prefix.length());
            delete.setString(2, prefix);
            delete.executeUpdate();
        }
    }
}
