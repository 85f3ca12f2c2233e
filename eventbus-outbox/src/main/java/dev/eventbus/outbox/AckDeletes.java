package dev.eventbus.outbox;

import dev.eventbus.internal.RunLoop;
import dev.eventbus.outbox.internal.DeleteAside;
import dev.eventbus.outbox.internal.LostDelete;
import dev.eventbus.outbox.sql.DatabaseFault;
import dev.eventbus.outbox.sql.FloorTracker;
import dev.eventbus.outbox.sql.OutboxRow;
import dev.eventbus.outbox.sql.OutboxStore;
import dev.eventbus.outbox.sql.OutboxStore.Deleted;
import dev.eventbus.outbox.sql.RowKey;
import java.sql.Connection;
import java.sql.SQLException;
import java.time.Duration;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Collectors;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Takes out of the outbox what Kafka has: on the relay's connection, or aside, while more is read. Never both at once, and never two: what
 * is sent again after a crash is then always the end of its key. One thread only.
 */
final class AckDeletes {

    private static final Logger LOG = LoggerFactory.getLogger(AckDeletes.class);

    private static final Duration TOLD_AFTER = Duration.ofSeconds(3);

    private final OutboxStore store;
    private final DeleteAside aside;
    private final OutboxFeed.Parts parts;
    private final InFlight inFlight;
    private final FloorTracker floors;
    private final RelayEvents events;

    /** Whether rows are locked, or a DELETE has failed, perhaps since it waited for somebody's lock. */
    private boolean carefully;

    private final LostDelete lost;

    /** Of the last DELETE that has deleted any, and of those since. If a crash of the database has undone any, then this one. */
    private Set<RowKey> lastDeleted = Set.of();

    /** Whether what is begun in one call may end in a later one, since calls follow each other by themselves. */
    private boolean mayWorkAside;

    /** Local time at which the last DELETE aside began. */
    private long begunAt;

    /** What it is of, whatever becomes of what is in flight meanwhile. */
    private Set<RowKey> begun = Set.of();

    /** Before the DELETE that is under way. */
    private FloorTracker.Mark before;

    AckDeletes(OutboxStore store, DeleteAside aside, OutboxFeed.Parts parts, FloorTracker floors, RelayEvents events) {
        this.store = store;
        this.aside = aside;
        this.parts = parts;
        this.inFlight = parts.inFlight();
        this.floors = floors;
        this.events = events;
        this.lost = new LostDelete(parts.leases().lease(), System::nanoTime);
        this.before = floors.mark();
    }

    /**
     * The last DELETE may or may not have committed.
     *
     * @param unanswered whether the database may be at it still
     */
    void failed(boolean unanswered) {
        lost.lost(unanswered);
        aside.drop();
    }

    /** From now on each call is followed by another by itself, or by {@link #end}. */
    void mayWorkAside() {
        mayWorkAside = true;
    }

    /** Whether nothing may be read: what may still be deleted is not known to be in flight, or it must be deleted first. */
    boolean isAwaited() {
        return lost.isOpen() || aside.isUnderWay() && inFlight.deleting().isEmpty();
    }

    /** Shards of which something is in flight that their next owner must not have: he would read a part of what goes. */
    Set<Integer> busyShards() {
        Set<Integer> busy = inFlight.shards();
        if (lost.mayStillRun()) {
            inFlight.locked().stream().map(row -> row.key().shard()).forEach(busy::add);
        }
        return busy;
    }

    /**
     * Notes what was deleted aside since the last call. Returns how many rows that were; what has failed, or may have, is deleted on the
     * relay's connection next. If the database is gone, that one says so.
     */
    int settle() {
        try {
            Optional<Deleted> ended = aside.take();
            if (ended.isPresent() && inFlight.deleting().isEmpty()) { // given up meanwhile, and deleted all the same
                remember(begun, ended.get());
                return 0;
            }
            return ended.isEmpty() ? 0 : deleted(ended.get());
        } catch (SQLException e) {
            LOG.info(
                    "What Kafka has was perhaps not deleted on the second connection, and is on the first: {}",
                    e.toString());
            inFlight.notDeleted();
            lost.lost(DatabaseFault.isConnectionLost(e));
            return 0;
        } catch (RuntimeException | Error e) {
            inFlight.notDeleted();
            throw e;
        }
    }

    /**
     * Deletes what Kafka has acknowledged, or begins to, unless something is being deleted aside. Returns how many rows are deleted.
     *
     * @param backlog whether there is more to read meanwhile
     */
    int delete(Connection connection, boolean backlog) throws SQLException {
        if (aside.isUnderWay() || backlog && beginAside()) {
            return 0;
        }
        return deleteHere(connection, false);
    }

    private boolean beginAside() {
        if (!mayWorkAside || carefully || lost.isOpen() || !inFlight.locked().isEmpty()) {
            return false;
        }
        FloorTracker.Mark mark = floors.mark();
        List<OutboxRow> acked = inFlight.beginDelete();
        if (acked.isEmpty() || !aside.begin(acked)) {
            inFlight.notDeleted();
            return false;
        }
        before = mark;
        begunAt = System.nanoTime();
        begun = keys(acked);
        carefully = true; // if this fails, the other way is next
        return true;
    }

    /**
     * On a new connection all that is in flight is given up if a row of it is gone: the database may have come back without it, and a
     * fetch would pass over another of its number.
     *
     * @param last whether no other time will come, so that no lock is waited for
     */
    private int deleteHere(Connection connection, boolean last) throws SQLException {
        carefully |= last;
        if (!lost.isOpen() && inFlight.locked().isEmpty()) {
            lost.isOfNothing();
        }
        if (lost.isOpen() && !lastDeleted.isEmpty() && store.count(connection, lastDeleted) > 0) {
            LOG.warn(
                    "Rows that were deleted are there again, as after a crash of the database, so all that is in flight is read again with them: what comes twice comes in order.");
            parts.sender().abandon();
            inFlight.clear();
            floors.doubtAll();
            lastDeleted = Set.of(); // what is there again is known of from now on
        }
        inFlight.retryLocked(lost.isOpen() || last);
        int deleted = inFlight.awaitingDelete().isEmpty() ? 0 : deleteAcknowledged(connection);
        if (lost.isOpen() && store.count(connection, inFlight.keys()) < inFlight.size()) {
            LOG.warn(
                    "Rows of events in flight are gone since the database was lost, so what is not acknowledged is read again.");
            parts.sender().abandon();
        }
        lost.close();
        return deleted;
    }

    private int deleteAcknowledged(Connection connection) throws SQLException {
        boolean careful = carefully;
        carefully = !careful; // if this fails, the other way is next
        before = floors.mark();
        List<OutboxRow> acked = inFlight.beginDelete();
        try {
            return deleted(careful ? store.deleteUnlocked(connection, acked) : store.delete(connection, acked));
        } catch (SQLException | RuntimeException | Error e) {
            inFlight.notDeleted();
            throw e;
        }
    }

    private int deleted(Deleted deleted) {
        int count = inFlight.deleting().size() - deleted.locked().size();
        remember(keys(inFlight.deleting()), deleted);
        inFlight.deleted(deleted.locked());
        carefully = !inFlight.locked().isEmpty();
        floors.began(before, deleted.transaction());
        if (deleted.rows() < count) {
            floors.doubtAll(); // of their numbers there may be other rows, as after a restore
        }
        boolean perhapsOurs = lost.mayHaveDeleted();
        lost.repeated(carefully);
        if (deleted.rows() < count && !perhapsOurs) {
            parts.leases().checkSoon();
            events.deletedByOthers(count - deleted.rows(), count);
        }
        events.relayed(count);
        return count;
    }

    private static Set<RowKey> keys(List<OutboxRow> rows) {
        return rows.stream().map(OutboxRow::key).collect(Collectors.toCollection(HashSet::new));
    }

    private void remember(Set<RowKey> gone, Deleted deleted) {
        deleted.locked().forEach(row -> gone.remove(row.key()));
        if (deleted.rows() == 0) { // perhaps gone before, perhaps just now: nobody knows which was the last
            gone.addAll(lastDeleted);
        }
        lastDeleted = gone;
    }

    /** For how long the DELETE aside has not been answered, if that is worth telling. */
    private Optional<Duration> unansweredFor() {
        Duration since = Duration.ofNanos(System.nanoTime() - begunAt);
        return aside.isUnderWay() && !aside.hasEnded() && since.compareTo(TOLD_AFTER) > 0
                ? Optional.of(since)
                : Optional.empty();
    }

    /** Whether there are so many events that cannot be deleted that those of a topic, or of all, are not read. */
    boolean holdUp() {
        return !inFlight.locked().heldUp().isEmpty()
                || unansweredFor().isPresent() && !inFlight.room().isFreeBeside(inFlight.stuck(), 0);
    }

    /** What cannot be deleted, in words. */
    Optional<String> problem() {
        Optional<Duration> unanswered = unansweredFor();
        if (unanswered.isPresent()) {
            return Optional.of(
                    "The database has not answered a DELETE of events that Kafka has for %d s, so no more are deleted, and soon none are sent. If it does not answer within a few times the lease's length, they are deleted on the other connection. See what holds it up, and the network between."
                            .formatted(unanswered.get().toSeconds()));
        }
        return inFlight.locked().isEmpty()
                ? Optional.empty()
                : Optional.of(
                        "%d events that Kafka has cannot be deleted from the outbox: somebody keeps their rows, or those before them of their keys, locked; after an outage perhaps a session of this relay's own that the database has not ended yet. Other events go on, but of a topic with very many of these. Find out who keeps locks on the eventbus tables, and end that transaction: if this relay ends before, they are sent again."
                                .formatted(inFlight.locked().size()));
    }

    /**
     * Deletes what is left, after what is being deleted aside if that ends in time; no lock is waited for.
     *
     * @return whether nothing is under way any more; if something is, or may be, the leases must not be given back: their next owner would read a part
     *     of what goes
     */
    boolean end(Connection connection, Duration limit) throws SQLException {
        RunLoop.await(
                limit,
                () -> !aside.isUnderWay() || aside.hasEnded() || !parts.leases().areValid());
        settle();
        if (!aside.isUnderWay() && parts.leases().areValid()) {
            deleteHere(connection, true);
        }
        if (lost.mayStillRun()) {
            LOG.warn(
                    "A DELETE whose answer was lost may still run, so the leases are not given back; they run out by themselves.");
        }
        return !aside.isUnderWay() && !lost.isOpen() && !lost.mayStillRun();
    }

    void close(Duration limit) {
        aside.close(limit);
        settle();
    }
}
