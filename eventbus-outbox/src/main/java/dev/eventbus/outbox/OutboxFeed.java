package dev.eventbus.outbox;

import dev.eventbus.outbox.EventSender.Refused;
import dev.eventbus.outbox.internal.DeleteAside;
import dev.eventbus.outbox.internal.PageSize;
import dev.eventbus.outbox.internal.WriterWatch;
import dev.eventbus.outbox.sql.FetchWindow;
import dev.eventbus.outbox.sql.FloorTracker;
import dev.eventbus.outbox.sql.OutboxRow;
import dev.eventbus.outbox.sql.OutboxRow.OrderKey;
import dev.eventbus.outbox.sql.OutboxStore;
import java.sql.Connection;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The database's end of the relay: takes out what Kafka has, keeps the leases, and feeds the sender with what is next, in order.
 * No transaction is open while anything waits for Kafka. One thread only.
 */
final class OutboxFeed {

    private static final Logger LOG = LoggerFactory.getLogger(OutboxFeed.class);

    /** Of so many old events of a page is asked whether they may be sent: each costs statements, and the leases must be kept meanwhile. */
    private static final int MOST_OLD = 100;

    private final OutboxStore store;
    private final ShardLeases leases;
    private final KafkaSink sink;
    private final EventSender sender;
    private final InFlight inFlight;
    private final RelayEvents events;
    private final FloorTracker floors;
    private final TopicPartitions partitions;
    private final TopicBreakers breakers;
    private final BlockedKeys blockedKeys;
    private final WriterWatch writers;
    private final AckDeletes deletes;
    private final PageSize pageSize = new PageSize();

    /** Whether the last page had more old events than there was time to ask about; they are read again. */
    private boolean oldLeft;

    /** Shard that comes first in the next fetch: a page that was cut is followed by others, not by more of the same. */
    private int firstShard;

    /** Shards of which rows may be left that the last fetch did not read. */
    private final Set<Integer> unread = new HashSet<>();

    /** The parts of one relay that work on the same rows. */
    record Parts(
            ShardLeases leases,
            KafkaSink sink,
            EventSender sender,
            InFlight inFlight,
            TopicBreakers breakers,
            TopicPartitions partitions) {}

    OutboxFeed(OutboxStore store, Parts parts, BlockedKeys blockedKeys, DeleteAside aside, RelayEvents events) {
        this.store = store;
        this.leases = parts.leases();
        this.sink = parts.sink();
        this.sender = parts.sender();
        this.inFlight = parts.inFlight();
        this.breakers = parts.breakers();
        this.partitions = parts.partitions();
        this.blockedKeys = blockedKeys;
        this.floors = new FloorTracker(parts.leases().lease().dividedBy(5), System::nanoTime);
        this.writers = new WriterWatch(store.sql(), System::nanoTime);
        this.events = events;
        this.deletes = new AckDeletes(store, aside, parts, floors, events);
    }

    AckDeletes deletes() {
        return deletes;
    }

    BlockedKeys blockedKeys() {
        return blockedKeys;
    }

    /**
     * Nothing that the last connection said counts any more, and its last DELETE may or may not have committed.
     *
     * @param unanswered whether the database may be at it still
     */
    void connectionLost(boolean unanswered) {
        floors.reset();
        deletes.failed(unanswered);
        blockedKeys.refreshSoon();
        leases.checkSoon();
    }

    /**
     * Gives up what is under way if the leases ran out. Comes before settling, or topics that are others' now would be told to wait, and
     * between it and {@link #deletes()}: later acks do not count.
     */
    void giveUpIfOverdue() {
        if (leases.giveUpIfOverdue()) {
            if (inFlight.size() > 0) {
                LOG.warn(
                        "The leases were not renewed in time, so {} events in flight are given up; they are sent again, here or by another relay.",
                        inFlight.size());
            }
            standBy();
            events.shardsChanged(Set.of());
        }
    }

    /** Others send now. */
    private void standBy() {
        sender.standBy();
        partitions.standBy();
    }

    /** Keeps the leases; first, so that what fails afterwards costs none. Returns whether there are shards to be read that were not before. */
    boolean keepLeases(Connection connection) throws SQLException {
        if (sender.takeFenced()) {
            leases.checkSoon();
        }
        boolean due = leases.isDue();
        ShardLeases.Change change = leases.tick(connection);
        sender.takeBackWaiting(change.leaving());
        boolean lost = !change.lost().isEmpty();
        change.lost().forEach(sender::forget);
        if (lost && leases.owned().isEmpty()) {
            standBy();
        } else if (lost) {
            sender.abandon();
        }
        if (due) { // not before: a client that was kept from a lost lease may not know of a mark's partitions
            keepPartitions(connection);
        }
        boolean gained = !change.gained().isEmpty();
        if (change.any()) {
            leases.tell();
        }
        if (gained || lost) {
            change.gained().forEach(floors::forget);
            shardsChanged();
        }
        return gained;
    }

    /** Says what is settled, and gives back what is drained; comes after {@link #deletes()}. */
    void handOver(Connection connection) throws SQLException {
        partitions.tellSettled(connection, leases.owner());
        int before = leases.owned().size();
        try {
            giveBackDrained(connection);
        } finally {
            if (leases.owned().size() < before) {
                if (leases.owned().isEmpty()) {
                    standBy();
                }
                leases.tell();
                shardsChanged();
            }
        }
    }

    private void shardsChanged() {
        blockedKeys.refreshSoon();
        events.shardsChanged(leases.owned());
    }

    private void keepPartitions(Connection connection) throws SQLException {
        for (String topic : partitions.refresh(connection)) {
            sender.adoption(topic, partitions.adoption(topic), !leases.owned().isEmpty());
        }
    }

    /**
     * Gives back the shards that are to leave and of which nothing is in flight any more: Kafka has it and its rows are deleted. What
     * Kafka does not acknowledge in time is given up with the whole producer.
     */
    private void giveBackDrained(Connection connection) throws SQLException {
        if (leases.leaving().isEmpty() || deletes.isAwaited()) {
            return;
        }
        if (inFlight.shardsHandedOver().stream().anyMatch(leases::isDrainOverdue)) {
            LOG.warn(
                    "Relay {} is to give back shards {}, but Kafka does not acknowledge what is on its way; it is given up, and sent again by their next owner.",
                    leases.owner(),
                    leases.leaving());
            sender.abandon();
        }
        Set<Integer> drained = new TreeSet<>(leases.leaving());
        drained.removeAll(deletes.busyShards());
        for (int shard : drained) {
            leases.release(connection, shard);
            sender.forget(shard); // at once: the next one may fail
        }
    }

    /** No shard is ours any more. */
    void ended() {
        events.shardsChanged(Set.of());
    }

    /** Blocks the keys of events that are refused for good or too old. */
    void block(Connection connection) throws SQLException {
        for (List<Refused> next = sender.refused(); !next.isEmpty(); next = sender.refused()) {
            if (!blockedKeys.block(connection, next)) {
                leases.checkSoon();
                floors.forget(next.get(0).row().key().shard()); // perhaps only locked just now; then it is read again
            }
            sender.forgetRefused(next.size());
        }
    }

    /**
     * What a look found.
     *
     * @param moved whether there were rows, or a sequence number was given out since the last look
     * @param more whether rows may be left that there was no room for
     * @param passedNanos how long it took, if it had to read past events of a topic that is stuck; otherwise 0
     */
    record Look(boolean moved, boolean more, long passedNanos) {}

    /** Whether rows that were left can be read now, as far as their shards are concerned. */
    boolean canReadOn() {
        return unread.stream().anyMatch(sink::isReadyFor);
    }

    /** Whether the last fetch left to later ones whole shards, which had none before it, or events that were larger than it expected. */
    boolean leavesSome() {
        return floors.leavesSome() || pageSize.leavesSome();
    }

    /** Reads the next rows of all owned shards that the sink is ready for in one statement and gives them to the sender. */
    Look fetch(Connection connection) throws SQLException {
        sink.prepare(connection, leases.owned());
        int sharing = (int) Math.max(1, unread.stream().filter(sink::isReadyFor).count());
        unread.clear();
        unread.addAll(leases.readable());
        pageSize.keepOnly(unread);
        if (unread.isEmpty()) {
            return new Look(false, false, 0);
        }
        Set<String> leftOut = inFlight.stuck();
        boolean allRead = floors.leaveOut(inFlight.locked().heldUp()).containsAll(leftOut);
        if (!inFlight.room().isFreeBeside(leftOut, 0)) {
            return new Look(true, true, 0);
        }
        // A topic that is let in during this fetch is still left out of its snapshot, so that is for the next one.
        boolean letIn = sender.takeTopicLetIn();
        if (letIn) {
            floors.forgetAll();
        }
        if (breakers.areWarmingUp()) { // what they wait for may be there before their back-off is over
            breakers.untold().stream().filter(partitions::isKnown).forEach(breakers::tryNow);
        }
        leftOut.addAll(breakers.notClosed());
        List<Integer> ready =
                leases.readable().stream().filter(sink::isReadyFor).toList();
        boolean tried = tryHalfOpenTopics(connection, ready);
        if (breakers.areWarmingUp() && !letIn) {
            return new Look(true, false, 0);
        }
        if (blockedKeys.isRefreshDue()) {
            blockedKeys.refresh(connection);
        }
        floors.doubt();
        sender.takeShardsToReread().forEach(floors::forget);

        FetchWindow window = window(leftOut, ready, sharing);
        if (window.floors().isEmpty()) {
            return new Look(tried, true, 0);
        }
        boolean mustSettle =
                !leftOut.isEmpty() || floors.leavesSome() || writerProblem().isPresent();
        if (mustSettle && floors.lacksTransaction()) {
            floors.began(floors.mark(), store.newTransaction(connection));
        }
        long before = System.nanoTime();
        OutboxStore.Fetched fetched = store.fetch(connection, window);
        long nanos = System.nanoTime() - before;
        pageSize.read(fetched);
        floors.read(fetched.seenUpTo().keySet(), nanos);
        boolean allTaken = accept(connection, fetched.rows());
        boolean moved = tried || fetched.isCut() || !fetched.rows().isEmpty() || floors.moved(fetched.head());
        Map<Integer, Long> seen = fetched.seenUpTo();
        unread.removeIf(shard -> !oldLeft && FetchWindow.ALL.equals(seen.get(shard)));
        seen.keySet().removeIf(blockedKeys::anyIn); // when a key is unblocked, its rows must not lie below the floor
        floors.fetched(fetched.snapshotXmin(), fetched.head(), allTaken && allRead ? seen : Map.of());
        writers.look(connection, floors);
        firstShard = fetched.nextShard();
        return new Look(moved, !unread.isEmpty(), allRead ? 0 : nanos);
    }

    /**
     * What keeps events, in words.
     *
     * @param sends whether this relay sends events; if not, what keeps them from being sent is others' business
     */
    List<String> problems(boolean sends) {
        List<String> problems = new ArrayList<>();
        if (sends) {
            problems.addAll(blockedKeys.problems());
            writerProblem().ifPresent(problems::add);
        }
        deletes.problem().ifPresent(problems::add);
        return problems;
    }

    /** Whose transaction makes each look longer, if one does. */
    private Optional<String> writerProblem() {
        return writers.problem();
    }

    /**
     * The room is shared out among the shards that had more than was read: what was published together is then read and deleted
     * together, and lies on the same pages of the table.
     */
    private FetchWindow window(Set<String> leftOut, List<Integer> ready, int sharing) {
        List<FetchWindow.Floor> inTurn = floors.inTurn(ready, firstShard);
        long bytes = inFlight.room().bytesBeside(leftOut);
        // A database without a head adds up what it reads anyway.
        var page = pageSize.next(!floors.knowsHead(), inTurn, inFlight.room().rowsBeside(leftOut), bytes);
        int shares = Math.max(1, Math.min(sharing, inTurn.size()));
        int share = Math.min(sink.rowsPerShard(), (page.rows() + shares - 1) / shares);
        var known = inFlight.keys().stream()
                .filter(row -> row.seq() > floors.floor(row.shard()))
                .toList();
        return new FetchWindow(inTurn, known, leftOut, null, share, page.rows(), bytes, page.mostRowBytes());
    }

    /** Of a topic whose time has come and which the broker knows, one event is tried, of a ready shard if it can be. If it has none, it is well. */
    private boolean tryHalfOpenTopics(Connection connection, List<Integer> ready) throws SQLException {
        Set<Integer> shards = new LinkedHashSet<>(ready);
        shards.addAll(leases.readable());
        boolean tried = false;
        Set<String> halfOpen = breakers.halfOpen();
        floors.searchOnly(halfOpen);
        for (String topic : halfOpen) {
            boolean isTried = !inFlight.holds(topic) && sender.partitionsOf(topic, partitions, connection) > 0;
            List<FetchWindow.Floor> here = isTried ? floors.search(topic, shards) : List.of();
            if (!here.isEmpty()) {
                FetchWindow first = FetchWindow.firstOf(topic, here, inFlight.keys());
                OutboxStore.Fetched fetched = store.fetch(connection, first);
                List<OutboxRow> rows = fetched.rows();
                if (floors.searched(topic, here, shards, fetched)) {
                    sender.letIn(topic);
                } else if (!rows.isEmpty() && sink.isReadyFor(rows.get(0).key().shard())) {
                    accept(connection, rows);
                    tried = true;
                } else if (!rows.isEmpty()) {
                    floors.searchAnew(topic); // ready shards come first: there may be one by now
                }
            }
        }
        return tried;
    }

    /** Returns whether every row was taken in; a floor must not rise above one that was not. */
    private boolean accept(Connection connection, List<OutboxRow> rows) throws SQLException {
        Map<String, Integer> counts = new HashMap<>();
        Set<OrderKey> held = new HashSet<>();
        boolean all = true;
        int old = 0;
        for (OutboxRow row : rows) {
            String topic = row.event().topic();
            Integer count = counts.get(topic);
            if (count == null) {
                count = sender.partitionsOf(topic, partitions, connection);
                counts.put(topic, count);
            }
            boolean isOld = blockedKeys.isOld(row);
            if (count == 0 || held.contains(row.orderKey()) || isOld && old == MOST_OLD) {
                held.add(row.orderKey());
                floors.forget(row.key().shard());
                all = false;
                continue;
            }
            old += isOld ? 1 : 0;
            if (!row.unreadable().isEmpty() || isOld && !blockedKeys.isUnblocked(connection, row)) {
                held.add(row.orderKey());
                blockedKeys.turnDown(row, sender);
                all = false;
            } else {
                sender.accept(row, count);
            }
        }
        oldLeft = old == MOST_OLD;
        return all;
    }
}
