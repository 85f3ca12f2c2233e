package dev.eventbus.outbox;

import java.time.Instant;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.SortedMap;

/**
 * How a relay does, as of its last look.
 *
 * @param up whether events flow, or would if there were any; false if the database or Kafka cannot be reached, before the first look, after a round
 *     that failed, or if it does not run any more
 * @param closed whether it was closed
 * @param problems what is wrong, each with what happens to the events meanwhile and the fix; empty if all is well
 * @param ownedShards shards this relay sends; empty on a relay that stands by
 * @param inFlight events read and not yet deleted
 * @param oldestInFlight when the oldest of them was published
 * @param waitingTopics topics that cannot be written to, each with the time of the next try
 * @param blockedKeys keys that wait because the broker refuses their next event for good
 * @param nextRetry when something that failed is tried again
 */
public record RelayHealth(
        boolean up,
        boolean closed,
        List<String> problems,
        Set<Integer> ownedShards,
        int inFlight,
        Optional<Instant> oldestInFlight,
        SortedMap<String, Instant> waitingTopics,
        long blockedKeys,
        Optional<Instant> nextRetry) {

    RelayHealth with(boolean isUp, List<String> found) {
        return with(isUp, closed, found);
    }

    /** Of a relay that does not run any more. */
    RelayHealth ended(boolean isClosed, String why) {
        return with(false, isClosed, List.of(why));
    }

    private RelayHealth with(boolean isUp, boolean isClosed, List<String> found) {
        return new RelayHealth(
                isUp,
                isClosed,
                List.copyOf(found),
                ownedShards,
                inFlight,
                oldestInFlight,
                waitingTopics,
                blockedKeys,
                nextRetry);
    }
}
