package dev.eventbus.outbox.sql;

import java.time.Duration;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.OptionalLong;
import java.util.Set;
import java.util.function.LongSupplier;
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
 * <p>A read from a shard's beginning passes all dead rows that somebody's old snapshot keeps there, while every key waits. So each shard
 * is read from it every 30 s in a turn of its own, and a fetch reads only so many shards from it as are expected to be quick: one after
 * a new connection, then twice as many each time.
 *
 * <p>Whoever takes rows out of flight without deleting them, or lets in a topic that was left out, must forget the floors.
 * One thread only.
 */
public final class FloorTracker {

    public static final long BEGINNING = Long.MIN_VALUE;

    /** The turn of one shard: each is read from its beginning every 30 s. */
    private static final long DOUBT_EVERY =
            Duration.ofSeconds(30).dividedBy(Shards.COUNT).toNanos();

    private final long quickNanos;
    private final LongSupplier nanoTime;
    private final Map<Integer, Long> floors = new HashMap<>();

    /** The shard whose floor is doubted next, and when. */
    private int doubted;

    private long doubtAt;

    /** How many shards a fetch may read from their beginning, and the number from which on they are chosen. */
    private int most = Shards.COUNT;

    private int chosenFrom;

    /** What the fetch under way reads from the beginning, and whether others must wait for a later one. */
    private List<Integer> chosen = List.of();

    private boolean leavesSome;

    /** Shards that have no event of a topic, by topic. */
    private final Map<String, Set<Integer>> searched = new HashMap<>();

    /** In how many shards is looked for one at once: such a look passes all events of other topics. */
    private int mostSearched = Shards.COUNT;

    /** Whether a search is under way, and since when; what is left of its time in this fetch, and whether it has none in the next. */
    private boolean searching;

    private long searchBegan;
    private long searchLeft;
    private boolean searchRests;

    /** Topics that are left out until further notice: floors rise above their events too. */
    private Set<String> leftOut = Set.of();

    /** Head of the last fetch. */
    private OptionalLong head = OptionalLong.empty();

    /** Every transaction that was given a number up to it has ended. */
    private OptionalLong settled = OptionalLong.empty();

    /** The head that is settled once every transaction below {@link #candidateXid} has ended. */
    private OptionalLong candidate = OptionalLong.empty();

    private long candidateXid;

    /** How often all that was settled was doubted. */
    private int doubts;

    /** @param quick a fetch that takes no longer keeps nobody waiting */
    public FloorTracker(Duration quick, LongSupplier nanoTime) {
        this.quickNanos = quick.toNanos();
        this.nanoTime = nanoTime;
        this.doubtAt = nanoTime.getAsLong() + DOUBT_EVERY;
    }

    public long floor(int shard) {
        return floors.getOrDefault(shard, BEGINNING);
    }

    /**
     * Where the next fetch reads shards, which are in order, so that each has its turn: at {@code first} and above, then the others.
     * Without those that have no floor and must wait.
     */
    public List<FetchWindow.Floor> inTurn(List<Integer> shards, int first) {
        List<Integer> without = from(chosenFrom, shards)
                .filter(shard -> !floors.containsKey(shard))
                .toList();
        chosen = without.subList(0, Math.min(most, without.size()));
        leavesSome = chosen.size() < without.size();
        return from(first, shards)
                .filter(shard -> floors.containsKey(shard) || chosen.contains(shard))
                .map(shard -> new FetchWindow.Floor(shard, floor(shard)))
                .toList();
    }

    private static Stream<Integer> from(int first, List<Integer> shards) {
        return Stream.concat(
                shards.stream().filter(shard -> shard >= first), shards.stream().filter(shard -> shard < first));
    }

    /** Whether the last fetch left shards to later ones. */
    public boolean leavesSome() {
        return leavesSome;
    }

    /**
     * The fetch that {@link #inTurn} planned has been read.
     *
     * @param seen the shards that it reached
     */
    public void read(Set<Integer> seen, long nanos) {
        int reached = 0;
        boolean inARow = true;
        for (int shard : chosen) {
            boolean isReached = seen.contains(shard);
            reached += isReached ? 1 : 0;
            inARow &= isReached;
            chosenFrom = inARow ? shard + 1 : chosenFrom;
        }
        chosen = List.of();
        if (reached > 0) {
            long quick = reached * quickNanos / Math.max(1, nanos);
            most = (int) Math.max(1, Math.min(Math.min(quick, 2L * most), Shards.COUNT));
        }
    }

    /**
     * In which of these shards to look next for an event of a topic: from their beginnings, as floors lie above what was left out. In none if
     * that took long enough before this fetch: other events and the leases must not wait for it.
     */
    public List<FetchWindow.Floor> search(String topic, Collection<Integer> shards) {
        if (searchLeft <= 0) {
            return List.of();
        }
        Set<Integer> without = searched.computeIfAbsent(topic, any -> new HashSet<>());
        if (without.containsAll(shards)) {
            without.clear();
        }
        List<FetchWindow.Floor> here = shards.stream()
                .filter(shard -> !without.contains(shard))
                .limit(mostSearched)
                .map(shard -> new FetchWindow.Floor(shard, BEGINNING))
                .toList();
        searching = true;
        searchBegan = nanoTime.getAsLong();
        return here;
    }

    /**
     * A search has been read. What it says of the shards before that of the event it found, it says for good: it goes on behind them.
     *
     * @param here where it looked, in this order
     * @return whether there is no event of the topic in any of these shards, as far as was looked
     */
    public boolean searched(
            String topic, List<FetchWindow.Floor> here, Collection<Integer> shards, OutboxStore.Fetched fetched) {
        int hit = fetched.rows().isEmpty() ? -1 : fetched.rows().get(0).key().shard();
        List<Integer> empty = here.stream()
                .map(FetchWindow.Floor::shard)
                .takeWhile(shard -> shard != hit)
                .toList();
        searchEnded(Math.min(empty.size() + 1, here.size()));
        Set<Integer> without = searched.computeIfAbsent(topic, any -> new HashSet<>());
        if (!fetched.isCut()) {
            without.addAll(empty);
        }
        return fetched.rows().isEmpty() && without.containsAll(shards);
    }

    /** What was found of a topic cannot be tried, so nothing is said for good of the shards without: they may have an event by then. */
    public void searchAnew(String topic) {
        searched.remove(topic);
    }

    /** @param passed how many shards it has read */
    private void searchEnded(int passed) {
        long nanos = Math.max(1, nanoTime.getAsLong() - searchBegan);
        long quick = passed * quickNanos / nanos;
        mostSearched = (int) Math.max(1, Math.min(Math.min(quick, 2L * mostSearched), Shards.COUNT));
        searchLeft -= nanos;
        searching = false;
    }

    /** A fetch begins; events are looked for before it of no other topics than these. */
    public void searchOnly(Set<String> topics) {
        searched.keySet().retainAll(topics);
        searchLeft = searchRests ? 0 : quickNanos;
        searchRests = false;
    }

    /**
     * Forgets the floor whose turn it is. Comes before each fetch. Not while others wait for their turn: reads may take so long that floors
     * would be forgotten faster than shards are read.
     */
    public void doubt() {
        long now = nanoTime.getAsLong();
        if (now - doubtAt >= 0 && !leavesSome) {
            forget(doubted);
            doubted = (doubted + 1) % Shards.COUNT;
            doubtAt += DOUBT_EVERY;
            if (now - doubtAt >= 0) { // nobody has looked for long
                doubtAt = now + DOUBT_EVERY;
            }
        }
    }

    /**
     * Reads every shard from its beginning again, one by one; for a new database connection, after which nothing known before counts. If
     * the last one was lost in the middle of such a read, that shard comes last.
     */
    public void reset() {
        doubtAll();
        head = OptionalLong.empty();
        most = 1;
        mostSearched = 1;
        searchRests = searching; // the connection may have been lost by it: first the others are read
        searching = false;
        chosenFrom = chosen.isEmpty() ? chosenFrom : chosen.get(0) + 1;
        chosen = List.of();
    }

    public void forgetAll() {
        floors.clear();
    }

    /** Some topics are left out until further notice. If one that was is not any more, its events may lie below the floors. */
    public Set<String> leaveOut(Set<String> topics) {
        if (!topics.containsAll(leftOut)) {
            forgetAll();
        }
        leftOut = Set.copyOf(topics);
        return leftOut;
    }

    /** Numbers may be given out again: nothing counts as settled either. */
    public void doubtAll() {
        forgetAll();
        settled = OptionalLong.empty();
        candidate = OptionalLong.empty();
        doubts++;
    }

    public void forget(int shard) {
        floors.remove(shard);
    }

    /** The transaction that all must outlive before more is settled; 0 if none is waited for. */
    public long awaited() {
        return candidate.isPresent() ? candidateXid : 0;
    }

    /** Whether a fetch has told its head on this connection. */
    public boolean knowsHead() {
        return head.isPresent();
    }

    /** Whether anything has been settled on this connection. */
    public boolean isSettled() {
        return settled.isPresent();
    }

    /** Whether a transaction that begins now is needed to settle what was given out. */
    public boolean lacksTransaction() {
        return candidate.isEmpty() && head.isPresent() && !head.equals(settled);
    }

    /**
     * What is known before a transaction begins.
     *
     * @param head the last sequence number given out
     * @param doubts how often it was doubted whether such numbers count
     */
    public record Mark(OptionalLong head, int doubts) {}

    /** To be taken before a transaction begins that {@link #began} is told of. */
    public Mark mark() {
        return new Mark(head, doubts);
    }

    /** A transaction began after a mark; 0 for none. */
    public void began(Mark before, long transaction) {
        if (candidate.isEmpty() && before.head().isPresent() && before.doubts() == doubts && transaction > 0) {
            candidate = before.head();
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
