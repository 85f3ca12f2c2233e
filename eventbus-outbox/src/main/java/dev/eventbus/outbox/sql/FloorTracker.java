package dev.eventbus.outbox.sql;

import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalLong;
import java.util.stream.Stream;

/**
 * Knows from where each shard has to be read. At or below a shard's floor every row is in flight or deleted, and no transaction
 * can commit one there any more; so a backlog of dead rows or a reader's old snapshot costs nothing.
 *
 * <p>How a floor is found, on a database that gives exact bounds: take the head, the last sequence number given out, with one
 * fetch; then N, the id of a transaction that begins after it, as that of the next DELETE does. Whoever was given a number up to that head
 * had a transaction id below N. Once a later fetch says that all transactions below N have ended, the head is settled: that fetch
 * and all after it see every row up to it that will ever be there, so a floor is as high as such a fetch has read, up to the
 * settled head. Elsewhere, and until then, the floor is the shard's beginning.
 *
 * <p>Whoever takes rows out of flight without deleting them, or lets in a topic that was left out, must forget the floors.
 * One thread only.
 */
public final class FloorTracker {

    public static final long BEGINNING = Long.MIN_VALUE;

    private final Map<Integer, Long> floors = new HashMap<>();

    /** Head of the last fetch. */
    private OptionalLong head = OptionalLong.empty();

    /** Every transaction that was given a number up to it has ended. */
    private OptionalLong settled = OptionalLong.empty();

    /** The head that is settled once every transaction below {@link #candidateXid} has ended. */
    private OptionalLong candidate = OptionalLong.empty();

    private long candidateXid;

    public long floor(int shard) {
        return floors.getOrDefault(shard, BEGINNING);
    }

    /** Where to read shards, which are in order, so that each has its turn: at {@code first} and above, then the others. */
    public List<FetchWindow.Floor> inTurn(List<Integer> shards, int first) {
        return Stream.concat(
                        shards.stream().filter(shard -> shard >= first),
                        shards.stream().filter(shard -> shard < first))
                .map(shard -> new FetchWindow.Floor(shard, floor(shard)))
                .toList();
    }

    /** Reads every shard from its beginning again; for a new database connection, after which nothing known before counts. */
    public void reset() {
        doubtAll();
        head = OptionalLong.empty();
    }

    /** Reads every shard from its beginning again, and believes nothing to be settled: numbers may be given out again unnoticed. */
    public void doubtAll() {
        forgetAll();
        settled = OptionalLong.empty();
        candidate = OptionalLong.empty();
    }

    public void forgetAll() {
        floors.clear();
    }

    public void forget(int shard) {
        floors.remove(shard);
    }

    /** The transaction that all must outlive before more is settled; 0 if none is waited for. */
    public long awaited() {
        return candidate.isPresent() ? candidateXid : 0;
    }

    /** Whether a transaction that begins now is needed to settle what was given out. */
    public boolean lacksTransaction() {
        return candidate.isEmpty() && head.isPresent() && !head.equals(settled);
    }

    /** A transaction began after the last fetch; 0 for none. */
    public void began(long transaction) {
        if (candidate.isEmpty() && head.isPresent() && transaction > 0) {
            candidate = head;
            candidateXid = transaction;
        }
    }

    /**
     * A fetch has been read, and its rows are in flight.
     *
     * @param snapshotXmin every transaction below it had ended
     * @param seenUpTo for each shard the sequence number up to which the fetch returned every row it could see that was not in
     *     flight; shards of which that cannot be said are left out
     */
    public void fetched(OptionalLong snapshotXmin, OptionalLong fetchedHead, Map<Integer, Long> seenUpTo) {
        if (fetchedHead.isPresent() && head.isPresent() && fetchedHead.getAsLong() < head.getAsLong()) {
            reset(); // numbers are given out again, as after a restore: below every floor there may be new rows
        } else if (candidate.isPresent() && snapshotXmin.isPresent() && snapshotXmin.getAsLong() >= candidateXid) {
            settled = candidate;
            candidate = OptionalLong.empty();
        }
        settled.ifPresent(
                bound -> seenUpTo.forEach((shard, seen) -> floors.merge(shard, Math.min(bound, seen), Math::max)));
        head = fetchedHead;
    }

    /** Whether a sequence number was given out between the last fetch and one that reports this head. */
    public boolean moved(OptionalLong fetchedHead) {
        return fetchedHead.isPresent() && !fetchedHead.equals(head);
    }
}
