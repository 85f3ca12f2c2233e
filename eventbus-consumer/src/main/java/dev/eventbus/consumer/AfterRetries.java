package dev.eventbus.consumer;

import dev.eventbus.internal.Checks;

/**
 * What becomes of an event that failed for the last time. There is no default: a runner that handles events must say.
 *
 * <pre>{@code
 * .afterRetries(AfterRetries.deadLetter("dlq.events"))
 * }</pre>
 *
 * <p>Each policy names a dead-letter topic, because records that are no readable event go there at once under every policy,
 * bytes untouched. If that topic cannot be written, only the sending is tried again, for as long as it takes: the key waits,
 * nothing is skipped, and {@link ConsumerRunner#health()} says so. Immutable.
 */
public final class AfterRetries {

    private final String topic;
    private final boolean stops;

    private AfterRetries(String topic, boolean stops) {
        this.topic = Checks.topicName("dead-letter topic", topic);
        this.stops = stops;
    }

    /**
     * The event goes to the dead-letter topic; once the broker has acknowledged it, later events of its key follow.
     *
     * @param topic logical name of the dead-letter topic
     */
    public static AfterRetries deadLetter(String topic) {
        return new AfterRetries(topic, false);
    }

    /**
     * The partition stops: nothing behind the event is committed, nothing more of that partition is started, and
     * {@link ConsumerRunner#health()} is DOWN until a person has mended the cause and the runner is started again. It stays
     * stopped in this runner even if it goes and comes back; another instance that gets it runs the event once more, and stops too.
     *
     * @param topic logical name of the dead-letter topic, for records that are no readable event
     */
    public static AfterRetries stopPartition(String topic) {
        return new AfterRetries(topic, true);
    }

    /** Logical name of the dead-letter topic. */
    String topic() {
        return topic;
    }

    boolean stopsPartition() {
        return stops;
    }

    @Override
    public String toString() {
        return (stops ? "stopPartition(" : "deadLetter(") + topic + ")";
    }
}
