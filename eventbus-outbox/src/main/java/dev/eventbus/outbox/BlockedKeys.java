package dev.eventbus.outbox;

import dev.eventbus.outbox.EventSender.Refused;
import dev.eventbus.outbox.sql.BlockedKeyStore;
import dev.eventbus.outbox.sql.OutboxRow;
import dev.eventbus.outbox.sql.OutboxStore;
import java.sql.Connection;
import java.sql.SQLException;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Keys that wait for a person: the broker refuses their next event for good, or it is so old that an inbox may have forgotten it.
 * They wait in the outbox, others go on. What the fetch leaves out is decided by the table; this class writes to it, fenced by the
 * shard's lease, and remembers which shards have any. One thread only.
 */
final class BlockedKeys {

    private static final Logger LOG = LoggerFactory.getLogger(BlockedKeys.class);

    /** Reason of an event that was published longer ago than {@code maxRelayStop}. */
    private static final String STALE = "STALE";

    private static final long REFRESH_EVERY = Duration.ofSeconds(1).toNanos();

    /** Though none are known: a block may be left over from an event that is gone, and the clock must be looked at. */
    private static final long REFRESH_ANYWAY = Duration.ofSeconds(30).toNanos();

    /** Counting takes at most this part of the time. */
    private static final int REST_FACTOR = 20;

    private final OutboxStore store;
    private final BlockedKeyStore blocks;
    private final ShardLeases leases;
    private final Duration maxRelayStop;
    private final RelayEvents events;

    /** How many there are by shard. Never too few for a shard that is owned: only its owner blocks, anybody may unblock. */
    private final Map<Integer, Long> countByShard = new HashMap<>();

    /** How many of them are stale. */
    private long stale;

    /** Local time at which it is worth looking whether somebody has unblocked one, or more can be lifted. */
    private long refreshAt;

    private long refreshAnywayAt = System.nanoTime();
    private boolean moreToLift;

    /** On the database's clock, and at most {@link #REFRESH_ANYWAY} behind it. */
    private Instant staleBefore = Instant.MIN;

    BlockedKeys(OutboxStore store, ShardLeases leases, Duration maxRelayStop, RelayEvents events) {
        this.store = store;
        this.blocks = new BlockedKeyStore(store.sql());
        this.leases = leases;
        this.maxRelayStop = maxRelayStop;
        this.events = events;
    }

    boolean anyIn(int shard) {
        return countByShard.containsKey(shard);
    }

    long count() {
        return countByShard.values().stream().mapToLong(Long::longValue).sum();
    }

    /** Whether an event is too old to be sent without somebody's word. */
    boolean isOld(OutboxRow row) {
        return row.createdAt().isBefore(staleBefore);
    }

    /** Whether somebody has given it. */
    boolean isUnblocked(Connection connection, OutboxRow row) throws SQLException {
        return blocks.isUnblocked(connection, row);
    }

    /** Turns down an event that is unreadable or too old. */
    void turnDown(OutboxRow row, EventSender sender) {
        if (row.unreadable().isEmpty()) {
            sender.turnDown(
                    row,
                    STALE,
                    "published at %s, longer ago than maxRelayStop, %s".formatted(row.createdAt(), maxRelayStop));
        } else {
            sender.turnDown(row, "UNREADABLE", row.unreadable());
        }
    }

    /**
     * Blocks the keys of rows of one shard. In one transaction: the shard's lease is locked and still ours, the rows are still there.
     *
     * @return whether all of them are blocked; nothing was written for those whose lease or row is gone
     * @throws SQLException after which the connection must be closed, which undoes what was written
     */
    boolean block(Connection connection, List<Refused> ofOneShard) throws SQLException {
        int shard = ofOneShard.get(0).row().key().shard();
        List<Refused> blocked = new ArrayList<>();
        connection.setAutoCommit(false);
        if (leases.lock(connection, shard)) {
            for (Refused next : ofOneShard) {
                if (blocks.block(connection, next.row(), next.reason(), next.error(), next.sentLater())) {
                    blocked.add(next);
                }
            }
        }
        connection.commit();
        connection.setAutoCommit(true);
        blocked.forEach(one -> count(shard, one.reason(), 1));
        tell(blocked);
        return blocked.size() == ofOneShard.size();
    }

    /** Of stale events, which may be thousands, the log names only the first of each batch. */
    private void tell(List<Refused> blocked) {
        long staleNow =
                blocked.stream().filter(one -> one.reason().equals(STALE)).count();
        boolean staleTold = false;
        for (Refused one : blocked) {
            OutboxRow row = one.row();
            boolean isStale = one.reason().equals(STALE);
            if (!isStale || !staleTold) {
                LOG.warn(
                        "Event {} of topic {} is not sent ({}, {}){}: its key is blocked, its events wait in the outbox, other keys go on. See OutboxAdmin.blocked().",
                        row.event(),
                        row.event().topic(),
                        one.reason(),
                        one.error(),
                        isStale && staleNow > 1 ? " nor are %d more like it".formatted(staleNow - 1) : "");
            }
            staleTold |= isStale;
            events.keyBlocked(row, one.reason());
        }
    }

    /** Whether the last look at the blocked keys is a while ago. */
    boolean isRefreshDue() {
        long now = System.nanoTime();
        boolean any = !countByShard.isEmpty() || moreToLift;
        return any && now - refreshAt >= 0 || now - refreshAnywayAt >= 0;
    }

    /** Nothing known of them counts any more: the shards are others, or the database may be. */
    void refreshSoon() {
        refreshAnywayAt = System.nanoTime();
    }

    /**
     * Lifts blocks whose event is gone, counts the rest, and looks at the clock. Right before a fetch: what was unblocked before this
     * count lies above the floor, and the fetch finds it.
     */
    void refresh(Connection connection) throws SQLException {
        long before = System.nanoTime();
        moreToLift = blocks.lift(connection, leases.owner());
        countByShard.clear();
        stale = 0;
        for (BlockedKeyStore.Count each : blocks.counts(connection, leases.owner())) {
            count(each.shard(), each.reason(), each.keys());
        }
        staleBefore = store.now(connection).minus(maxRelayStop);
        long now = System.nanoTime();
        refreshAt = now + Math.max(REFRESH_EVERY, (now - before) * REST_FACTOR);
        refreshAnywayAt = now + REFRESH_ANYWAY;
    }

    private void count(int shard, String reason, long keys) {
        countByShard.merge(shard, keys, Long::sum);
        stale += reason.equals(STALE) ? keys : 0;
    }

    /** What a person should know, each with the way out. */
    List<String> problems() {
        List<String> problems = new ArrayList<>();
        long refused = count() - stale;
        if (refused > 0) {
            problems.add(
                    "%d keys are blocked because an event of theirs is refused for good; their events wait in the outbox, other keys go on. OutboxAdmin.blocked() says which and why: mend the cause and unblock(topic, key), or discard(eventId, reason)."
                            .formatted(refused));
        }
        if (stale > 0) {
            problems.add(
                    "%d keys are blocked because their next event was published longer ago than maxRelayStop, %s: an inbox may have forgotten that it handled it before. Their events wait in the outbox. If the inboxes remember for longer, OutboxAdmin.unblockAll(\"STALE\"); else look at each with blocked(), and unblock(topic, key) or discard(eventId, reason)."
                            .formatted(stale, maxRelayStop));
        }
        return problems;
    }
}
