package dev.eventbus.faults.check;

import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * What a run has left behind, read by somebody else than the library.
 *
 * @param ledger what was committed, by rows that were written in the same transactions
 * @param topic all records of the topic, in the order of each partition
 * @param letters all records of the dead-letter topic
 * @param effects what handlers have written in the transactions they were given, in any order
 * @param outbox ids of the events that still wait in the outbox
 * @param parked events that are marked as parked, or wait in rows of a parked key
 * @param givenUp parked events that a person has given up, as that person and the inbox say
 * @param offsets how far the group is, by partition
 */
public record History(
        List<Written> ledger,
        List<Sent> topic,
        List<Letter> letters,
        List<Effect> effects,
        Set<String> outbox,
        List<Parked> parked,
        Set<String> givenUp,
        Map<Integer, Progress> offsets) {

    /**
     * An event that was committed.
     *
     * @param number of the event within its key, from 1, in the order of the commits
     * @param digest of what was published
     * @param atMillis when, by the database's clock
     */
    public record Written(String id, String key, long number, String digest, long atMillis) {}

    /**
     * A record of the topic.
     *
     * @param digest of what was published, as the record's fields make it
     * @param bytes digest of the record's key and value as they are
     */
    public record Sent(Position at, String id, String key, String digest, String bytes) {}

    /**
     * A record of the dead-letter topic.
     *
     * @param of where it says that it was
     * @param bytes digest of the record's key and value as they are
     * @param reason why, as it says
     */
    public record Letter(Position of, String id, String bytes, String reason, long atMillis) {}

    /**
     * A row that a handler has written.
     *
     * @param number of the event within its key, as the event says
     * @param nth of the effects of its key, counted under the key's row lock
     * @param digest of what the handler was given
     * @param failed whether the handler has failed after it had written this, so that it may not be there
     * @param healed whether the handler would have failed, had it not been healed
     * @param atMillis when, by the database's clock
     */
    public record Effect(
            String id,
            String key,
            long number,
            long nth,
            String digest,
            boolean failed,
            boolean healed,
            long atMillis) {}

    /**
     * An event of a parked key.
     *
     * @param marked whether the inbox says that it is parked
     * @param waits whether there is a row of it
     * @param key what the key waits for, such as {@code REDRIVE}; empty if it is not parked
     * @param moves whether the key has had an effect in the half minute before
     */
    public record Parked(String id, boolean marked, boolean waits, String key, boolean moves) {}

    /** A place in a topic. */
    public record Position(int partition, long offset) {}

    /**
     * How far a group is in a partition.
     *
     * @param committed the next offset to be handled
     * @param end the next one to be written
     */
    public record Progress(long committed, long end) {}

    /** Whether nothing is left to be sent or handled. */
    public boolean drained() {
        return outbox.isEmpty()
                && parked.isEmpty()
                && offsets.values().stream().allMatch(progress -> progress.committed >= progress.end);
    }

    /** Whether the group's offset has passed a record. */
    boolean passed(Position at) {
        Progress progress = offsets.get(at.partition());
        return progress != null && at.offset() < progress.committed();
    }
}
