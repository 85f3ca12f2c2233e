package dev.eventbus.testkit;

import dev.eventbus.outbox.OutboxRelay;
import dev.eventbus.outbox.RelayHealth;
import java.time.Instant;
import java.util.StringJoiner;
import org.jspecify.annotations.Nullable;

/** A relay, driven by its passes. */
record DrivenRelay(String name, OutboxRelay relay) implements Driven {

    @Override
    public int runOnce() {
        return relay.runOnce();
    }

    @Override
    public @Nullable Instant nextDue() {
        return relay.health().nextRetry().orElse(null);
    }

    @Override
    public boolean isClosed() {
        return relay.health().closed();
    }

    @Override
    public String describe() {
        RelayHealth health = relay.health();
        StringJoiner lines = new StringJoiner("%n  - ".formatted());
        lines.add("%s: %d events in flight, %d keys blocked, topics that wait %s, next try at %s"
                .formatted(
                        name,
                        health.inFlight(),
                        health.blockedKeys(),
                        health.waitingTopics(),
                        health.nextRetry().map(Instant::toString).orElse("no time")));
        health.problems().forEach(lines::add);
        return lines.toString();
    }

    @Override
    public void close() {
        relay.close();
    }
}
