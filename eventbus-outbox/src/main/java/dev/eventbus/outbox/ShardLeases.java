package dev.eventbus.outbox;

import dev.eventbus.outbox.internal.LeaseWatch;
import dev.eventbus.outbox.sql.LeaseStore;
import dev.eventbus.outbox.sql.LeaseStore.Lease;
import dev.eventbus.outbox.sql.Shards;
import java.sql.Connection;
import java.sql.SQLException;
import java.time.Duration;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.SortedSet;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.function.LongSupplier;
import java.util.stream.Collectors;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Which shards this relay may send. Every relay reckons with the same list of living relays and takes its share of the shards, no
 * more; what it has in excess it stops reading, drains and gives back. A lease runs on the database's clock and is taken by
 * compare-and-set with a new epoch; the local monotonic clock only serves to give it up early. One thread only.
 */
final class ShardLeases {

    private static final Logger LOG = LoggerFactory.getLogger(ShardLeases.class);

    /** How long a shard that is to be given back may wait for what is on its way to Kafka. */
    private static final Duration DRAIN_LIMIT = Duration.ofSeconds(5);

    private final LeaseStore store;
    private final Duration lease;
    private final LongSupplier nanoTime;

    /** Owned shards, each with the epoch under which it was taken. */
    private final TreeMap<Integer, Long> epochs = new TreeMap<>();

    /** Those of them that are to be given back, each with the local time by which it must be drained. */
    private final Map<Integer, Long> leaving = new HashMap<>();

    private final LeaseWatch watch;

    /** How many relays are alive, this one among them; 0 before the first tick. */
    private int relays;

    /** Local time at which the leases are given up, a fifth of a lease before they run out. */
    private long giveUpAt;

    private long renewAt;

    ShardLeases(LeaseStore store, Duration lease, LongSupplier nanoTime) {
        this.store = store;
        this.lease = lease;
        this.nanoTime = nanoTime;
        this.watch = new LeaseWatch(lease, nanoTime);
        this.renewAt = nanoTime.getAsLong();
    }

    String owner() {
        return store.owner();
    }

    Duration lease() {
        return lease;
    }

    int relays() {
        return relays;
    }

    Set<Integer> owned() {
        return Collections.unmodifiableSet(epochs.keySet());
    }

    /** Owned shards that may be read; the others are being drained. */
    Set<Integer> readable() {
        Set<Integer> readable = new TreeSet<>(epochs.keySet());
        readable.removeAll(leaving.keySet());
        return readable;
    }

    /** Owned shards that are to be given back once nothing of them is in flight. */
    Set<Integer> leaving() {
        return Set.copyOf(leaving.keySet());
    }

    /** Whether a shard that is to be given back has waited long enough for what is in flight of it. */
    boolean isDrainOverdue(int shard) {
        Long limit = leaving.get(shard);
        return limit != null && nanoTime.getAsLong() - limit >= 0;
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
        leaving.clear();
        watch.forgetLocked();
        checkSoon();
        return true;
    }

    /** Renews and takes leases at the next {@link #tick} whatever the time. */
    void checkSoon() {
        renewAt = nanoTime.getAsLong();
    }

    /** Whether it is time for a {@link #tick}. */
    boolean isDue() {
        return nanoTime.getAsLong() - renewAt >= 0;
    }

    /**
     * What a tick changed.
     *
     * @param gained shards that may be read from now on, from their beginning
     * @param lost shards that were owned under another epoch until now
     * @param leaving shards that are not to be read any more, and given back once they are drained
     * @param relays whether relays have come or gone
     */
    record Change(Set<Integer> gained, Set<Integer> lost, Set<Integer> leaving, boolean relays) {

        boolean any() {
            return relays || !gained.isEmpty() || !lost.isEmpty() || !leaving.isEmpty();
        }
    }

    /** If it is time: says that this relay is alive, renews its leases, and evens out with the other relays. */
    Change tick(Connection connection) throws SQLException {
        if (!isDue()) {
            return new Change(Set.of(), Set.of(), Set.of(), false);
        }
        long before = nanoTime.getAsLong();
        store.renew(connection);
        SortedSet<String> alive = store.members(connection);
        alive.add(owner());
        List<Lease> leases = store.leases(connection);
        int share = share(alive, owner());
        Map<Integer, Long> now = mine(leases);
        long shortest = shortestLeft(leases, now.keySet());
        Set<Integer> refused = claim(connection, leases, share, now);
        watch.looked(leases, now.keySet(), refused, idle(alive, leases));
        Set<Integer> gained = differing(now, epochs);
        Set<Integer> lost = differing(epochs, now);
        epochs.clear();
        epochs.putAll(now);
        leaving.keySet().retainAll(epochs.keySet());
        leaving.keySet().removeAll(gained);
        Set<Integer> departing = planToLeave(epochs.size() - share, gained);
        boolean relaysChanged = relays != alive.size();
        relays = alive.size();
        giveUpAt = before + shortest - lease.toNanos() / 5;
        boolean soon = epochs.size() < share || shortest < lease.toNanos() / 5 * 4;
        renewAt = before + untilNextTick(leases, soon);
        return new Change(gained, lost, departing, relaysChanged);
    }

    /** How many shards are one relay's: no two differ by more than one, and all agree who has one more. */
    static int share(SortedSet<String> alive, String owner) {
        int ahead = alive.headSet(owner).size();
        return Shards.COUNT / alive.size() + (ahead < Shards.COUNT % alive.size() ? 1 : 0);
    }

    /**
     * What is ours, and for half a lease at least. The lease of a shard whose row somebody has locked is not renewed; it runs out alone,
     * and the rest stays.
     */
    private Map<Integer, Long> mine(List<Lease> leases) {
        Map<Integer, Long> mine = new TreeMap<>();
        for (Lease seen : leases) {
            if (owner().equals(seen.owner()) && seen.millisLeft() >= lease.toMillis() / 2) {
                mine.put(seen.shard(), seen.epoch());
            }
        }
        return mine;
    }

    /** For how many nanoseconds the first lease to run out still runs, of those that this relay had before it took others. */
    private long shortestLeft(List<Lease> leases, Set<Integer> shards) {
        long millis = leases.stream()
                .filter(seen -> shards.contains(seen.shard()))
                .mapToLong(Lease::millisLeft)
                .min()
                .orElse(lease.toMillis());
        return Duration.ofMillis(millis).toNanos();
    }

    /** Takes free shards up to this relay's share. Returns those that it could not take. */
    private Set<Integer> claim(Connection connection, List<Lease> leases, int share, Map<Integer, Long> mine)
            throws SQLException {
        Set<Integer> refused = new HashSet<>();
        for (Lease seen : leases) {
            if (mine.size() < share && seen.owner() == null) {
                if (store.claim(connection, seen)) {
                    mine.put(seen.shard(), seen.epoch() + 1);
                } else {
                    refused.add(seen.shard());
                }
            }
        }
        return refused;
    }

    /** Other relays that have no shard although they should have several: the only one of a relay may be locked. */
    private SortedSet<String> idle(SortedSet<String> alive, List<Lease> leases) {
        return alive.stream()
                .filter(other -> !other.equals(owner()) && share(alive, other) > 1)
                .filter(other -> leases.stream().noneMatch(seen -> other.equals(seen.owner())))
                .collect(Collectors.toCollection(TreeSet::new));
    }

    /** What a person should know, with the way out. */
    List<String> problems() {
        return watch.problems();
    }

    /** Whether there are shards that nobody sends. */
    boolean lackShards() {
        return watch.lackShards();
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

    /**
     * The shards with the highest numbers leave; always the same, so that a tick in the middle of a drain begins no other. One that may
     * stay after all counts as gained, as its rows have been taken back. Returns those that begin to leave now.
     */
    private Set<Integer> planToLeave(int excess, Set<Integer> gained) {
        Set<Integer> leave = new HashSet<>();
        for (int shard : epochs.descendingKeySet()) {
            if (leave.size() < excess) {
                leave.add(shard);
            }
        }
        for (int shard : leaving()) {
            if (!leave.contains(shard)) {
                leaving.remove(shard);
                gained.add(shard);
            }
        }
        leave.removeAll(leaving.keySet());
        leave.forEach(shard -> leaving.put(shard, nanoTime.getAsLong() + DRAIN_LIMIT.toNanos()));
        return leave;
    }

    /**
     * Three tenths of a lease; a twentieth while others hold what is ours, or a lease could not be renewed; and not later than the
     * moment at which a lease of another runs out, which does not happen while its owner lives.
     */
    private long untilNextTick(List<Lease> leases, boolean soon) {
        long next = soon ? lease.toNanos() / 20 : lease.toNanos() * 3 / 10;
        for (Lease seen : leases) {
            if (seen.owner() != null && !seen.owner().equals(owner())) {
                next = Math.min(next, Duration.ofMillis(seen.millisLeft() + 1).toNanos());
            }
        }
        return next;
    }

    /** Gives a shard back that is to leave. */
    void release(Connection connection, int shard) throws SQLException {
        Long epoch = epochs.get(shard);
        if (epoch != null) {
            store.release(connection, shard, epoch);
            epochs.remove(shard);
            leaving.remove(shard);
        }
    }

    /** Gives everything back, so that others need not wait. */
    void leave(Connection connection) throws SQLException {
        store.leave(connection);
        epochs.clear();
        leaving.clear();
        watch.forgetLocked();
    }

    /** Tells people what this relay owns now. */
    void tell() {
        LOG.info(
                "Relay {} owns {} of {} shards, {} relays are alive: {}{}",
                owner(),
                epochs.size(),
                Shards.COUNT,
                relays,
                epochs.keySet(),
                leaving.isEmpty() ? "" : ", of which it gives back " + new TreeSet<>(leaving.keySet()));
    }

    /** Locks the lease of a shard until the end of the connection's transaction; false if it is not ours any more. */
    boolean lock(Connection connection, int shard) throws SQLException {
        Long epoch = epochs.get(shard);
        return epoch != null && store.lock(connection, shard, epoch);
    }
}
