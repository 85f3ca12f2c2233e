package dev.eventbus.outbox;

import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.SortedMap;

/**
 * How a relay does, as of its last look.
 *
 * @param up whether events of all topics flow, or would if there were any; false while the database or Kafka cannot be reached, while a topic waits
 *     or has not answered for seconds, before the first look, after a round that failed, while its thread is held, and if it does not run any more. Blocked keys do not
 *     count. To alert on: a service that also serves requests is as ready without it, since publishing needs the database only
 * @param closed whether it was closed
 * @param problems what is wrong, each with what happens to the events meanwhile and the fix; empty if all is well
 * @param ownedShards shards this relay sends, or still drains for another; empty if there are more relays than shards
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

    private static final Duration OPENING_TOLD_AFTER = Duration.ofSeconds(2);

    static RelayHealth notLookedYet() {
        return new RelayHealth(
                false,
                false,
                List.of("The relay has not looked into the outbox yet. Call start() or runOnce()."),
                Set.of(),
                0,
                Optional.empty(),
                Collections.emptySortedMap(),
                0,
                Optional.empty());
    }

    static Optional<Instant> earliest(List<Optional<Instant>> times) {
        return times.stream().flatMap(Optional::stream).min(Instant::compareTo);
    }

    /** Of a relay that has been asking its data source for a connection for a time. */
    RelayHealth askingFor(Duration time, Duration lease) {
        if (time.compareTo(OPENING_TOLD_AFTER) < 0) {
            return this;
        }
        List<String> found = new ArrayList<>(problems);
        found.add(
                "The data source has not given a connection for %d s. Events wait in the outbox. See that the database answers and that its pool has one to spare for the relay."
                        .formatted(time.toSeconds()));
        RelayHealth asking = with(false, found);
        boolean leasesRanOut = time.compareTo(lease) > 0; // none was renewed since the asking began
        return leasesRanOut ? asking.withoutShards() : asking;
    }

    /** Of a relay whose thread has been held for longer than a lease. */
    RelayHealth heldFor(Duration time) {
        List<String> found = new ArrayList<>(problems);
        found.add(
                "The relay's thread \"eventbus-relay\" has been held for %d s, and its leases have run out: it reads and sends nothing, other relays take its shards. Without another one, events wait in the outbox. A RelayListener that blocks holds it, a database that does not answer, or Kafka's client: a thread dump names it. The relay goes on by itself once that returns."
                        .formatted(time.toSeconds()));
        return with(false, found).withoutShards();
    }

    /** Of a relay whose last round has thrown what it must not. */
    RelayHealth afterBug(Throwable bug) {
        return with(
                false,
                List.of(
                        "The last round failed with %s, which is a bug: please report it with the log. Events wait in the outbox; the relay goes on trying."
                                .formatted(bug.getClass().getName())));
    }

    RelayHealth with(boolean isUp, List<String> found) {
        return with(isUp, closed, found);
    }

    /** Of a relay that does not run any more. */
    RelayHealth ended(boolean isClosed, String why) {
        return with(false, isClosed, List.of(why));
    }

    RelayHealth withoutShards() {
        return with(up, closed, problems, Set.of());
    }

    private RelayHealth with(boolean isUp, boolean isClosed, List<String> found) {
        return with(isUp, isClosed, found, ownedShards);
    }

    private RelayHealth with(boolean isUp, boolean isClosed, List<String> found, Set<Integer> shards) {
        return new RelayHealth(
                isUp,
                isClosed,
                List.copyOf(found),
                shards,
                inFlight,
                oldestInFlight,
                waitingTopics,
                blockedKeys,
                nextRetry);
    }
}
