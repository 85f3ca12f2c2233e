package dev.eventbus.outbox;

import dev.eventbus.internal.Fatal;
import dev.eventbus.internal.InterruptFlag;
import dev.eventbus.outbox.sql.OutboxRow;
import java.time.Duration;
import java.time.Instant;
import java.util.HashMap;
import java.util.Map;
import java.util.Set;
import java.util.function.Consumer;
import java.util.function.Supplier;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Tells the listener, and keeps what it throws away from the relay, and what it does to its thread's interrupt flag. One thread only. */
final class RelayEvents {

    private static final Logger LOG = LoggerFactory.getLogger(RelayEvents.class);

    private static final long WARN_EVERY = Duration.ofMinutes(1).toNanos();

    private final RelayListener listener;

    /** What Kafka has acknowledged since the listener was told last, by topic. */
    private final Map<String, Acked> acked = new HashMap<>();

    private long failures;
    private long warnedAt;

    /** Acknowledged events of one topic. */
    private static final class Acked {
        int events;
        long longestNanos;
        Instant oldest = Instant.MAX;
    }

    RelayEvents(RelayListener listener) {
        this.listener = listener;
    }

    /** Counts an acknowledged event; told later, together with others. */
    void acked(OutboxRow row, long nanos) {
        Acked topic = acked.computeIfAbsent(row.event().topic(), any -> new Acked());
        topic.events++;
        topic.longestNanos = Math.max(topic.longestNanos, nanos);
        topic.oldest = row.createdAt().isBefore(topic.oldest) ? row.createdAt() : topic.oldest;
    }

    /** Tells what has been counted. */
    void tellAcked(Instant now) {
        if (acked.isEmpty()) {
            return;
        }
        Map<String, Acked> told = Map.copyOf(acked);
        acked.clear();
        told.forEach((topic, of) -> {
            Duration latency = of.oldest.isBefore(now) ? Duration.between(of.oldest, now) : Duration.ZERO;
            tell(to ->
                    to.sent(new RelayListener.Sent(topic, "", of.events, Duration.ofNanos(of.longestNanos), latency)));
        });
    }

    void relayStarts(Supplier<RelayHealth> health) {
        tell(to -> to.relayStarts(health));
    }

    void relayed(int events) {
        tell(to -> to.relayed(events));
    }

    void sendFailed(OutboxRow row, Exception error, long nanos) {
        String topic = row.event().topic();
        String type = error.getClass().getSimpleName();
        tell(to -> to.sendFailed(row.event().id(), topic, error));
        tell(to -> to.sent(new RelayListener.Sent(topic, type, 1, Duration.ofNanos(nanos), Duration.ZERO)));
    }

    void keyBlocked(OutboxRow row, String reason) {
        tell(to -> to.keyBlocked(row.event().id(), row.event().topic(), reason));
    }

    void keyUnblocked(String eventId, String topic) {
        tell(to -> to.keyUnblocked(eventId, topic));
    }

    void eventDiscarded(String eventId, String topic, String reason) {
        tell(to -> to.eventDiscarded(eventId, topic, reason));
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

    void deletedByOthers(int rows, int of) {
        LOG.warn(
                "{} of {} acknowledged rows had been deleted by somebody else; another relay may have sent them too. The leases are checked.",
                rows,
                of);
        tell(to -> to.deletedByOthers(rows));
    }

    private void tell(Consumer<RelayListener> event) {
        try (InterruptFlag ignored = InterruptFlag.kept()) {
            event.accept(listener);
        } catch (RuntimeException | Error e) {
            Fatal.rethrow(e);
            long now = System.nanoTime();
            if (failures == 0 || now - warnedAt >= WARN_EVERY) {
                warnedAt = now;
                LOG.warn("A relay listener failed, {} times before; the relay goes on", failures, e);
            }
            failures++;
        }
    }
}
