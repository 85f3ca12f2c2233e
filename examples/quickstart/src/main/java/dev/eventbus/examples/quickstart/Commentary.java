package dev.eventbus.examples.quickstart;

import dev.eventbus.Event;
import dev.eventbus.EventHeaders;
import dev.eventbus.FailureReason;
import dev.eventbus.consumer.Delivery;
import dev.eventbus.consumer.RunnerListener;
import dev.eventbus.consumer.deadletter.DeadLetter;
import dev.eventbus.consumer.deadletter.Origin;
import dev.eventbus.consumer.inbox.Outcome;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.Instant;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.kafka.common.header.Header;
import org.jspecify.annotations.Nullable;

/** Says on the screen what the runners do, and how long it took since the commit. */
final class Commentary implements RunnerListener {

    private final Screen screen;
    private final Map<String, Instant> committedAt = new ConcurrentHashMap<>();
    private final Map<String, Instant> lastTry = new ConcurrentHashMap<>();
    private final AtomicInteger repeats = new AtomicInteger();
    private final AtomicInteger parked = new AtomicInteger();

    Commentary(Screen screen) {
        this.screen = screen;
    }

    void committed(String user, String type, String eventId) {
        committedAt.put(eventId, Instant.now());
        screen.happened("commit", "%-6s %s %s".formatted(user, type, shortId(eventId)));
    }

    void failing(Event<?> event, int attempt) {
        Instant now = Instant.now();
        Instant before = lastTry.put(event.id(), now);
        screen.happened(
                "calculator",
                "%-6s %s fails, try %d of 4%s"
                        .formatted(
                                event.key(),
                                shortId(event.id()),
                                attempt,
                                before == null
                                        ? ""
                                        : ", %d ms after the one before"
                                                .formatted(Duration.between(before, now)
                                                        .toMillis())));
    }

    @Override
    public void handled(String eventType, Delivery delivery, Duration took) {
        String id = header(delivery, EventHeaders.ID);
        Instant committed = committedAt.get(id);
        if (committed != null) {
            screen.happened(
                    delivery.group(),
                    "%s handled: relayed %d ms, handled %d ms after the commit"
                            .formatted(
                                    shortId(id),
                                    Math.max(
                                            0,
                                            Duration.between(committed, delivery.timestamp())
                                                    .toMillis()),
                                    Duration.between(committed, Instant.now()).toMillis()));
        }
    }

    @Override
    public void repeated(String eventType, Delivery delivery, Outcome known) {
        screen.happened(
                delivery.group(),
                "%s came again: already %s, nothing is done"
                        .formatted(shortId(header(delivery, EventHeaders.ID)), known));
        repeats.incrementAndGet();
    }

    @Override
    public void parked(String eventType, Delivery delivery, @Nullable FailureReason reason) {
        screen.happened(
                delivery.group(),
                "%s waits in the database%s"
                        .formatted(
                                shortId(header(delivery, EventHeaders.ID)),
                                reason == null ? " behind those of its key" : ", and its key with it: " + reason));
        parked.incrementAndGet();
    }

    void deadLetter(DeadLetter letter) {
        Origin origin = letter.origin();
        String why = origin == null
                ? "of unknown origin"
                : "%s after %d attempts".formatted(origin.reason(), origin.attempts());
        screen.happened("monitoring", "%-6s dead letter: %s".formatted(letter.keyText(), why));
    }

    int repeats() {
        return repeats.get();
    }

    int parked() {
        return parked.get();
    }

    private static String shortId(String id) {
        return id.length() > 8 ? "…" + id.substring(id.length() - 8) : id;
    }

    private static String header(Delivery delivery, String name) {
        Header header = delivery.headers().lastHeader(name);
        return header == null ? "" : new String(header.value(), StandardCharsets.UTF_8);
    }
}
