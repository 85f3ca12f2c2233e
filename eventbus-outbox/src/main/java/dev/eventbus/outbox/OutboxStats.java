package dev.eventbus.outbox;

import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Optional;
import java.util.SortedMap;
import java.util.SortedSet;

/**
 * How an outbox does, over all relays, as its tables say it.
 *
 * @param pendingByTopic events that wait, by logical topic, those of blocked keys too
 * @param exact whether that is all of them; of a shard with more than 10,000 only so many are counted, so that asking stays cheap
 * @param oldestAge how long ago the oldest of them was published whose key is not blocked; empty if there is none
 * @param blockedKeys keys that wait for a person, see {@link OutboxAdmin#blocked()}
 * @param shards every shard with its owner
 * @param relays names of the relays that are alive
 */
public record OutboxStats(
        SortedMap<String, Long> pendingByTopic,
        boolean exact,
        Optional<Duration> oldestAge,
        long blockedKeys,
        List<Shard> shards,
        SortedSet<String> relays) {

    /**
     * Who may send the events of a shard.
     *
     * @param number 0 to 15
     * @param owner name of the relay; empty if nobody has the lease
     * @param leaseUntil when it ends unless it is renewed
     */
    public record Shard(int number, Optional<String> owner, Optional<Instant> leaseUntil) {}

    /** Events that wait; at least so many if the count is not {@link #exact}. */
    public long pending() {
        return pendingByTopic.values().stream().mapToLong(Long::longValue).sum();
    }

    /** Shards that nobody sends. */
    public long shardsWithoutOwner() {
        return shards.stream().filter(shard -> shard.owner().isEmpty()).count();
    }
}
