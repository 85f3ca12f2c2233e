package dev.eventbus.it.faults;

import dev.eventbus.outbox.RelayListener;
import java.time.Instant;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicInteger;

/** All that a relay has told. Thread-safe. */
public final class Heard implements RelayListener {

    /** A send that failed. */
    public record Failure(String eventId, String topic, Exception error) {}

    /** A key that was blocked. */
    public record Block(String eventId, String topic, String reason) {}

    public final List<Failure> failures = new CopyOnWriteArrayList<>();
    public final List<Block> blocks = new CopyOnWriteArrayList<>();
    public final List<String> waits = new CopyOnWriteArrayList<>();
    public final List<String> resumed = new CopyOnWriteArrayList<>();
    public final AtomicInteger relayed = new AtomicInteger();

    @Override
    public void relayed(int events) {
        relayed.addAndGet(events);
    }

    @Override
    public void sendFailed(String eventId, String topic, Exception error) {
        failures.add(new Failure(eventId, topic, error));
    }

    @Override
    public void keyBlocked(String eventId, String topic, String reason) {
        blocks.add(new Block(eventId, topic, reason));
    }

    @Override
    public void topicWaits(String topic, String problem, Instant retryAt) {
        waits.add(topic);
    }

    @Override
    public void topicResumed(String topic) {
        resumed.add(topic);
    }

    /** Whether an event of a topic has failed. */
    public boolean failed(String topic) {
        return failures.stream().anyMatch(failure -> failure.topic().equals(topic));
    }
}
