package dev.eventbus.outbox;

import dev.eventbus.outbox.sql.FetchWindow;
import dev.eventbus.outbox.sql.OutboxRow;
import dev.eventbus.outbox.sql.OutboxRow.OrderKey;
import dev.eventbus.outbox.sql.OutboxStore;
import dev.eventbus.outbox.sql.RowKey;
import java.sql.Connection;
import java.sql.SQLException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The database's end of the relay: takes out what Kafka has, keeps the leases, and feeds the sender with what is next, in order.
 * No transaction is open while anything waits for Kafka. One thread only.
 */
final class OutboxFeed {

    private static final Logger LOG = LoggerFactory.getLogger(OutboxFeed.class);

    static final int ROWS_PER_SHARD = 500;
    private static final long FULL_READ_EVERY = Duration.ofSeconds(30).toNanos();

    private final OutboxStore store;
    private final ShardLeases leases;
    private final EventSender sender;
    private final InFlight inFlight;
    private final RelayEvents events;

    private final FloorTracker floors = new FloorTracker();
    private final TopicPartitions partitions;
    private final TopicBreakers breakers;
    private final BlockedKeys blockedKeys;

    private long fullReadAt = System.nanoTime();
    private int turn;

    /** Whether the DELETE of what is acknowledged may have been committed without our knowing. */
    private boolean deleteUnclear;

    /** The parts of one relay that work on the same rows. */
    record Parts(
            ShardLeases leases,
            EventSender sender,
            InFlight inFlight,
            TopicBreakers breakers,
            TopicPartitions partitions) {}

    OutboxFeed(OutboxStore store, Parts parts, RelayEvents events) {
        this.store = store;
        this.leases = parts.leases();
        this.sender = parts.sender();
        this.inFlight = parts.inFlight();
        this.breakers = parts.breakers();
        this.partitions = parts.partitions();
        this.blockedKeys = new BlockedKeys(store.sql(), leases);
        this.events = events;
    }

    BlockedKeys blockedKeys() {
        return blockedKeys;
    }

    /** Nothing that the last connection said counts any more, and its last DELETE may or may not have committed. */
    void connectionLost() {
        floors.reset();
        deleteUnclear = true;
        fullReadAt = System.nanoTime();
        leases.checkSoon();
    }

    /** Deletes what Kafka has acknowledged. Returns how many rows that were. */
    int delete(Connection connection) throws SQLException {
        List<RowKey> keys =
                inFlight.awaitingDelete().stream().map(OutboxRow::key).toList();
        if (keys.isEmpty()) {
            deleteUnclear = false;
            return 0;
        }
        OutboxStore.Deleted deleted = store.delete(connection, keys);
        inFlight.deleted();
        floors.deleted(deleted.transaction());
        if (deleted.rows() < keys.size() && !deleteUnclear) {
            leases.checkSoon();
            LOG.warn(
                    "{} of {} acknowledged rows had been deleted by somebody else; another relay may have sent them too. The leases are checked.",
                    keys.size() - deleted.rows(),
                    keys.size());
            events.deletedByOthers(keys.size() - deleted.rows());
        }
        deleteUnclear = false;
        events.relayed(keys.size());
        return keys.size();
    }

    /** Renews and takes leases if it is time. */
    void keepLeases(Connection connection) throws SQLException {
        ShardLeases.Change change = leases.tick(connection);
        if (!change.any()) {
            return;
        }
        if (leases.owned().isEmpty()) {
            sender.standBy();
        } else if (!change.lost().isEmpty()) {
            sender.abandon();
        }
        change.gained().forEach(floors::forget);
        fullReadAt = System.nanoTime();
        LOG.info("Relay {} owns shards {}", leases.owner(), leases.owned());
        events.shardsChanged(leases.owned());
    }

    /** Blocks the keys of events that are refused for good. */
    void block(Connection connection) throws SQLException {
        List<EventSender.Refused> refused = sender.takeRefused();
        for (int i = 0; i < refused.size(); i++) {
            EventSender.Refused next = refused.get(i);
            try {
                block(connection, next);
            } catch (SQLException e) {
                sender.stillRefused(refused.subList(i, refused.size()));
                throw e;
            }
        }
    }

    private void block(Connection connection, EventSender.Refused refused) throws SQLException {
        OutboxRow row = refused.row();
        if (!blockedKeys.block(connection, row, refused.reason(), refused.error(), refused.sentLater())) {
            leases.checkSoon();
            return;
        }
        LOG.warn(
                "Event {} of topic {} is refused for good ({}, {}): its key is blocked, its events wait in the outbox, other keys go on. See eventbus_blocked_key.",
                row.event(),
                row.event().topic(),
                refused.reason(),
                refused.error());
        events.keyBlocked(row, refused.reason());
    }

    /**
     * What a look found.
     *
     * @param moved whether there were rows, or a sequence number was given out since the last look
     * @param more whether rows may be left that there was no room for
     */
    record Look(boolean moved, boolean more) {}

    /** Reads the next rows of all owned shards in one statement and gives them to the sender. */
    Look fetch(Connection connection) throws SQLException {
        Set<String> leftOut = new HashSet<>(inFlight.stuck());
        if (inFlight.roomBeside(leftOut) == 0 || inFlight.bytesBeside(leftOut) == 0) {
            return new Look(true, true);
        }
        boolean anyStuck = !leftOut.isEmpty();
        // One snapshot for the whole fetch: a topic that is left out of it stays so until it has taken an event, after
        // which every
        // shard is read from its beginning.
        leftOut.addAll(breakers.notClosed());
        boolean tried = tryHalfOpenTopics(connection);
        if (System.nanoTime() - fullReadAt >= 0) {
            fullReadAt = System.nanoTime() + FULL_READ_EVERY;
            floors.forgetAll();
            blockedKeys.refresh(connection);
        }
        if (sender.takeTopicLetIn()) {
            floors.forgetAll();
        }
        sender.takeShardsToReread().forEach(floors::forget);

        FetchWindow window = window(leftOut);
        OutboxStore.Fetched fetched = store.fetch(connection, window);
        boolean allTaken = accept(connection, fetched.rows());
        boolean moved = tried || !fetched.rows().isEmpty() || floors.moved(fetched.head());
        floors.fetched(
                fetched.snapshotXmin(),
                fetched.head(),
                allTaken && !anyStuck ? seenUpTo(window, fetched.rows()) : Map.of());
        return new Look(moved, isCut(window, fetched.rows()));
    }

    private FetchWindow window(Set<String> leftOut) {
        List<FetchWindow.Floor> inTurn = new ArrayList<>();
        for (int shard : leases.owned()) {
            inTurn.add(new FetchWindow.Floor(shard, floors.floor(shard)));
        }
        Collections.rotate(inTurn, turn++);
        return new FetchWindow(
                inTurn,
                inFlight.keys(),
                leftOut,
                ROWS_PER_SHARD,
                inFlight.roomBeside(leftOut),
                inFlight.bytesBeside(leftOut));
    }

    /**
     * Of a topic whose time has come and which the broker knows by now, one event is read and tried. If it has none, it is well.
     * Returns whether there was one.
     */
    private boolean tryHalfOpenTopics(Connection connection) throws SQLException {
        boolean tried = false;
        for (String topic : breakers.halfOpen()) {
            if (inFlight.handedOver(topic) == 0 && partitionsOf(connection, topic) > 0) {
                List<FetchWindow.Floor> shards = leases.owned().stream()
                        .map(shard -> new FetchWindow.Floor(shard, FloorTracker.BEGINNING))
                        .toList();
                FetchWindow first = FetchWindow.firstOf(topic, shards, inFlight.keys());
                List<OutboxRow> rows = store.fetch(connection, first).rows();
                accept(connection, rows);
                if (rows.isEmpty()) {
                    sender.letIn(topic);
                }
                tried |= !rows.isEmpty();
            }
        }
        return tried;
    }

    /** Returns whether every row was taken in; a floor must not rise above one that was not. */
    private boolean accept(Connection connection, List<OutboxRow> rows) throws SQLException {
        Map<String, Integer> counts = new HashMap<>();
        Set<OrderKey> held = new HashSet<>();
        boolean all = true;
        for (OutboxRow row : rows) {
            String topic = row.event().topic();
            Integer count = counts.get(topic);
            if (count == null) {
                count = partitionsOf(connection, topic);
                counts.put(topic, count);
            }
            if (count == 0 || held.contains(row.orderKey())) {
                floors.forget(row.key().shard());
                all = false;
            } else if (!row.unreadable().isEmpty()) {
                held.add(row.orderKey());
                sender.turnDown(row);
                all = false;
            } else {
                sender.accept(row, count);
            }
        }
        return all;
    }

    /** 0 if the topic cannot be written to now; it then waits. */
    private int partitionsOf(Connection connection, String topic) throws SQLException {
        try {
            return partitions.count(connection, topic);
        } catch (FailStopProducer.StoppedException e) {
            return 0;
        } catch (RuntimeException e) {
            sender.topicFailed(topic, e);
            return 0;
        }
    }

    /**
     * Up to which sequence number a fetch returned all there was of each shard. A shard with blocked keys is left out: when one is
     * unblocked, its rows must not lie below the floor.
     */
    private Map<Integer, Long> seenUpTo(FetchWindow window, List<OutboxRow> rows) {
        Map<Integer, Integer> rowsByShard = new HashMap<>();
        Map<Integer, Long> lastByShard = new HashMap<>();
        for (OutboxRow row : rows) {
            rowsByShard.merge(row.key().shard(), 1, Integer::sum);
            lastByShard.put(row.key().shard(), row.key().seq());
        }
        boolean cut = isPageCut(window, rows);
        int lastShard = rows.isEmpty() ? -1 : rows.get(rows.size() - 1).key().shard();
        Map<Integer, Long> seen = new HashMap<>();
        for (FetchWindow.Floor floor : window.floors()) {
            int shard = floor.shard();
            boolean shardCut = rowsByShard.getOrDefault(shard, 0) >= window.rowsPerShard() || cut && shard == lastShard;
            Long last = lastByShard.get(shard);
            if (!blockedKeys.anyIn(shard) && (!shardCut || last != null)) {
                seen.put(shard, shardCut && last != null ? last : Long.MAX_VALUE);
            }
            if (cut && shard == lastShard) {
                break;
            }
        }
        return seen;
    }

    private static boolean isCut(FetchWindow window, List<OutboxRow> rows) {
        if (isPageCut(window, rows)) {
            return true;
        }
        Map<Integer, Integer> rowsByShard = new HashMap<>();
        return rows.stream()
                .anyMatch(row -> rowsByShard.merge(row.key().shard(), 1, Integer::sum) >= window.rowsPerShard());
    }

    /** Whether the last row is the last only because there was no room for another. */
    private static boolean isPageCut(FetchWindow window, List<OutboxRow> rows) {
        return rows.size() >= window.rows()
                || rows.stream().mapToLong(OutboxRow::bytes).sum() >= window.bytes();
    }
}
