package dev.eventbus.consumer;

import dev.eventbus.consumer.Routes.Route;
import dev.eventbus.consumer.inbox.JdbcInbox;
import dev.eventbus.internal.Checks;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Objects;
import java.util.Set;
import org.jspecify.annotations.Nullable;

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
    private final @Nullable JdbcInbox inbox;

    private AfterRetries(String topic, boolean stops, @Nullable JdbcInbox inbox) {
        this.topic = Checks.topicName("dead-letter topic", topic);
        this.stops = stops;
        this.inbox = inbox;
    }

    /**
     * The event goes to the dead-letter topic; once the broker has acknowledged it, later events of its key follow.
     *
     * @param topic logical name of the dead-letter topic
     */
    public static AfterRetries deadLetter(String topic) {
        return new AfterRetries(topic, false, null);
    }

    /**
     * The partition stops: nothing behind the event is committed, nothing more of that partition is started, and
     * {@link ConsumerRunner#health()} is DOWN until a person has mended the cause and the runner is started again. It stays
     * stopped in this runner even if it goes and comes back; another instance that gets it runs the event once more, and stops too.
     *
     * <p>It stops as well if what was to be read next is gone from the topic, see {@link RunnerListener#offsetGap}: until a person has
     * set the group's offset where it is to go on.
     *
     * @param topic logical name of the dead-letter topic, for records that are no readable event
     */
    public static AfterRetries stopPartition(String topic) {
        return new AfterRetries(topic, true, null);
    }

    /**
     * The event is parked in the inbox's database, and its key with it: later events of the key are added behind it, in order, without
     * their handler running, until a person has mended the cause and says {@code inbox.parking().redrive(...)} or {@code discard(...)}.
     * Then they are handled in order, before live ones. A copy of the event goes to the dead-letter topic. Other keys go on.
     *
     * <p>With it the retry policy may ask for delays of more than 30 s, up to a year: the key is parked until then. All events must be
     * handled in transactions of this inbox; one without a key, or with one of more than 2,000 bytes, is dead-lettered instead.
     *
     * @param inbox the one that the runner's handlers use
     * @param topic logical name of the dead-letter topic
     */
    public static AfterRetries parkKey(JdbcInbox inbox, String topic) {
        return new AfterRetries(topic, false, Objects.requireNonNull(inbox, "inbox"));
    }

    /** In which keys are parked; null if they are not. */
    @Nullable
    JdbcInbox inbox() {
        return inbox;
    }

    /** Logical name of the dead-letter topic. */
    String topic() {
        return topic;
    }

    boolean stopsPartition() {
        return stops;
    }

    /** Of parking keys, with what the handlers use. */
    List<String> contradictions(Set<JdbcInbox> inboxes, Collection<Route> routes) {
        List<String> found = new ArrayList<>();
        if (!inboxes.isEmpty() && !inboxes.equals(Set.of(Objects.requireNonNull(inbox)))) {
            found.add(
                    "it parks keys in another inbox than its handlers use; give the same object to parkKey and inTransaction");
        }
        for (Route route : routes) {
            if (!(route instanceof Route.Once)) {
                found.add(
                        "event type %s is handled without an inbox, so its key cannot be parked (P4); use inTransaction, or another AfterRetries"
                                .formatted(route.type().name()));
            }
        }
        return found;
    }

    @Override
    public String toString() {
        return (stops ? "stopPartition(" : inbox != null ? "parkKey(" : "deadLetter(") + topic + ")";
    }
}
