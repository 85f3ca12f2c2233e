package dev.eventbus.testkit.guarantees;

import dev.eventbus.Event;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Objects;
import java.util.stream.Stream;

/**
 * What a test has published and what became of it, in the order in which the test tells it.
 *
 * <pre>{@code
 * History history = new History();
 * history.published(bus.publish(ASSET_UPDATED, updated("bob", 1), updated("alice", 1)));
 * ... a handler:  history.handled(event.key(), event.id());
 * assertThat(history.violations(Guarantee.noLoss(), Guarantee.perKeyOrder())).isEmpty();
 * }</pre>
 *
 * <p>It knows nothing of the library's own word for what happened. A handler that is tried again tells it when it has succeeded; what
 * has effects in a transaction is better told from the committed rows, in their order, than by the handler. Thread-safe.
 */
public final class History {

    /** What happens to an event. */
    public enum Step {
        /** It is committed by its publisher. */
        PUBLISHED,
        /** It has had its effect. */
        HANDLED,
        /** It stands in a dead-letter topic. */
        DEAD_LETTERED,
        /** It has failed for good and its key is parked behind it. */
        PARKED
    }

    /** One line of a history. */
    public record Entry(Step step, String key, String eventId) {

        public Entry {
            Objects.requireNonNull(step, "step");
            Objects.requireNonNull(key, "key");
            Objects.requireNonNull(eventId, "eventId");
        }

        /** Without the key. */
        @Override
        public String toString() {
            return "%s %s".formatted(step, eventId);
        }
    }

    /** Guarded by "this". */
    private final List<Entry> entries = new ArrayList<>();

    /** An event was published; those of a key in the order of their commits. */
    public void published(String key, String eventId) {
        add(Step.PUBLISHED, key, eventId);
    }

    /** Events were published, in this order. */
    public void published(Collection<? extends Event<?>> events) {
        events.forEach(event -> published(event.key(), event.id()));
    }

    /** An event has had its effect, once more if it had one before. */
    public void handled(String key, String eventId) {
        add(Step.HANDLED, key, eventId);
    }

    /** A dead letter of the event was found. */
    public void deadLettered(String key, String eventId) {
        add(Step.DEAD_LETTERED, key, eventId);
    }

    /** The event has failed for good under {@code AfterRetries.parkKey}: later ones of its key wait until it is handled. */
    public void parked(String key, String eventId) {
        add(Step.PARKED, key, eventId);
    }

    /** All that was told, in its order. */
    public synchronized List<Entry> entries() {
        return List.copyOf(entries);
    }

    /**
     * What of these guarantees the history does not keep, in their order; empty if it keeps all.
     *
     * @throws IllegalArgumentException if no guarantee is given, or one that asks about published events and the history tells of none:
     *     such a check could not fail
     */
    public List<Violation> violations(Guarantee... guarantees) {
        if (guarantees.length == 0) {
            throw new IllegalArgumentException("no guarantee was given, so nothing could be violated");
        }
        List<Entry> all = entries();
        return Stream.of(guarantees)
                .flatMap(guarantee -> guarantee.check(all).stream())
                .toList();
    }

    private synchronized void add(Step step, String key, String eventId) {
        entries.add(new Entry(step, key, eventId));
    }
}
