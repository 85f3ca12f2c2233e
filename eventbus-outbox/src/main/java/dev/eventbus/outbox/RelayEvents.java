package dev.eventbus.outbox;

import dev.eventbus.outbox.sql.OutboxRow;
import java.time.Duration;
import java.time.Instant;
import java.util.Set;
import java.util.function.Consumer;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Tells the listener, and keeps what it throws away from the relay. */
final class RelayEvents {

    private static final Logger LOG = LoggerFactory.getLogger(RelayEvents.class);

    private static final long WARN_EVERY = Duration.ofMinutes(1).toNanos();

    private final RelayListener listener;

    // The relay's thread only.
    private long failures;
    private long warnedAt;

    RelayEvents(RelayListener listener) {
        this.listener = listener;
    }

    void relayed(int events) {
        tell(to -> to.relayed(events));
    }

    void sendFailed(OutboxRow row, Exception error) {
        tell(to -> to.sendFailed(row.event().id(), row.event().topic(), error));
    }

    void keyBlocked(OutboxRow row, String reason) {
        tell(to -> to.keyBlocked(row.event().id(), row.event().topic(), reason));
    }

    void topicWaits(String topic, String problem, Instant retryAt) {
        tell(to -> to.topicWaits(topic, problem, retryAt));
    }

    void topicResumed(String topic) {
        tell(to -> to.topicResumed(topic));
    }

    void shardsChanged(Set<Integer> owned) {
        tell(to -> to.shardsChanged(Set.copyOf(owned)));
    }

    void deletedByOthers(int rows) {
        tell(to -> to.deletedByOthers(rows));
    }

    private void tell(Consumer<RelayListener> event) {
        try {
            event.accept(listener);
        } catch (RuntimeException e) {
            long now = System.nanoTime();
            if (failures == 0 || now - warnedAt >= WARN_EVERY) {
                warnedAt = now;
                LOG.warn("A relay listener failed, {} times before; the relay goes on", failures, e);
            }
            failures++;
        }
    }
}
