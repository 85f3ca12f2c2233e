package dev.eventbus.outbox.internal;

import dev.eventbus.outbox.sql.LeaseStore.Lease;
import dev.eventbus.outbox.sql.Shards;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.SortedSet;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.function.LongSupplier;

/** Finds out which shards nobody sends, and why. What ends by itself within a lease is not told. One thread only. */
public final class LeaseWatch {

    private static final String LOCKED =
            "No relay has shards %s, though they have been free for a lease: a session holds the lock of their rows in eventbus_relay_lease. Their events wait in the outbox and lose nothing, other shards flow. Let that session commit, or end it: PostgreSQL lists it in pg_locks and pg_stat_activity, MariaDB in information_schema.INNODB_TRX.";

    private static final String UNTAKEN =
            "No relay has shards %s, though they have been free for a lease: they are the share of %s, which count as alive and do not take them. Their events wait in the outbox and lose nothing, other shards flow. A relay that runs says in its own health what keeps it from them. DELETE the rows of those that are no more from eventbus_relay_member.";

    private static final String ABSENT =
            "eventbus_relay_lease has rows for %d of %d shards: events of the others wait in the outbox, and nobody sends them. INSERT INTO eventbus_relay_lease (shard) each that is missing of 0 to 15.";

    private static final String FAR_AHEAD =
            "The leases of shards %s run for longer than a relay takes one, so the database's clock went back, or their owner takes them for longer than this relay does. An owner that lives sets them right within seconds; these were not. Their events wait in the outbox and lose nothing until that time. If their owner %s is no more: UPDATE eventbus_relay_lease SET owner = NULL, lease_until = NULL of these shards, and DELETE its row from eventbus_relay_member.";

    /** No relay takes a lease for longer, and it renews it well before it has run for half of its time. */
    public static final Duration LONGEST = Duration.ofMinutes(5);

    private final Duration lease;
    private final LongSupplier nanoTime;

    /** Free shards of our share that could not be taken, each with the local time from which on it is told. */
    private final TreeMap<Integer, Long> locked = new TreeMap<>();

    /** Free shards of the others' share, each with the local time from which on it is told. */
    private final TreeMap<Integer, Long> untaken = new TreeMap<>();

    private SortedSet<String> idle = new TreeSet<>();

    /** Shards of others whose leases run for too long, each with the local time from which on it is told. */
    private final TreeMap<Integer, Long> farAhead = new TreeMap<>();

    /** Until when these run, as local time. */
    private final Map<Integer, Long> runUntil = new HashMap<>();

    private SortedSet<String> farAheadOwners = new TreeSet<>();

    /** How many shards have a row at all. */
    private int present = Shards.COUNT;

    /** @param lease of this relay; others take theirs for as long */
    public LeaseWatch(Duration lease, LongSupplier nanoTime) {
        this.lease = lease;
        this.nanoTime = nanoTime;
    }

    /**
     * The leases were looked at.
     *
     * @param leases before this relay took any
     * @param taken shards that it took
     * @param refused free shards that it could not take
     * @param idle other relays that have no shard although they should have several
     */
    public void looked(List<Lease> leases, Set<Integer> taken, Set<Integer> refused, SortedSet<String> idle) {
        present = leases.size();
        this.idle = idle;
        List<Integer> free = leases.stream()
                .filter(seen -> seen.owner() == null)
                .map(Lease::shard)
                .filter(shard -> !taken.contains(shard) && !refused.contains(shard))
                .toList();
        tellAfter(lease, locked, refused);
        tellAfter(lease, untaken, idle.isEmpty() ? List.of() : free);
        lookForFarAhead(leases);
    }

    /** A lease that was made longer is renewed by an owner that lives, if only with another setting. */
    private void lookForFarAhead(List<Lease> leases) {
        long now = nanoTime.getAsLong();
        List<Integer> shards = new ArrayList<>();
        farAheadOwners = new TreeSet<>();
        for (Lease seen : leases) {
            if (seen.owner() != null && seen.millisLeft() > 2 * lease.toMillis()) {
                long until = now + Duration.ofMillis(seen.millisLeft()).toNanos();
                if (until - runUntil.getOrDefault(seen.shard(), until) > lease.toNanos() / 10) {
                    farAhead.remove(seen.shard());
                }
                runUntil.put(seen.shard(), until);
                shards.add(seen.shard());
                farAheadOwners.add(seen.owner());
                farAhead.putIfAbsent(
                        seen.shard(), now + patience(seen.millisLeft()).toNanos());
            }
        }
        runUntil.keySet().retainAll(shards);
        farAhead.keySet().retainAll(shards);
    }

    /** By then an owner that lives has renewed its lease. */
    private Duration patience(long millisLeft) {
        Duration half = Duration.ofMillis(millisLeft / 2);
        return millisLeft > LONGEST.toMillis() || half.compareTo(lease) < 0 ? lease : half;
    }

    private void tellAfter(Duration patience, Map<Integer, Long> from, Collection<Integer> shards) {
        from.keySet().retainAll(shards);
        shards.forEach(shard -> from.putIfAbsent(shard, nanoTime.getAsLong() + patience.toNanos()));
    }

    /** What a person should know, with the way out. Who was merely faster shows as the owner a tick later. */
    public List<String> problems() {
        List<String> problems = new ArrayList<>();
        List<Integer> waiting = told(locked);
        if (!waiting.isEmpty()) {
            problems.add(LOCKED.formatted(waiting));
        }
        List<Integer> others = told(untaken);
        if (!others.isEmpty()) {
            problems.add(UNTAKEN.formatted(others, idle));
        }
        List<Integer> out = told(farAhead);
        if (!out.isEmpty()) {
            problems.add(FAR_AHEAD.formatted(out, farAheadOwners));
        }
        if (present < Shards.COUNT) {
            problems.add(ABSENT.formatted(present, Shards.COUNT));
        }
        return problems;
    }

    private List<Integer> told(Map<Integer, Long> from) {
        long now = nanoTime.getAsLong();
        return from.entrySet().stream()
                .filter(shard -> now - shard.getValue() >= 0)
                .map(Map.Entry::getKey)
                .toList();
    }

    /** Whether there are shards that nobody sends, and that no relay could take soon. */
    public boolean lackShards() {
        return present < Shards.COUNT
                || !told(farAhead).isEmpty()
                || !told(untaken).isEmpty();
    }

    /** The leases were given up or given back: what could not be taken is no news any more. */
    public void forgetLocked() {
        locked.clear();
    }
}
